/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Who the names of a policy mean. Nodes are numbered: first the members, in their order, then the
 * nodes that are named by a NodeId that no member has. Groups are numbered too: those of the policy
 * and those that members say they are in, once each.
 */
#pragma once

#include "policy/nodes.h"

/* Arcs from what is contained to the groups that contain it. */
struct arc {
	uint32_t from, to; /* from: a node, or the number of nodes plus a group; to: a group */
};

struct names {
	const struct qe_policy_member *members;
	size_t n_members, n_nodes;
	struct qe_policy_nodes known;
	struct qe_node_id *strangers; /* sorted */
	size_t n_strangers;
	const char **groups; /* sorted; a group's number is its place */
	size_t n_groups;
	struct arc *arcs; /* sorted */
	size_t n_arcs;
	uint32_t *first_arc; /* of each node and group, and one behind */
	/* The groups that names_groups() has found, and what it has come across. */
	uint32_t *found;
	uint32_t *seen, seen_mark;
};

/* Knows all terms of the source then. Faults as qe_policy_compile has them. */
enum qe_error names_init(struct names *names, const struct qe_policy_source *source,
	const struct qe_policy_member *members, size_t n_members,
	struct qe_policy_fault *ret_fault);
void names_done(struct names *names);

/* The number of a NODE, a NODE_ID or a GROUP of the source. */
uint32_t names_index(const struct names *names, const struct qe_policy_term *term);
/* How many groups a node is in, directly or not; they stand in names->found until the next call. */
size_t names_groups(struct names *names, uint32_t node);
