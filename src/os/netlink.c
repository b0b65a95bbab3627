/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/netlink_parts.h"

struct qe_netlink_monitor {
	struct nl_sock *socket;
	unsigned followed; /* 0: none */
	bool was_down;
};

static const struct {
	int netlink, system;
} errors[] = {
	{NLE_PERM, EPERM},
	{NLE_NOACCESS, EACCES},
	{NLE_EXIST, EEXIST},
	{NLE_OBJ_NOTFOUND, ENODEV},
	{NLE_NODEV, ENODEV},
	{NLE_BUSY, EBUSY},
	{NLE_NOMEM, ENOMEM},
	{NLE_INVAL, EINVAL},
	{NLE_RANGE, ERANGE},
	{NLE_OPNOTSUPP, EOPNOTSUPP},
	{NLE_AF_NOSUPPORT, EAFNOSUPPORT},
};

static enum qe_error from_libnl(int result)
{
	if (result >= 0)
		return QE_OK;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (errors[i].netlink == -result)
			return -errors[i].system;
	}
	return QE_ERR_INTERNAL;
}

static enum qe_error open_socket(struct nl_sock **ret_socket)
{
	struct nl_sock *socket = nl_socket_alloc();
	int result;

	if (!socket)
		return -ENOMEM;
	result = nl_connect(socket, NETLINK_ROUTE);
	if (result < 0) {
		nl_socket_free(socket);
		return from_libnl(result);
	}
	*ret_socket = socket;
	return QE_OK;
}

enum qe_error qe_netlink_new(struct qe_netlink **ret_netlink)
{
	struct qe_netlink *netlink = malloc(sizeof(*netlink));
	enum qe_error error = netlink ? open_socket(&netlink->socket) : -ENOMEM;

	if (error != QE_OK) {
		free(netlink);
		return error;
	}
	*ret_netlink = netlink;
	return QE_OK;
}

struct qe_netlink *qe_netlink_free(struct qe_netlink *netlink)
{
	if (netlink)
		nl_socket_free(netlink->socket);
	free(netlink);
	return nullptr;
}

/* libnl numbers requests and answers, and is out of step for ever where one of either is lost. */
static void renew(struct qe_netlink *netlink)
{
	struct nl_sock *socket = nullptr;

	if (open_socket(&socket) != QE_OK)
		return;
	nl_socket_free(netlink->socket);
	netlink->socket = socket;
}

enum qe_error qe_netlink_result(struct qe_netlink *netlink, int result)
{
	static const int answers[] = {NLE_PERM, NLE_NOACCESS, NLE_EXIST, NLE_OBJ_NOTFOUND,
		NLE_NODEV, NLE_BUSY, NLE_INVAL, NLE_RANGE, NLE_OPNOTSUPP, NLE_AF_NOSUPPORT};
	bool answered = result >= 0;

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		answered |= result == -answers[i];
	if (!answered)
		renew(netlink);
	return from_libnl(result);
}

enum qe_error qe_netlink_interface(
	struct qe_netlink *netlink, const char *name, unsigned *ret_index)
{
	struct rtnl_link *link;

	QE_TRY(qe_netlink_result(netlink, rtnl_link_get_kernel(netlink->socket, 0, name, &link)));
	*ret_index = (unsigned)rtnl_link_get_ifindex(link);
	rtnl_link_put(link);
	return QE_OK;
}

static enum qe_error change_link(
	struct qe_netlink *netlink, unsigned index, struct rtnl_link *changes)
{
	struct rtnl_link *link = rtnl_link_alloc();
	int result;

	if (!link)
		return -ENOMEM;
	rtnl_link_set_ifindex(link, (int)index);
	result = rtnl_link_change(netlink->socket, link, changes, 0);
	rtnl_link_put(link);
	return qe_netlink_result(netlink, result);
}

/* The mode must be set before the interface is up; a host without IPv6 does not know it. */
static void refuse_link_local(struct qe_netlink *netlink, unsigned index)
{
	struct rtnl_link *changes = rtnl_link_alloc();

	if (!changes)
		return;
	if (rtnl_link_inet6_set_addr_gen_mode(changes, rtnl_link_inet6_str2addrgenmode("none")) ==
		0)
		(void)change_link(netlink, index, changes);
	rtnl_link_put(changes);
}

/* The setting is the interface's own and goes with it. Where it cannot be written, adding an
 * address will tell. */
