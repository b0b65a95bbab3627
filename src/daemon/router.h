/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The host's part in the overlay: the interface with its addresses, the routes into it, forwarding
 * and address translation for others; all of it by way of the helper, which is made first and ends
 * last. Control thread.
 */
#pragma once

#include "daemon/routes.h"
#include "os/loop.h"

struct qe_router;

/* What the router tells the node. */
struct qe_router_sink {
	/* Of what this node offers to others, all that it cannot reach itself now. */
	void (*withdraw)(void *ctx, const struct qe_prefix *prefixes, size_t n);
	void *ctx;
};

/* Starts the helper: while there is no other thread, and as early as can be. forget: see
 * qe_helper_new. The configuration and the log must outlive it, or the configuration until
 * qe_router_reconfigure gives another. */
enum qe_error qe_router_new(struct qe_router **ret_router, const struct qe_config *config,
	const struct qe_log *log, void (*forget)(void *ctx), void *ctx);
/* Undoes what a daemon before has left behind, but what blocks in VPN mode where that is enabled;
 * logs what that was. After an error nothing can be changed on the host. */
enum qe_error qe_router_recover(
	struct qe_router *router, char ret_via[static QE_NODE_ID_TEXT_SIZE], struct qe_text *why);
/* Ends the helper, and waits until it has done as goodbye says. */
void qe_router_give_back(struct qe_router *router, enum qe_goodbye goodbye);
/* The same, if it was not done, with QE_GOODBYE. NULL-safe. */
struct qe_router *qe_router_free(struct qe_router *router);

/* Once the interface is there, and while privileges are: it is brought up with the addresses, of
 * which overlay is the node's own, and the rest follows. On an error *why says what could not be
 * done; what the node can do without is only logged. */
enum qe_error qe_router_start(struct qe_router *router, struct qe_loop *loop,
	struct qe_netlink *netlink, const struct qe_addr *overlay,
	const struct qe_router_sink *sink, struct qe_text *why);
/* Before the loop and the netlink socket go. */
void qe_router_stop(struct qe_router *router);

/* What must hold before the node takes up another configuration: an exit's table of the host's
 * networks. On an error what was before holds, and *why says what cannot be done. */
enum qe_error qe_router_admit(
	struct qe_router *router, const struct qe_config *config, struct qe_text *why);
/* Another configuration, of which all but the interface's name and MTU is taken up. What fails is
 * logged. */
void qe_router_reconfigure(struct qe_router *router, const struct qe_config *config);

/* The overlay leads there, to another node, or does so no more; at any time, acted upon by
 * qe_router_run once it is started. */
void qe_router_set_route(struct qe_router *router, const struct qe_prefix *prefix, bool wanted);
/* Addresses or routes have changed, but for the interface's own. */
void qe_router_host_changed(struct qe_router *router);
/* The interface has been down and is up again: what it has lost is put back, but for VPN mode's
 * share. On an error some of it is missing. */
enum qe_error qe_router_restore(struct qe_router *router);
/* Anything has, a cable perhaps. */
void qe_router_link_changed(struct qe_router *router);
/* Does what has come up; cheap when that is nothing. */
void qe_router_run(struct qe_router *router);

/* Hosts that the tunnel's own packets go to; replaces. */
enum qe_error qe_router_set_underlay(
	struct qe_router *router, const struct qe_prefix *hosts, size_t n);
const struct qe_host_routes *qe_router_routes(const struct qe_router *router);
void qe_router_set_vpn(struct qe_router *router, bool on); /* see qe_host_routes_set_vpn */
/* What changes the host; the router's. */
struct qe_helper *qe_router_helper(struct qe_router *router);
