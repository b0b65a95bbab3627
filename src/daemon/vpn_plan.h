/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What VPN mode is to make of this host: from the configuration, and from the networks that the
 * host is connected to now. */
#pragma once

#include "config/config.h"
#include "os/netlink.h"
#include "os/vpn_plan.h"

/* What a plan depends on besides the configuration. */
struct qe_vpn_facts {
	const struct qe_addr *overlay;        /* this node's own */
	const struct qe_config_peer *gateway; /* that it goes through; NULL: none */
};

/* Of the host's networks counts what its own addresses lie in, and never what a route says: those
 * come from whoever sends router advertisements. *ret_plan is whole also where the host has more of
 * them than a plan takes: the rest is not reachable. */
enum qe_error qe_vpn_make_plan(struct qe_vpn_plan *ret_plan, const struct qe_config *config,
	const struct qe_vpn_facts *facts, struct qe_netlink *netlink);
/* For marked programs alone. */
void qe_vpn_make_only_plan(struct qe_vpn_plan *ret_plan, const struct qe_config *config,
	const struct qe_addr *overlay);
bool qe_vpn_same_plan(const struct qe_vpn_plan *a, const struct qe_vpn_plan *b);

/* The addresses at which the gateway's resolver answers, the overlay address first: at most n. */
size_t qe_vpn_gateway_addrs(const struct qe_config_peer *gateway, struct qe_addr *to, size_t n);
