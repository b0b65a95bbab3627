/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/list.h"
#include "base/ring.h"
#include "daemon/worker.h"
#include "os/clock.h"
#include "os/thread.h"

constexpr size_t commands_max = 1024;
constexpr size_t events_max = 4096;
constexpr size_t routes_max = 3072; /* of these: what peers say leaves room for what happens */
/* What is taken before the shard is run: enough that acknowledgements and coalescing come in
 * batches, and small packets fill a QUIC packet together; little enough that neither direction
 * starves the other. */
constexpr unsigned udp_batch = 16; /* trains */
constexpr unsigned tun_batch_packets = 64;
constexpr size_t tun_batch_bytes = 1024 * 1024;
constexpr size_t strays_max = 64;    /* on their way from one worker to another */
constexpr size_t stray_size = 10000; /* the largest datagram that a link needs, and more */

struct command {
	enum { SET_ENDPOINTS, PEER_CHECK, PEER_SEEN, PING, NETWORK_CHANGED, STOP } type;
	size_t peer;
	uint64_t cookie;
	size_t n_endpoints;
	struct qe_endpoint endpoints[QE_PEER_ENDPOINTS_MAX];
};

/* A datagram that came to the wrong worker. */
struct stray {
	struct qe_path path;
	uint16_t len;
	uint8_t ecn;
	uint8_t data[stray_size];
};

struct qe_worker {
	/* Both threads, each at its end. */
	struct qe_ring *commands;               /* control to worker */
	struct qe_ring *asked;                  /* queries, likewise */
	struct qe_ring *answered, *events;      /* worker to control */
	struct qe_ring *strays[QE_WORKERS_MAX]; /* from each other worker to this one */
	struct qe_loop *loop;                   /* the worker's; the control thread only wakes it */

	/* The control thread's. */
	struct qe_thread *thread; /* NULL: not running */
	size_t queries_under_way;

	/* The worker's. */
	struct qe_shard *shard;
	struct qe_worker_settings settings;
	struct qe_worker *const *all;
	struct qe_watch tun_watch, udp_watch;
	/* Both are told only once, when something new comes; what was not drained (read until
	 * EAGAIN) is remembered here. So a TUN queue that waits for the congestion window wakes
	 * nobody. */
	bool tun_ready, udp_ready;
	bool stopping;
	bool has_news;      /* notify at the end of the round */
	unsigned to_wake;   /* other workers, which were handed something; a bit each */
	struct stray stray; /* on its way to another, or from there */
	struct qe_worker_strays stray_counters;
	uint64_t events_lost;
};

/* ---- what the shard emits ---- */

static void send_udp(void *ctx, const struct qe_path *path, uint8_t ecn, const uint8_t *data,
	size_t len, size_t segment_size)
{
	struct qe_worker *worker = ctx;

	qe_udp_send(worker->settings.udp, path, ecn, data, len, segment_size);
}

static void write_tun(void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	struct qe_worker *worker = ctx;

	/* What fails is lost; the device has counted it. */
	(void)!qe_tun_write(worker->settings.tun, offload, data, len);
}

static uint8_t *copy_message(const struct qe_event *event)
{
	uint8_t *copy = event->message ? malloc(event->message_len) : nullptr;

	if (copy)
		memcpy(copy, event->message, event->message_len);
	return copy;
}

/* A peer says again what is lost here with its next link; that a peer has come or gone is never
 * said again, and no other peer's announcements may take its place. */
static bool has_room(const struct qe_worker *worker, const struct qe_event *event)
{
	return qe_ring_has_room(
		worker->events, event->type == QE_EVENT_ROUTES ? events_max - routes_max + 1 : 1);
}

static void push_event(void *ctx, const struct qe_event *event)
{
	struct qe_worker *worker = ctx;

	if (!has_room(worker, event)) {
		worker->events_lost++;
		return;
	}
	struct qe_worker_event copy = {.event = *event, .message = copy_message(event)};

	if (event->reason)
		snprintf(copy.reason, sizeof(copy.reason), "%s", event->reason);
	copy.event.reason = nullptr;
	if (!copy.message)
		copy.event.message_len = 0;
	qe_ring_push(worker->events, &copy);
	worker->has_news = true;
}

/* ---- commands ---- */

static void add_peer(const struct qe_worker *worker, size_t peer, struct qe_worker_peer *to)
{
	struct qe_peer_status status;
	bool had_link = to->status.has_link;

	if (qe_shard_peer_status(worker->shard, peer, &status) != QE_OK)
		return;
	if (worker->settings.number == 0)
		to->status = status;
	else
		qe_peer_status_add(&to->status, &status);
	if (had_link || !status.has_link)
		return;
	snprintf(to->key_exchange, sizeof(to->key_exchange), "%s", status.link.key_exchange);
	to->status.link.key_exchange = nullptr;
}

