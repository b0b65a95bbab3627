/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Rules that no packet reaches, as earlier ones take all that they match. */
#pragma once

#include "policy/policy.h"

struct qe_policy_shadow {
	uint32_t rule, by; /* indices in the source; by: an earlier rule that takes some of it */
	bool alone;        /* or all */
};

/*
 * Calls back for each such rule, in order. Only rules without a schedule take anything for good. A
 * rule that matches nobody's packets for want of members is not one of them. Rules that overlap in
 * too many ways to be told in a bounded time count as reached. The errors of qe_policy_compile.
 */
enum qe_error qe_policy_find_unreachable(const struct qe_policy_source *source,
	const struct qe_policy_member *members, size_t n_members,
	void (*found)(void *ctx, const struct qe_policy_shadow *shadow), void *ctx);
