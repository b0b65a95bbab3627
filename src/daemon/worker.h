/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A worker: one thread with one shard, its UDP socket and its TUN queue. The control thread talks
 * to it through bounded rings, and both ring the other's bell; neither ever waits for the other,
 * but for the worker's end. Workers talk to one another only about datagrams that the kernel gave
 * to the wrong one: where it cannot steer, and where it joined datagrams of several links to one
 * train.
 */
#pragma once

#include "os/loop.h"
#include "os/tun.h"
#include "os/udp.h"

struct qe_worker;

struct qe_worker_settings {
	struct qe_node *node;
	unsigned number, of; /* which one of how many */
	struct qe_tun *tun;  /* not owned, nor is udp; the worker's alone while it lives */
	struct qe_udp *udp;
	int cpu; /* to stay on; -1: any */
	/* Called on the worker's thread when there is something to take. */
	void (*notify)(void *ctx);
	void *ctx;
};

enum qe_error qe_worker_new(
	struct qe_worker **ret_worker, const struct qe_worker_settings *settings);
/* Starts the thread. all: as many as there are, this one too; none may be freed before all have
 * been stopped. A datagram that belongs to another of them is handed over to it. */
enum qe_error qe_worker_start(struct qe_worker *worker, struct qe_worker *const all[]);
/* Closes every link in order, ends the thread and waits for it; NULL-safe. Queries that were not
 * answered are answered here, through qe_worker_take_query, which must be called once more. */
void qe_worker_stop(struct qe_worker *worker);
struct qe_worker *qe_worker_free(struct qe_worker *worker); /* stops; NULL-safe */

/* Runs the shard soon, so that it sees what has changed in the node. */
void qe_worker_wake(struct qe_worker *worker);

/* Commands, from the control thread; QE_ERR_FULL: the worker is behind, ask again later. */
enum qe_error qe_worker_set_endpoints(
	struct qe_worker *worker, size_t peer, const struct qe_endpoint *endpoints, size_t n);
enum qe_error qe_worker_ping(struct qe_worker *worker, size_t peer, uint64_t cookie);
enum qe_error qe_worker_network_changed(struct qe_worker *worker);
/* Another worker has lost its links to the peer. */
enum qe_error qe_worker_peer_check(struct qe_worker *worker, size_t peer);
/* Another worker has a link to the peer there. */
enum qe_error qe_worker_peer_seen(
	struct qe_worker *worker, size_t peer, const struct qe_endpoint *at);

struct qe_worker_peer {
	struct qe_peer_status status; /* without name; the texts are static or beside it */
	char key_exchange[32];
};

struct qe_worker_strays {
	uint64_t handed_over; /* datagrams that came to the wrong worker */
	uint64_t lost;        /* of these, as the right one was behind */
};

/* A query belongs to the worker between qe_worker_query and qe_worker_take_query. It goes from one
 * to the next, and each adds its own. Whoever asks embeds it, or puts something in ctx. */
struct qe_worker_query {
	void *ctx;
	size_t first, n; /* which peers; n may be 0 */
	qe_time now;     /* of the last answer */
	struct qe_shard_counters shard;
	struct qe_udp_counters udp;
	struct qe_tun_counters tun;
	struct qe_worker_strays strays;
	uint64_t events_lost;
	unsigned n_workers; /* that have answered */
	struct qe_shard_counters workers[QE_WORKERS_MAX];
	struct qe_worker_peer peers[]; /* n of them */
};

/* QE_ERR_FULL: QE_WORKER_QUERIES_MAX are under way. A worker that has been stopped answers at once.
 */
constexpr size_t QE_WORKER_QUERIES_MAX = 64;
enum qe_error qe_worker_query(struct qe_worker *worker, struct qe_worker_query *query);
/* One that was filled in, or NULL. */
struct qe_worker_query *qe_worker_take_query(struct qe_worker *worker);

/* An event, with its text. For a ping that could not be sent: QE_EVENT_PING_LOST, the reason. */
struct qe_worker_event {
	struct qe_event event;
	char reason[120]; /* event.reason points here; empty if there is none */
	uint8_t *message; /* event.message points here, and who takes the event frees it */
};
bool qe_worker_take_event(struct qe_worker *worker, struct qe_worker_event *ret_event);