static void add_counters(const struct qe_worker *worker, struct qe_worker_query *query)
{
	struct qe_shard_counters *counters = &query->workers[query->n_workers++];

	qe_shard_get_counters(worker->shard, counters);
	qe_shard_counters_add(&query->shard, counters);
	qe_udp_counters_add(&query->udp, qe_udp_get_counters(worker->settings.udp));
	qe_tun_counters_add(&query->tun, qe_tun_get_counters(worker->settings.tun));
	query->strays.handed_over += worker->stray_counters.handed_over;
	query->strays.lost += worker->stray_counters.lost;
	query->events_lost += worker->events_lost;
}

/* answered has room for all that may be under way. */
static void answer_query(struct qe_worker *worker, struct qe_worker_query *query)
{
	query->now = qe_clock_now();
	add_counters(worker, query);
	for (size_t i = 0; i < query->n; i++)
		add_peer(worker, query->first + i, &query->peers[i]);
	qe_ring_push(worker->answered, &query);
	worker->has_news = true;
}

static void answer_queries(struct qe_worker *worker)
{
	struct qe_worker_query *query;

	while (qe_ring_pop(worker->asked, &query))
		answer_query(worker, query);
}

static void ping(struct qe_worker *worker, const struct command *command, qe_time now)
{
	enum qe_error error = qe_shard_ping(worker->shard, command->peer, command->cookie, now);

	if (error != QE_OK)
		push_event(worker, &(struct qe_event){
					   .type = QE_EVENT_PING_LOST,
					   .time = now,
					   .peer = command->peer,
					   .cookie = command->cookie,
					   .reason = qe_error_text(error),
				   });
}

static void obey(struct qe_worker *worker, const struct command *command, qe_time now)
{
	switch (command->type) {
	case SET_ENDPOINTS:
		/* Fails for a peer that does not exist only, and without memory: then what was
		 * known before stays. */
		(void)!qe_shard_set_endpoints(worker->shard, command->peer, command->endpoints,
			command->n_endpoints, now);
		break;
	case PEER_CHECK:
		(void)!qe_shard_peer_check(worker->shard, command->peer, now);
		break;
	case PEER_SEEN:
		(void)!qe_shard_peer_seen(
			worker->shard, command->peer, &command->endpoints[0], now);
		break;
	case PING:
		ping(worker, command, now);
		break;
	case NETWORK_CHANGED:
		qe_shard_network_changed(worker->shard, now);
		break;
	case STOP:
		worker->stopping = true;
		break;
	}
}

/* ---- datagrams, and whose they are ---- */

static void hand_over(struct qe_worker *worker, unsigned to, const struct qe_udp_train *train,
	const uint8_t *data, size_t len)
{
	struct stray *stray = &worker->stray;

	if (len > sizeof(stray->data))
		return;
	stray->path = train->path;
	stray->ecn = train->ecn;
	stray->len = (uint16_t)len;
	memcpy(stray->data, data, len);
	worker->stray_counters.handed_over++;
	if (!qe_ring_push(worker->all[to]->strays[worker->settings.number], stray))
		worker->stray_counters.lost++;
	worker->to_wake |= 1u << to;
}

/* A train may hold datagrams of several links to one peer, as the kernel looks at addresses only.
 */
static void take_train(struct qe_worker *worker, const struct qe_udp_train *train)
{
	const unsigned own = worker->settings.number, of = worker->settings.of;
	const qe_time now = qe_clock_now();
	size_t from = 0; /* what has not been taken yet, all of it this worker's */

	for (size_t at = 0; of > 1 && at < train->len; at += train->segment_size) {
		size_t left = train->len - at;
		size_t len = left < train->segment_size ? left : train->segment_size;
		unsigned whose = qe_datagram_worker(train->data + at, len, of);

		if (whose == own)
			continue;
		hand_over(worker, whose, train, train->data + at, len);
		if (at > from)
			qe_shard_udp_input(worker->shard, &train->path, train->ecn,
				train->data + from, at - from, train->segment_size, now);
		from = at + len;
	}
	if (from < train->len)
		qe_shard_udp_input(worker->shard, &train->path, train->ecn, train->data + from,
			train->len - from, train->segment_size, now);
}

static void take_strays(struct qe_worker *worker)
{
	struct stray *stray = &worker->stray;

	for (unsigned i = 0; i < worker->settings.of; i++) {
		while (worker->strays[i] && qe_ring_pop(worker->strays[i], stray))
			qe_shard_udp_input(worker->shard, &stray->path, stray->ecn, stray->data,
				stray->len, stray->len, qe_clock_now());
	}
}

