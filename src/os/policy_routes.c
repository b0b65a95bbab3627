/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/route/route.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/array.h"
#include "os/netlink_parts.h"
#include "os/policy_routes.h"

constexpr uint32_t last_metric = UINT32_MAX;
constexpr size_t table_max = 4096; /* of routes that are looked at */

static int to_system(enum qe_family family)
{
	return family == QE_FAMILY_IPV4 ? AF_INET : AF_INET6;
}

static enum qe_error explain(enum qe_error error)
{
	return error == -EAFNOSUPPORT || error == -EOPNOTSUPP ? QE_ERR_UNSUPPORTED : error;
}

/* ---- rules ---- */

/* The first one leaves to the main table all that has a route there but a default one; the second
 * one sends here what has not our mark. */
static const struct rule {
	const char *name;
	uint32_t priority, table, mark;
	bool is_inverted, suppresses_default;
} rules[QE_POLICY_RULES] = {
	[QE_RULE_KNOWN] = {"known", 5181, RT_TABLE_MAIN, 0, false, true},
	[QE_RULE_UNMARKED] = {"unmarked", 5182, QE_DEFAULT_TABLE, QE_VPN_MARK, true, false},
	[QE_RULE_ONLY] = {"only", 5181, QE_VPN_ONLY_MARK, QE_VPN_ONLY_MARK, false, false},
};

const char *qe_policy_rule_name(enum qe_policy_rule rule)
{
	return rules[rule].name;
}

static int put_rule(struct nl_msg *message, int family, const struct rule *rule)
{
	const struct fib_rule_hdr header = {.family = (uint8_t)family,
		.action = FR_ACT_TO_TBL,
		.flags = rule->is_inverted ? FIB_RULE_INVERT : 0};
	int result = nlmsg_append(message, (void *)&header, sizeof(header), NLMSG_ALIGNTO);

	if (result >= 0)
		result = nla_put_u32(message, FRA_PRIORITY, rule->priority);
	if (result >= 0)
		result = nla_put_u32(message, FRA_TABLE, rule->table);
	if (result >= 0)
		result = nla_put_u8(message, FRA_PROTOCOL, QE_ROUTE_PROTOCOL);
	if (result >= 0 && rule->suppresses_default)
		result = nla_put_u32(message, FRA_SUPPRESS_PREFIXLEN, 0);
	if (result >= 0 && rule->mark)
		result = nla_put_u32(message, FRA_FWMARK, rule->mark);
	return result;
}

/* libnl-route's rules lack half of this. */
static enum qe_error change_rule(struct qe_netlink *netlink, enum qe_family family,
	const struct rule *rule, int type, int flags)
{
	struct nl_msg *message = nlmsg_alloc_simple(type, flags);
	int result;

	if (!message)
		return -ENOMEM;
	result = put_rule(message, to_system(family), rule);
	if (result < 0)
		nlmsg_free(message);
	else
		result = nl_send_sync(netlink->socket, message); /* frees it */
	return explain(qe_netlink_result(netlink, result));
}

enum qe_error qe_policy_rule_add(
	struct qe_netlink *netlink, enum qe_family family, enum qe_policy_rule rule)
{
	enum qe_error error = change_rule(
		netlink, family, &rules[rule], RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);

	return error == -EEXIST ? QE_OK : error;
}

enum qe_error qe_policy_rule_remove(
	struct qe_netlink *netlink, enum qe_family family, enum qe_policy_rule rule)
{
	enum qe_error error = change_rule(netlink, family, &rules[rule], RTM_DELRULE, 0);

	return error == -ENODEV || error == QE_ERR_UNSUPPORTED ? QE_ERR_NOT_FOUND : error;
}

/* ---- asking ---- */

typedef int look(struct nl_msg *message, void *ctx);

static int set_strict(struct qe_netlink *netlink, int on)
{
	return setsockopt(nl_socket_get_fd(netlink->socket), SOL_NETLINK, NETLINK_GET_STRICT_CHK,
		&on, sizeof(on));
}

/* Takes the message. The callback is this dump's alone. */
static enum qe_error dump(
	struct qe_netlink *netlink, struct nl_msg *message, look *visit, void *ctx)
{
	struct nl_cb *callbacks = nl_cb_alloc(NL_CB_DEFAULT);
	int result;

	if (!callbacks) {
		nlmsg_free(message);
		return -ENOMEM;
	}
	nl_cb_set(callbacks, NL_CB_VALID, NL_CB_CUSTOM, visit, ctx);
	result = nl_send_auto(netlink->socket, message);
	nlmsg_free(message);
	if (result >= 0)
		result = nl_recvmsgs(netlink->socket, callbacks);
	nl_cb_put(callbacks);
	return qe_netlink_result(netlink, result);
}

