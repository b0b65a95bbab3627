/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the files of the daemon's start share: what there is of it, and the stages that take
 * something of the host (stages.c). */
#pragma once

#include "daemon/audit.h"
#include "daemon/devices.h"
#include "daemon/methods.h"
#include "daemon/network.h"
#include "daemon/peer_names.h"
#include "daemon/pulse.h"
#include "daemon/reload.h"
#include "daemon/shed.h"
#include "daemon/underlay.h"
#include "daemon/vpn.h"

struct daemon {
	const struct qe_config_inputs *inputs;
	struct qe_directory *directory;
	const struct qe_config *config; /* in effect; the directory's */
	struct qe_key *key;
	struct qe_log log;
	bool background;
	int ready; /* where to say so; in the background only */
	int exit_code;
	qe_time started;
	bool stopping;
	enum qe_goodbye goodbye; /* of the helper */

	struct qe_router *router;
	struct qe_loop *loop;
	struct qe_watch signals;
	struct qe_event_log *event_log;
	struct qe_shed shed;
	struct qe_audit *audit; /* NULL: nobody wants one */
	struct qe_node *node;
	struct qe_policy_keeper *policy;
	struct qe_verdicts *verdicts;
	struct qe_policy_draft *first_policy; /* until the node has it */
	struct qe_netlink *netlink;
	struct qe_unix_listener *listener;
	struct qe_devices devices;
	struct qe_vpn *vpn;
	/* The gateway of a VPN mode that nobody has ended; or empty. */
	char vpn_before[QE_NODE_ID_TEXT_SIZE];
	struct qe_network *network;
	struct qe_workers *workers;
	struct qe_pulse *pulse;
	struct qe_naming *naming;
	struct qe_peer_names *peer_names;
	struct qe_endpoints *endpoints;
	struct qe_underlay *underlay;
	struct qe_reload_parts reload;
	struct qe_service *service;
	struct qe_rpc_server *server;
};

/* Says why the start has failed; returns the error. */
[[gnu::format(printf, 3, 4)]] enum qe_error daemon_fail(
	struct daemon *daemon, enum qe_error error, const char *format, ...);

/* Each says why, when it fails. The stops are for starts that failed half way, too. */
enum qe_error daemon_start_helper(struct daemon *daemon);
void daemon_stop_helper(struct daemon *daemon);
enum qe_error daemon_start_audit(struct daemon *daemon);
void daemon_stop_audit(struct daemon *daemon);
enum qe_error daemon_start_policy(struct daemon *daemon);
void daemon_stop_policy(struct daemon *daemon);
enum qe_error daemon_start_node(struct daemon *daemon);
void daemon_stop_node(struct daemon *daemon);
enum qe_error daemon_start_listener(struct daemon *daemon);
void daemon_stop_listener(struct daemon *daemon);
enum qe_error daemon_start_recovery(struct daemon *daemon);
void daemon_give_back(struct daemon *daemon);
enum qe_error daemon_start_check(struct daemon *daemon);
void daemon_stop_check(struct daemon *daemon);
enum qe_error daemon_start_vpn(struct daemon *daemon);
void daemon_stop_vpn(struct daemon *daemon);
enum qe_error daemon_start_udp(struct daemon *daemon);
void daemon_stop_udp(struct daemon *daemon);
enum qe_error daemon_start_tun(struct daemon *daemon);
void daemon_stop_tun(struct daemon *daemon);
enum qe_error daemon_start_router(struct daemon *daemon);
void daemon_stop_router(struct daemon *daemon);
enum qe_error daemon_enter_vpn(struct daemon *daemon);
enum qe_error daemon_start_network(struct daemon *daemon);
void daemon_stop_network(struct daemon *daemon);
enum qe_error daemon_start_sandbox(struct daemon *daemon);
enum qe_error daemon_start_audit_writer(struct daemon *daemon);