static void wake_others(struct qe_worker *worker)
{
	for (unsigned i = 0; worker->to_wake; i++) {
		if (worker->to_wake & 1u << i)
			qe_loop_wake(worker->all[i]->loop);
		worker->to_wake &= ~(1u << i);
	}
}

/* ---- the thread ---- */

static void drain_udp(struct qe_worker *worker)
{
	struct qe_udp_train train;

	for (unsigned i = 0; i < udp_batch; i++) {
		enum qe_error error = qe_udp_receive(worker->settings.udp, &train);

		if (error != QE_OK) {
			worker->udp_ready = error != -EAGAIN;
			return;
		}
		take_train(worker, &train);
	}
}

static void drain_tun(struct qe_worker *worker)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < tun_batch_packets && bytes < tun_batch_bytes; i++) {
		struct qe_offload offload;
		size_t capacity = 0, len = 0;
		uint8_t *buffer = qe_shard_tun_buffer(worker->shard, &capacity);
		enum qe_error error;

		if (!buffer)
			return;
		error = qe_tun_read(worker->settings.tun, buffer, capacity, &offload, &len);
		/* EBADFD: the interface is gone, and nothing comes any more. */
		if (error == -EAGAIN || error == -EBADFD) {
			worker->tun_ready = false;
			return;
		}
		if (error != QE_OK)
			continue;
		bytes += len;
		qe_shard_tun_input(worker->shard, &offload, len, qe_clock_now());
	}
}

static bool is_tun_wanted(struct qe_worker *worker)
{
	size_t capacity;

	return worker->tun_ready && qe_shard_tun_buffer(worker->shard, &capacity);
}

static void work_once(struct qe_worker *worker)
{
	struct command command;

	while (qe_ring_pop(worker->commands, &command))
		obey(worker, &command, qe_clock_now());
	answer_queries(worker);
	take_strays(worker);
	if (worker->udp_ready)
		drain_udp(worker);
	if (worker->tun_ready)
		drain_tun(worker);
	qe_shard_run(worker->shard, qe_clock_now());
	wake_others(worker);
	if (worker->has_news) {
		worker->has_news = false;
		worker->settings.notify(worker->settings.ctx);
	}
}

static void run(void *ctx)
{
	struct qe_worker *worker = ctx;

	/* That the CPU may be used has been looked at; should it be taken away, any other does. */
	if (worker->settings.cpu >= 0)
		(void)!qe_thread_pin((unsigned)worker->settings.cpu);
	while (!worker->stopping) {
		bool more = worker->udp_ready || is_tun_wanted(worker);

		qe_loop_turn(worker->loop, more ? 0 : qe_shard_deadline(worker->shard));
		work_once(worker);
	}
	qe_shard_close(worker->shard, qe_clock_now());
}

static void tun_is_ready(struct qe_watch *watch, unsigned)
{
	QE_CONTAINER_OF(watch, struct qe_worker, tun_watch)->tun_ready = true;
}

static void udp_is_ready(struct qe_watch *watch, unsigned)
{
	QE_CONTAINER_OF(watch, struct qe_worker, udp_watch)->udp_ready = true;
}

/* ---- the control thread's side ---- */

static enum qe_error make_rings(struct qe_worker *worker)
{
	constexpr size_t pointer = sizeof(struct qe_worker_query *);

	QE_TRY(qe_ring_new(&worker->commands, commands_max, sizeof(struct command)));
	QE_TRY(qe_ring_new(&worker->asked, QE_WORKER_QUERIES_MAX, pointer));
	QE_TRY(qe_ring_new(&worker->answered, QE_WORKER_QUERIES_MAX, pointer));
	QE_TRY(qe_ring_new(&worker->events, events_max, sizeof(struct qe_worker_event)));
	for (unsigned i = 0; i < worker->settings.of; i++) {
		if (i != worker->settings.number)
			QE_TRY(qe_ring_new(&worker->strays[i], strays_max, sizeof(struct stray)));
	}
	return QE_OK;
}

static enum qe_error set_up(struct qe_worker *worker)
{
	const struct qe_worker_settings *settings = &worker->settings;
	const struct qe_sink sink = {worker, send_udp, write_tun, push_event};

	QE_TRY(make_rings(worker));
	QE_TRY(qe_loop_new(&worker->loop));
	QE_TRY(qe_shard_new(
		&worker->shard, settings->node, (uint8_t)settings->number, &sink, qe_clock_now()));
	worker->tun_watch = (struct qe_watch){qe_tun_fd(settings->tun), tun_is_ready};
	worker->udp_watch = (struct qe_watch){qe_udp_fd(settings->udp), udp_is_ready};
	QE_TRY(qe_loop_add(worker->loop, &worker->tun_watch, QE_READABLE | QE_EDGE));
	return qe_loop_add(worker->loop, &worker->udp_watch, QE_READABLE | QE_EDGE);
}

