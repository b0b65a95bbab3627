/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What the configuration says: the peers of a node, each in its slot, the index of their NodeIds,
 * and what is granted to whom. Immutable once made; a changed configuration makes another one, in
 * which a peer keeps its slot. The slot of one that was
 * removed stays empty until no shard knows that peer any more and nobody still speaks of it.
 */
#pragma once

#include "base/time.h"
#include "node/grants.h"

struct directory_slot {
	bool used;
	struct qe_node_id id;
	char *name; /* nullptr: none */
	bool dial;
	struct qe_prefix *own, *gateway; /* what it owns, its overlay address first; forwards for */
	size_t n_own, n_gateway;
	struct prefix_map gateway_map;
	bool exit, default_gateway; /* a default gateway is an exit */
	/* Of an empty one. */
	uint64_t left; /* the first generation without the peer */
	qe_time left_at;
};

struct directory {
	unsigned views; /* that refer to it; counted by the control thread */
	size_t n_slots, n_peers;
	struct directory_slot *slots;
	uint32_t *by_id;                   /* slots of the peers, in the order of their NodeIds */
	struct qe_prefix *local, *forward; /* this node's own, its overlay address first */
	size_t n_local, n_forward;
	uint16_t metric;
	struct grants grants;
};

/* What a new one follows from. */
struct directory_change {
	const struct qe_node_id *own;
	const struct directory *before; /* nullptr: none */
	uint64_t generation;            /* the one that the new one will be of */
	uint64_t acknowledged;          /* by all shards */
	qe_time now;
};

/* QE_ERR_CONFLICT if a NodeId is there twice or is the own one, or a prefix has two owners;
 * QE_ERR_FULL without a free slot. */
enum qe_error directory_new(struct directory **ret_directory, const struct directory_change *change,
	const struct qe_node_settings *settings);
struct directory *directory_free(struct directory *directory);
/* The slot of a peer, or SIZE_MAX. */
size_t directory_find(const struct directory *directory, const struct qe_node_id *id);
/* nullptr if there is no peer in it. */
static inline const struct directory_slot *directory_get(
	const struct directory *directory, size_t slot)
{
	return slot < directory->n_slots && directory->slots[slot].used ? &directory->slots[slot]
									: nullptr;
}
