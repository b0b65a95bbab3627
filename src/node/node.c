/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The root of the library. A node is made once from its settings and never changes: its identity,
 * the peers it trusts, and the routing table that follows from who owns what. Shards (shard.c) do
 * the work and share it without locks.
 */
#define _GNU_SOURCE /* qsort_r */
#include "node/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "crypto/random.h"
#include "net/addr.h"

constexpr qe_time ROTATE_MIN = QE_SECOND;
constexpr qe_time ROTATE_MAX = 600 * QE_SECOND;

static enum qe_error check_settings(const struct qe_node_settings *settings)
{
	if (settings->key == nullptr || settings->n_peers > QE_PEERS_MAX ||
		settings->mtu < QE_MTU_MIN || settings->mtu > QE_MTU_MAX ||
		settings->rotate < ROTATE_MIN || settings->rotate > ROTATE_MAX ||
		settings->workers > QE_WORKERS_MAX)
		return QE_ERR_RANGE;
	return QE_OK;
}

/* ---- peers ---- */

static enum qe_error copy_peers(struct qe_node *node, const struct qe_node_settings *settings)
{
	node->peers = calloc(settings->n_peers + 1, sizeof(*node->peers));
	node->by_id = calloc(settings->n_peers + 1, sizeof(*node->by_id));
	if (node->peers == nullptr || node->by_id == nullptr)
		return -ENOMEM;
	node->n_peers = settings->n_peers;
	for (size_t i = 0; i < settings->n_peers; i++) {
		const struct qe_peer_settings *from = &settings->peers[i];

		node->peers[i] = (struct node_peer){.id = from->id, .dial = from->dial};
		node->by_id[i] = (uint32_t)i;
		if (from->name == nullptr)
			continue;
		node->peers[i].name = strdup(from->name);
		if (node->peers[i].name == nullptr)
			return -ENOMEM;
	}
	return QE_OK;
}

static int compare_ids(const void *a, const void *b, void *peers)
{
	const struct node_peer *list = peers;

	return qe_node_id_compare(&list[*(const uint32_t *)a].id, &list[*(const uint32_t *)b].id);
}

/* Sorts them for node_find_peer; none may be there twice, nor be this node. */
static enum qe_error index_peers(struct qe_node *node)
{
	qsort_r(node->by_id, node->n_peers, sizeof(*node->by_id), compare_ids, node->peers);
	for (size_t i = 1; i < node->n_peers; i++)
		if (compare_ids(&node->by_id[i - 1], &node->by_id[i], node->peers) == 0)
			return QE_ERR_CONFLICT;
	return node_find_peer(node, &node->id) == SIZE_MAX ? QE_OK : QE_ERR_CONFLICT;
}

size_t node_find_peer(const struct qe_node *node, const struct qe_node_id *id)
{
	size_t low = 0, high = node->n_peers;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = qe_node_id_compare(&node->peers[node->by_id[middle]].id, id);

		if (order == 0)
			return node->by_id[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return SIZE_MAX;
}

/* ---- routes ---- */

static struct qe_prefix overlay_prefix(const struct qe_node_id *id)
{
	struct qe_addr addr = qe_node_id_overlay_addr(id);

	return qe_prefix_host(&addr);
}

static size_t add_peer_routes(
	struct qe_route *routes, uint32_t index, const struct qe_peer_settings *peer)
{
	size_t n = 0;

	routes[n++] = (struct qe_route){
		.prefix = overlay_prefix(&peer->id), .next_hop = QE_NEXT_HOP_NODE, .peer = index};
	for (size_t i = 0; i < peer->n_prefixes; i++)
		routes[n++] = (struct qe_route){
			.prefix = peer->prefixes[i], .next_hop = QE_NEXT_HOP_NODE, .peer = index};
	return n;
}

static enum qe_error build_routes(struct qe_node *node, const struct qe_node_settings *settings)
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
		n += add_peer_routes(&routes[n], (uint32_t)i, &settings->peers[i]);
	enum qe_error error = qe_route_table_new(&node->routes, routes, n);

	free(routes);
	return error;
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
	QE_TRY(copy_peers(node, settings));
	QE_TRY(index_peers(node));
	QE_TRY(build_routes(node, settings));
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
	qe_route_table_free(node->routes);
	for (size_t i = 0; i < node->n_peers; i++)
		free(node->peers[i].name);
	free(node->peers);
	free(node->by_id);
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
