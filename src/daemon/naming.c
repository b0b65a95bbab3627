/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/naming.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "crypto/node_id.h"
#include "daemon/host.h"
#include "daemon/names_listeners.h"
#include "daemon/vpn_plan.h"
#include "net/addr.h"
#include "os/clock.h"

constexpr qe_time look_again = 5 * QE_SECOND;
constexpr qe_time exit_holds = 60 * QE_SECOND; /* the gateway's address; then it is asked again */
constexpr uint64_t exit_cookies = UINT64_MAX << 32; /* with the number of the question */

struct qe_naming {
	struct qe_naming_settings settings;
	struct qe_addr overlay;
	struct qe_dns *dns;
	struct qe_host_names *host_names;
	struct qe_alarm alarm;
	bool vpn;          /* is on */
	bool portal;       /* is open */
	bool is_connected; /* or was, since it is on */
	bool has_members;  /* they are answered */
	bool has_host;     /* so are this host's programs, from then until the end */
	struct qe_names_listeners listeners;
	struct qe_endpoint upstream[QE_DNS_SERVERS_MAX];
	size_t n_upstream;
	struct qe_addr exit_addrs[2]; /* the gateway's */
	size_t n_exit_addrs;
	qe_time exit_until;
	uint32_t exit_asked; /* an older answer is about another gateway, perhaps */
	struct outlook {
		struct qe_addr servers[QE_RESOLV_SERVERS_MAX];
		struct qe_addr exit_addrs[2];
		size_t n_servers, n_exit_addrs;
	} outlook; /* for members: of this host, as it was seen last */
};

static const struct qe_config *config_of(const struct qe_naming *naming)
{
	return qe_directory_config(naming->settings.directory);
}

static struct qe_helper *helper_of(const struct qe_naming *naming)
{
	return qe_router_helper(naming->settings.router);
}

/* ---- what the resolver is told ---- */

/* All that settings refer to. */
struct draft {
	struct qe_dns_settings settings;
	struct qe_dns_node *nodes;
	struct qe_addr *addrs;
	size_t n_addrs;
	struct qe_dns_owner *owners;
	struct qe_prefix overlay[1 + QE_TUN_ADDRS_MAX];
	struct qe_dns_domain domains[QE_DOMAINS_MAX];
};

static void add_addr(struct draft *draft, struct qe_dns_node *node, const struct qe_addr *addr)
{
	draft->addrs[draft->n_addrs++] = *addr;
	node->n++;
}

static struct qe_dns_node *add_node(struct draft *draft, const char *name)
{
	struct qe_dns_node *node = &draft->nodes[draft->settings.n_nodes++];

	*node = (struct qe_dns_node){name, draft->addrs + draft->n_addrs, 0};
	return node;
}

static void add_peer(struct draft *draft, const struct qe_config_peer *peer)
{
	const struct qe_addr overlay = qe_node_id_overlay_addr(&peer->id);
	struct qe_dns_node *node = add_node(draft, peer->name);

	add_addr(draft, node, &overlay);
	for (size_t i = 0; i < peer->addresses.n; i++) {
		const struct qe_prefix *prefix = &peer->addresses.prefixes[i];

		if (prefix->length == qe_addr_bits(&prefix->addr))
			add_addr(draft, node, &prefix->addr);
	}
}

static void add_self(const struct qe_naming *naming, struct draft *draft)
{
	const struct qe_config_list *addrs = &config_of(naming)->network.tun_addr;
	struct qe_dns_node *node = add_node(draft, config_of(naming)->node.name);

	add_addr(draft, node, &naming->overlay);
	for (size_t i = 0; i < addrs->n; i++)
		add_addr(draft, node, &addrs->addrs[i].addr);
}

static enum qe_error add_nodes(const struct qe_naming *naming, struct draft *draft)
{
	const struct qe_config *config = config_of(naming);
	size_t n = 1 + config->network.tun_addr.n;

