/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Which of the overlay's routes the host itself uses: those that are accepted, and do not take what
 * belongs to a network that the host is connected to. Control thread. */
#pragma once

#include "daemon/log.h"
#include "os/helper.h"
#include "os/netlink.h"

struct qe_host_routes;

struct qe_host_routes_settings {
	const char *interface; /* the TUN */
	/* A route is accepted if it lies in one of these; copied. */
	const struct qe_prefix *accept;
	size_t n_accept;
	bool defaults; /* a default route, too: it wins over the host's own */
	bool over_lan; /* even if it overlaps a network of the host's */
};

enum qe_host_route_state : uint8_t {
	QE_HOST_ROUTE_INSTALLED,
	QE_HOST_ROUTE_NOT_ACCEPTED,
	QE_HOST_ROUTE_OVERLAPS, /* with network, of interface */
	QE_HOST_ROUTE_UNDERLAY, /* holds an address that a peer is reached at */
	QE_HOST_ROUTE_DEFAULT,  /* a default route that nobody has asked for in so many words */
	QE_HOST_ROUTE_FAILED,   /* error says why; tried again when the host changes */
};

struct qe_host_route {
	struct qe_prefix prefix;
	enum qe_host_route_state state;
	enum qe_error error;
	struct qe_prefix network;
	char interface[QE_INTERFACE_NAME_SIZE]; /* may be empty */
};

/* Nothing is owned; the helper must outlive it. */
enum qe_error qe_host_routes_new(struct qe_host_routes **ret_routes,
	const struct qe_host_routes_settings *settings, struct qe_helper *helper,
	const struct qe_log *log);
/* Once the interface is up: until then nothing is done. netlink: must outlive it, too. */
void qe_host_routes_start(struct qe_host_routes *routes, struct qe_netlink *netlink);
/* The interface, which is about to go, takes its routes with it. NULL-safe. */
struct qe_host_routes *qe_host_routes_free(struct qe_host_routes *routes);

/* All of these only take note; qe_host_routes_run acts. */
enum qe_error qe_host_routes_configure(
	struct qe_host_routes *routes, const struct qe_host_routes_settings *settings);
/* wanted: the overlay leads there, to another node. */
enum qe_error qe_host_routes_set(
	struct qe_host_routes *routes, const struct qe_prefix *prefix, bool wanted);
/* Hosts that the tunnel's own packets go to; replaces. */
enum qe_error qe_host_routes_set_underlay(
	struct qe_host_routes *routes, const struct qe_prefix *hosts, size_t n);
void qe_host_routes_host_changed(struct qe_host_routes *routes);
/* The interface has been down and is up again: the kernel has taken them away. */
void qe_host_routes_lost(struct qe_host_routes *routes);
/* VPN mode has its own way for what no other route is for, which has taken the place of ours, or
 * has gone again. */
void qe_host_routes_set_vpn(struct qe_host_routes *routes, bool on);

/* Costs nothing when there is nothing to do. */
void qe_host_routes_run(struct qe_host_routes *routes);

/* Of all that are wanted, in the order of qe_prefix_compare. */
/* Whether one of them, but for a default route, takes there what this host sends. */
bool qe_host_routes_lead_to(const struct qe_host_routes *routes, const struct qe_addr *addr);
void qe_host_routes_visit(const struct qe_host_routes *routes,
	void (*visit)(void *ctx, const struct qe_host_route *route), void *ctx);
