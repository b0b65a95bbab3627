/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the gate tells of packets and flows: lines in the log, records in the audit log, and counts
 * of what was denied, by rule and peer. Control thread. */
#pragma once

#include "daemon/audit.h"
#include "daemon/log.h"
#include "daemon/policy.h"
#include "policy/gate.h"

/* Rules and peers that are counted apart; more are counted together. */
#define QE_VERDICTS_COUNTS_MAX 4096

struct qe_verdicts;

struct qe_verdicts_settings {
	const struct qe_directory *directory;
	const struct qe_policy_keeper *keeper;
	const struct qe_log *log;
	struct qe_audit *audit; /* may be NULL */
	struct qe_node *node;
};

/* Nothing is owned. */
enum qe_error qe_verdicts_new(
	struct qe_verdicts **ret_verdicts, const struct qe_verdicts_settings *settings);
struct qe_verdicts *qe_verdicts_free(struct qe_verdicts *verdicts); /* NULL-safe */

/* Who hears of the gate's verdicts: for qe_node_set_gate_sink. */
struct qe_gate_sink qe_verdicts_sink(struct qe_verdicts *verdicts);
/* Another policy file's rules are in force, from this generation on: the counts begin anew, and
 * what is told of rules before is told without their names. */
void qe_verdicts_changed(struct qe_verdicts *verdicts, uint64_t generation);

/* The result of the method "policy.status": see docs/rpc.md. NULL without memory. */
json_t *qe_verdicts_status(const struct qe_verdicts *verdicts);
