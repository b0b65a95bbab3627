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

/* ---- prefixes of two owners that overlap ---- */

/* A prefix and who claims it. */
struct claim {
	struct qe_prefix prefix;
	size_t owner; /* index of a peer, or SELF */
	const struct qe_schema_key *key;
	struct qe_origin origin;
};

struct claims {
	struct claim *items;
	size_t n;
};

static void add_claims(struct claims *claims, size_t owner, const struct qe_schema_key *key,
	const struct qe_prefix *prefixes, const struct qe_config_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		claims->items[claims->n++] = (struct claim){
			prefixes[i], owner, key, list->origins[i]};
}

static enum qe_error collect(struct claims *ret_claims, const struct qe_config *config)
{
	const struct qe_config_list *addrs = &config->network.tun_addr;
	struct claims claims = {};
	size_t n = config->n_local;

	for (size_t i = 0; i < config->n_peers; i++)
		n += config->peers[i].n_prefixes;
	claims.items = calloc(n ? n : 1, sizeof *claims.items);
	if (!claims.items)
		return -ENOMEM;
	add_claims(&claims, SELF, qe_schema_find("network", "tun_addr"), config->local, addrs);
	add_claims(&claims, SELF, qe_schema_find("network", "advertise_subnets"),
		config->local + addrs->n, &config->network.advertise_subnets);
	for (size_t i = 0; i < config->n_peers; i++) {
		const struct qe_config_peer *peer = &config->peers[i];
		add_claims(&claims, i, peer_key("addresses"), peer->prefixes, &peer->addresses);
		add_claims(&claims, i, peer_key("subnets"), peer->prefixes + peer->addresses.n,
			&peer->subnets);
	}
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

/* A covering prefix comes before what it covers; of equal ones, what was said first. */
static int compare_claims(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int order = qe_prefix_compare(&x->prefix, &y->prefix);

	return order ? order : compare_origins(x->origin, y->origin);
}

/* Reported at what was said later. */
static void report_overlap(struct qe_builder *builder, const struct claim *a, const struct claim *b)
{
	const struct claim *early = compare_origins(a->origin, b->origin) <= 0 ? a : b;
	const struct claim *late = early == a ? b : a;
	char mine[QE_PREFIX_TEXT_SIZE], theirs[QE_PREFIX_TEXT_SIZE], other[PEER_TEXT_SIZE];

	qe_prefix_format(mine, &late->prefix);
	qe_prefix_format(theirs, &early->prefix);
	if (early->owner == SELF)
		snprintf(other, sizeof other, "this node (%s)", early->key->key);
	else
		format_peer(other, &builder->config->peers[early->owner]);
	qe_builder_report(builder, late->key, late->origin,
		"%s overlaps %s of %s; expected prefixes that belong to one node only", mine,
		theirs, other);
}

/* Prefixes overlap only by nesting. So go through them in order with the stack of those that the
 * current one lies in, at most one for each length; if the innermost belongs to the same owner,
 * those around it have been compared already. */
static void check_overlaps(struct qe_builder *builder, const struct claims *claims)
{
	const struct claim *around[129 + 1];
	size_t depth = 0;

	qsort(claims->items, claims->n, sizeof *claims->items, compare_claims);
	for (size_t i = 0; i < claims->n; i++) {
		const struct claim *claim = &claims->items[i];
		while (depth && !qe_prefix_covers(&around[depth - 1]->prefix, &claim->prefix))
			depth--;
		if (depth && around[depth - 1]->owner != claim->owner)
			report_overlap(builder, around[depth - 1], claim);
		if (depth && around[depth - 1]->prefix.length == claim->prefix.length)
			depth--;
		around[depth++] = claim;
	}
}

/* ---- the overlay's own prefix ---- */

static const struct qe_prefix overlay = {
	.addr = {.family = QE_FAMILY_IPV6, .bytes = {0xfd, 0x51, 0xe7}}, .length = 24};

/* Whoever claims a part of it claims addresses that belong to other nodes by right. A peer may
 * list its own. */
static void check_overlay(struct qe_builder *builder, const struct claim *claim)
{
	char text[QE_PREFIX_TEXT_SIZE];

	if (!qe_prefix_overlaps(&claim->prefix, &overlay))
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

/* ---- together ---- */

void qe_builder_check(struct qe_builder *builder)
{
	struct claims claims;

	/* Half-read peers would only add errors that are none. */
	if (builder->diagnostics->n)
		return;
	check_workers(builder);
	builder->error = check_peers(builder);
	if (builder->error == QE_OK)
		builder->error = collect(&claims, builder->config);
	if (builder->error != QE_OK)
		return;
	for (size_t i = 0; i < claims.n; i++)
		check_overlay(builder, &claims.items[i]);
	check_overlaps(builder, &claims);
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
