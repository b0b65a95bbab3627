/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The root of the library. What makes a node this node never changes: its identity and how it
 * protects what it sends. The peers it trusts and the routing table that follows from who owns what
 * may, as one view (view.h). Shards (shard.c) do the work and share all of it without locks; one
 * control thread makes the changes.
 */
#include "node/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "crypto/random.h"
#include "net/addr.h"

constexpr qe_time ROTATE_MIN = QE_SECOND;
constexpr qe_time ROTATE_MAX = 600 * QE_SECOND;
constexpr qe_time RECLAIM_AFTER = QE_SECOND; /* by then shards have seen a new view */

static enum qe_error check_settings(const struct qe_node_settings *settings)
{
	if (settings->key == nullptr || settings->mtu < QE_MTU_MIN || settings->mtu > QE_MTU_MAX ||
		settings->rotate < ROTATE_MIN || settings->rotate > ROTATE_MAX ||
		settings->workers > QE_WORKERS_MAX)
		return QE_ERR_RANGE;
	return QE_OK;
}

/* ---- routes ---- */

static struct qe_prefix overlay_prefix(const struct qe_node_id *id)
{
	struct qe_addr addr = qe_node_id_overlay_addr(id);

	return qe_prefix_host(&addr);
}

static size_t add_peer_routes(
	struct qe_route *routes, uint32_t slot, const struct qe_peer_settings *peer)
{
	size_t n = 0;

	routes[n++] = (struct qe_route){
		.prefix = overlay_prefix(&peer->id), .next_hop = QE_NEXT_HOP_NODE, .peer = slot};
	for (size_t i = 0; i < peer->n_prefixes; i++)
		routes[n++] = (struct qe_route){
			.prefix = peer->prefixes[i], .next_hop = QE_NEXT_HOP_NODE, .peer = slot};
	return n;
}

static int compare_routes(const void *a, const void *b)
{
	const struct qe_route *left = a, *right = b;

	return qe_prefix_compare(&left->prefix, &right->prefix);
}

/* QE_ERR_CONFLICT when one prefix is to go to two different places. */
static enum qe_error fill_table(struct qe_route_table *table, struct qe_route *routes, size_t n)
{
	qsort(routes, n, sizeof(*routes), compare_routes);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && compare_routes(&routes[i - 1], &routes[i]) == 0 &&
			(routes[i - 1].next_hop != routes[i].next_hop ||
				routes[i - 1].peer != routes[i].peer))
			return QE_ERR_CONFLICT;
		QE_TRY(qe_route_table_set(table, &routes[i]));
	}
	return QE_OK;
}

static enum qe_error build_routes(
	const struct qe_node *node, struct view *view, const struct qe_node_settings *settings)
{
	size_t n = 0, total = 1 + settings->n_local + settings->n_peers;

	for (size_t i = 0; i < settings->n_peers; i++)
		total += settings->peers[i].n_prefixes;
	struct qe_route *routes = calloc(total, sizeof(*routes));

	if (routes == nullptr)
		return -ENOMEM;
	routes[n++] = (struct qe_route){.prefix = overlay_prefix(&node->id)};
	for (size_t i = 0; i < settings->n_local; i++)
		routes[n++] = (struct qe_route){.prefix = settings->local[i]};
	for (size_t i = 0; i < settings->n_peers; i++)
		n += add_peer_routes(&routes[n],
			(uint32_t)directory_find(view->directory, &settings->peers[i].id),
			&settings->peers[i]);
	enum qe_error error = qe_route_table_new(&view->table);

	if (error == QE_OK)
		error = fill_table(view->table, routes, n);
	if (error == QE_OK)
		error = qe_route_table_publish(view->table, &view->routes);
	if (error != QE_OK)
		view->table = qe_route_table_free(view->table);
	free(routes);
	return error;
}

/* ---- views ---- */

static enum qe_error fill_view(struct qe_node *node, struct view *view,
	const struct qe_node_settings *settings, qe_time now)
{
	const struct directory_change change = {
		.own = &node->id,
		.before = node->views.list != nullptr ? node->views.list->directory : nullptr,
		.generation = views_next_generation(&node->views),
		.acknowledged = views_acknowledged(&node->views),
		.now = now,
	};

	if (settings->n_peers > QE_PEERS_MAX)
		return QE_ERR_RANGE;
	QE_TRY(directory_new(&view->directory, &change, settings->peers, settings->n_peers));
	return build_routes(node, view, settings);
}

static void note_reclaim(struct qe_node *node, qe_time now)
{
	node->reclaim_at = node->views.list->older != nullptr ? now + RECLAIM_AFTER : QE_TIME_NEVER;
}

