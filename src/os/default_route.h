/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What no other route is for is sent into the interface, whatever default route the host has, but
 * for packets with our mark: what is taken where a peer's default route is accepted and VPN mode is
 * off. By the same table as that, and through the journal. */
#pragma once

#include "os/undo.h"

/* -EEXIST: somebody else uses the table or the mark; alone: as qe_vpn_host_set has it. */
enum qe_error qe_default_route_check(struct qe_netlink *netlink, bool alone);
/* One that is taken in part is left again. */
enum qe_error qe_default_route_take(struct qe_netlink *netlink, struct qe_journal *journal,
	unsigned index, enum qe_family family);
void qe_default_route_leave(
	struct qe_netlink *netlink, struct qe_journal *journal, enum qe_family family);
