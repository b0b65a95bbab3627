/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * VPN mode: all that this host sends, or what is named of it, goes through one gateway, and nothing
 * beside it. docs/vpn.md says it to users, docs/internals.md how it is made. Control thread.
 */
#pragma once

#include <jansson.h>

#include "daemon/audit.h"
#include "daemon/endpoints.h"
#include "daemon/log.h"
#include "daemon/naming.h"
#include "daemon/router.h"
#include "os/loop.h"
#include "os/netlink.h"

struct qe_vpn;

/* Nothing is owned. */
struct qe_vpn_settings {
	const struct qe_directory *directory;
	const struct qe_node *node;
	struct qe_loop *loop;
	struct qe_netlink *netlink;
	struct qe_router *router;
	const struct qe_log *log;
	struct qe_audit *audit; /* may be NULL */
	/* The NodeId of the gateway of a mode that a daemon before has left standing; or empty. */
	const char *before;
	/* The node is to take that peer alone for an exit; NULL: those of the configuration. */
	enum qe_error (*set_exit)(void *ctx, const struct qe_node_id *exit);
	/* The state has changed; params: of the event "vpn" of docs/rpc.md, to be taken over. */
	void (*notify)(void *ctx, json_t *params);
	void *ctx;
};

/* Off, unless the configuration wants it on, or nobody has ended it before: then it is as far as it
 * can be without an interface, which is that nothing leaves. On an error *why says what is in the
 * way, and the host is as it was. The node has the exit of the configuration already. */
enum qe_error qe_vpn_new(
	struct qe_vpn **ret_vpn, const struct qe_vpn_settings *settings, struct qe_text *why);
/* What it was made for ends with the helper, as goodbye says. NULL-safe. */
struct qe_vpn *qe_vpn_free(struct qe_vpn *vpn, enum qe_goodbye goodbye);
/* The interface is up: goes on with what was wanted. */
enum qe_error qe_vpn_start(struct qe_vpn *vpn, struct qe_text *why);
/* Whether what it has put on the host can stay to block it. */
bool qe_vpn_blocks(const struct qe_vpn *vpn);
/* Where peers are known to be; before the loop is turned. */
void qe_vpn_set_endpoints(struct qe_vpn *vpn, const struct qe_endpoints *endpoints);
/* Who is told when this host is to ask elsewhere for names; NULL: nobody any more. */
void qe_vpn_set_naming(struct qe_vpn *vpn, struct qe_naming *naming);

/* via: a name or NodeId, or NULL: as the configuration has it. Everything is looked at before
 * anything is changed: on an error *why says what is in the way, and all is as before. */
enum qe_error qe_vpn_up(struct qe_vpn *vpn, const char *via, struct qe_text *why);
/* That it is off is no error. */
enum qe_error qe_vpn_down(struct qe_vpn *vpn, struct qe_text *why);
/* Makes a way for programs that only the tunnel is for, also while VPN mode is off; it stays. The
 * answer is that of "vpn.only". */
enum qe_error qe_vpn_only(struct qe_vpn *vpn, json_t **ret_answer, struct qe_text *why);
/* The answer of "vpn.bypass". */
json_t *qe_vpn_bypass(const struct qe_vpn *vpn);
/* HTTP, HTTPS and DNS of this host go beside the tunnel for so long, or until it is connected: for
 * the login at a captive portal. An error if it is off, or connected. */
enum qe_error qe_vpn_open_portal(struct qe_vpn *vpn, unsigned seconds, struct qe_text *why);
/* The result of "vpn.status"; NULL without memory. */
json_t *qe_vpn_status(const struct qe_vpn *vpn);

/* The gateway, if it is on: what the node is told at a reload; else NULL. */
const struct qe_node_id *qe_vpn_exit(const struct qe_vpn *vpn);
/* Of the configuration alone: what the node begins with. */
const struct qe_node_id *qe_vpn_configured_exit(const struct qe_config *config);

/* Looks at where the node stands, and says so. Cheap. */
void qe_vpn_run(struct qe_vpn *vpn);
/* Addresses or networks of the host may be others. */
void qe_vpn_host_changed(struct qe_vpn *vpn);
/* The tunnel's interface has been down, and is up again or not yet. */
void qe_vpn_interface_changed(struct qe_vpn *vpn, bool up);
/* The configuration in effect is another one; before the one before is gone. */
void qe_vpn_reconfigure(struct qe_vpn *vpn);
