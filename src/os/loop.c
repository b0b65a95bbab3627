/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "os/clock.h"
#include "os/loop.h"

constexpr int events_per_turn = 64;

struct qe_loop {
	int epoll, bell;
	struct qe_heap alarms;
	/* The events of the turn under way, so that a removed watch is not called any more. */
	struct epoll_event events[events_per_turn];
	int n_events;
};

static uint32_t to_epoll(unsigned events)
{
	return (events & QE_READABLE ? EPOLLIN : 0u) | (events & QE_WRITABLE ? EPOLLOUT : 0u) |
	       (events & QE_EDGE ? EPOLLET : 0u);
}

static unsigned from_epoll(uint32_t events)
{
	return (events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? QE_READABLE : 0u) |
	       (events & EPOLLOUT ? QE_WRITABLE : 0u);
}

enum qe_error qe_loop_new(struct qe_loop **ret_loop)
{
	struct qe_loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event ring = {.events = EPOLLIN};
	enum qe_error error = QE_OK;

	if (!loop)
		return -ENOMEM;
	qe_heap_init(&loop->alarms);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (loop->epoll < 0 || loop->bell < 0 ||
		epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->bell, &ring) < 0) {
		error = qe_error_errno();
		qe_loop_free(loop);
		return error;
	}
	*ret_loop = loop;
	return QE_OK;
}

struct qe_loop *qe_loop_free(struct qe_loop *loop)
{
	if (!loop)
		return nullptr;
	if (loop->epoll >= 0)
		close(loop->epoll);
	if (loop->bell >= 0)
		close(loop->bell);
	qe_heap_done(&loop->alarms);
	free(loop);
	return nullptr;
}

enum qe_error qe_loop_add(struct qe_loop *loop, struct qe_watch *watch, unsigned events)
{
	struct epoll_event event = {.events = to_epoll(events), .data.ptr = watch};

	return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watch->fd, &event) < 0 ? qe_error_errno()
									    : QE_OK;
}

void qe_loop_change(struct qe_loop *loop, struct qe_watch *watch, unsigned events)
{
	struct epoll_event event = {.events = to_epoll(events), .data.ptr = watch};

	epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void qe_loop_remove(struct qe_loop *loop, struct qe_watch *watch)
{
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, nullptr);
	for (int i = 0; i < loop->n_events; i++) {
		if (loop->events[i].data.ptr == watch)
			loop->events[i].events = 0;
	}
}

enum qe_error qe_loop_set_alarm(struct qe_loop *loop, struct qe_alarm *alarm, qe_time at)
{
	return qe_heap_set(&loop->alarms, &alarm->timer, at);
}

/* The bell is told from the watches by its empty pointer. */
static void dispatch(struct qe_loop *loop)
{
	uint64_t rings;

	for (int i = 0; i < loop->n_events; i++) {
		struct qe_watch *watch = loop->events[i].data.ptr;
		uint32_t events = loop->events[i].events;

		if (!watch)
			(void)!read(loop->bell, &rings, sizeof(rings));
		else if (events)
			watch->ready(watch, from_epoll(events));
	}
	loop->n_events = 0;
}

static void ring_alarms(struct qe_loop *loop, qe_time now)
{
	struct qe_timer *timer;

	while ((timer = qe_heap_pop(&loop->alarms, now))) {
		struct qe_alarm *alarm = QE_CONTAINER_OF(timer, struct qe_alarm, timer);

		alarm->ring(alarm, now);
	}
}

/* epoll_pwait2 counts in nanoseconds, which the pacing of packets needs. */
void qe_loop_turn(struct qe_loop *loop, qe_time until)
{
	qe_time at = qe_time_min(until, qe_heap_next(&loop->alarms));
	struct timespec wait, *limit = nullptr;
	int n;

	if (at != QE_TIME_NEVER) {
		qe_time left = at == 0 ? 0 : qe_time_since(qe_clock_now(), at);

		wait.tv_sec = (time_t)(left / QE_SECOND);
		wait.tv_nsec = (long)(left % QE_SECOND);
		limit = &wait;
	}
	n = epoll_pwait2(loop->epoll, loop->events, events_per_turn, limit, nullptr);
	loop->n_events = n > 0 ? n : 0;
	dispatch(loop);
	if (qe_heap_next(&loop->alarms) != QE_TIME_NEVER)
		ring_alarms(loop, qe_clock_now());
}

void qe_loop_wake(struct qe_loop *loop)
{
	uint64_t one = 1;

	(void)!write(loop->bell, &one, sizeof(one));
}
