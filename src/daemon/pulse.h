/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Asks the gateway of VPN mode every few seconds whether it is there, so that what is said of the
 * tunnel is so also while nothing flows: that it does not answer, links report as events. Control
 * thread. */
#pragma once

#include "daemon/vpn.h"
#include "daemon/workers.h"

constexpr qe_time QE_PULSE = 5 * QE_SECOND;

struct qe_pulse;

/* Nothing is owned. */
enum qe_error qe_pulse_new(struct qe_pulse **ret_pulse, struct qe_loop *loop,
	const struct qe_node *node, const struct qe_vpn *vpn, struct qe_workers *workers);
struct qe_pulse *qe_pulse_free(struct qe_pulse *pulse); /* NULL-safe */
/* After VPN mode may have come on or gone off. Cheap. */
void qe_pulse_run(struct qe_pulse *pulse);
/* At once, for somebody who looks. */
void qe_pulse_ask(struct qe_pulse *pulse);