/* ---- tables ---- */

struct found {
	struct qe_policy_route route;
	uint32_t metric;
	int index; /* of the interface; 0: none */
};

struct search {
	int family;
	uint32_t table;
	struct found *found; /* ours */
	size_t n, others;
	bool failed;
};

static bool to_type(enum qe_policy_route_type *ret_type, uint8_t type)
{
	if (type == RTN_UNICAST)
		*ret_type = QE_POLICY_INTO;
	else if (type == RTN_UNREACHABLE)
		*ret_type = QE_POLICY_UNREACHABLE;
	else if (type == RTN_THROW)
		*ret_type = QE_POLICY_THROW;
	else
		return false;
	return true;
}

static uint32_t metric_of(enum qe_policy_route_type type)
{
	return type == QE_POLICY_UNREACHABLE ? last_metric : QE_ROUTE_METRIC;
}

/* IPv6 gives the interface of loopback to those that lead nowhere. */
static bool read_route(struct found *ret_found, struct rtnl_route *route)
{
	struct rtnl_nexthop *hop = rtnl_route_nexthop_n(route, 0);
	struct nl_addr *destination = rtnl_route_get_dst(route);
	struct found found = {.metric = rtnl_route_get_priority(route)};

	if (rtnl_route_get_protocol(route) != QE_ROUTE_PROTOCOL ||
		!to_type(&found.route.type, rtnl_route_get_type(route)) ||
		!qe_from_libnl_addr(&found.route.prefix.addr, destination))
		return false;
	found.route.prefix.length = (uint8_t)nl_addr_get_prefixlen(destination);
	if (found.route.type == QE_POLICY_INTO && hop)
		found.index = rtnl_route_nh_get_ifindex(hop);
	*ret_found = found;
	return true;
}

static void keep(struct search *search, const struct found *found)
{
	struct found *grown = search->found;

	if ((search->n & (search->n + 1)) == 0 && search->n < table_max)
		grown = qe_array_grow(grown, search->n, 2 * search->n + 1, sizeof(*grown));
	if (!grown || search->n == table_max) {
		search->failed = true;
		return;
	}
	search->found = grown;
	search->found[search->n++] = *found;
}

/* An old kernel tells all routes, whatever it was asked. */
static int look_at_route(struct nl_msg *message, void *ctx)
{
	struct search *search = ctx;
	struct rtnl_route *route;
	struct found found;

	if (nlmsg_hdr(message)->nlmsg_type != RTM_NEWROUTE ||
		rtnl_route_parse(nlmsg_hdr(message), &route) < 0)
		return NL_OK;
	if (rtnl_route_get_table(route) != search->table ||
		rtnl_route_get_family(route) != search->family)
		;
	else if (read_route(&found, route))
		keep(search, &found);
	else
		search->others++;
	rtnl_route_put(route);
	return NL_OK;
}

/* The found are to be freed. A table that was never used is not there. */
static enum qe_error read_table(struct qe_netlink *netlink, struct search *search)
{
	struct nl_msg *message = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_DUMP);
	const struct rtmsg header = {.rtm_family = (uint8_t)search->family};
	enum qe_error error = -ENOMEM;

	if (message && nlmsg_append(message, (void *)&header, sizeof(header), NLMSG_ALIGNTO) >= 0 &&
		nla_put_u32(message, RTA_TABLE, search->table) >= 0) {
		(void)!set_strict(netlink, 1);
		error = dump(netlink, message, look_at_route, search);
		(void)!set_strict(netlink, 0);
	} else {
		nlmsg_free(message);
	}
	error = explain(error);
	if (error == -ENODEV || error == QE_ERR_UNSUPPORTED)
		error = QE_OK;
	if (error == QE_OK && search->failed)
		error = QE_ERR_FULL;
	if (error != QE_OK)
		free(search->found);
	return error;
}

static void add_hop(struct rtnl_route *route, int index)
{
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();

	if (!hop)
		return; /* the kernel refuses a route that leads nowhere */
	rtnl_route_nh_set_ifindex(hop, index);
	rtnl_route_add_nexthop(route, hop);
}

