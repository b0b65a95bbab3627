/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The overlay routing table: which prefix is delivered here (Local), which belongs to a peer
 * (Node), and which lies behind a peer that forwards for it (Gateway); one route for each prefix.
 * One thread writes. What it publishes is a snapshot, in which any number of threads may look
 * things up without waiting for anybody; the table goes on changing meanwhile. How a snapshot gets
 * to the readers, and when they have let go of it, is the caller's business.
 */
#pragma once

#include "base/error.h"

/*
 * What a packet needs of a route, in a form that is cheap to store and to pass on. From the top: 16
 * bits of the peer's slot, which has less than 30; a zero; two bits of the next hop + 1; the last
 * 13 bits of the slot.
 */
struct qe_hop {
	uint32_t value; /* 0: there is no route */
};

static inline struct qe_hop qe_hop_of(const struct qe_route *route)
{
	return (struct qe_hop){
		(route->peer >> 13) << 16 | (route->next_hop + 1u) << 13 | (route->peer & 0x1fff)};
}

/* There is a route. */
static inline bool qe_hop_found(struct qe_hop hop)
{
	return hop.value != 0;
}

static inline enum qe_next_hop qe_hop_next_hop(struct qe_hop hop)
{
	return (enum qe_next_hop)((hop.value >> 13 & 3) - 1);
}

static inline uint32_t qe_hop_peer(struct qe_hop hop)
{
	return (hop.value >> 16) << 13 | (hop.value & 0x1fff);
}

struct qe_route_table;
struct qe_route_snapshot;

enum qe_error qe_route_table_new(struct qe_route_table **ret_table);
/* After all of its snapshots are released. */
struct qe_route_table *qe_route_table_free(struct qe_route_table *table);
/* Inserts the route, or replaces the one that has its prefix. -ENOMEM: nothing has changed. */
enum qe_error qe_route_table_set(struct qe_route_table *table, const struct qe_route *route);
/* QE_ERR_NOT_FOUND; -ENOMEM: nothing has changed. */
enum qe_error qe_route_table_remove(struct qe_route_table *table, const struct qe_prefix *prefix);
size_t qe_route_table_count(const struct qe_route_table *table);
/* Bytes, with what only snapshots still hold. */
size_t qe_route_table_memory(const struct qe_route_table *table);

/* The table as it is now; the cost does not depend on its size. */
enum qe_error qe_route_table_publish(
	struct qe_route_table *table, const struct qe_route_snapshot **ret_snapshot);
/* By the thread that writes, in any order. NULL is none. */
void qe_route_table_release(struct qe_route_table *table, const struct qe_route_snapshot *snapshot);

/* Another one for each snapshot of a table, and never 0. */
uint64_t qe_route_snapshot_version(const struct qe_route_snapshot *snapshot);

/* What these return is valid as long as the snapshot. */

/* The route with the longest prefix that contains the address, or NULL. */
const struct qe_route *qe_route_lookup(
	const struct qe_route_snapshot *snapshot, const struct qe_addr *addr);
/* Its next hop, for the packet path: faster in a large table. */
struct qe_hop qe_route_lookup_hop(
	const struct qe_route_snapshot *snapshot, const struct qe_addr *addr);
/* The route to that very prefix, or NULL. */
const struct qe_route *qe_route_find(
	const struct qe_route_snapshot *snapshot, const struct qe_prefix *prefix);
/* All of them, in the order of qe_prefix_compare. */
void qe_route_visit(const struct qe_route_snapshot *snapshot,
	void (*visit)(void *ctx, const struct qe_route *route), void *ctx);