static void allow_ipv6(unsigned index)
{
	char name[IF_NAMESIZE], path[64 + IF_NAMESIZE];
	int fd;

	if (!if_indextoname(index, name))
		return;
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, "0", 1);
	close(fd);
}

enum qe_error qe_netlink_up(
	struct qe_netlink *netlink, unsigned index, uint16_t mtu, unsigned queue_length)
{
	struct rtnl_link *changes;
	enum qe_error error;

	allow_ipv6(index);
	refuse_link_local(netlink, index);
	changes = rtnl_link_alloc();
	if (!changes)
		return -ENOMEM;
	rtnl_link_set_mtu(changes, mtu);
	rtnl_link_set_txqlen(changes, queue_length);
	rtnl_link_set_flags(changes, IFF_UP);
	error = change_link(netlink, index, changes);
	rtnl_link_put(changes);
	return error;
}

static int to_family(const struct qe_addr *addr)
{
	return addr->family == QE_FAMILY_IPV4 ? AF_INET : AF_INET6;
}

struct nl_addr *qe_to_libnl(const struct qe_addr *addr, uint8_t length)
{
	struct nl_addr *result = nl_addr_build(
		to_family(addr), addr->bytes, qe_addr_bits(addr) / 8);

	if (result)
		nl_addr_set_prefixlen(result, length);
	return result;
}

typedef int change_addr(struct nl_sock *socket, struct rtnl_addr *request, int flags);

/* NODAD: the address is computed from a key, and nobody else is on the interface to ask. */
static int with_addr(struct qe_netlink *netlink, unsigned index, const struct qe_addr *addr,
	uint8_t length, change_addr *change, int flags)
{
	struct nl_addr *local = qe_to_libnl(addr, length);
	struct rtnl_addr *request = rtnl_addr_alloc();
	int result = -NLE_NOMEM;

	if (local && request) {
		rtnl_addr_set_ifindex(request, (int)index);
		result = rtnl_addr_set_local(request, local);
		rtnl_addr_set_prefixlen(request, length);
		if (addr->family == QE_FAMILY_IPV6)
			rtnl_addr_set_flags(request, IFA_F_NODAD);
		if (result >= 0)
			result = change(netlink->socket, request, flags);
	}
	rtnl_addr_put(request);
	nl_addr_put(local);
	return result;
}

enum qe_error qe_netlink_add_addr(
	struct qe_netlink *netlink, unsigned index, const struct qe_addr *addr, uint8_t length)
{
	int result = with_addr(netlink, index, addr, length, rtnl_addr_add, NLM_F_EXCL);
	enum qe_error error = qe_netlink_result(netlink, result);

	if (addr->family == QE_FAMILY_IPV6 &&
		(error == -EACCES || error == -EOPNOTSUPP || error == -EAFNOSUPPORT))
		return QE_ERR_UNSUPPORTED;
	return error;
}

enum qe_error qe_netlink_remove_addr(
	struct qe_netlink *netlink, unsigned index, const struct qe_addr *addr, uint8_t length)
{
	return qe_netlink_result(
		netlink, with_addr(netlink, index, addr, length, rtnl_addr_delete, 0));
}

