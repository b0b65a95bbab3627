/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What a program that holds a node looks at besides include/quicether.h: the rules and the flows
 * behind it. Control thread. */
#pragma once

#include "policy/gate.h"

struct qe_node;

/* The rules in force, and their generation as verdicts name it; nullptr: none. */
const struct qe_policy *qe_node_policy(const struct qe_node *node, uint64_t *ret_generation);
/* The flows; nullptr if there has been no policy yet. qe_node_run sweeps it about once a second. */
struct qe_gate *qe_node_gate(struct qe_node *node);
/* Who hears of flows and verdicts from then on; copied. */
void qe_node_set_gate_sink(struct qe_node *node, const struct qe_gate_sink *sink);
