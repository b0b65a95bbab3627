/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Contradictions that only the whole configuration shows. Everything here sorts and then looks at
 * neighbours, so that a file with every peer it may have is checked in no time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/builder.h"
#include "crypto/node_id.h"
#include "net/addr.h"

#define PEER_TEXT_SIZE 128
#define SELF SIZE_MAX /* as an owner: this node */

/* "peer "nas" (line 12)", or by its NodeId if it has no name. */
static void format_peer(char to[static PEER_TEXT_SIZE], const struct qe_config_peer *peer)
{
	struct qe_text text = qe_text_init(to, PEER_TEXT_SIZE);
	char id[QE_NODE_ID_TEXT_SIZE];

	qe_node_id_format(id, &peer->id);
	qe_text_addf(&text, "peer \"%s\"", peer->name ? peer->name : id);
	if (peer->origin.line)
		qe_text_addf(&text, " (line %u)", peer->origin.line);
}

static const struct qe_schema_key *peer_key(const char *key)
{
	return qe_schema_find(QE_SCHEMA_PEERS, key);
}

static struct qe_origin origin_of(const struct qe_config_peer *peer, const char *key)
{
	return peer->origins[qe_schema_origin(peer_key(key))];
}

/* ---- two peers with one id or one name ---- */

typedef int compare_fn(const void *a, const void *b);

static int compare_places(const struct qe_config_peer *a, const struct qe_config_peer *b)
{
	return (a > b) - (a < b); /* both in the configuration's array */
}

static int compare_ids(const void *a, const void *b)
{
	const struct qe_config_peer *const *x = a, *const *y = b;
	int order = qe_node_id_compare(&(*x)->id, &(*y)->id);

	return order ? order : compare_places(*x, *y);
}

static int compare_names(const void *a, const void *b)
{
	const struct qe_config_peer *const *x = a, *const *y = b;
	int order = strcmp((*x)->name ? (*x)->name : "", (*y)->name ? (*y)->name : "");

	return order ? order : compare_places(*x, *y);
}

static bool same_id(const struct qe_config_peer *a, const struct qe_config_peer *b)
{
	return qe_node_id_equal(&a->id, &b->id);
}

static bool same_name(const struct qe_config_peer *a, const struct qe_config_peer *b)
{
	return a->name && b->name && strcmp(a->name, b->name) == 0;
}

static void check_twins(struct qe_builder *builder, const struct qe_config_peer **peers,
	compare_fn *compare,
	bool (*same)(const struct qe_config_peer *, const struct qe_config_peer *), const char *key)
{
	size_t n = builder->config->n_peers;

	qsort(peers, n, sizeof *peers, compare);
	for (size_t i = 1; i < n; i++) {
		char other[PEER_TEXT_SIZE];
		if (!same(peers[i - 1], peers[i]))
			continue;
		format_peer(other, peers[i - 1]);
		qe_builder_report(builder, peer_key(key), origin_of(peers[i], key),
			"is the %s of %s too; expected one that no other peer has", key, other);
	}
}

static enum qe_error check_peers(struct qe_builder *builder)
{
	const struct qe_config *config = builder->config;
	const struct qe_config_peer **peers = calloc(
		config->n_peers ? config->n_peers : 1, sizeof *peers);

	if (!peers)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_peers; i++)
		peers[i] = &config->peers[i];
	check_twins(builder, peers, compare_ids, same_id, "id");
	check_twins(builder, peers, compare_names, same_name, "name");
	free(peers);
	return QE_OK;
}

/* ---- who owns which prefix ---- */

/* A prefix, and who claims to own it or to be a gateway to it. */
struct claim {
	struct qe_prefix prefix;
	size_t owner; /* index of a peer, or SELF */
	bool gateway;
	const struct qe_schema_key *key;
	struct qe_origin origin;
};

struct claims {
	struct claim *items;
	size_t n;
};

static void add_claims(struct claims *claims, const struct claim *as,
	const struct qe_prefix *prefixes, const struct qe_config_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		struct claim *claim = &claims->items[claims->n++];

		*claim = *as;
		claim->prefix = prefixes[i];
		claim->origin = list->origins[i];
	}
}

static void add_own_claims(struct claims *claims, const struct qe_config *config)
{
	const struct qe_config_list *addrs = &config->network.tun_addr,
				    *subnets = &config->network.advertise_subnets,
				    *forward = &config->network.forward_subnets;
	struct claim as = {.owner = SELF, .key = qe_schema_find("network", "tun_addr")};

	add_claims(claims, &as, config->local, addrs);
	as.key = qe_schema_find("network", "advertise_subnets");
	add_claims(claims, &as, config->local + addrs->n, subnets);
	as.key = qe_schema_find("network", "forward_subnets");
	as.gateway = true;
	add_claims(claims, &as, forward->prefixes, forward);
}

