/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/policy_routes.h"
#include "os/vpn_guard.h"
#include "os/vpn_plan.h"

constexpr int table_removed = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE;

struct qe_vpn_guard {
	struct nl_sock *tables, *rules;
	int either; /* an epoll instance */
};

static enum qe_error listen_to(
	struct qe_vpn_guard *guard, struct nl_sock **ret_socket, int protocol, const int groups[2])
{
	struct epoll_event event = {.events = EPOLLIN};
	struct nl_sock *socket = *ret_socket = nl_socket_alloc();

	if (!socket)
		return -ENOMEM;
	nl_socket_disable_seq_check(socket);
	if (nl_connect(socket, protocol) < 0 ||
		nl_socket_add_memberships(socket, groups[0], groups[1], 0) < 0 ||
		nl_socket_set_nonblocking(socket) < 0)
		return -EPERM;
	return epoll_ctl(guard->either, EPOLL_CTL_ADD, nl_socket_get_fd(socket), &event) < 0
		       ? -errno
		       : QE_OK;
}

enum qe_error qe_vpn_guard_new(struct qe_vpn_guard **ret_guard)
{
	static const int table_groups[2] = {NFNLGRP_NFTABLES};
	static const int rule_groups[2] = {RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE};
	struct qe_vpn_guard *guard = calloc(1, sizeof(*guard));
	enum qe_error error = QE_OK;

	if (!guard)
		return -ENOMEM;
	guard->either = epoll_create1(EPOLL_CLOEXEC);
	if (guard->either < 0)
		error = -errno;
	if (error == QE_OK)
		error = listen_to(guard, &guard->tables, NETLINK_NETFILTER, table_groups);
	if (error == QE_OK)
		error = listen_to(guard, &guard->rules, NETLINK_ROUTE, rule_groups);
	if (error != QE_OK) {
		qe_vpn_guard_free(guard);
		return error;
	}
	*ret_guard = guard;
	return QE_OK;
}

struct qe_vpn_guard *qe_vpn_guard_free(struct qe_vpn_guard *guard)
{
	if (!guard)
		return nullptr;
	nl_socket_free(guard->tables);
	nl_socket_free(guard->rules);
	if (guard->either >= 0)
		close(guard->either);
	free(guard);
	return nullptr;
}

int qe_vpn_guard_fd(const struct qe_vpn_guard *guard)
{
	return guard->either;
}

static bool is_our_table(struct nlmsghdr *message)
{
	struct nlattr *name;

	if (message->nlmsg_type != table_removed)
		return false;
	name = nlmsg_find_attr(message, sizeof(struct nfgenmsg), NFTA_TABLE_NAME);
	return name && nla_strcmp(name, QE_VPN_NFT_TABLE) == 0;
}

static bool is_our_rule(struct nlmsghdr *message)
{
	struct nlattr *table;
	uint32_t number;

	if (message->nlmsg_type != RTM_DELRULE)
		return false;
	table = nlmsg_find_attr(message, sizeof(struct fib_rule_hdr), FRA_TABLE);
	number = table && nla_len(table) >= (int)sizeof(number) ? nla_get_u32(table) : 0;
	return number == QE_DEFAULT_TABLE || number == QE_VPN_ONLY_MARK;
}

/* Too many at once for the socket to hold count as ours. */
static bool drain(struct nl_sock *socket, bool (*is_ours)(struct nlmsghdr *message))
{
	alignas(struct nlmsghdr) char bytes[16384];
	bool any = false;
	ssize_t len;

	while ((len = recv(nl_socket_get_fd(socket), bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0 ||
		errno == ENOBUFS || errno == EINTR) {
		int left = (int)len;

		any |= len < 0 && errno == ENOBUFS;
		for (struct nlmsghdr *message = (struct nlmsghdr *)bytes;
			left > 0 && nlmsg_ok(message, left); message = nlmsg_next(message, &left))
			any |= is_ours(message);
	}
	return any;
}

bool qe_vpn_guard_drain(struct qe_vpn_guard *guard)
{
	bool tables = drain(guard->tables, is_our_table);

	return drain(guard->rules, is_our_rule) || tables;
}
