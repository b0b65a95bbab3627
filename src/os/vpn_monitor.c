/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "os/vpn_monitor.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "os/vpn_plan.h"

constexpr size_t buffer_size = 65536;

enum { ROUTES, TABLES };

struct qe_vpn_monitor {
	struct nl_sock *sockets[QE_VPN_MONITOR_FDS];
	uint8_t buffer[buffer_size];
};

/* ---- what a message says ---- */

static bool is_our_table(const struct nlattr *attribute)
{
	uint32_t table = attribute ? nla_get_u32(attribute) : 0;

	return table == QE_DEFAULT_TABLE || table == QE_VPN_ONLY_MARK;
}

static bool takes_route(struct nlmsghdr *message)
{
	struct nlattr *of_route[RTA_MAX + 1], *of_rule[FRA_MAX + 1];

	if (message->nlmsg_type == RTM_DELROUTE)
		return nlmsg_parse(message, sizeof(struct rtmsg), of_route, RTA_MAX, nullptr) ==
			       0 &&
		       is_our_table(of_route[RTA_TABLE]);
	if (message->nlmsg_type == RTM_DELRULE)
		return nlmsg_parse(message, sizeof(struct fib_rule_hdr), of_rule, FRA_MAX,
			       nullptr) == 0 &&
		       is_our_table(of_rule[FRA_TABLE]);
	return false;
}

static bool is_kill_switch(struct nlmsghdr *message)
{
	struct nlattr *attributes[NFTA_TABLE_MAX + 1];

	return nlmsg_parse(message, sizeof(struct nfgenmsg), attributes, NFTA_TABLE_MAX, nullptr) ==
		       0 &&
	       attributes[NFTA_TABLE_NAME] &&
	       nla_strcmp(attributes[NFTA_TABLE_NAME], QE_VPN_NFT_TABLE) == 0;
}

/* Replacing it takes it away and brings it again. */
static bool is_gone(struct nlmsghdr *message, size_t socket, bool before)
{
	constexpr unsigned tables = NFNL_SUBSYS_NFTABLES << 8;

	if (socket == ROUTES)
		return before || takes_route(message);
	if (message->nlmsg_type == (tables | NFT_MSG_DELTABLE) && is_kill_switch(message))
		return true;
	if (message->nlmsg_type == (tables | NFT_MSG_NEWTABLE) && is_kill_switch(message))
		return false;
	return before;
}

/* ---- all that has come ---- */

static bool take(struct qe_vpn_monitor *monitor, size_t i)
{
	int fd = qe_vpn_monitor_fd(monitor, i);
	bool gone = false;

	while (fd >= 0) {
		ssize_t n = recv(fd, monitor->buffer, buffer_size, MSG_DONTWAIT);
		struct nlmsghdr *message = (struct nlmsghdr *)monitor->buffer;

		if (n < 0 && errno != ENOBUFS)
			break;
		gone |= n < 0; /* there was too much to be told */
		for (int left = (int)n; left > 0 && nlmsg_ok(message, left);
			message = nlmsg_next(message, &left))
			gone = is_gone(message, i, gone);
	}
	return gone;
}

bool qe_vpn_monitor_take(struct qe_vpn_monitor *monitor)
{
	bool routes = take(monitor, ROUTES), tables = take(monitor, TABLES);

	return routes || tables;
}

int qe_vpn_monitor_fd(const struct qe_vpn_monitor *monitor, size_t i)
{
	return monitor->sockets[i] ? nl_socket_get_fd(monitor->sockets[i]) : -1;
}

/* ---- life ---- */

static struct nl_sock *open_socket(int protocol, const int *groups, size_t n)
{
	struct nl_sock *socket = nl_socket_alloc();
	int result = socket ? nl_connect(socket, protocol) : -NLE_NOMEM;

	for (size_t i = 0; result >= 0 && i < n; i++)
		result = nl_socket_add_membership(socket, groups[i]);
	if (result >= 0)
		return socket;
	nl_socket_free(socket);
	return nullptr;
}

enum qe_error qe_vpn_monitor_new(struct qe_vpn_monitor **ret_monitor)
{
	static const int routes[] = {
		RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE};
	static const int tables[] = {NFNLGRP_NFTABLES};
	struct qe_vpn_monitor *monitor = calloc(1, sizeof(*monitor));

	if (!monitor)
		return -ENOMEM;
	monitor->sockets[ROUTES] = open_socket(NETLINK_ROUTE, routes, 4);
	monitor->sockets[TABLES] = open_socket(NETLINK_NETFILTER, tables, 1);
	if (!monitor->sockets[ROUTES]) {
		qe_vpn_monitor_free(monitor);
		return -ENOMEM;
	}
	*ret_monitor = monitor;
	return QE_OK;
}

struct qe_vpn_monitor *qe_vpn_monitor_free(struct qe_vpn_monitor *monitor)
{
	if (!monitor)
		return nullptr;
	for (size_t i = 0; i < QE_VPN_MONITOR_FDS; i++)
		nl_socket_free(monitor->sockets[i]);
	free(monitor);
	return nullptr;
}