enum qe_error qe_worker_new(
	struct qe_worker **ret_worker, const struct qe_worker_settings *settings)
{
	struct qe_worker *worker = calloc(1, sizeof(*worker));
	enum qe_error error;

	if (!worker)
		return -ENOMEM;
	worker->settings = *settings;
	error = set_up(worker);
	if (error != QE_OK) {
		qe_worker_free(worker);
		return error;
	}
	*ret_worker = worker;
	return QE_OK;
}

enum qe_error qe_worker_start(struct qe_worker *worker, struct qe_worker *const all[])
{
	char name[16];

	snprintf(name, sizeof(name), "qe-worker-%u", worker->settings.number);
	worker->all = all;
	return qe_thread_new(&worker->thread, name, run, worker);
}

static enum qe_error push_command(struct qe_worker *worker, const struct command *command)
{
	if (!qe_ring_push(worker->commands, command))
		return QE_ERR_FULL;
	qe_loop_wake(worker->loop);
	return QE_OK;
}

/* Queries that the thread did not come to are answered here. */
void qe_worker_stop(struct qe_worker *worker)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	struct command command = {.type = STOP};

	if (!worker || !worker->thread)
		return;
	while (push_command(worker, &command) == QE_ERR_FULL)
		nanosleep(&pause, nullptr);
	worker->thread = qe_thread_join(worker->thread);
	answer_queries(worker);
}

struct qe_worker *qe_worker_free(struct qe_worker *worker)
{
	struct qe_worker_event event;

	if (!worker)
		return nullptr;
	qe_worker_stop(worker);
	while (worker->events && qe_worker_take_event(worker, &event))
		free(event.message);
	qe_shard_free(worker->shard);
	qe_loop_free(worker->loop);
	qe_ring_free(worker->events);
	qe_ring_free(worker->asked);
	qe_ring_free(worker->answered);
	for (unsigned i = 0; i < QE_WORKERS_MAX; i++)
		qe_ring_free(worker->strays[i]);
	qe_ring_free(worker->commands);
	free(worker);
	return nullptr;
}

void qe_worker_wake(struct qe_worker *worker)
{
	qe_loop_wake(worker->loop);
}

enum qe_error qe_worker_set_endpoints(
	struct qe_worker *worker, size_t peer, const struct qe_endpoint *endpoints, size_t n)
{
	struct command command = {.type = SET_ENDPOINTS, .peer = peer, .n_endpoints = n};

	if (n > QE_PEER_ENDPOINTS_MAX)
		return QE_ERR_RANGE;
	if (n > 0)
		memcpy(command.endpoints, endpoints, n * sizeof(*endpoints));
	return push_command(worker, &command);
}

enum qe_error qe_worker_ping(struct qe_worker *worker, size_t peer, uint64_t cookie)
{
	return push_command(
		worker, &(struct command){.type = PING, .peer = peer, .cookie = cookie});
}

enum qe_error qe_worker_network_changed(struct qe_worker *worker)
{
	return push_command(worker, &(struct command){.type = NETWORK_CHANGED});
}

enum qe_error qe_worker_peer_check(struct qe_worker *worker, size_t peer)
{
	return push_command(worker, &(struct command){.type = PEER_CHECK, .peer = peer});
}

enum qe_error qe_worker_peer_seen(
	struct qe_worker *worker, size_t peer, const struct qe_endpoint *at)
{
	return push_command(worker,
		&(struct command){
			.type = PEER_SEEN, .peer = peer, .n_endpoints = 1, .endpoints = {*at}});
}

enum qe_error qe_worker_query(struct qe_worker *worker, struct qe_worker_query *query)
{
	if (worker->queries_under_way == QE_WORKER_QUERIES_MAX)
		return QE_ERR_FULL;
	worker->queries_under_way++;
	qe_ring_push(worker->asked, &query);
	if (worker->thread)
		qe_loop_wake(worker->loop);
	else
		answer_queries(worker);
	return QE_OK;
}

struct qe_worker_query *qe_worker_take_query(struct qe_worker *worker)
{
	struct qe_worker_query *query;

	if (!qe_ring_pop(worker->answered, &query))
		return nullptr;
	worker->queries_under_way--;
	return query;
}

bool qe_worker_take_event(struct qe_worker *worker, struct qe_worker_event *ret_event)
{
	if (!qe_ring_pop(worker->events, ret_event))
		return false;
	ret_event->event.reason = ret_event->reason[0] ? ret_event->reason : nullptr;
	ret_event->event.message = ret_event->message;
	return true;
}
