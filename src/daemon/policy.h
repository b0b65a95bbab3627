/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The policy in effect: read from the file that the configuration names, compiled for the slots
 * that peers have, and again whenever a schedule begins or ends. Control thread.
 *
 * A policy is taken in two steps, as a configuration is: a draft is all that can be refused; taking
 * it cannot fail but for want of memory.
 */
#pragma once

#include <jansson.h>

#include "config/policy_explain.h"
#include "daemon/directory.h"
#include "daemon/log.h"
#include "os/loop.h"
#include "policy/policy.h"

struct qe_policy_keeper;

struct qe_policy_keeper_settings {
	struct qe_loop *loop;
	const struct qe_log *log;
	const struct qe_directory *directory;
	const struct qe_node_id *own;
	/* Takes the policy over, whatever it returns. NULL: there is none, and what is routed is
	 * allowed. */
	enum qe_error (*put)(void *ctx, struct qe_policy *policy);
	void *ctx;
};

enum qe_error qe_policy_keeper_new(
	struct qe_policy_keeper **ret_keeper, const struct qe_policy_keeper_settings *settings);
struct qe_policy_keeper *qe_policy_keeper_free(struct qe_policy_keeper *keeper); /* NULL-safe */

/* What a configuration says of policy, judged against its nodes. */
struct qe_policy_draft;

/* QE_ERR_SYNTAX, or what kept the file from being read, with reasons in diagnostics, which is
 * emptied first. Tests that fail are reasons too, but for the first draft: then they are logged
 * loudly, so that a restart locks nobody out. Warnings are logged. */
enum qe_error qe_policy_keeper_draft(struct qe_policy_keeper *keeper,
	struct qe_policy_draft **ret_draft, const struct qe_config *config,
	struct qe_diagnostics *diagnostics);
struct qe_policy_draft *qe_policy_draft_free(struct qe_policy_draft *draft); /* NULL-safe */
/* Whether it says anything else than the policy in effect. */
bool qe_policy_keeper_differs(
	const struct qe_policy_keeper *keeper, const struct qe_policy_draft *draft);

/* A draft on its way into a node: the context of qe_policy_make, which is a make_policy of struct
 * qe_node_settings. Peers of the settings are those of the configuration, in their order. */
struct qe_policy_making {
	struct qe_policy_keeper *keeper;
	struct qe_policy_draft *draft;
	const struct qe_config *config;
};
enum qe_error qe_policy_make(void *ctx, const uint32_t *slots, struct qe_policy **ret_policy);
/* The policy in effect for the configuration in effect, for a node that is told both once more. */
struct qe_policy_making qe_policy_keeper_making(struct qe_policy_keeper *keeper);
/* Takes the draft, which the node has taken with its configuration. */
void qe_policy_keeper_adopt(struct qe_policy_keeper *keeper, struct qe_policy_draft *draft);
/* Takes a draft for the configuration in effect, and puts it. On failure, for want of memory, the
 * policy of before stays; the draft is gone in any case. */
enum qe_error qe_policy_keeper_take(struct qe_policy_keeper *keeper, struct qe_policy_draft *draft);

/* What the alarm does: compiles again if a schedule has begun or ended by a wall clock that shows
 * so many seconds since 1970. */
void qe_policy_keeper_check(struct qe_policy_keeper *keeper, int64_t now);

/* NULL: there is no policy. Valid until the next draft is taken. */
const struct qe_policy_source *qe_policy_keeper_source(const struct qe_policy_keeper *keeper);
const char *qe_policy_keeper_file(const struct qe_policy_keeper *keeper); /* NULL: no file */

/* [{"to", "verdict", "log", "reason", "rule", "line"}] */
json_t *qe_policy_answers_json(
	const struct qe_policy_source *source, const struct qe_policy_answers *answers);
/* The result of "policy.explain"; without a policy there are no answers. NULL with what is wrong
 * with the question in diagnostics, or without memory. */
json_t *qe_policy_keeper_explain(const struct qe_policy_keeper *keeper,
	const struct qe_policy_question *question, struct qe_diagnostics *diagnostics);
