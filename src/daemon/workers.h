/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * All workers, as one to the rest of the control thread: what concerns all is told to all, answers
 * are sums, and a peer is up while any worker has a link to it. Control thread.
 */
#pragma once

#include "daemon/worker.h"

struct qe_workers;

struct qe_workers_settings {
	struct qe_node *node;
	size_t n_peers; /* there is room for so many slots; see qe_workers_reserve */
	unsigned n;
	struct qe_tun *const *tuns; /* n of each; not owned */
	struct qe_udp *const *udps;
	const uint16_t *cpus; /* n, or NULL */
	void (*notify)(void *ctx);
	void *ctx;
};

enum qe_error qe_workers_new(
	struct qe_workers **ret_workers, const struct qe_workers_settings *settings);
void qe_workers_stop(struct qe_workers *workers);               /* NULL-safe */
struct qe_workers *qe_workers_free(struct qe_workers *workers); /* stops; NULL-safe */

/* Room for so many slots, before the node has them. */
enum qe_error qe_workers_reserve(struct qe_workers *workers, size_t n_peers);
/* The node has changed. */
void qe_workers_wake(struct qe_workers *workers);

/* As the functions of one worker. The node is told of each event before it is taken here; a message
 * is for the node alone. */
enum qe_error qe_workers_set_endpoints(
	struct qe_workers *workers, size_t peer, const struct qe_endpoint *endpoints, size_t n);
enum qe_error qe_workers_ping(struct qe_workers *workers, size_t peer, uint64_t cookie);
enum qe_error qe_workers_network_changed(struct qe_workers *workers);
/* Whether what is said of the peer is still so will show, if it does not answer, as events. */
void qe_workers_check(struct qe_workers *workers, size_t peer);
enum qe_error qe_workers_query(struct qe_workers *workers, struct qe_worker_query *query);
struct qe_worker_query *qe_workers_take_query(struct qe_workers *workers);
bool qe_workers_take_event(struct qe_workers *workers, struct qe_worker_event *ret_event);
