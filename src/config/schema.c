/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "config/schema.h"

#include <ctype.h>
#include <string.h>

static const char *const roles[] = {"node", "gateway", "enterprise", nullptr};
static const char *const pqs[] = {"required", "preferred", nullptr};
static const char *const ciphers[] = {
	"auto", "aes-256-gcm", "aes-128-gcm", "chacha20-poly1305", nullptr};
static const char *const vpn_lans[] = {"block", "allow", nullptr};
static const char *const log_levels[] = {"error", "warn", "info", "debug", nullptr};

/* Whatever lies in one of a list's prefixes is meant, so these two mean everything. */
#define EVERYTHING "0.0.0.0/0,::/0"
static const struct qe_schema_short all_or_none[] = {{"all", EVERYTHING}, {"none", ""}, {}};
static const struct qe_schema_short gateway_or_off[] = {{"gateway", ""}, {"off", ""}, {}};
static const struct qe_schema_short yes_or_no[] = {{"true", EVERYTHING}, {"false", ""}, {}};

#define AT(field) .offset = offsetof(struct qe_config, field)
#define AT_PEER(field) .offset = offsetof(struct qe_config_peer, field)

const struct qe_schema_key qe_schema[QE_SCHEMA_KEYS] = {
	{"node", "name", &qe_type_name, AT(node.name), .restart = true,
		.computed = "the host's name", .example = "laptop",
		.help = "What this node calls itself. Information only: trust is in the NodeId."},
	{"node", "role", &qe_type_choice, AT(node.role), .words = roles, .fallback = "node",
		.example = "gateway", .flag = "role", .metavar = "ROLE",
		.help = "A gateway forwards for others (forward_subnets). An enterprise node may, "
			"too, and denies everything until there is a policy."},
	{"node", "key_file", &qe_type_path, AT(node.key_file), .restart = true,
		.computed =
			"/etc/quicether/node.key, or node.key beside a file in ~/.config/quicether",
		.example = "/etc/quicether/node.key",
		.help = "The node's private key. A relative path starts at the folder of the "
			"file."},
	{"network", "listen", &qe_type_listen, AT(network.listen), .restart = true,
		.fallback = "[::]:7844", .example = "[::]:7844", .flag = "listen",
		.metavar = "ADDR:PORT",
		.help = "The UDP address to listen on. [::] takes IPv4 too; a port alone means "
			"[::]."},
	{"network", "tun_name", &qe_type_interface_name, AT(network.tun_name), .restart = true,
		.fallback = "quicether0", .example = "quicether0", .flag = "tun-name",
		.metavar = "NAME", .help = "The name of the TUN interface."},
	{"network", "tun_addr", &qe_type_interface_addr, AT(network.tun_addr),
		.list_max = QE_TUN_ADDRS_MAX, .example = "100.64.0.1", .flag = "tun-addr",
		.metavar = "ADDR[/LEN]",
		.help = "Addresses of the TUN interface, besides the overlay address of the node."},
	{"network", "advertise_subnets", &qe_type_prefix, AT(network.advertise_subnets),
		.list_max = QE_ADVERTISE_MAX, .example = "192.168.1.0/24",
		.flag = "advertise-subnet", .metavar = "PREFIX",
		.help = "Subnets behind this node, its own: it forwards to and from them."},
	{"network", "forward_subnets", &qe_type_prefix, AT(network.forward_subnets),
		.list_max = QE_FORWARD_MAX, .example = "10.0.0.0/8", .flag = "forward-subnet",
		.metavar = "PREFIX",
		.help = "What this gateway forwards to for its peers, without owning it; "
			"0.0.0.0/0 and ::/0: the Internet."},
	{"network", "masquerade", &qe_type_prefix, AT(network.masquerade),
		.list_max = QE_FORWARD_MAX, .shorts = yes_or_no, .fallback = "false",
		.example = "10.0.0.0/8",
		.help = "Where packets out of the overlay leave with this host's address (NAT): "
			"everywhere, or for destinations in these prefixes."},
	{"network", "exit", &qe_type_boolean, AT(network.exit), .fallback = "false",
		.example = "true",
		.help = "Whether this gateway forwards to the Internet for its peers, with NAT, "
			"and "
			"not to its own networks."},
	{"network", "probe", &qe_type_host, AT(network.probe), .list_max = QE_PROBES_MAX,
		.example = "192.168.1.1",
		.help = "Addresses behind this gateway that answer pings. While none does, it "
			"withdraws what it advertises and forwards for."},
	{"network", "metric", &qe_type_integer, AT(network.metric), .max = UINT16_MAX,
		.fallback = "100", .example = "200",
		.help = "How this node ranks among several for one prefix: the lowest is used."},
	{"network", "mtu", &qe_type_integer, AT(network.mtu), .restart = true, .min = QE_MTU_MIN,
		.max = QE_MTU_MAX, .fallback = "1400", .example = "1400",
		.help = "The MTU of the TUN interface."},
	{"network", "dscp", &qe_type_integer, AT(network.dscp), .restart = true, .max = QE_DSCP_MAX,
		.fallback = "0", .example = "46",
		.help = "The DSCP of what this node sends to its peers, whatever the packets "
			"inside have."},
	{"overlay", "default_gateway", &qe_type_peer, AT(overlay.default_gateway),
		.example = "gateway",
		.help = "The peer, by name or NodeId, that gets what no other route is for."},
	{"overlay", "accept_routes", &qe_type_prefix, AT(overlay.accept_routes),
		.list_max = QE_ACCEPT_MAX, .shorts = all_or_none, .fallback = "all",
		.example = "10.0.0.0/8",
		.help = "Which routes to peers this host uses: all, none, or those that lie in "
			"these prefixes."},
	{"overlay", "accept_routes_over_lan", &qe_type_boolean, AT(overlay.accept_routes_over_lan),
		.fallback = "false", .example = "true",
		.help = "Use them also where they overlap a network that this host is connected "
			"to."},
	{"vpn", "enabled", &qe_type_boolean, AT(vpn.enabled), .fallback = "false",
		.example = "true", .flag = "vpn",
		.help = "VPN mode: what this host sends goes through one gateway."},
	{"vpn", "via", &qe_type_peer, AT(vpn.via), .computed = "overlay.default_gateway",
		.example = "gateway", .flag = "via", .metavar = "NODE",
		.help = "The peer, by name or NodeId, that all of it goes through; it needs "
			"exit = true."},
	{"vpn", "exclude", &qe_type_prefix, AT(vpn.exclude), .list_max = QE_VPN_LIST_MAX,
		.example = "203.0.113.0/24", .help = "What goes beside the tunnel all the same."},
	{"vpn", "include", &qe_type_prefix, AT(vpn.include), .list_max = QE_VPN_LIST_MAX,
		.example = "198.51.100.0/24",
		.help = "What goes through the tunnel, and nothing else; none: everything."},
	{"vpn", "lan", &qe_type_choice, AT(vpn.lan), .words = vpn_lans, .fallback = "block",
		.example = "allow",
		.help = "Whether private and link-local addresses of networks that this host is "
			"connected to stay in reach."},
	{"vpn", "kill_switch", &qe_type_boolean, AT(vpn.kill_switch), .fallback = "true",
		.example = "false",
		.help = "Let nothing out beside the tunnel, whether it is up or not."},
	{"vpn", "dns", &qe_type_host, AT(vpn.dns), .list_max = QE_VPN_DNS_MAX,
		.shorts = gateway_or_off, .fallback = "gateway", .example = "10.0.0.53",
		.help = "Who resolves names: the gateway, these servers through the tunnel, or "
			"(off) "
			"whoever did before."},
	{"vpn", "captive_portal", &qe_type_url, AT(vpn.captive_portal),
		.example = "http://203.0.113.80/",
		.help = "A page of yours that answers 204 (no content). Another answer, while VPN "
			"mode "
			"cannot connect, is a captive portal's."},
	{"dns", "domains", &qe_type_domain, AT(dns.domains), .list_max = QE_DOMAINS_MAX,
		.example = "corp.example=10.0.0.53",
		.help = "Domains that have a name server of their own."},
	{"dns", "network", &qe_type_label, AT(dns.network), .fallback = "quicether",
		.example = "home",
		.help = "Nodes have the names NAME.NETWORK.internal; this is NETWORK."},
	{"security", "pq", &qe_type_choice, AT(security.pq), .restart = true, .words = pqs,
		.fallback = "required", .example = "required",
		.help = "Post-quantum key exchange (X25519MLKEM768): required, or only preferred."},
	{"security", "cipher", &qe_type_choice, AT(security.cipher), .restart = true,
		.words = ciphers, .fallback = "auto", .example = "auto",
		.help = "The cipher of the packets; auto takes AES-GCM where the processor has "
			"AES."},
	{"security", "rotate_secs", &qe_type_integer, AT(security.rotate_secs), .restart = true,
		.min = 1, .max = 600, .fallback = "300", .example = "300", .flag = "rotate-secs",
		.metavar = "SECONDS",
		.help = "The age at which a link is replaced by one with fresh keys."},
	{"security", "policy_file", &qe_type_path, AT(security.policy_file),
		.example = "/etc/quicether/policy.toml",
		.help = "The rules that packets are allowed by (docs/policy.md). A relative path "
			"starts at the folder of the file."},
	{"security", "audit_log", &qe_type_path, AT(security.audit_log), .restart = true,
		.example = "/var/log/quicether/audit.jsonl",
		.help = "Where records of what happened go, one JSON object in a line. A relative "
			"path starts at the folder of the file."},
	{"performance", "workers", &qe_type_integer, AT(performance.workers), .restart = true,
		.max = QE_WORKERS_MAX, .zero = "auto", .fallback = "auto", .example = "2",
		.help = "Threads that carry packets; auto: one for each CPU of cpu_affinity, else "
			"for "
			"every two CPUs, at most 4."},
	{"performance", "cpu_affinity", &qe_type_integer, AT(performance.cpu_affinity),
		.restart = true, .list_max = QE_WORKERS_MAX, .max = QE_CPU_MAX, .example = "0",
		.help = "The CPU that each worker stays on, as many as there are workers."},
	{"monitoring", "log_level", &qe_type_choice, AT(monitoring.log_level), .words = log_levels,
		.fallback = "info", .example = "info", .flag = "log-level", .metavar = "LEVEL",
		.help = "How much is logged."},
	{"peers", "name", &qe_type_name, AT_PEER(name), .example = "gateway",
		.help = "What this node calls the peer; usable in commands."},
	{"peers", "id", &qe_type_node_id, AT_PEER(id), .required = true,
		.example = "oz2mrw5ugm4ttcsqcdlwk3ocehjqzjcp", .flag = "peer",
		.metavar = "NODEID[@HOST[:PORT]]",
		.flag_help =
			"A peer to add, or an endpoint to add to a configured one; repeatable.",
		.help = "The peer's NodeId."},
	{"peers", "endpoints", &qe_type_host_port, AT_PEER(endpoints),
		.list_max = QE_PEER_ENDPOINTS_MAX, .example = "vpn.example.net:7844",
		.help = "Where the peer can be reached. None: it is the one that dials."},
	{"peers", "addresses", &qe_type_host, AT_PEER(addresses), .list_max = QE_PEER_PREFIXES_MAX,
		.example = "100.64.0.2",
		.help = "The peer's addresses, besides the overlay address, which is its own by "
			"right."},
	{"peers", "subnets", &qe_type_prefix, AT_PEER(subnets), .list_max = QE_PEER_PREFIXES_MAX,
		.example = "192.168.1.0/24",
		.help = "Subnets behind the peer: routed to it, and accepted from it."},
	{"peers", "gateway_subnets", &qe_type_prefix, AT_PEER(gateway_subnets),
		.list_max = QE_PEER_PREFIXES_MAX, .example = "10.0.0.0/8",
		.help = "What the peer may forward for as a gateway: it has to advertise it, or "
			"parts of it."},
	{"peers", "exit", &qe_type_boolean, AT_PEER(exit), .fallback = "false", .example = "true",
		.help = "Whether the peer may advertise a default route."},
	{"peers", "groups", &qe_type_name, AT_PEER(groups), .list_max = QE_PEER_GROUPS_MAX,
		.example = "servers", .help = "Groups that the peer belongs to, for policy."},
};