enum qe_error qe_node_reconfigure(
	struct qe_node *node, const struct qe_node_settings *settings, qe_time now)
{
	struct view *view = calloc(1, sizeof(*view));

	if (view == nullptr)
		return -ENOMEM;
	enum qe_error error = fill_view(node, view, settings, now);

	if (error != QE_OK) {
		directory_free(view->directory);
		free(view);
		return error;
	}
	views_publish(&node->views, view);
	note_reclaim(node, now);
	return QE_OK;
}

void qe_node_run(struct qe_node *node, qe_time now)
{
	views_reclaim(&node->views);
	note_reclaim(node, now);
}

qe_time qe_node_deadline(const struct qe_node *node)
{
	return node->reclaim_at;
}

size_t qe_node_find_peer(const struct qe_node *node, const struct qe_node_id *id)
{
	return directory_find(node->views.list->directory, id);
}

/* ---- public ---- */

/* The provider is chosen by each shard for itself, always the same; this one is asked its name. */
static enum qe_error note_provider(struct qe_node *node)
{
	struct qe_crypto *crypto;

	QE_TRY(qe_crypto_new(&crypto, QE_CRYPTO_BEST));
	strncpy(node->provider, qe_crypto_name(crypto), sizeof(node->provider) - 1);
	qe_crypto_free(crypto);
	return QE_OK;
}

static enum qe_error fill_node(struct qe_node *node, const struct qe_node_settings *settings)
{
	node->id = *qe_key_get_id(settings->key);
	node->key = settings->key;
	node->mtu = settings->mtu;
	node->rotate = settings->rotate;
	node->workers = settings->workers > 0 ? settings->workers : 1;
	node->instance = qe_random_u64();
	QE_TRY(qe_node_reconfigure(node, settings, 0));
	QE_TRY(qe_key_derive(node->key, "quicether connection ids", node->cid_secret));
	QE_TRY(note_provider(node));
	return qe_tls_context_new(&node->tls, node->key, settings->pq, settings->cipher);
}

enum qe_error qe_node_new(struct qe_node **ret_node, const struct qe_node_settings *settings)
{
	QE_TRY(check_settings(settings));
	struct qe_node *node = calloc(1, sizeof(*node));

	if (node == nullptr)
		return -ENOMEM;
	views_init(&node->views);
	enum qe_error error = fill_node(node, settings);

	if (error != QE_OK) {
		qe_node_free(node);
		return error;
	}
	*ret_node = node;
	return QE_OK;
}

struct qe_node *qe_node_free(struct qe_node *node)
{
	if (node == nullptr)
		return nullptr;
	qe_tls_context_free(node->tls);
	views_done(&node->views);
	qe_wipe(node, sizeof(*node));
	free(node);
	return nullptr;
}

const struct qe_node_id *qe_node_get_id(const struct qe_node *node)
{
	return &node->id;
}

const char *qe_node_crypto_provider(const struct qe_node *node)
{
	return node->provider;
}

const char *qe_drop_name(enum qe_drop drop)
{
	static const char *const names[QE_DROP_COUNT] = {
		[QE_DROP_TUN_MALFORMED] = "tun_malformed",
		[QE_DROP_NO_ROUTE] = "no_route",
		[QE_DROP_NO_LINK] = "no_link",
		[QE_DROP_QUEUE_FULL] = "queue_full",
		[QE_DROP_TOO_BIG] = "too_big",
		[QE_DROP_NOT_UNICAST] = "not_unicast",
		[QE_DROP_CLOSED] = "closed",
		[QE_DROP_UDP_MALFORMED] = "udp_malformed",
		[QE_DROP_UNKNOWN_CONNECTION] = "unknown_connection",
		[QE_DROP_NO_KNOCK] = "no_knock",
		[QE_DROP_HANDSHAKE_FAILED] = "handshake_failed",
		[QE_DROP_STRANGER] = "stranger",
		[QE_DROP_HANDSHAKE_LIMIT] = "handshake_limit",
		[QE_DROP_DATAGRAM_MALFORMED] = "datagram_malformed",
		[QE_DROP_DATAGRAM_CONTEXT] = "datagram_context",
		[QE_DROP_SOURCE] = "source",
		[QE_DROP_NOT_LOCAL] = "not_local",
		[QE_DROP_HALF] = "half",
		[QE_DROP_CONGESTION] = "congestion",
		[QE_DROP_CONTROL_MALFORMED] = "control_malformed",
		[QE_DROP_NO_MEMORY] = "no_memory",
	};

	return (unsigned)drop < QE_DROP_COUNT ? names[drop] : "unknown";
}
