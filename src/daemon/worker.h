/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A worker: one thread with one shard, its UDP socket and its TUN queue. The control thread talks
 * to it through bounded rings, and both ring the other's bell; neither ever waits for the other,
 * but for the worker's end.
 */
#pragma once

#include "os/loop.h"
#include "os/tun.h"
#include "os/udp.h"

struct qe_worker;

/* tun and udp are not owned, and the worker's alone while it lives. notify is called on the
 * worker's thread when there is something to take. */
enum qe_error qe_worker_new(struct qe_worker **ret_worker, struct qe_node *node, struct qe_tun *tun,
	struct qe_udp *udp, void (*notify)(void *ctx), void *ctx);
/* Closes every link in order, ends the thread and waits for it; NULL-safe. Queries that were not
 * answered are answered here, through qe_worker_take_query, which must be called once more. */
void qe_worker_stop(struct qe_worker *worker);
struct qe_worker *qe_worker_free(struct qe_worker *worker); /* stops; NULL-safe */

/* Commands, from the control thread; QE_ERR_FULL: the worker is behind, ask again later. */
enum qe_error qe_worker_set_endpoints(
	struct qe_worker *worker, size_t peer, const struct qe_endpoint *endpoints, size_t n);
enum qe_error qe_worker_ping(struct qe_worker *worker, size_t peer, uint64_t cookie);
enum qe_error qe_worker_network_changed(struct qe_worker *worker);

struct qe_worker_peer {
	struct qe_peer_status status; /* without name; the texts are static or beside it */
	char key_exchange[32];
};

/* A query belongs to the worker between qe_worker_query and qe_worker_take_query. Whoever asks
 * embeds it, or puts something in ctx. */
struct qe_worker_query {
	void *ctx;
	size_t first, n; /* which peers; n may be 0 */
	qe_time now;
	struct qe_shard_counters shard;
	struct qe_udp_counters udp;
	struct qe_tun_counters tun;
	uint64_t events_lost;
	struct qe_worker_peer peers[]; /* n of them */
};

/* QE_ERR_FULL: too many are under way. */
enum qe_error qe_worker_query(struct qe_worker *worker, struct qe_worker_query *query);
/* One that was filled in, or NULL. */
struct qe_worker_query *qe_worker_take_query(struct qe_worker *worker);

/* An event, with its text. For a ping that could not be sent: QE_EVENT_PING_LOST, the reason. */
struct qe_worker_event {
	struct qe_event event;
	char reason[120]; /* event.reason points here; empty if there is none */
};
bool qe_worker_take_event(struct qe_worker *worker, struct qe_worker_event *ret_event);
