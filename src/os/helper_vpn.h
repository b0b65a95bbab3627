/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The helper's part of VPN mode: makes of the host what a plan says, one plan after another. */
#pragma once

#include "os/undo.h"
#include "os/vpn_plan.h"

struct qe_vpn_host {
	const char *interface;
	struct qe_netlink *netlink;
	struct qe_journal *journal;
	struct qe_vpn_plan *plan; /* in effect; NULL: none that this process has made */
	/* Stands since a daemon before this one, and until a plan, or none, takes its place. */
	bool is_held;
};

/* Whoever has taken over the daemon can write anything there. size: of what has come. */
bool qe_vpn_plan_is_sound(const struct qe_vpn_plan *plan, const char *interface);

/* Replaces the plan in effect; NULL: none. alone: no other process of ours holds changes in this
 * network namespace, so that what there is of ours was left behind. On an error the plan before is
 * in effect again, and why says what went wrong. QE_ERR_CONFLICT: another VPN is in the way. */
enum qe_error qe_vpn_host_set(
	struct qe_vpn_host *host, const struct qe_vpn_plan *plan, bool alone, struct qe_text *why);
/* The NodeId of the gateway for which VPN mode blocks, also since a daemon before this one; NULL:
 * none. Valid until the journal's next change. */
const char *qe_vpn_host_gateway(const struct qe_vpn_host *host);
/* What the daemon's death leaves standing of a plan with a kill switch. */
bool qe_vpn_is_block(void *ctx, const struct qe_journal_entry *entry);