	for (size_t i = 0; i < config->n_peers; i++)
		n += 1 + config->peers[i].addresses.n;
	draft->addrs = calloc(n, sizeof(*draft->addrs));
	draft->nodes = calloc(config->n_peers + 1, sizeof(*draft->nodes));
	if (!draft->addrs || !draft->nodes)
		return -ENOMEM;
	add_self(naming, draft);
	for (size_t i = 0; i < config->n_peers; i++) {
		if (config->peers[i].name)
			add_peer(draft, &config->peers[i]);
	}
	draft->settings.nodes = draft->nodes;
	return QE_OK;
}

static void add_owned(struct draft *draft, size_t peer, const struct qe_prefix *prefixes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		draft->owners[draft->settings.n_owners++] = (struct qe_dns_owner){
			prefixes[i], (uint32_t)peer + 1};
}

/* All that a member may send from. */
static enum qe_error add_owners(const struct qe_naming *naming, struct draft *draft)
{
	const struct qe_config *config = config_of(naming);
	size_t n = 0;

	for (size_t i = 0; i < config->n_peers; i++)
		n += 1 + config->peers[i].n_prefixes + config->peers[i].gateway_subnets.n;
	draft->owners = calloc(n + 1, sizeof(*draft->owners));
	if (!draft->owners)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_peers; i++) {
		const struct qe_config_peer *peer = &config->peers[i];
		const struct qe_addr overlay = qe_node_id_overlay_addr(&peer->id);
		const struct qe_prefix host = qe_prefix_host(&overlay);

		add_owned(draft, i, &host, 1);
		add_owned(draft, i, peer->prefixes, peer->n_prefixes);
		add_owned(draft, i, peer->gateway_subnets.prefixes, peer->gateway_subnets.n);
	}
	draft->settings.owners = draft->owners;
	return QE_OK;
}

static void add_overlay(const struct qe_naming *naming, struct draft *draft)
{
	const struct qe_config_list *addrs = &config_of(naming)->network.tun_addr;
	size_t n = 0;

	draft->overlay[n++] = qe_host_overlay();
	for (size_t i = 0; i < addrs->n; i++)
		draft->overlay[n++] = addrs->addrs[i].prefix;
	draft->settings.overlay = draft->overlay;
	draft->settings.n_overlay = n;
}

static void add_domains(const struct qe_naming *naming, struct draft *draft)
{
	const struct qe_config_list *domains = &config_of(naming)->dns.domains;

	for (size_t i = 0; i < domains->n; i++)
		draft->domains[i] = (struct qe_dns_domain){
			domains->domains[i].suffix, domains->domains[i].server};
	draft->settings.domains = draft->domains;
	draft->settings.n_domains = domains->n;
}

static void add_upstream(const struct qe_naming *naming, struct draft *draft)
{
	struct qe_dns_settings *to = &draft->settings;
	const struct qe_host_dns_answer *before = qe_host_names_answer(naming->host_names);

	static_assert(QE_HOST_DNS_UPSTREAMS_MAX <= QE_DNS_SERVERS_MAX);
	memcpy(to->upstream, naming->upstream, sizeof(naming->upstream));
	to->n_upstream = naming->n_upstream;
	if (!naming->portal)
		return;
	to->n_upstream = before->n_upstream;
	for (size_t i = 0; i < before->n_upstream; i++)
		to->upstream[i] = (struct qe_endpoint){.addr = before->upstream[i]};
}

/* Members get what this host asks. If that is ourselves, a member's question goes the way of the
 * host's. */
static void add_members(const struct qe_naming *naming, struct draft *draft)
{
	const struct outlook *outlook = &naming->outlook;
	struct qe_dns_settings *to = &draft->settings;

	static_assert(QE_RESOLV_SERVERS_MAX <= QE_DNS_SERVERS_MAX);
	for (size_t i = 0; i < outlook->n_servers; i++)
		to->members_upstream[to->n_members_upstream++].addr = outlook->servers[i];
	memcpy(to->exit_addrs, outlook->exit_addrs, sizeof(to->exit_addrs));
	to->n_exit_addrs = outlook->n_exit_addrs;
}

