/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/vpn_plan.h"

#include <string.h>

#include "crypto/node_id.h"
#include "daemon/host.h"
#include "net/addr.h"
#include "os/nft_run.h"

/* ---- networks ---- */

struct survey {
	const struct qe_config *config;
	struct qe_vpn_plan *plan;
};

/* Its own addresses, or the network of all overlay addresses: what is the tunnel's is no LAN's. */
static bool is_tunnel(const struct qe_config *config, const struct qe_prefix *prefix)
{
	const struct qe_config_list *addrs = &config->network.tun_addr;

	if (qe_host_is_overlay(prefix))
		return true;
	for (size_t i = 0; i < addrs->n; i++) {
		if (qe_prefix_overlaps(&addrs->addrs[i].prefix, prefix))
			return true;
	}
	return false;
}

static bool is_known(
	const struct qe_vpn_plan *plan, const struct qe_prefix *prefix, const char *interface)
{
	for (size_t i = 0; i < plan->n_lan; i++) {
		if (qe_prefix_compare(&plan->lan[i].prefix, prefix) == 0 &&
			strcmp(plan->lan[i].interface, interface) == 0)
			return true;
	}
	return false;
}

static void add_lan(void *ctx, const struct qe_host_entry *entry)
{
	const struct survey *survey = ctx;
	struct qe_vpn_plan *plan = survey->plan;

	/* A host of its own has nobody else in its network; what no rule can name stays closed. */
	if (entry->is_route || !qe_nft_is_plain(entry->interface) ||
		entry->prefix.length == qe_addr_bits(&entry->addr) ||
		strcmp(entry->interface, survey->config->network.tun_name) == 0 ||
		!qe_prefix_is_lan(&entry->prefix) || is_tunnel(survey->config, &entry->prefix) ||
		is_known(plan, &entry->prefix, entry->interface) || plan->n_lan == QE_VPN_LANS_MAX)
		return;
	plan->lan[plan->n_lan].prefix = entry->prefix;
	memcpy(plan->lan[plan->n_lan++].interface, entry->interface, sizeof(entry->interface));
}

/* ---- names ---- */

static bool has_server(const struct qe_vpn_plan *plan, const struct qe_addr *addr)
{
	for (size_t i = 0; i < plan->n_servers; i++) {
		if (qe_addr_equal(&plan->servers[i], addr))
			return true;
	}
	return false;
}

static void add_server(struct qe_vpn_plan *plan, const struct qe_addr *addr)
{
	if (plan->n_servers < QE_VPN_SERVERS_MAX && !has_server(plan, addr))
		plan->servers[plan->n_servers++] = *addr;
}

size_t qe_vpn_gateway_addrs(const struct qe_config_peer *gateway, struct qe_addr *to, size_t n)
{
	size_t used = 0;

	if (n > 0)
		to[used++] = qe_node_id_overlay_addr(&gateway->id);
	for (size_t i = 0; i < gateway->addresses.n && used < n; i++)
		to[used++] = gateway->addresses.prefixes[i].addr;
	return used;
}

/* Whom the local resolver asks. */
static void fill_servers(struct qe_vpn_plan *plan, const struct qe_config *config,
	const struct qe_config_peer *gateway)
{
	struct qe_addr addrs[4];
	size_t n = gateway && config->vpn.dns_mode == QE_VPN_DNS_GATEWAY
			   ? qe_vpn_gateway_addrs(gateway, addrs, 4)
			   : 0;

	for (size_t i = 0; i < n; i++)
		add_server(plan, &addrs[i]);
	for (size_t i = 0; i < config->vpn.dns.n; i++)
		add_server(plan, &config->vpn.dns.prefixes[i].addr);
	for (size_t i = 0; i < config->dns.domains.n; i++)
		add_server(plan, &config->dns.domains.domains[i].server.addr);
}

/* ---- the plan ---- */

static uint16_t copy_prefixes(struct qe_prefix *to, const struct qe_config_list *from)
{
	for (size_t i = 0; i < from->n; i++)
		to[i] = from->prefixes[i];
	return (uint16_t)from->n;
}

static void fill_addresses(
	struct qe_vpn_plan *plan, const struct qe_config *config, const struct qe_addr *overlay)
{
	static_assert(QE_TUN_ADDRS_MAX < QE_VPN_ADDRESSES_MAX);
	plan->addresses[plan->n_addresses++] = *overlay;
	for (size_t i = 0; i < config->network.tun_addr.n; i++)
		plan->addresses[plan->n_addresses++] = config->network.tun_addr.addrs[i].addr;
}

enum qe_error qe_vpn_make_plan(struct qe_vpn_plan *ret_plan, const struct qe_config *config,
	const struct qe_vpn_facts *facts, struct qe_netlink *netlink)
{
	bool lan = config->vpn.lan == QE_VPN_LAN_ALLOW;
	struct qe_vpn_plan plan = {
		.system = true,
		.only = true,
		.kill_switch = config->vpn.kill_switch,
		.dns = config->vpn.dns_mode != QE_VPN_DNS_OFF,
		.multicast = lan,
	};
	struct survey survey = {config, &plan};

	plan.n_exclude = copy_prefixes(plan.exclude, &config->vpn.exclude);
	plan.n_include = copy_prefixes(plan.include, &config->vpn.include);
	fill_addresses(&plan, config, facts->overlay);
	if (plan.dns)
		fill_servers(&plan, config, facts->gateway);
	if (lan)
		QE_TRY(qe_netlink_visit(netlink, add_lan, &survey));
	if (facts->gateway)
		qe_node_id_format(plan.via, &facts->gateway->id);
	*ret_plan = plan;
	return QE_OK;
}

void qe_vpn_make_only_plan(
	struct qe_vpn_plan *ret_plan, const struct qe_config *config, const struct qe_addr *overlay)
{
	*ret_plan = (struct qe_vpn_plan){.only = true};
	fill_addresses(ret_plan, config, overlay);
}

/* Their elements hold bytes alone, and nothing lies between these. */
bool qe_vpn_same_plan(const struct qe_vpn_plan *a, const struct qe_vpn_plan *b)
{
	return a->system == b->system && a->only == b->only && a->kill_switch == b->kill_switch &&
	       a->dns == b->dns && a->multicast == b->multicast && a->n_exclude == b->n_exclude &&
	       a->n_include == b->n_include && a->n_lan == b->n_lan &&
	       a->n_servers == b->n_servers && a->n_addresses == b->n_addresses &&
	       a->portal_seconds == b->portal_seconds && strcmp(a->via, b->via) == 0 &&
	       memcmp(a->exclude, b->exclude, sizeof(a->exclude)) == 0 &&
	       memcmp(a->include, b->include, sizeof(a->include)) == 0 &&
	       memcmp(a->lan, b->lan, sizeof(a->lan)) == 0 &&
	       memcmp(a->servers, b->servers, sizeof(a->servers)) == 0 &&
	       memcmp(a->addresses, b->addresses, sizeof(a->addresses)) == 0;
}
