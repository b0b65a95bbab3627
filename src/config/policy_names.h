/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the names in a policy file mean: do nodes and groups exist, is one of them meant, does a
 * group contain itself, is there anybody in it. Private to this folder. */
#pragma once

#include "config/diagnostics.h"
#include "policy/policy.h"

/* Errors: unknown and ambiguous names, cycles of groups. Warnings: NodeIds of no node here, rules
 * whose groups are empty. Either collection may have something in it already. */
enum qe_error qe_policy_check_names(const struct qe_policy_source *source, const char *file,
	const struct qe_policy_member *members, size_t n_members, struct qe_diagnostics *errors,
	struct qe_diagnostics *warnings);