static void fill_route(struct rtnl_route *route, struct nl_addr *destination, uint32_t table,
	const struct found *from)
{
	static const uint8_t types[] = {
		[QE_POLICY_INTO] = RTN_UNICAST,
		[QE_POLICY_UNREACHABLE] = RTN_UNREACHABLE,
		[QE_POLICY_THROW] = RTN_THROW,
	};
	bool leads = from->route.type == QE_POLICY_INTO;

	rtnl_route_set_family(route, (uint8_t)nl_addr_get_family(destination));
	rtnl_route_set_dst(route, destination);
	rtnl_route_set_protocol(route, QE_ROUTE_PROTOCOL);
	rtnl_route_set_priority(route, from->metric);
	rtnl_route_set_table(route, table);
	rtnl_route_set_type(route, types[from->route.type]);
	/* And not that of a link: where somebody adds a route by way of a router without naming an
	 * interface, the kernel looks for the router on links, and would find it in the tunnel. */
	rtnl_route_set_scope(route, RT_SCOPE_UNIVERSE);
	if (leads)
		add_hop(route, from->index);
}

typedef int change_route(struct nl_sock *socket, struct rtnl_route *route, int flags);

static enum qe_error with_route(struct qe_netlink *netlink, uint32_t table,
	const struct found *from, change_route *change, int flags)
{
	const struct qe_prefix *prefix = &from->route.prefix;
	struct nl_addr *destination = qe_to_libnl(&prefix->addr, prefix->length);
	struct rtnl_route *route = rtnl_route_alloc();
	int result = -NLE_NOMEM;

	if (destination && route) {
		fill_route(route, destination, table, from);
		result = change(netlink->socket, route, flags);
	}
	rtnl_route_put(route);
	nl_addr_put(destination);
	return explain(qe_netlink_result(netlink, result));
}

static bool is_same(const struct found *a, const struct found *b)
{
	return a->route.type == b->route.type && a->metric == b->metric && a->index == b->index &&
	       qe_prefix_compare(&a->route.prefix, &b->route.prefix) == 0;
}

static struct found wanted(const struct qe_policy_route *route, unsigned index)
{
	return (struct found){
		*route, metric_of(route->type), route->type == QE_POLICY_INTO ? (int)index : 0};
}

/* An interface may be without IPv6 on a host that has it: what would go there is unreachable. */
static enum qe_error add_route(
	struct qe_netlink *netlink, uint32_t table, const struct found *route)
{
	enum qe_error error = with_route(netlink, table, route, rtnl_route_add, NLM_F_EXCL);

	if (route->route.type == QE_POLICY_INTO && error == -EACCES &&
		route->route.prefix.addr.family == QE_FAMILY_IPV6)
		return QE_OK;
	return error;
}

static enum qe_error add_missing(struct qe_netlink *netlink, const struct search *there,
	unsigned index, const struct qe_policy_route *routes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct found route = wanted(&routes[i], index);
		bool found = false;

		for (size_t j = 0; j < there->n && !found; j++)
			found = is_same(&there->found[j], &route);
		if (!found)
			QE_TRY(add_route(netlink, there->table, &route));
	}
	return QE_OK;
}

static enum qe_error remove_others(struct qe_netlink *netlink, const struct search *there,
	unsigned index, const struct qe_policy_route *routes, size_t n)
{
	for (size_t i = 0; i < there->n; i++) {
		enum qe_error error = QE_OK;
		bool found = false;

		for (size_t j = 0; j < n && !found; j++) {
			const struct found route = wanted(&routes[j], index);

			found = is_same(&there->found[i], &route);
		}
		if (!found)
			error = with_route(
				netlink, there->table, &there->found[i], rtnl_route_delete, 0);
		if (error != QE_OK && error != -ENODEV)
			return error;
	}
	return QE_OK;
}

enum qe_error qe_policy_table_set(struct qe_netlink *netlink, enum qe_family family, uint32_t table,
	unsigned index, const struct qe_policy_route *routes, size_t n)
{
	struct search there = {.family = to_system(family), .table = table};
	enum qe_error error;

	QE_TRY(read_table(netlink, &there));
	error = add_missing(netlink, &there, index, routes, n);
	if (error == QE_OK)
		error = remove_others(netlink, &there, index, routes, n);
	free(there.found);
	return error;
}

enum qe_error qe_policy_table_clear(struct qe_netlink *netlink, enum qe_family family,
	uint32_t table, size_t *ret_ours, size_t *ret_others)
{
	struct search there = {.family = to_system(family), .table = table};
	enum qe_error error;

	QE_TRY(read_table(netlink, &there));
	error = remove_others(netlink, &there, 0, nullptr, 0);
	free(there.found);
	if (error != QE_OK)
		return error;
	*ret_ours = there.n;
	*ret_others = there.others;
	return QE_OK;
}

