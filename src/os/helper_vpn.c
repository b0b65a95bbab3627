/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The order is that nothing leaks between two steps: the kill switch stands before the first
 * route, and until after the last one; then the settings, then the tables, and the rules that lead
 * to these last. Off is the same backwards, which is what undoing the journal does.
 *
 * One plan takes the place of another in that order, too. The kill switch changes in one
 * transaction. While the tables differ from it, what it does not let out any more is rejected, and
 * what it has just begun to let out still goes into the tunnel.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/helper_vpn.h"
#include "os/kill_switch.h"
#include "os/nft_run.h"
#include "os/policy_routes.h"
#include "os/sysctl.h"

/* Answers to marked packets come by another interface than the routes say: strict reverse path
 * filtering is to look at the mark, which the kill switch's table gives them. */
constexpr char mark_setting[] = "/proc/sys/net/ipv4/conf/all/src_valid_mark";
constexpr char mark_group[] = "vpn";

/* Of one table and family: a default route and an unreachable one; or two for each included
 * prefix; one for each other. */
constexpr size_t routes_max = 2 * QE_VPN_PREFIXES_MAX + QE_VPN_PREFIXES_MAX + QE_VPN_LANS_MAX + 2;

static const struct {
	enum qe_family family;
	const char *name;
} families[] = {{QE_FAMILY_IPV4, "ipv4"}, {QE_FAMILY_IPV6, "ipv6"}};

/* ---- is it sound ---- */

/* Looked at as bytes: any other value in a bool is undefined. */
static bool is_bool(const bool *at)
{
	uint8_t byte;

	memcpy(&byte, at, 1);
	return byte <= 1;
}

static bool is_global(const struct qe_addr *addr)
{
	return (addr->family == QE_FAMILY_IPV4 || addr->family == QE_FAMILY_IPV6) &&
	       !qe_addr_is_loopback(addr) && !qe_addr_is_multicast(addr);
}

static bool is_masked(const struct qe_prefix *prefix)
{
	struct qe_prefix masked = *prefix;

	if (prefix->length > qe_addr_bits(&prefix->addr))
		return false;
	qe_prefix_mask(&masked);
	return qe_prefix_compare(&masked, prefix) == 0;
}

static bool are_prefixes(const struct qe_prefix *prefixes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_global(&prefixes[i].addr) || prefixes[i].length == 0 ||
			!is_masked(&prefixes[i]))
			return false;
	}
	return true;
}

static bool are_addrs(const struct qe_addr *addrs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_global(&addrs[i]) || qe_addr_is_unspecified(&addrs[i]))
			return false;
	}
	return true;
}

/* One that claims public addresses gets nothing. */
static bool are_lans(const struct qe_vpn_lan *lans, size_t n, const char *interface)
{
	for (size_t i = 0; i < n; i++) {
		const struct qe_vpn_lan *lan = &lans[i];

		if (!is_global(&lan->prefix.addr) || !is_masked(&lan->prefix) ||
			!qe_prefix_is_lan(&lan->prefix) ||
			!memchr(lan->interface, '\0', sizeof(lan->interface)) ||
			!qe_nft_is_plain(lan->interface) || strcmp(lan->interface, interface) == 0)
			return false;
	}
	return true;
}

/* A word of the journal. */
static bool is_gateway(const char via[static QE_NODE_ID_TEXT_SIZE])
{
	size_t len = strnlen(via, QE_NODE_ID_TEXT_SIZE);

	return len == 0 || (len == QE_NODE_ID_TEXT_SIZE - 1 &&
				   strspn(via, "abcdefghijklmnopqrstuvwxyz234567") == len);
}

bool qe_vpn_plan_is_sound(const struct qe_vpn_plan *plan, const char *interface)
{
	return is_bool(&plan->system) && is_bool(&plan->only) && is_bool(&plan->kill_switch) &&
	       is_bool(&plan->dns) && is_bool(&plan->multicast) && is_gateway(plan->via) &&
	       plan->n_exclude <= QE_VPN_PREFIXES_MAX && plan->n_include <= QE_VPN_PREFIXES_MAX &&
	       plan->n_lan <= QE_VPN_LANS_MAX && plan->n_servers <= QE_VPN_SERVERS_MAX &&
	       plan->n_addresses <= QE_VPN_ADDRESSES_MAX &&
	       plan->portal_seconds <= QE_VPN_PORTAL_SECONDS_MAX &&
	       are_prefixes(plan->exclude, plan->n_exclude) &&
	       are_prefixes(plan->include, plan->n_include) &&
	       are_lans(plan->lan, plan->n_lan, interface) &&
	       are_addrs(plan->servers, plan->n_servers) &&
	       are_addrs(plan->addresses, plan->n_addresses);
}

