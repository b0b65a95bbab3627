/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The host's interfaces, addresses and routes: what is there, what we add and take away, and when
 * it changes. All that we add hangs on the TUN interface and goes with it. */
#pragma once

#include "net/addr.h"

/* What the routes that we add are marked with ("ip route show proto 81"), and their metric. */
#define QE_ROUTE_PROTOCOL 81
#define QE_ROUTE_METRIC 81
#define QE_INTERFACE_NAME_SIZE 16

struct qe_netlink;

enum qe_error qe_netlink_new(struct qe_netlink **ret_netlink);
struct qe_netlink *qe_netlink_free(struct qe_netlink *netlink); /* NULL-safe */

/* -ENODEV when there is none of that name. */
enum qe_error qe_netlink_interface(
	struct qe_netlink *netlink, const char *name, unsigned *ret_index);
/* Up, with IPv6 even where new interfaces are to have none, and without an IPv6 link-local address,
 * which would only send into a tunnel what the overlay does not carry. */
enum qe_error qe_netlink_up(
	struct qe_netlink *netlink, unsigned index, uint16_t mtu, unsigned queue_length);
/* length: of the prefix that the interface is in. -EEXIST; QE_ERR_UNSUPPORTED: this host has no
 * IPv6. */
enum qe_error qe_netlink_add_addr(
	struct qe_netlink *netlink, unsigned index, const struct qe_addr *addr, uint8_t length);
enum qe_error qe_netlink_remove_addr(
	struct qe_netlink *netlink, unsigned index, const struct qe_addr *addr, uint8_t length);
/* With our protocol number and metric, and only such are removed. */
enum qe_error qe_netlink_add_route(
	struct qe_netlink *netlink, unsigned index, const struct qe_prefix *prefix);
enum qe_error qe_netlink_remove_route(
	struct qe_netlink *netlink, unsigned index, const struct qe_prefix *prefix);

#define QE_DEFAULT_TABLE 20805 /* "QE"; and the mark of our own sockets, see os/udp.h */

/* An address, with the prefix that its interface is in, or a route of the main table. */
struct qe_host_entry {
	bool is_route;
	struct qe_addr addr; /* of an address */
	struct qe_prefix prefix;
	struct qe_addr gateway;                 /* of a route; family QE_FAMILY_NONE: none */
	char interface[QE_INTERFACE_NAME_SIZE]; /* empty: none */
	bool is_down;                           /* of a route: its interface has no carrier */
};

typedef void qe_host_visit(void *ctx, const struct qe_host_entry *entry);
enum qe_error qe_netlink_visit(struct qe_netlink *netlink, qe_host_visit *visit, void *ctx);

/* Whether it is up and its cable, or what stands for one, is plugged in at both ends. */
bool qe_netlink_has_carrier(struct qe_netlink *netlink, const char *interface);
/* One that is not there is not up. */
enum qe_error qe_netlink_is_up(struct qe_netlink *netlink, const char *interface, bool *ret_up);

/* A descriptor that becomes readable when addresses, links or routes of the host change; or links
 * alone. */
struct qe_netlink_monitor;
enum qe_error qe_netlink_monitor_new(struct qe_netlink_monitor **ret_monitor);
enum qe_error qe_netlink_monitor_new_links(struct qe_netlink_monitor **ret_monitor);
struct qe_netlink_monitor *qe_netlink_monitor_free(struct qe_netlink_monitor *monitor);
int qe_netlink_monitor_fd(const struct qe_netlink_monitor *monitor);
/* Takes away what has come; whether it was anything. */
bool qe_netlink_monitor_drain(struct qe_netlink_monitor *monitor);
/* The interface of that index is looked for in what comes. */
void qe_netlink_monitor_follow(struct qe_netlink_monitor *monitor, unsigned interface);
/* Whether it has been down, for a moment perhaps, or that cannot be known, in all that was drained
 * since this was asked last. */
bool qe_netlink_monitor_was_down(struct qe_netlink_monitor *monitor);
