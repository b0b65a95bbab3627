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

/* What these return is valid as long as the snapshot. */

/* The route with the longest prefix that contains the address, or NULL. */
const struct qe_route *qe_route_lookup(
	const struct qe_route_snapshot *snapshot, const struct qe_addr *addr);
/* The route to that very prefix, or NULL. */
const struct qe_route *qe_route_find(
	const struct qe_route_snapshot *snapshot, const struct qe_prefix *prefix);
/* All of them, in the order of qe_prefix_compare. */
void qe_route_visit(const struct qe_route_snapshot *snapshot,
	void (*visit)(void *ctx, const struct qe_route *route), void *ctx);