/* Whether it has changed. */
static bool look_out(struct qe_naming *naming)
{
	struct outlook seen = {};
	struct qe_resolv_conf conf;
	bool changed;

	if (naming->has_members) {
		seen.n_exit_addrs = qe_dns_exit_addrs(seen.exit_addrs);
		if (qe_resolv_file_read(&conf, QE_HOST_DNS_RESOLV_CONF) == QE_OK) {
			seen.n_servers = conf.n_servers;
			memcpy(seen.servers, conf.servers, sizeof(seen.servers));
		}
	}
	changed = seen.n_servers != naming->outlook.n_servers ||
		  seen.n_exit_addrs != naming->outlook.n_exit_addrs ||
		  memcmp(seen.servers, naming->outlook.servers, sizeof(seen.servers)) != 0 ||
		  memcmp(seen.exit_addrs, naming->outlook.exit_addrs, sizeof(seen.exit_addrs)) != 0;
	naming->outlook = seen;
	return changed;
}

static enum qe_error make_draft(const struct qe_naming *naming, struct draft *draft)
{
	draft->settings = (struct qe_dns_settings){.network = config_of(naming)->dns.network};
	add_overlay(naming, draft);
	add_domains(naming, draft);
	add_upstream(naming, draft);
	add_members(naming, draft);
	if (naming->has_members)
		QE_TRY(add_owners(naming, draft));
	return add_nodes(naming, draft);
}

static void configure(struct qe_naming *naming)
{
	struct draft *draft = calloc(1, sizeof(*draft));
	enum qe_error error = draft ? make_draft(naming, draft) : -ENOMEM;

	if (error == QE_OK)
		error = qe_dns_configure(naming->dns, &draft->settings);
	if (error != QE_OK)
		qe_log(naming->settings.log, QE_LOG_ERROR, "names_failed", nullptr,
			"names are answered as before: %s", qe_error_text(error));
	if (draft) {
		free(draft->nodes);
		free(draft->addrs);
		free(draft->owners);
	}
	free(draft);
}

/* ---- sockets ---- */

/* A gateway that lets members out resolves for them. */
static bool wants_members(const struct qe_naming *naming)
{
	const struct qe_config_list *forwards = &config_of(naming)->network.forward_subnets;

	for (size_t i = 0; i < forwards->n; i++) {
		if (forwards->prefixes[i].length == 0)
			return true;
	}
	return config_of(naming)->network.exit;
}

static void listen_to_members(struct qe_naming *naming)
{
	const struct qe_config_list *addrs = &config_of(naming)->network.tun_addr;
	struct qe_addr own[1 + QE_TUN_ADDRS_MAX] = {naming->overlay};
	size_t n = wants_members(naming) ? 1 : 0;

	for (size_t i = 0; n > 0 && i < addrs->n; i++)
		own[n++] = addrs->addrs[i].addr;
	naming->has_members = n > 0;
	qe_names_listeners_set_members(&naming->listeners, own, n, qe_clock_now());
}

/* ---- this host's resolver ---- */

/* Once somebody may ask there it stays, and names of nodes are answered. NODE alone is found, too.
 */
static void take_host(struct qe_naming *naming)
{
	char search[100];
	struct qe_text text = qe_text_init(search, sizeof(search));

	naming->has_host = true;
	qe_names_listeners_open_host(&naming->listeners, qe_clock_now());
	qe_text_addf(&text, "%s." QE_DNS_TOP, config_of(naming)->dns.network);
	if (qe_host_names_state(naming->host_names) == QE_HOST_NAMES_OFF)
		qe_host_names_set(naming->host_names, search);
}

static void give_host_back(struct qe_naming *naming)
{
	qe_host_names_unset(naming->host_names);
	naming->portal = naming->is_connected = false;
	naming->n_upstream = naming->n_exit_addrs = 0;
	naming->exit_asked++;
}

