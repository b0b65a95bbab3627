/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The overlay routing table: which prefix is delivered here (Local) and which belongs to a peer
 * (Node). A table is immutable once made, so that any number of threads may look things up in it;
 * a change makes a new table. The lookup is the longest prefix match.
 */
#pragma once

#include "base/error.h"

enum qe_next_hop : uint8_t { QE_NEXT_HOP_LOCAL, QE_NEXT_HOP_NODE, QE_NEXT_HOP_GATEWAY };

struct qe_route {
	struct qe_prefix prefix;
	enum qe_next_hop next_hop;
	uint32_t peer; /* QE_NEXT_HOP_NODE: index of the peer */
};

struct qe_route_table;

/* The routes are copied. QE_ERR_CONFLICT when one prefix has two different next hops; twice the
 * same route counts as once. */
enum qe_error qe_route_table_new(
	struct qe_route_table **ret_table, const struct qe_route *routes, size_t n);
struct qe_route_table *qe_route_table_free(struct qe_route_table *table);

/* The route with the longest prefix that contains the address, or NULL. */
const struct qe_route *qe_route_lookup(
	const struct qe_route_table *table, const struct qe_addr *addr);
