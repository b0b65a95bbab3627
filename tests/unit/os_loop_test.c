/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <fcntl.h>
#include <unistd.h>

#include "base/list.h"
#include "os/clock.h"
#include "os/loop.h"
#include "os/thread.h"
#include "random.h"

#define ALARMS 200

struct counted {
	struct qe_watch watch;
	struct qe_loop *loop;
	struct qe_watch *victim; /* removed when this one is ready */
	unsigned n;
};

static void count(struct qe_watch *watch, unsigned)
{
	struct counted *counted = QE_CONTAINER_OF(watch, struct counted, watch);

	counted->n++;
	if (counted->victim)
		qe_loop_remove(counted->loop, counted->victim);
}

static struct qe_loop *new_loop(void)
{
	struct qe_loop *loop = nullptr;

	assert_int_equal(qe_loop_new(&loop), QE_OK);
	return loop;
}

static void test_level_and_edge(void **)
{
	struct qe_loop *loop = new_loop();
	struct counted level = {.watch.ready = count}, edge = {.watch.ready = count};
	int a[2], b[2];

	assert_int_equal(pipe(a), 0);
	assert_int_equal(pipe(b), 0);
	level.watch.fd = a[0];
	edge.watch.fd = b[0];
	assert_int_equal(qe_loop_add(loop, &level.watch, QE_READABLE), QE_OK);
	assert_int_equal(qe_loop_add(loop, &edge.watch, QE_READABLE | QE_EDGE), QE_OK);
	assert_int_equal(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
	for (int i = 0; i < 5; i++)
		qe_loop_turn(loop, 0);
	assert_int_equal(level.n, 5);
	assert_int_equal(edge.n, 1);
	assert_int_equal(write(b[1], "x", 1), 1);
	qe_loop_turn(loop, 0);
	assert_int_equal(edge.n, 2);
	qe_loop_free(loop);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

/* Both are ready in one turn; whichever comes first removes the other. */
static void test_removal_within_a_turn(void **)
{
	struct qe_loop *loop = new_loop();
	struct counted first = {.watch.ready = count, .loop = loop};
	struct counted second = {.watch.ready = count, .loop = loop};
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	first.watch.fd = ends[0];
	second.watch.fd = dup(ends[0]);
	first.victim = &second.watch;
	second.victim = &first.watch;
	assert_int_equal(qe_loop_add(loop, &first.watch, QE_READABLE), QE_OK);
	assert_int_equal(qe_loop_add(loop, &second.watch, QE_READABLE), QE_OK);
	assert_int_equal(write(ends[1], "x", 1), 1);
	qe_loop_turn(loop, 0);
	assert_int_equal(first.n + second.n, 1);
	qe_loop_free(loop);
	close(second.watch.fd);
	close(ends[0]);
	close(ends[1]);
}

struct ringer {
	struct qe_alarm alarm;
	qe_time at;
	bool cancelled;
	unsigned rings;
};

static qe_time last_rung;

static void ring(struct qe_alarm *alarm, qe_time now)
{
	struct ringer *ringer = QE_CONTAINER_OF(alarm, struct ringer, alarm);

	assert_true(now >= ringer->at);
	assert_true(ringer->at >= last_rung);
	last_rung = ringer->at;
	ringer->rings++;
}

/* Within 20 ms of real time, each rings once, in order, and none before its time. */
static void test_alarms(void **)
{
	static struct ringer ringers[ALARMS];
	struct qe_loop *loop = new_loop();
	qe_time start = qe_clock_now(), end = start + 20 * QE_MILLISECOND;

	last_rung = 0;
	for (size_t i = 0; i < ALARMS; i++) {
		ringers[i] = (struct ringer){.alarm.ring = ring};
		ringers[i].at = start + random_below(20 * QE_MILLISECOND);
		assert_int_equal(qe_loop_set_alarm(loop, &ringers[i].alarm, ringers[i].at), QE_OK);
	}
	for (size_t i = 0; i < ALARMS; i += 7) {
		ringers[i].cancelled = true;
		assert_int_equal(qe_loop_set_alarm(loop, &ringers[i].alarm, QE_TIME_NEVER), QE_OK);
	}
	while (qe_clock_now() <= end)
		qe_loop_turn(loop, end);
	qe_loop_turn(loop, 0);
	for (size_t i = 0; i < ALARMS; i++)
		assert_int_equal(ringers[i].rings, ringers[i].cancelled ? 0 : 1);
	qe_loop_free(loop);
}

static void wake_it(void *loop)
{
	qe_loop_wake(loop);
}

/* Without the bell this would wait for ever. */
static void test_wake(void **)
{
	struct qe_loop *loop = new_loop();
	struct qe_thread *thread = nullptr;

	qe_loop_wake(loop);
	qe_loop_turn(loop, QE_TIME_NEVER);
	assert_int_equal(qe_thread_new(&thread, "bell", wake_it, loop), QE_OK);
	qe_loop_turn(loop, QE_TIME_NEVER);
	qe_thread_join(thread);
	qe_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_level_and_edge),
		cmocka_unit_test(test_removal_within_a_turn),
		cmocka_unit_test(test_alarms),
		cmocka_unit_test(test_wake),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
