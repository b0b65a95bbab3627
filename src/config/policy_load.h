/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A policy file, read and judged as a whole: for `policy check`, and before the daemon takes one.
 */
#pragma once

#include "config/diagnostics.h"
#include "policy/policy.h"

struct qe_policy_findings {
	struct qe_diagnostics errors;   /* with any, it is no policy */
	struct qe_diagnostics failures; /* tests that get another verdict than they expect */
	struct qe_diagnostics warnings; /* rules that no packet reaches, NodeIds of nobody */
};

/* Reads the file, checks its names against the members, runs its tests. On QE_OK there are no
 * errors; what failing tests mean is the caller's to decide. */
enum qe_error qe_policy_load(struct qe_policy_source *ret_source, const char *path,
	const struct qe_policy_member *members, size_t n_members,
	struct qe_policy_findings *findings);
/* The same from text in memory, which stands in for a file of that name. */
enum qe_error qe_policy_parse(struct qe_policy_source *ret_source, const char *name,
	struct qe_bytes text, const struct qe_policy_member *members, size_t n_members,
	struct qe_policy_findings *findings);