const struct qe_schema_key *qe_schema_find(const char *section, const char *key)
{
	for (size_t i = 0; i < QE_SCHEMA_KEYS; i++)
		if (strcmp(qe_schema[i].section, section) == 0 &&
			strcmp(qe_schema[i].key, key) == 0)
			return &qe_schema[i];
	return nullptr;
}

const struct qe_schema_key *qe_schema_find_flag(const char *flag)
{
	for (size_t i = 0; i < QE_SCHEMA_KEYS; i++)
		if (qe_schema[i].flag && strcmp(qe_schema[i].flag, flag) == 0)
			return &qe_schema[i];
	return nullptr;
}

bool qe_schema_has_section(const char *section)
{
	for (size_t i = 0; i < QE_SCHEMA_KEYS; i++)
		if (strcmp(qe_schema[i].section, section) == 0)
			return true;
	return false;
}

const struct qe_schema_short *qe_schema_find_short(
	const struct qe_schema_key *key, const char *word)
{
	for (const struct qe_schema_short *at = key->shorts; at && at->word; at++)
		if (strcmp(at->word, word) == 0)
			return at;
	return nullptr;
}

bool qe_schema_is_bare(const char *word)
{
	return strcmp(word, "true") == 0 || strcmp(word, "false") == 0;
}

