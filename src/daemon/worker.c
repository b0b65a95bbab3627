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
constexpr size_t queries_max = 64;
constexpr size_t events_max = 4096;
/* What is taken before the shard is run: enough that acknowledgements and coalescing come in
 * batches, and small packets fill a QUIC packet together; little enough that neither direction
 * starves the other. */
constexpr unsigned udp_batch = 16; /* trains */
constexpr unsigned tun_batch_packets = 64;
constexpr size_t tun_batch_bytes = 1024 * 1024;

struct command {
	enum { SET_ENDPOINTS, PING, NETWORK_CHANGED, QUERY, STOP } type;
	size_t peer;
	uint64_t cookie;
	struct qe_worker_query *query;
	size_t n_endpoints;
	struct qe_endpoint endpoints[QE_PEER_ENDPOINTS_MAX];
};

struct qe_worker {
	/* Both threads, each at its end. */
	struct qe_ring *commands;         /* control to worker */
	struct qe_ring *queries, *events; /* worker to control */
	struct qe_loop *loop;             /* the worker's; the control thread only wakes it */

	/* The control thread's. */
	struct qe_thread *thread; /* NULL: not running */
	size_t queries_under_way;

	/* The worker's. */
	struct qe_shard *shard;
	struct qe_tun *tun;
	struct qe_udp *udp;
	struct qe_watch tun_watch, udp_watch;
	/* Both are told only once, when something new comes; what was not drained (read until
	 * EAGAIN) is remembered here. So a TUN queue that waits for the congestion window wakes
	 * nobody. */
	bool tun_ready, udp_ready;
	bool stopping;
	void (*notify)(void *ctx);
	void *ctx;
	bool has_news; /* notify at the end of the round */
	uint64_t events_lost;
};

/* ---- what the shard emits ---- */

static void send_udp(void *ctx, const struct qe_path *path, uint8_t ecn, const uint8_t *data,
	size_t len, size_t segment_size)
{
	struct qe_worker *worker = ctx;

	qe_udp_send(worker->udp, path, ecn, data, len, segment_size);
}

static void write_tun(void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	struct qe_worker *worker = ctx;

	/* What fails is lost; the device has counted it. */
	(void)!qe_tun_write(worker->tun, offload, data, len);
}

static void push_event(void *ctx, const struct qe_event *event)
{
	struct qe_worker *worker = ctx;
	struct qe_worker_event copy = {.event = *event};

	if (event->reason)
		snprintf(copy.reason, sizeof(copy.reason), "%s", event->reason);
	copy.event.reason = nullptr;
	if (!qe_ring_push(worker->events, &copy))
		worker->events_lost++;
	worker->has_news = true;
}

/* ---- commands ---- */

static void fill_peer(const struct qe_worker *worker, size_t peer, struct qe_worker_peer *to)
{
	*to = (struct qe_worker_peer){.status.next_dial = QE_TIME_NEVER};
	if (qe_shard_peer_status(worker->shard, peer, &to->status) != QE_OK || !to->status.has_link)
		return;
	snprintf(to->key_exchange, sizeof(to->key_exchange), "%s", to->status.link.key_exchange);
	to->status.link.key_exchange = nullptr;
}

static void fill_query(struct qe_worker *worker, struct qe_worker_query *query)
{
	query->now = qe_clock_now();
	query->udp = *qe_udp_get_counters(worker->udp);
	query->tun = *qe_tun_get_counters(worker->tun);
	query->events_lost = worker->events_lost;
	qe_shard_get_counters(worker->shard, &query->shard);
	for (size_t i = 0; i < query->n; i++)
		fill_peer(worker, query->first + i, &query->peers[i]);
}

/* queries has room for all that may be under way. */
static void answer_query(struct qe_worker *worker, struct qe_worker_query *query)
{
	fill_query(worker, query);
	qe_ring_push(worker->queries, &query);
	worker->has_news = true;
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
	case PING:
		ping(worker, command, now);
		break;
	case NETWORK_CHANGED:
		qe_shard_network_changed(worker->shard, now);
		break;
	case QUERY:
		answer_query(worker, command->query);
		break;
	case STOP:
		worker->stopping = true;
		break;
	}
}

/* ---- the thread ---- */