/* ---- the tables ---- */

struct table {
	enum qe_family family;
	struct qe_policy_route routes[routes_max];
	size_t n;
};

static void add(struct table *table, const struct qe_prefix *prefix, enum qe_policy_route_type type)
{
	if (prefix->addr.family != table->family)
		return;
	for (size_t i = 0; i < table->n; i++) {
		if (table->routes[i].type == type &&
			qe_prefix_compare(&table->routes[i].prefix, prefix) == 0)
			return;
	}
	table->routes[table->n++] = (struct qe_policy_route){*prefix, type};
}

/* Where the tunnel is gone, or not there yet, the packets must not come to the next rule. */
static void add_into(struct table *table, const struct qe_prefix *prefix)
{
	add(table, prefix, QE_POLICY_UNREACHABLE);
	add(table, prefix, QE_POLICY_INTO);
}

static void fill_system(struct table *table, const struct qe_vpn_plan *plan)
{
	const struct qe_prefix all = {.addr.family = (uint8_t)table->family};

	for (size_t i = 0; i < plan->n_include; i++)
		add_into(table, &plan->include[i]);
	if (plan->n_include == 0)
		add_into(table, &all);
	for (size_t i = 0; i < plan->n_exclude; i++)
		add(table, &plan->exclude[i], QE_POLICY_THROW);
	for (size_t i = 0; i < plan->n_lan; i++)
		add(table, &plan->lan[i].prefix, QE_POLICY_THROW);
}

static void fill_only(struct table *table, const struct qe_vpn_plan *)
{
	const struct qe_prefix all = {.addr.family = (uint8_t)table->family};

	add_into(table, &all);
}

static bool has_system(const struct qe_vpn_plan *plan)
{
	return plan->system;
}

static bool has_only(const struct qe_vpn_plan *plan)
{
	return plan->only;
}

/* A table, the rule that leads there, and whether a plan has them. */
static const struct part {
	uint32_t table;
	enum qe_policy_rule rule;
	bool (*is_in)(const struct qe_vpn_plan *plan);
	void (*fill)(struct table *table, const struct qe_vpn_plan *plan);
} parts[] = {
	{QE_DEFAULT_TABLE, QE_RULE_UNMARKED, has_system, fill_system},
	{QE_VPN_ONLY_MARK, QE_RULE_ONLY, has_only, fill_only},
};

constexpr size_t n_parts = sizeof(parts) / sizeof(parts[0]);

static enum qe_error journal_change(struct qe_vpn_host *host, const char *kind, const char *which)
{
	const struct qe_journal_entry entry = {{kind, which}, 2};

	return qe_journal_add(host->journal, &entry, 1);
}

static void leave_out_ways_in(struct table *table)
{
	size_t kept = 0;

	for (size_t i = 0; i < table->n; i++) {
		if (table->routes[i].type != QE_POLICY_INTO)
			table->routes[kept++] = table->routes[i];
	}
	table->n = kept;
}

static enum qe_error set_table(struct qe_vpn_host *host, const struct qe_vpn_plan *plan,
	const struct part *part, size_t family)
{
	struct table table = {.family = families[family].family};
	char name[24];
	bool up;

	part->fill(&table, plan);
	QE_TRY(qe_netlink_is_up(host->netlink, host->interface, &up));
	if (!up)
		leave_out_ways_in(&table);
	snprintf(name, sizeof(name), "%s/%u", families[family].name, part->table);
	QE_TRY(journal_change(host, QE_JOURNAL_ROUTES, name));
	return qe_policy_table_set(host->netlink, table.family, part->table,
		if_nametoindex(host->interface), table.routes, table.n);
}

static enum qe_error set_tables(struct qe_vpn_host *host, const struct qe_vpn_plan *plan)
{
	for (size_t i = 0; i < n_parts; i++) {
		for (size_t j = 0; parts[i].is_in(plan) && j < 2; j++) {
			enum qe_error error = set_table(host, plan, &parts[i], j);

			if (error != QE_OK && error != QE_ERR_UNSUPPORTED)
				return error;
		}
	}
	return QE_OK;
}

/* ---- rules ---- */

