/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Members by name or NodeId, found by halving. */
#pragma once

#include "policy/policy.h"

struct qe_policy_nodes {
	const struct qe_policy_member **by_name, **by_id;
	size_t n_named, n;
};

/* The members are not copied. */
enum qe_error qe_policy_nodes_init(
	struct qe_policy_nodes *nodes, const struct qe_policy_member *members, size_t n_members);
void qe_policy_nodes_done(struct qe_policy_nodes *nodes);
/* Whom a term of the kind NODE or NODE_ID means. QE_ERR_NOT_FOUND, or QE_ERR_AMBIGUOUS if two have
 * the name. */
enum qe_error qe_policy_nodes_find(const struct qe_policy_nodes *nodes,
	const struct qe_policy_term *term, const struct qe_policy_member **ret_member);