static void find_upstream(struct qe_naming *naming, const struct qe_config_peer *gateway)
{
	const struct qe_config *config = config_of(naming);
	struct qe_addr addrs[QE_DNS_SERVERS_MAX];
	size_t n = 0;

	if (config->vpn.dns_mode == QE_VPN_DNS_GATEWAY)
		n = qe_vpn_gateway_addrs(gateway, addrs, 4);
	for (size_t i = 0; i < config->vpn.dns.n && n < QE_DNS_SERVERS_MAX; i++)
		addrs[n++] = config->vpn.dns.prefixes[i].addr;
	naming->n_upstream = n;
	for (size_t i = 0; i < n; i++)
		naming->upstream[i] = (struct qe_endpoint){.addr = addrs[i], .port = QE_DNS_PORT};
}

void qe_naming_set_portal(struct qe_naming *naming, bool open)
{
	if (naming->portal == open)
		return;
	naming->portal = open;
	configure(naming);
}

void qe_naming_set_vpn(struct qe_naming *naming, const struct qe_config_peer *gateway)
{
	naming->vpn = gateway != nullptr;
	if (gateway && config_of(naming)->vpn.dns_mode != QE_VPN_DNS_OFF) {
		find_upstream(naming, gateway);
		take_host(naming);
	} else {
		give_host_back(naming);
	}
	configure(naming);
}

/* ---- the gateway's address ---- */

void qe_naming_connected(struct qe_naming *naming)
{
	naming->is_connected = true;
	if (naming->n_upstream > 0 && config_of(naming)->vpn.dns_mode == QE_VPN_DNS_GATEWAY)
		(void)!qe_dns_lookup(naming->dns, exit_cookies | ++naming->exit_asked,
			QE_DNS_EXIT_ADDRESS, 0, naming->upstream, nullptr, naming->n_upstream);
}

bool qe_naming_take(struct qe_naming *naming, const struct qe_resolved *resolved)
{
	if (resolved->cookie < exit_cookies)
		return false;
	if (resolved->cookie != (exit_cookies | naming->exit_asked))
		return true;
	naming->exit_until = qe_clock_now() + exit_holds;
	naming->n_exit_addrs = 0;
	for (size_t i = 0; i < resolved->n && naming->n_exit_addrs < 2; i++)
		naming->exit_addrs[naming->n_exit_addrs++] = resolved->endpoints[i].addr;
	return true;
}

/* ---- life ---- */

static void set_alarm(struct qe_naming *naming)
{
	(void)!qe_loop_set_alarm(
		naming->settings.loop, &naming->alarm, qe_clock_now() + look_again);
}

void qe_naming_network_changed(struct qe_naming *naming)
{
	if (look_out(naming))
		configure(naming);
}

/* Nobody tells of what is written to resolv.conf. */
static void look(struct qe_alarm *alarm, qe_time now)
{
	struct qe_naming *naming = QE_CONTAINER_OF(alarm, struct qe_naming, alarm);

	listen_to_members(naming);
	if (naming->has_host)
		qe_names_listeners_open_host(&naming->listeners, now);
	qe_naming_network_changed(naming);
	if (naming->is_connected && (naming->n_exit_addrs == 0 || now >= naming->exit_until))
		qe_naming_connected(naming);
	set_alarm(naming);
}

void qe_naming_changed(struct qe_naming *naming)
{
	listen_to_members(naming);
	look_out(naming);
	configure(naming);
}

/* Whom the host asked before may be others now. */
static void host_changed(void *ctx)
{
	struct qe_naming *naming = ctx;

	if (naming->portal)
		configure(naming);
}

static enum qe_error make(struct qe_naming *naming)
{
	const struct qe_naming_settings *settings = &naming->settings;
	const struct qe_host_names_settings of_host = {
		.loop = settings->loop,
		.helper = helper_of(naming),
		.log = settings->log,
		.changed = host_changed,
		.ctx = naming,
	};

