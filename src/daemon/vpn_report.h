/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* How VPN mode stands, in words and as JSON. Pure. */
#pragma once

#include <jansson.h>

#include "daemon/naming.h"
#include "daemon/vpn_plan.h"

enum qe_vpn_state : uint8_t {
	QE_VPN_OFF,
	QE_VPN_CONNECTING,
	QE_VPN_CONNECTED,
	QE_VPN_RECONNECTING, /* has been connected */
	QE_VPN_BLOCKED       /* cannot be connected, for a reason */
};

struct qe_vpn_report {
	enum qe_vpn_state state;
	const char *reason;               /* NULL: none */
	const struct qe_config_peer *via; /* NULL: none */
	qe_time since;
	bool ipv4, ipv6;                      /* that the gateway carries */
	const struct qe_vpn_plan *plan;       /* in effect; NULL: none */
	bool is_lost;                         /* not all of the plan is there */
	qe_time portal_until;                 /* 0: it is shut */
	const struct qe_naming_status *names; /* NULL: none */
};

const char *qe_vpn_state_name(enum qe_vpn_state state);
/* As docs/rpc.md has it; NULL without memory. */
/* What a program needs to know that goes through the tunnel alone, or beside it: its interface, and
 * whom to ask for names. */
json_t *qe_vpn_only_json(const struct qe_config *config, const struct qe_config_peer *gateway);
json_t *qe_vpn_bypass_json(const struct qe_host_dns_answer *former); /* NULL: as the host */
json_t *qe_vpn_report_json(const struct qe_vpn_report *report);