static void drain_udp(struct qe_worker *worker)
{
	struct qe_udp_train train;

	for (unsigned i = 0; i < udp_batch; i++) {
		enum qe_error error = qe_udp_receive(worker->udp, &train);

		if (error != QE_OK) {
			worker->udp_ready = error != -EAGAIN;
			return;
		}
		qe_shard_udp_input(worker->shard, &train.path, train.ecn, train.data, train.len,
			train.segment_size, qe_clock_now());
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
		error = qe_tun_read(worker->tun, buffer, capacity, &offload, &len);
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
	if (worker->udp_ready)
		drain_udp(worker);
	if (worker->tun_ready)
		drain_tun(worker);
	qe_shard_run(worker->shard, qe_clock_now());
	if (worker->has_news) {
		worker->has_news = false;
		worker->notify(worker->ctx);
	}
}

static void run(void *ctx)
{
	struct qe_worker *worker = ctx;

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

static enum qe_error set_up(struct qe_worker *worker, struct qe_node *node)
{
	const struct qe_sink sink = {worker, send_udp, write_tun, push_event};

	QE_TRY(qe_ring_new(&worker->commands, commands_max, sizeof(struct command)));
	QE_TRY(qe_ring_new(&worker->queries, queries_max, sizeof(struct qe_worker_query *)));
	QE_TRY(qe_ring_new(&worker->events, events_max, sizeof(struct qe_worker_event)));
	QE_TRY(qe_loop_new(&worker->loop));
	QE_TRY(qe_shard_new(&worker->shard, node, 0, &sink, qe_clock_now()));
	worker->tun_watch = (struct qe_watch){qe_tun_fd(worker->tun), tun_is_ready};
	worker->udp_watch = (struct qe_watch){qe_udp_fd(worker->udp), udp_is_ready};
	QE_TRY(qe_loop_add(worker->loop, &worker->tun_watch, QE_READABLE | QE_EDGE));
	QE_TRY(qe_loop_add(worker->loop, &worker->udp_watch, QE_READABLE | QE_EDGE));
	return qe_thread_new(&worker->thread, "qe-worker", run, worker);
}

enum qe_error qe_worker_new(struct qe_worker **ret_worker, struct qe_node *node, struct qe_tun *tun,
	struct qe_udp *udp, void (*notify)(void *ctx), void *ctx)
{
	struct qe_worker *worker = calloc(1, sizeof(*worker));
	enum qe_error error;

	if (!worker)
		return -ENOMEM;
	worker->tun = tun;
	worker->udp = udp;
	worker->notify = notify;
	worker->ctx = ctx;
	error = set_up(worker, node);
	if (error != QE_OK) {
		qe_worker_free(worker);
		return error;
	}
	*ret_worker = worker;
	return QE_OK;
}

static enum qe_error push_command(struct qe_worker *worker, const struct command *command)
{
	if (!qe_ring_push(worker->commands, command))
		return QE_ERR_FULL;
	qe_loop_wake(worker->loop);
	return QE_OK;
}

/* Commands that the thread did not come to are obeyed here, so that no query is left without its
 * answer. */
void qe_worker_stop(struct qe_worker *worker)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	struct command command = {.type = STOP};

	if (!worker || !worker->thread)
		return;
	while (push_command(worker, &command) == QE_ERR_FULL)
		nanosleep(&pause, nullptr);
	worker->thread = qe_thread_join(worker->thread);
	while (qe_ring_pop(worker->commands, &command)) {
		if (command.type == QUERY)
			answer_query(worker, command.query);
	}
}

struct qe_worker *qe_worker_free(struct qe_worker *worker)
{
	if (!worker)
		return nullptr;
	qe_worker_stop(worker);
	qe_shard_free(worker->shard);
	qe_loop_free(worker->loop);
	qe_ring_free(worker->events);
	qe_ring_free(worker->queries);
	qe_ring_free(worker->commands);
	free(worker);
	return nullptr;
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

enum qe_error qe_worker_query(struct qe_worker *worker, struct qe_worker_query *query)
{
	if (worker->queries_under_way == queries_max)
		return QE_ERR_FULL;
	QE_TRY(push_command(worker, &(struct command){.type = QUERY, .query = query}));
	worker->queries_under_way++;
	return QE_OK;
}

struct qe_worker_query *qe_worker_take_query(struct qe_worker *worker)
{
	struct qe_worker_query *query;

	if (!qe_ring_pop(worker->queries, &query))
		return nullptr;
	worker->queries_under_way--;
	return query;
}

bool qe_worker_take_event(struct qe_worker *worker, struct qe_worker_event *ret_event)
{
	if (!qe_ring_pop(worker->events, ret_event))
		return false;
	ret_event->event.reason = ret_event->reason[0] ? ret_event->reason : nullptr;
	return true;
}
