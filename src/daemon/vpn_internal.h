/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the files of the controller of VPN mode share. */
#pragma once

#include "daemon/portal.h"
#include "daemon/vpn.h"
#include "daemon/vpn_report.h"
#include "daemon/vpn_watch.h"

struct qe_vpn {
	struct qe_vpn_settings settings;
	const struct qe_endpoints *endpoints;
	struct qe_naming *naming; /* NULL: not yet */
	struct qe_addr overlay;   /* this node's own */
	struct qe_alarm alarm;    /* the end of patience */
	bool on;
	bool only; /* programs have asked for a plan of theirs, which stands when it is off, too */
	bool has_interface;
	bool interface_is_down; /* though it is there */
	bool leads_nowhere;     /* the plan in effect was made while it was */
	bool was_wanted;        /* by the configuration that was looked at last */
	struct qe_node_id via;

	enum qe_vpn_state state;
	char reason[160];
	qe_time since;      /* the state is that */
	qe_time lost_at;    /* it was not connected any more, or yet */
	bool has_connected; /* since it is on */
	bool ipv4, ipv6;    /* that the gateway carries */

	struct qe_vpn_plan plan; /* in effect while it is on */

	struct qe_vpn_watch *watch;
	bool is_lost;   /* others have taken away a part of the plan, and it cannot be put back */
	qe_time put_at; /* the plan was given to the helper last */
	struct qe_portal *portal;
	qe_time portal_until; /* web and names go beside the tunnel; 0: they do not */
	struct qe_alarm portal_alarm;
};

const struct qe_config *vpn_config(const struct qe_vpn *vpn);
/* The peer, or NULL if it is none any more. */
const struct qe_config_peer *vpn_gateway(const struct qe_vpn *vpn);

/* What the node's facts make the state, and why. */
enum qe_vpn_state vpn_assess(struct qe_vpn *vpn, struct qe_text *reason);
/* The one place where the state changes, and is told of. A reason that changes while the state does
 * not is shown, but is no news. */
void vpn_enter(struct qe_vpn *vpn, enum qe_vpn_state state, const char *reason);
/* Not connected any more, or yet: patience begins anew. */
void vpn_begin_to_wait(struct qe_vpn *vpn);