static void add_claims_of_peer(
	struct claims *claims, size_t owner, const struct qe_config_peer *peer)
{
	struct claim as = {.owner = owner, .key = peer_key("addresses")};

	add_claims(claims, &as, peer->prefixes, &peer->addresses);
	as.key = peer_key("subnets");
	add_claims(claims, &as, peer->prefixes + peer->addresses.n, &peer->subnets);
	as.key = peer_key("gateway_subnets");
	as.gateway = true;
	add_claims(claims, &as, peer->gateway_subnets.prefixes, &peer->gateway_subnets);
}

static enum qe_error collect(struct claims *ret_claims, const struct qe_config *config)
{
	size_t n = config->n_local + config->network.forward_subnets.n;
	struct claims claims = {};

	for (size_t i = 0; i < config->n_peers; i++)
		n += config->peers[i].n_prefixes + config->peers[i].gateway_subnets.n;
	claims.items = calloc(n ? n : 1, sizeof *claims.items);
	if (!claims.items)
		return -ENOMEM;
	add_own_claims(&claims, config);
	for (size_t i = 0; i < config->n_peers; i++)
		add_claims_of_peer(&claims, i, &config->peers[i]);
	*ret_claims = claims;
	return QE_OK;
}

static int compare_origins(struct qe_origin a, struct qe_origin b)
{
	if (a.source != b.source)
		return a.source < b.source ? -1 : 1;
	if (a.line != b.line)
		return a.line < b.line ? -1 : 1;
	return (a.column > b.column) - (a.column < b.column);
}

/* Of equal prefixes, owners come before gateways, and then what was said first. */
static int compare_claims(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int order = qe_prefix_compare(&x->prefix, &y->prefix);

	if (order == 0)
		order = x->gateway - y->gateway;
	return order ? order : compare_origins(x->origin, y->origin);
}

static void report_second_owner(
	struct qe_builder *builder, const struct claim *early, const struct claim *late)
{
	char prefix[QE_PREFIX_TEXT_SIZE], other[PEER_TEXT_SIZE];

	qe_prefix_format(prefix, &late->prefix);
	if (early->owner == SELF)
		snprintf(other, sizeof other, "this node (%s)", early->key->key);
	else
		format_peer(other, &builder->config->peers[early->owner]);
	qe_builder_report(builder, late->key, late->origin,
		"%s belongs to %s already; expected prefixes that belong to one node only", prefix,
		other);
}

static void report_gateway_to_own(
	struct qe_builder *builder, const struct claim *own, const struct claim *claim)
{
	char prefix[QE_PREFIX_TEXT_SIZE];

	qe_prefix_format(prefix, &claim->prefix);
	qe_builder_report(builder, claim->key, claim->origin,
		"%s is this node's own (%s); expected what others have", prefix, own->key->key);
}

/* Prefixes may nest, as the longest decides, and any number of gateways may lead to one: it is a
 * contradiction only that two own the same, or that a gateway leads to what is here. */
static void check_owners(struct qe_builder *builder, const struct claims *claims)
{
	const struct claim *first = nullptr, *own = nullptr; /* of the prefix at hand */

	qsort(claims->items, claims->n, sizeof *claims->items, compare_claims);
	for (size_t i = 0; i < claims->n; i++) {
		const struct claim *claim = &claims->items[i];

		if (!first || qe_prefix_compare(&first->prefix, &claim->prefix) != 0) {
			first = claim;
			own = nullptr;
		}
		if (!claim->gateway && claim->owner == SELF)
			own = claim;
		if (!claim->gateway && claim->owner != first->owner)
			report_second_owner(builder, first, claim);
		if (claim->gateway && own)
			report_gateway_to_own(builder, own, claim);
	}
}

/* Nobody owns everything. */
static void check_default_route(struct qe_builder *builder, const struct claim *claim)
{
	char prefix[QE_PREFIX_TEXT_SIZE];

	if (claim->prefix.length > 0 || (claim->gateway && claim->owner == SELF))
		return;
	qe_prefix_format(prefix, &claim->prefix);
	qe_builder_report(builder, claim->key, claim->origin, "%s is a default route; expected %s",
		prefix,
		claim->owner == SELF ? "it in forward_subnets" : "exit = true to allow one");
}

/* ---- the overlay's own prefix ---- */

static const struct qe_prefix overlay = {
	.addr = {.family = QE_FAMILY_IPV6, .bytes = {0xfd, 0x51, 0xe7}}, .length = 24};

/* Whoever claims a part of it claims addresses that belong to other nodes by right. A peer may
 * list its own. */