	QE_TRY(qe_host_names_new(&naming->host_names, &of_host));
	QE_TRY(qe_dns_new(&naming->dns, settings->wake, settings->ctx));
	naming->listeners = (struct qe_names_listeners){.helper = helper_of(naming),
		.dns = naming->dns,
		.log = settings->log,
		.overlay = naming->overlay,
		.host.addr = QE_HOST_DNS_SERVER};
	return qe_dns_start(naming->dns);
}

enum qe_error qe_naming_new(
	struct qe_naming **ret_naming, const struct qe_naming_settings *settings)
{
	struct qe_naming *naming = calloc(1, sizeof(*naming));
	enum qe_error error;

	if (!naming)
		return -ENOMEM;
	naming->settings = *settings;
	naming->overlay = qe_node_id_overlay_addr(qe_node_get_id(settings->node));
	naming->alarm.ring = look;
	error = make(naming);
	if (error != QE_OK) {
		qe_naming_free(naming);
		return error;
	}
	qe_naming_changed(naming);
	set_alarm(naming);
	*ret_naming = naming;
	return QE_OK;
}

struct qe_naming *qe_naming_free(struct qe_naming *naming)
{
	if (!naming)
		return nullptr;
	(void)!qe_loop_set_alarm(naming->settings.loop, &naming->alarm, QE_TIME_NEVER);
	qe_host_names_free(naming->host_names);
	qe_dns_free(naming->dns);
	free(naming);
	return nullptr;
}

/* Where names are left to whoever resolved them before, that stands in resolv.conf. */
size_t qe_naming_former_servers(
	const struct qe_naming *naming, struct qe_endpoint to[static QE_DNS_SERVERS_MAX])
{
	struct qe_host_dns_answer before = *qe_host_names_answer(naming->host_names);

	if (!naming->vpn)
		return 0;
	/* Where the host goes on asking them itself, nobody has looked for them yet. */
	if (before.n_upstream == 0)
		qe_host_dns_find_upstreams(&before);
	for (size_t i = 0; i < before.n_upstream; i++)
		to[i] = (struct qe_endpoint){.addr = before.upstream[i], .port = QE_DNS_PORT};
	return before.n_upstream;
}

struct qe_dns *qe_naming_dns(const struct qe_naming *naming)
{
	return naming->dns;
}

const struct qe_host_dns_answer *qe_naming_former(const struct qe_naming *naming)
{
	bool asks = qe_host_names_state(naming->host_names) == QE_HOST_NAMES_OURS;

	return asks ? qe_host_names_answer(naming->host_names) : nullptr;
}

bool qe_naming_has_vpn(const struct qe_naming *naming)
{
	return naming->vpn;
}

void qe_naming_get_status(const struct qe_naming *naming, struct qe_naming_status *ret_status)
{
	*ret_status = (struct qe_naming_status){
		.for_host = qe_host_names_state(naming->host_names),
		.method = qe_host_names_answer(naming->host_names)->method,
		.n_servers = naming->n_upstream,
		.n_exit_addrs = naming->n_exit_addrs,
	};
	memcpy(ret_status->servers, naming->upstream, sizeof(naming->upstream));
	memcpy(ret_status->exit_addrs, naming->exit_addrs, sizeof(naming->exit_addrs));
}

static json_t *counts_json(const struct qe_naming *naming, bool members)
{
	struct qe_dns_counts counts;

	qe_dns_count(naming->dns, members, &counts);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "queries",
		(json_int_t)counts.queries, "own", (json_int_t)counts.own, "cached",
		(json_int_t)counts.cached, "forwarded", (json_int_t)counts.forwarded, "relayed",
		(json_int_t)counts.relayed, "failed", (json_int_t)counts.failed, "refused",
		(json_int_t)counts.refused, "dropped", (json_int_t)counts.dropped, "ignored",
		(json_int_t)counts.ignored);
}

json_t *qe_naming_json(const struct qe_naming *naming)
{
	return json_pack("{s:o?, s:o?}", "host",
		naming->has_host ? counts_json(naming, false) : nullptr, "members",
		naming->has_members ? counts_json(naming, true) : nullptr);
}
