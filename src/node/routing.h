/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The routes of a node, on its control thread: what peers announce and who of them can be reached
 * goes into the RIB, what the RIB chooses into the table whose snapshots the shards look things up
 * in. docs/protocol.md, "Routes".
 */
#pragma once

#include "node/view.h"
#include "route/rib.h"

struct routing_peer {
	uint16_t up, silent; /* by worker, a bit each */
	struct qe_routes_set set;
};

struct routing {
	const struct qe_node_sink *sink;
	struct qe_rib *rib;
	struct qe_route_table *table;
	struct routing_peer *peers; /* by slot */
	size_t n_slots;
	struct qe_prefix *withdrawn;
	size_t n_withdrawn;
	uint64_t announced; /* the number of the newest announcement */
	qe_time announced_at;
	bool changed; /* the table, since the last view */
	bool stale;   /* the RIB does not know all of the directory */
	bool damaged; /* the table does not hold all that the RIB has chosen */
	bool announce_anew;
	uint64_t malformed; /* parts of announcements */
};

/* sink outlives it. */
enum qe_error routing_init(struct routing *routing, const struct qe_node_sink *sink);
void routing_done(struct routing *routing); /* after all views */
/* Tells the RIB what the directory says. On an error stale is set: some of it is told. */
enum qe_error routing_configure(
	struct routing *routing, const struct directory *directory, qe_time now);
void routing_take_event(struct routing *routing, const struct directory *directory,
	const struct qe_event *event, qe_time now);
/* Chooses. */
void routing_run(struct routing *routing, const struct directory *directory, qe_time now);
qe_time routing_deadline(const struct routing *routing);
