/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The nodes that a policy may name, as a configuration knows them. */
#pragma once

#include "config/config.h"
#include "policy/policy.h"

struct qe_policy_members {
	/* The peers in the order of the configuration, each with its index as the slot, then this
	 * node. */
	struct qe_policy_member *items;
	size_t n;
	struct qe_prefix *addresses; /* what the items point into */
};

/* own: NULL where the key cannot be read; this node then has no overlay address to be named by.
 * Points into the configuration, which is to outlive it. */
enum qe_error qe_policy_members_init(struct qe_policy_members *members,
	const struct qe_config *config, const struct qe_node_id *own);
void qe_policy_members_done(struct qe_policy_members *members);