/* ---- who else ---- */

struct rule_search {
	bool ours_too;
	uint32_t priority; /* of the one that was found; 0: none */
};

static uint32_t get_u32(struct nlattr *attribute)
{
	return attribute ? nla_get_u32(attribute) : 0;
}

static bool is_ours(const struct fib_rule_hdr *header, struct nlattr **attributes)
{
	bool inverted = header->flags & FIB_RULE_INVERT;

	if (!attributes[FRA_PROTOCOL] || nla_get_u8(attributes[FRA_PROTOCOL]) != QE_ROUTE_PROTOCOL)
		return false;
	for (size_t i = 0; i < QE_POLICY_RULES; i++) {
		if (get_u32(attributes[FRA_PRIORITY]) == rules[i].priority &&
			get_u32(attributes[FRA_TABLE]) == rules[i].table &&
			get_u32(attributes[FRA_FWMARK]) == rules[i].mark &&
			inverted == rules[i].is_inverted)
			return true;
	}
	return false;
}

static bool is_our_number(uint32_t number)
{
	return number == QE_DEFAULT_TABLE || number == QE_VPN_ONLY_MARK;
}

static int look_at_rule(struct nl_msg *message, void *ctx)
{
	struct rule_search *search = ctx;
	struct nlattr *attributes[FRA_MAX + 1];
	const struct fib_rule_hdr *header = nlmsg_data(nlmsg_hdr(message));
	bool ours;

	if (nlmsg_hdr(message)->nlmsg_type != RTM_NEWRULE ||
		nlmsg_parse(nlmsg_hdr(message), sizeof(*header), attributes, FRA_MAX, nullptr) < 0)
		return NL_OK;
	ours = is_ours(header, attributes);
	if (ours ? search->ours_too
		 : is_our_number(get_u32(attributes[FRA_TABLE])) ||
				is_our_number(get_u32(attributes[FRA_FWMARK])))
		search->priority = get_u32(attributes[FRA_PRIORITY]);
	return NL_OK;
}

static enum qe_error check_rules(
	struct qe_netlink *netlink, enum qe_family family, bool ours_too, struct qe_text *why)
{
	const struct fib_rule_hdr header = {.family = (uint8_t)to_system(family)};
	struct nl_msg *message = nlmsg_alloc_simple(RTM_GETRULE, NLM_F_DUMP);
	struct rule_search search = {.ours_too = ours_too};
	enum qe_error error;

	if (!message || nlmsg_append(message, (void *)&header, sizeof(header), NLMSG_ALIGNTO) < 0) {
		nlmsg_free(message);
		return -ENOMEM;
	}
	error = explain(dump(netlink, message, look_at_rule, &search));
	if (error != QE_OK)
		return error == QE_ERR_UNSUPPORTED ? QE_OK : error;
	if (search.priority == 0)
		return QE_OK;
	qe_text_addf(why,
		"the routing rule of priority %u (ip %srule) uses the mark or the table %u or %u, "
		"which VPN mode needs: another VPN, or another quicether, runs here",
		search.priority, family == QE_FAMILY_IPV6 ? "-6 " : "", QE_DEFAULT_TABLE,
		QE_VPN_ONLY_MARK);
	return QE_ERR_CONFLICT;
}

static enum qe_error check_table(struct qe_netlink *netlink, enum qe_family family, uint32_t table,
	bool ours_too, struct qe_text *why)
{
	struct search there = {.family = to_system(family), .table = table};

	QE_TRY(read_table(netlink, &there));
	free(there.found);
	if (there.others == 0 && (there.n == 0 || !ours_too))
		return QE_OK;
	qe_text_addf(why,
		"the routing table %u, which VPN mode needs, has %zu %s of somebody else (ip "
		"%sroute show table %u)",
		table, there.others + there.n, there.others + there.n == 1 ? "route" : "routes",
		family == QE_FAMILY_IPV6 ? "-6 " : "", table);
	return QE_ERR_CONFLICT;
}

enum qe_error qe_policy_check_free(struct qe_netlink *netlink, bool ours_too, struct qe_text *why)
{
	static const enum qe_family families[] = {QE_FAMILY_IPV4, QE_FAMILY_IPV6};

	for (size_t i = 0; i < 2; i++) {
		QE_TRY(check_rules(netlink, families[i], ours_too, why));
		QE_TRY(check_table(netlink, families[i], QE_DEFAULT_TABLE, ours_too, why));
		QE_TRY(check_table(netlink, families[i], QE_VPN_ONLY_MARK, ours_too, why));
	}
	return QE_OK;
}