bool qe_schema_is_peer(const struct qe_schema_key *key)
{
	return key - qe_schema >= QE_CONFIG_KEYS;
}

size_t qe_schema_origin(const struct qe_schema_key *key)
{
	return (size_t)(key - qe_schema) - (qe_schema_is_peer(key) ? QE_CONFIG_KEYS : 0);
}

void qe_schema_add_name(struct qe_text *to, const struct qe_schema_key *key)
{
	qe_text_addf(to, "%s.%s", key->section, key->key);
}

static void add_upper(struct qe_text *to, const char *text)
{
	for (; *text; text++)
		qe_text_addf(to, "%c", toupper((unsigned char)*text));
}

void qe_schema_add_environment(struct qe_text *to, const struct qe_schema_key *key)
{
	if (qe_schema_is_peer(key))
		return;
	qe_text_add(to, "QUICETHER_");
	add_upper(to, key->section);
	qe_text_add(to, "_");
	add_upper(to, key->key);
}

static void add_words(struct qe_text *to, const char *const *words)
{
	for (size_t i = 0; words[i]; i++) {
		const char *between = i == 0 ? "" : words[i + 1] ? ", " : " or ";
		qe_text_addf(to, "%s\"%s\"", between, words[i]);
	}
}

/* As it is in the file: "a domain and its server, as in {"corp.example" = "10.0.0.53"}". */
static void add_table(struct qe_text *to, const struct qe_schema_key *key)
{
	const char *value = strchr(key->example, '=') + 1;

	qe_text_addf(to, "%s, as in {\"%.*s\" = \"%s\"}", key->type->expected,
		(int)(value - 1 - key->example), key->example, value);
}

