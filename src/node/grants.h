/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Who may send from where, and what this node is a gateway to, as the configuration says it;
 * nothing that a peer announces changes it. Immutable once made.
 */
#pragma once

#include "net/addr.h"
#include "route/table.h"

/* Prefixes, and for each a slot or this node; the longest counts. */
struct prefix_map {
	struct qe_route_table *table;
	const struct qe_route_snapshot *snapshot;
};

/* QE_ERR_CONFLICT when one prefix is there with two different meanings. */
enum qe_error prefix_map_init(struct prefix_map *map, struct qe_route *entries, size_t n);
void prefix_map_done(struct prefix_map *map); /* also of zeros */

static inline const struct qe_route *prefix_map_find(
	const struct prefix_map *map, const struct qe_addr *addr)
{
	return map->snapshot != nullptr ? qe_route_lookup(map->snapshot, addr) : nullptr;
}

struct directory;

struct grants {
	struct prefix_map owners;  /* own prefixes of peers (Node) and of this node (Local) */
	struct prefix_map forward; /* what this node is a gateway to */
	struct qe_addr source4;    /* where this node's ICMP messages come from; may be none */
};

/* From the settings, in a directory that has its slots. */
enum qe_error grants_init(struct grants *grants, const struct directory *directory,
	const struct qe_node_settings *settings);
void grants_done(struct grants *grants);
/* Whether the peer may send a packet from there: as its own, or as a gateway or an exit. */
bool grants_allow_source(
	const struct directory *directory, size_t slot, const struct qe_addr *source);
/* The peer that owns an address, or another slot if none does. */
uint32_t grants_owner(const struct grants *grants, const struct qe_addr *addr, size_t otherwise);
/* Whether this node passes on packets between the two. */
bool grants_forward(const struct grants *grants, const struct qe_addr *source,
	const struct qe_addr *destination);
