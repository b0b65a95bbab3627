/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/vpn_report.h"

#include "crypto/node_id.h"
#include "daemon/audit.h"
#include "net/addr.h"
#include "os/clock.h"

const char *qe_vpn_state_name(enum qe_vpn_state state)
{
	static const char *const names[] = {
		[QE_VPN_OFF] = "off",
		[QE_VPN_CONNECTING] = "connecting",
		[QE_VPN_CONNECTED] = "connected",
		[QE_VPN_RECONNECTING] = "reconnecting",
		[QE_VPN_BLOCKED] = "blocked",
	};

	return names[state];
}

static json_t *prefix_json(const struct qe_prefix *prefix)
{
	char text[QE_PREFIX_TEXT_SIZE];

	qe_prefix_format(text, prefix);
	return json_string(text);
}

static json_t *prefixes_json(const struct qe_prefix *prefixes, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, prefix_json(&prefixes[i]));
	return list;
}

static json_t *lan_json(const struct qe_vpn_plan *plan)
{
	json_t *list = json_array();

	for (size_t i = 0; i < plan->n_lan; i++)
		json_array_append_new(
			list, json_pack("{s:o, s:s}", "prefix", prefix_json(&plan->lan[i].prefix),
				      "interface", plan->lan[i].interface));
	return list;
}

static json_t *via_json(const struct qe_config_peer *via)
{
	char id[QE_NODE_ID_TEXT_SIZE];

	if (!via)
		return json_null();
	qe_node_id_format(id, &via->id);
	return json_pack("{s:s?, s:s}", "name", via->name, "id", id);
}

static json_t *tunnelled_json(const struct qe_vpn_plan *plan)
{
	if (plan->n_include == 0)
		return json_string("everything");
	return prefixes_json(plan->include, plan->n_include);
}

static json_t *families_json(const struct qe_vpn_report *report)
{
	json_t *list = json_array();

	if (report->ipv4)
		json_array_append_new(list, json_string("ipv4"));
	if (report->ipv6)
		json_array_append_new(list, json_string("ipv6"));
	return list;
}

static void add_plan(json_t *json, const struct qe_vpn_plan *plan, bool is_lost)
{
	json_object_set_new(json, "tunnelled", tunnelled_json(plan));
	json_object_set_new(json, "excluded", prefixes_json(plan->exclude, plan->n_exclude));
	json_object_set_new(json, "lan", lan_json(plan));
	json_object_set_new(json, "kill_switch",
		json_string(!plan->kill_switch ? "off"
			    : is_lost          ? "lost"
					       : "holds"));
}

/* It lies ahead; 0: null. */
static json_t *until_json(qe_time at)
{
	int64_t left = (int64_t)(qe_time_since(qe_clock_now(), at) / QE_MILLISECOND);
	char text[QE_CLOCK_TEXT_SIZE];

	if (at == 0)
		return json_null();
	qe_clock_format(text, qe_clock_wall_ms() + left);
	return json_string(text);
}

static json_t *addr_json(const struct qe_addr *addr)
{
	char text[QE_ADDR_TEXT_SIZE];

	qe_addr_format(text, addr);
	return json_string(text);
}

static const char *names_state(enum qe_host_names_state state)
{
	return state == QE_HOST_NAMES_OURS ? "ok" : qe_host_names_state_name(state);
}

static void add_names(json_t *json, const struct qe_naming_status *names)
{
	json_t *servers = json_array(), *exit = json_object();

	for (size_t i = 0; i < names->n_servers; i++)
		json_array_append_new(servers, addr_json(&names->servers[i].addr));
	if (names->for_host != QE_HOST_NAMES_OFF)
		json_object_set_new(json, "dns",
			json_pack("{s:s, s:O, s:s}", "method",
				qe_host_dns_method_name(names->method), "servers", servers, "state",
				names_state(names->for_host)));
	for (size_t i = 0; i < names->n_exit_addrs; i++) {
		const struct qe_addr *addr = &names->exit_addrs[i];

		json_object_set_new(
			exit, addr->family == QE_FAMILY_IPV4 ? "ipv4" : "ipv6", addr_json(addr));
	}
	json_object_set(json, "exit_address", exit);
	json_decref(servers);
	json_decref(exit);
}

json_t *qe_vpn_report_json(const struct qe_vpn_report *report)
{
	char since[QE_CLOCK_TEXT_SIZE];
	json_t *json;

	qe_audit_time(since, report->since);
	json = json_pack("{s:s, s:s?, s:o, s:s, s:o, s:n, s:[], s:[], s:s, s:n, s:{}}", "state",
		qe_vpn_state_name(report->state), "reason", report->reason, "via",
		via_json(report->via), "since", since, "families", families_json(report),
		"tunnelled", "excluded", "lan", "kill_switch", "off", "dns", "exit_address");
	json_object_set_new(json, "portal_until", until_json(report->portal_until));
	if (json && report->plan)
		add_plan(json, report->plan, report->is_lost);
	if (json && report->names)
		add_names(json, report->names);
	return json;
}

/* ---- programs ---- */

static json_t *addrs_json(const struct qe_addr *addrs, size_t n)
{
	json_t *list = json_array();
	char text[QE_ADDR_TEXT_SIZE];

	for (size_t i = 0; i < n; i++) {
		qe_addr_format(text, &addrs[i]);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

json_t *qe_vpn_only_json(const struct qe_config *config, const struct qe_config_peer *gateway)
{
	const struct qe_config_list *servers = &config->vpn.dns;
	struct qe_addr addrs[QE_VPN_DNS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < servers->n; i++)
		addrs[n++] = servers->prefixes[i].addr;
	if (config->vpn.dns_mode == QE_VPN_DNS_GATEWAY)
		n = qe_vpn_gateway_addrs(gateway, addrs, QE_VPN_DNS_MAX);
	return json_pack("{s:s, s:o}", "interface", config->network.tun_name, "servers",
		addrs_json(addrs, n));
}

json_t *qe_vpn_bypass_json(const struct qe_host_dns_answer *former)
{
	return json_pack("{s:o}", "servers",
		former ? addrs_json(former->upstream, former->n_upstream) : json_array());
}