void qe_schema_add_expected_item(struct qe_text *to, const struct qe_schema_key *key)
{
	if (key->words)
		add_words(to, key->words);
	else if (key->type->boolean)
		qe_text_add(to, "true or false");
	else if (key->type->integer)
		qe_text_addf(to, "an integer from %u to %u%s%s%s", key->min, key->max,
			key->zero ? " or \"" : "", key->zero ? key->zero : "",
			key->zero ? "\"" : "");
	else if (key->type->table)
		add_table(to, key);
	else
		qe_text_addf(to, "%s such as \"%s\"", key->type->expected, key->example);
}

static void add_shorts(struct qe_text *to, const struct qe_schema_key *key)
{
	for (const struct qe_schema_short *at = key->shorts; at && at->word; at++) {
		qe_text_addf(to, qe_schema_is_bare(at->word) ? "%s%s" : "%s\"%s\"",
			at == key->shorts ? "" : ", ", at->word);
	}
	qe_text_add(to, key->shorts ? " or " : "");
}

void qe_schema_add_expected(struct qe_text *to, const struct qe_schema_key *key)
{
	if (key->list_max)
		add_shorts(to, key);
	if (key->list_max && !key->type->table)
		qe_text_addf(to,
			key->type->integer ? "an array such as [%s]" : "an array such as [\"%s\"]",
			key->example);
	else
		qe_schema_add_expected_item(to, key);
}

void qe_schema_add_default(struct qe_text *to, const struct qe_schema_key *key)
{
	if (key->required)
		qe_text_add(to, "required");
	else if (key->computed)
		qe_text_add(to, key->computed);
	else
		qe_text_add(to, key->fallback ? key->fallback : "none");
}

const char *qe_role_name(enum qe_role role)
{
	return roles[role];
}

const char *qe_log_level_name(enum qe_log_level level)
{
	return log_levels[level];
}

const char *qe_pq_name(enum qe_pq pq)
{
	return pqs[pq];
}

const char *qe_cipher_name(enum qe_cipher cipher)
{
	return ciphers[cipher];
}