static void name_rule(char to[static 24], enum qe_policy_rule rule, size_t family)
{
	snprintf(to, 24, "%s/%s", families[family].name, qe_policy_rule_name(rule));
}

static enum qe_error add_rule(struct qe_vpn_host *host, enum qe_policy_rule rule, size_t family)
{
	char name[24];
	enum qe_error error;

	name_rule(name, rule, family);
	QE_TRY(journal_change(host, QE_JOURNAL_RULE, name));
	error = qe_policy_rule_add(host->netlink, families[family].family, rule);
	return error == QE_ERR_UNSUPPORTED ? QE_OK : error;
}

static enum qe_error add_rules(struct qe_vpn_host *host, const struct qe_vpn_plan *plan)
{
	for (size_t i = 0; i < n_parts; i++) {
		for (size_t j = 0; parts[i].is_in(plan) && j < 2; j++)
			QE_TRY(add_rule(host, parts[i].rule, j));
	}
	return QE_OK;
}

static enum qe_error remove_part(struct qe_vpn_host *host, const struct part *part, size_t family)
{
	struct qe_undo undo = {.netlink = host->netlink};
	char name[24];

	name_rule(name, part->rule, family);
	QE_TRY(qe_undo_one(&undo, host->journal, QE_JOURNAL_RULE, name));
	snprintf(name, sizeof(name), "%s/%u", families[family].name, part->table);
	return qe_undo_one(&undo, host->journal, QE_JOURNAL_ROUTES, name);
}

/* What the plan before had, and this one has not; and the rule that goes before ours where only a
 * default route was taken. */
static enum qe_error remove_others(struct qe_vpn_host *host, const struct qe_vpn_plan *plan)
{
	struct qe_undo undo = {.netlink = host->netlink};
	char name[24];

	for (size_t j = 0; j < 2; j++) {
		for (size_t i = 0; i < n_parts; i++) {
			if (!parts[i].is_in(plan))
				QE_TRY(remove_part(host, &parts[i], j));
		}
		name_rule(name, QE_RULE_KNOWN, j);
		QE_TRY(qe_undo_one(&undo, host->journal, QE_JOURNAL_RULE, name));
	}
	return QE_OK;
}

/* ---- the gateway, which is only remembered ---- */

static size_t find_gateway(const struct qe_journal *journal)
{
	size_t i = 0;

	while (i < qe_journal_count(journal) &&
		strcmp(qe_journal_at(journal, i).words[0], QE_JOURNAL_GATEWAY) != 0)
		i++;
	return i;
}

const char *qe_vpn_host_gateway(const struct qe_vpn_host *host)
{
	size_t i = find_gateway(host->journal);

	return i < qe_journal_count(host->journal) ? qe_journal_at(host->journal, i).words[1]
						   : nullptr;
}

/* Once all of the plan is in effect: what stands without it is undone by the next start. */
static enum qe_error remember_gateway(struct qe_vpn_host *host, const struct qe_vpn_plan *plan)
{
	const char *before = qe_vpn_host_gateway(host);
	bool wanted = plan->system && plan->kill_switch && plan->via[0];

	if (before && wanted && strcmp(before, plan->via) == 0)
		return QE_OK;
	if (wanted)
		QE_TRY(journal_change(host, QE_JOURNAL_GATEWAY, plan->via));
	if (before) { /* which is the first */
		qe_journal_drop(host->journal, find_gateway(host->journal));
		qe_journal_save(host->journal);
	}
	return QE_OK;
}

/* ---- one plan after another ---- */

static enum qe_error set_kill_switch(
	struct qe_vpn_host *host, const struct qe_vpn_plan *plan, struct qe_text *why)
{
	QE_TRY(journal_change(host, QE_JOURNAL_NFT, QE_VPN_NFT_TABLE));
	return qe_kill_switch_set(host->interface, plan, why);
}

/* A kernel that lacks the setting does not look at marks there either. */
static enum qe_error believe_marks(struct qe_vpn_host *host)
{
	enum qe_error error = qe_sysctl_set(host->journal, mark_group, mark_setting, "1");

	return error == -ENOENT ? QE_OK : error;
}

static enum qe_error explain(enum qe_error error, const char *what, struct qe_text *why)
{
	if (error != QE_OK && why->len == 0)
		qe_text_addf(why, "%s: %s", what, qe_error_text(error));
	return error;
}

