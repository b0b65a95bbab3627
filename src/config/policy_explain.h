/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What a policy says to one packet, and why. */
#pragma once

#include "config/policy_file.h"
#include "policy/policy.h"

struct qe_policy_answer {
	struct qe_addr to;
	struct qe_policy_result result; /* rule: index in the source */
	/* A rule that would decide at another time, or QE_POLICY_NO_RULE. */
	uint32_t waiting;
};

#define QE_POLICY_ANSWERS_MAX 80 /* no node has more addresses */

struct qe_policy_answers {
	struct qe_policy_answer items[QE_POLICY_ANSWERS_MAX];
	size_t n;
};

/* One answer for each address of the node that the packet goes to, or for the address. now: seconds
 * since 1970. QE_ERR_SYNTAX with what is wrong with the question in diagnostics, which is emptied
 * first; the errors of qe_policy_compile. */
enum qe_error qe_policy_explain(struct qe_policy_answers *ret_answers,
	const struct qe_policy_source *source, const struct qe_policy_member *members,
	size_t n_members, const struct qe_policy_question *question, int64_t now,
	struct qe_diagnostics *diagnostics);
/* "rule "ssh" (line 12) is the first that matches": without a full stop. */
void qe_policy_answer_add_reason(struct qe_text *to, const struct qe_policy_source *source,
	const struct qe_policy_answer *answer);