static void check_overlay(struct qe_builder *builder, const struct claim *claim)
{
	char text[QE_PREFIX_TEXT_SIZE];

	if (claim->gateway || claim->prefix.length == 0 ||
		!qe_prefix_overlaps(&claim->prefix, &overlay))
		return;
	if (claim->owner != SELF) {
		struct qe_addr own = qe_node_id_overlay_addr(
			&builder->config->peers[claim->owner].id);
		struct qe_prefix host = qe_prefix_host(&own);
		if (qe_prefix_compare(&claim->prefix, &host) == 0)
			return;
	}
	qe_prefix_format(text, &claim->prefix);
	qe_builder_report(builder, claim->key, claim->origin,
		"%s overlaps fd51:e700::/24, where every node has the address that its NodeId "
		"gives it; expected other addresses",
		text);
}

static void check_claim(struct qe_builder *builder, const struct claim *claim)
{
	check_default_route(builder, claim);
	check_overlay(builder, claim);
}

/* ---- workers ---- */

static void check_workers(struct qe_builder *builder)
{
	const struct qe_config *config = builder->config;
	const struct qe_schema_key *key = qe_schema_find("performance", "cpu_affinity");
	size_t cpus = config->performance.cpu_affinity.n;

	if (cpus == 0 || config->performance.workers == 0 || cpus == config->performance.workers)
		return;
	qe_builder_report(builder, key, config->origins[qe_schema_origin(key)],
		"has %zu CPUs for %u workers; expected as many as there are workers", cpus,
		config->performance.workers);
}

/* ---- gateways ---- */

static void check_role(struct qe_builder *builder)
{
	const struct qe_config *config = builder->config;
	const struct qe_schema_key *key = qe_schema_find("network", "forward_subnets");

	if (config->network.forward_subnets.n == 0 && !config->network.exit)
		return;
	if (config->network.forward_subnets.n == 0)
		key = qe_schema_find("network", "exit");
	if (config->node.role == QE_ROLE_NODE)
		qe_builder_report(builder, key, config->origins[qe_schema_origin(key)],
			"is for gateways; expected role = \"gateway\" under [node], or --role "
			"gateway");
}

static bool overlaps_any(const struct qe_prefix *prefix, const struct qe_config_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (qe_prefix_overlaps(prefix, &list->prefixes[i]))
			return true;
	return false;
}

/* "true" stands for one prefix of each family, of which either may be idle. */
static void check_masquerade(struct qe_builder *builder)
{
	const struct qe_config *config = builder->config;
	const struct qe_config_list *list = &config->network.masquerade;
	const struct qe_config_list *forward = &config->network.forward_subnets,
				    *advertised = &config->network.advertise_subnets;
	char prefix[QE_PREFIX_TEXT_SIZE];

	for (size_t i = 0; i < list->n; i++) {
		bool idle = list->prefixes[i].length == 0
				    ? forward->n == 0 && advertised->n == 0 && !config->network.exit
				    : !overlaps_any(&list->prefixes[i], forward) &&
					      !overlaps_any(&list->prefixes[i], advertised);

		if (!idle)
			continue;
		qe_prefix_format(prefix, &list->prefixes[i]);
		qe_builder_report(builder, qe_schema_find("network", "masquerade"),
			list->origins[i],
			"%s reaches nothing that this node forwards to; expected a prefix of "
			"forward_subnets or advertise_subnets",
			prefix);
	}
}

/* ---- together ---- */

void qe_builder_check(struct qe_builder *builder)
{
	struct claims claims;

	/* Half-read peers would only add errors that are none. */
	if (builder->diagnostics->n)
		return;
	check_workers(builder);
	check_role(builder);
	check_masquerade(builder);
	qe_builder_check_vpn(builder);
	if (builder->error == QE_OK)
		builder->error = check_peers(builder);
	if (builder->error == QE_OK)
		builder->error = collect(&claims, builder->config);
	if (builder->error != QE_OK)
		return;
	for (size_t i = 0; i < claims.n; i++)
		check_claim(builder, &claims.items[i]);
	check_owners(builder, &claims);
	free(claims.items);
}

enum qe_error qe_config_check_identity(const struct qe_config *config, const struct qe_node_id *own,
	struct qe_diagnostics *diagnostics)
{
	/* The report only reads the configuration. */
	struct qe_builder builder = {(struct qe_config *)config, diagnostics, 0, QE_OK};

	*diagnostics = (struct qe_diagnostics){};
	for (size_t i = 0; i < config->n_peers; i++)
		if (qe_node_id_equal(&config->peers[i].id, own))
			qe_builder_report(&builder, peer_key("id"),
				origin_of(&config->peers[i], "id"),
				"is this node's own NodeId (key in %s); expected another node's",
				config->node.key_file);
	return diagnostics->n ? QE_ERR_SYNTAX : QE_OK;
}