static enum qe_error apply(
	struct qe_vpn_host *host, const struct qe_vpn_plan *plan, struct qe_text *why)
{
	QE_TRY(explain(set_kill_switch(host, plan, why), "the kill switch cannot be set", why));
	QE_TRY(explain(believe_marks(host), "net.ipv4.conf.all.src_valid_mark cannot be set", why));
	QE_TRY(explain(set_tables(host, plan), "routes cannot be made", why));
	QE_TRY(explain(add_rules(host, plan), "routing rules cannot be made", why));
	QE_TRY(explain(remove_others(host, plan), "former routes cannot be removed", why));
	return explain(remember_gateway(host, plan), "the journal cannot be written", why);
}

static bool is_vpn(void *, const struct qe_journal_entry *entry)
{
	const char *kind = entry->words[0];

	return strcmp(kind, QE_JOURNAL_RULE) == 0 || strcmp(kind, QE_JOURNAL_ROUTES) == 0 ||
	       strcmp(kind, QE_JOURNAL_GATEWAY) == 0 ||
	       (strcmp(kind, QE_JOURNAL_NFT) == 0 &&
		       strcmp(entry->words[1], QE_VPN_NFT_TABLE) == 0) ||
	       (strcmp(kind, QE_JOURNAL_SYSCTL) == 0 && entry->n > 2 &&
		       strcmp(entry->words[2], mark_group) == 0);
}

bool qe_vpn_is_block(void *ctx, const struct qe_journal_entry *entry)
{
	return is_vpn(ctx, entry) || strcmp(entry->words[0], QE_JOURNAL_RESOLVER) == 0;
}

static enum qe_error check_free(struct qe_vpn_host *host, bool alone, struct qe_text *why)
{
	bool exists = false;

	/* Also to undo what is begun takes it. */
	if (!qe_nft_find()) {
		qe_text_add(why, "there is no program nft: install nftables");
		return -ENOENT;
	}
	if (qe_journal_has(host->journal, QE_JOURNAL_NFT, QE_VPN_NFT_TABLE))
		return QE_OK;
	QE_TRY(qe_policy_check_free(host->netlink, !alone, why));
	if (alone)
		return QE_OK;
	QE_TRY(qe_kill_switch_exists(&exists, why));
	if (!exists)
		return QE_OK;
	qe_text_add(why, "there is a table inet " QE_VPN_NFT_TABLE
			 " already: another quicether is in VPN mode here");
	return QE_ERR_CONFLICT;
}

/* What stands since a daemon before is of a plan that nobody knows any more: the block stays. */
static void roll_back(struct qe_vpn_host *host)
{
	struct qe_undo undo = {.netlink = host->netlink};
	char unheard[200];
	struct qe_text why = qe_text_init(unheard, sizeof(unheard));

	if (host->plan)
		(void)!apply(host, host->plan, &why);
	else if (!host->is_held)
		(void)!qe_undo_run(&undo, host->journal, is_vpn, nullptr);
}

static enum qe_error turn_off(struct qe_vpn_host *host, struct qe_text *why)
{
	struct qe_undo undo = {.netlink = host->netlink};
	enum qe_error error = QE_OK;

	if (host->plan || host->is_held)
		error = qe_undo_run(
			&undo, host->journal, host->is_held ? qe_vpn_is_block : is_vpn, nullptr);
	if (error != QE_OK) {
		roll_back(host);
		qe_text_add(
			why, host->plan ? "not all could be undone, and so nothing is: "
					  "\"quicether vpn panic-off\" does what can be done"
					: "not all of what a daemon before this one has left could "
					  "be undone: \"quicether repair\" tries again, once the "
					  "daemon is stopped");
		return error;
	}
	free(host->plan);
	host->plan = nullptr;
	host->is_held = false;
	return QE_OK;
}

enum qe_error qe_vpn_host_set(
	struct qe_vpn_host *host, const struct qe_vpn_plan *plan, bool alone, struct qe_text *why)
{
	struct qe_vpn_plan *copy;
	enum qe_error error;

	if (!plan)
		return turn_off(host, why);
	QE_TRY(explain(check_free(host, alone, why), "the host cannot be looked at", why));
	copy = malloc(sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	*copy = *plan;
	copy->portal_seconds = 0; /* an opening is not made twice */
	error = apply(host, plan, why);
	if (error != QE_OK) {
		free(copy);
		roll_back(host);
		return error;
	}
	free(host->plan);
	host->plan = copy;
	host->is_held = false;
	return QE_OK;
}
