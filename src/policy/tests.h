/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The tests that a policy brings along. */
#pragma once

#include "policy/policy.h"

#define QE_POLICY_TEST_TIMES_MAX 64 /* different times that tests ask about */

struct qe_policy_failure {
	size_t test;
	struct qe_addr to;              /* the address that did not get what was expected */
	struct qe_policy_result result; /* what it got; rule: index in the source */
};

/*
 * Calls back for each test whose packet gets another verdict than it expects. A test that goes to a
 * node is asked with each of its addresses. QE_ERR_FULL: more than QE_POLICY_TEST_TIMES_MAX times;
 * otherwise the errors of qe_policy_compile.
 */
enum qe_error qe_policy_run_tests(const struct qe_policy_source *source,
	const struct qe_policy_member *members, size_t n_members,
	void (*failed)(void *ctx, const struct qe_policy_failure *failure), void *ctx);

/* Calls back with the answer for the address that a test goes to, or for each of the node's. */
enum qe_error qe_policy_ask(const struct qe_policy *policy, const struct qe_policy_member *members,
	size_t n_members, const struct qe_policy_test *test,
	void (*answer)(void *ctx, const struct qe_addr *to, const struct qe_policy_result *result),
	void *ctx);

#define QE_POLICY_ALL_TIMES (UINT16_MAX - 1) /* as if each schedule held */

/* The rules that hold at a time of the week (minutes since Monday's midnight, by the clocks of each
 * schedule's own zone), compiled for good. QE_POLICY_NO_TIME: those without a schedule;
 * QE_POLICY_ALL_TIMES: every one. *ret_rules: the index in the source of each rule of the policy,
 * to be freed. */
enum qe_error qe_policy_compile_for(struct qe_policy **ret_policy, size_t **ret_rules,
	const struct qe_policy_source *source, const struct qe_policy_member *members,
	size_t n_members, uint16_t at);