static void fill_route(struct rtnl_route *route, struct nl_addr *destination, unsigned index)
{
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();

	rtnl_route_set_family(route, (uint8_t)nl_addr_get_family(destination));
	rtnl_route_set_dst(route, destination);
	rtnl_route_set_protocol(route, QE_ROUTE_PROTOCOL);
	rtnl_route_set_priority(route, QE_ROUTE_METRIC);
	rtnl_route_set_table(route, RT_TABLE_MAIN);
	rtnl_route_set_scope(route,
		nl_addr_get_family(destination) == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
	if (!hop)
		return; /* the kernel will refuse a route that leads nowhere */
	rtnl_route_nh_set_ifindex(hop, (int)index);
	rtnl_route_add_nexthop(route, hop);
}

typedef int change_route(struct nl_sock *socket, struct rtnl_route *route, int flags);

static enum qe_error with_route(struct qe_netlink *netlink, unsigned index,
	const struct qe_prefix *prefix, change_route *change, int flags)
{
	struct nl_addr *destination = qe_to_libnl(&prefix->addr, prefix->length);
	struct rtnl_route *route = rtnl_route_alloc();
	int result = -NLE_NOMEM;

	if (destination && route) {
		fill_route(route, destination, index);
		result = change(netlink->socket, route, flags);
	}
	rtnl_route_put(route);
	nl_addr_put(destination);
	return qe_netlink_result(netlink, result);
}

enum qe_error qe_netlink_add_route(
	struct qe_netlink *netlink, unsigned index, const struct qe_prefix *prefix)
{
	return with_route(netlink, index, prefix, rtnl_route_add, NLM_F_EXCL);
}

enum qe_error qe_netlink_remove_route(
	struct qe_netlink *netlink, unsigned index, const struct qe_prefix *prefix)
{
	return with_route(netlink, index, prefix, rtnl_route_delete, 0);
}

/* ---- what the host has ---- */

struct visitor {
	qe_host_visit *visit;
	void *ctx;
};

bool qe_from_libnl_addr(struct qe_addr *ret_addr, struct nl_addr *from)
{
	static const uint8_t zeros[16];
	const uint8_t *bytes = nl_addr_get_len(from) ? nl_addr_get_binary_addr(from) : zeros;

	if (nl_addr_get_family(from) == AF_INET)
		*ret_addr = qe_addr_ipv4(bytes);
	else if (nl_addr_get_family(from) == AF_INET6)
		*ret_addr = qe_addr_ipv6(bytes);
	else
		return false;
	return true;
}

static void name_interface(struct qe_host_entry *entry, int index)
{
	static_assert(sizeof(entry->interface) == IF_NAMESIZE);
	if (index <= 0 || !if_indextoname((unsigned)index, entry->interface))
		entry->interface[0] = '\0';
}

static void visit_addr(struct nl_object *object, void *ctx)
{
	struct rtnl_addr *addr = (struct rtnl_addr *)object;
	struct nl_addr *local = rtnl_addr_get_local(addr);
	const struct visitor *visitor = ctx;
	struct qe_host_entry entry = {};

	if (!local || !qe_from_libnl_addr(&entry.addr, local))
		return;
	entry.prefix.addr = entry.addr;
	entry.prefix.length = (uint8_t)rtnl_addr_get_prefixlen(addr);
	qe_prefix_mask(&entry.prefix);
	name_interface(&entry, rtnl_addr_get_ifindex(addr));
	visitor->visit(visitor->ctx, &entry);
}

static void visit_route(struct nl_object *object, void *ctx)
{
	struct rtnl_route *route = (struct rtnl_route *)object;
	struct nl_addr *destination = rtnl_route_get_dst(route);
	const struct visitor *visitor = ctx;
	struct qe_host_entry entry = {.is_route = true};
	struct rtnl_nexthop *hop;

	if (rtnl_route_get_table(route) != RT_TABLE_MAIN || !destination ||
		!qe_from_libnl_addr(&entry.prefix.addr, destination))
		return;
	entry.prefix.length = (uint8_t)nl_addr_get_prefixlen(destination);
	hop = rtnl_route_nexthop_n(route, 0);
	if (hop && rtnl_route_nh_get_gateway(hop))
		(void)qe_from_libnl_addr(&entry.gateway, rtnl_route_nh_get_gateway(hop));
	name_interface(&entry, hop ? rtnl_route_nh_get_ifindex(hop) : 0);
	entry.is_down = hop && rtnl_route_nh_get_flags(hop) & RTNH_F_LINKDOWN;
	visitor->visit(visitor->ctx, &entry);
}

static void visit_cache(
	struct nl_cache *cache, void (*each)(struct nl_object *, void *), struct visitor *visitor)
{
	nl_cache_foreach(cache, each, visitor);
	nl_cache_free(cache);
}

enum qe_error qe_netlink_visit(struct qe_netlink *netlink, qe_host_visit *visit, void *ctx)
{
	struct visitor visitor = {visit, ctx};
	struct nl_cache *cache;

	QE_TRY(qe_netlink_result(netlink, rtnl_addr_alloc_cache(netlink->socket, &cache)));
	visit_cache(cache, visit_addr, &visitor);
	QE_TRY(qe_netlink_result(
		netlink, rtnl_route_alloc_cache(netlink->socket, AF_UNSPEC, 0, &cache)));
	visit_cache(cache, visit_route, &visitor);
	return QE_OK;
}

static enum qe_error get_flags(
	struct qe_netlink *netlink, const char *interface, unsigned *ret_flags)
{
	struct rtnl_link *link;

	QE_TRY(qe_netlink_result(
		netlink, rtnl_link_get_kernel(netlink->socket, 0, interface, &link)));
	*ret_flags = rtnl_link_get_flags(link);
	rtnl_link_put(link);
	return QE_OK;
}

bool qe_netlink_has_carrier(struct qe_netlink *netlink, const char *interface)
{
	constexpr unsigned both = IFF_UP | IFF_RUNNING;
	unsigned flags = 0;

	return get_flags(netlink, interface, &flags) == QE_OK && (flags & both) == both;
}

enum qe_error qe_netlink_is_up(struct qe_netlink *netlink, const char *interface, bool *ret_up)
{
	unsigned flags = 0;
	enum qe_error error = get_flags(netlink, interface, &flags);

	if (error != QE_OK && error != -ENODEV)
		return error;
	*ret_up = flags & IFF_UP;
	return QE_OK;
}

/* ---- what changes ---- */

constexpr int links_buffer = 1 << 18; /* those of many containers at once */

static int join(struct nl_sock *socket, bool links_only)
{
	if (links_only) {
		(void)nl_socket_set_buffer_size(socket, links_buffer, 0);
		return nl_socket_add_memberships(socket, RTNLGRP_LINK, 0);
	}
	return nl_socket_add_memberships(socket, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR,
		RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, 0);
}

static enum qe_error open_monitor(struct nl_sock **ret_socket, bool links_only)
{
	struct nl_sock *socket = nullptr;
	int result;

	QE_TRY(open_socket(&socket));
	result = join(socket, links_only);
	if (result >= 0)
		result = nl_socket_set_nonblocking(socket);
	if (result < 0) {
		nl_socket_free(socket);
		return from_libnl(result);
	}
	*ret_socket = socket;
	return QE_OK;
}

static enum qe_error new_monitor(struct qe_netlink_monitor **ret_monitor, bool links_only)
{
	struct qe_netlink_monitor *monitor = calloc(1, sizeof(*monitor));
	enum qe_error error = monitor ? open_monitor(&monitor->socket, links_only) : -ENOMEM;

	if (error != QE_OK) {
		free(monitor);
		return error;
	}
	*ret_monitor = monitor;
	return QE_OK;
}

enum qe_error qe_netlink_monitor_new(struct qe_netlink_monitor **ret_monitor)
{
	return new_monitor(ret_monitor, false);
}

enum qe_error qe_netlink_monitor_new_links(struct qe_netlink_monitor **ret_monitor)
{
	return new_monitor(ret_monitor, true);
}

struct qe_netlink_monitor *qe_netlink_monitor_free(struct qe_netlink_monitor *monitor)
{
	if (monitor)
		nl_socket_free(monitor->socket);
	free(monitor);
	return nullptr;
}

int qe_netlink_monitor_fd(const struct qe_netlink_monitor *monitor)
{
	return nl_socket_get_fd(monitor->socket);
}

struct head {
	struct nlmsghdr message;
	struct ifinfomsg link;
};

static bool says_down(const struct head *head, ssize_t len, unsigned interface)
{
	return len >= (ssize_t)sizeof(*head) && head->message.nlmsg_type == RTM_NEWLINK &&
	       head->link.ifi_index == (int)interface && head->link.ifi_change & IFF_UP &&
	       !(head->link.ifi_flags & IFF_UP);
}

/* Mostly only that something has changed matters, so the messages are not read whole; ENOBUFS says
 * that there were too many of them. */
bool qe_netlink_monitor_drain(struct qe_netlink_monitor *monitor)
{
	int fd = nl_socket_get_fd(monitor->socket);
	struct head head;
	bool any = false;
	ssize_t len;

	while ((len = recv(fd, &head, sizeof(head), MSG_DONTWAIT)) >= 0 || errno == ENOBUFS) {
		any = true;
		monitor->was_down |= len < 0 || says_down(&head, len, monitor->followed);
	}
	return any;
}

void qe_netlink_monitor_follow(struct qe_netlink_monitor *monitor, unsigned interface)
{
	monitor->followed = interface;
}

bool qe_netlink_monitor_was_down(struct qe_netlink_monitor *monitor)
{
	bool was_down = monitor->was_down;

	monitor->was_down = false;
	return was_down;
}
