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

#include "crypto/random.h"
#include "node/inspect.h"

constexpr qe_time ROTATE_MIN = QE_SECOND;
constexpr qe_time ROTATE_MAX = 600 * QE_SECOND;
constexpr qe_time RECLAIM_AFTER = QE_SECOND; /* by then shards have seen a new view */
constexpr qe_time RETRY_AFTER = QE_SECOND;   /* what there was no memory for */
constexpr qe_time ANNOUNCE_PAUSE = QE_SECOND;
constexpr qe_time SWEEP_INTERVAL = QE_SECOND; /* of the flows; an eighth of them at a time */

static enum qe_error check_settings(const struct qe_node_settings *settings)
{
	if (settings->key == nullptr || settings->mtu < QE_MTU_MIN || settings->mtu > QE_MTU_MAX ||
		settings->rotate < ROTATE_MIN || settings->rotate > ROTATE_MAX ||
		settings->workers > QE_WORKERS_MAX)
		return QE_ERR_RANGE;
	return QE_OK;
}

/* ---- views ---- */

static struct directory *current(const struct qe_node *node)
{
	return node->views.list != nullptr ? node->views.list->directory : nullptr;
}

/* What a view holds besides routes: new, or that of the view before. */
struct parts {
	struct directory *directory;
	struct announcement *announcement;
	struct rules *rules;
};

static struct parts current_parts(const struct qe_node *node)
{
	const struct view *view = node->views.list;

	return view != nullptr ? (struct parts){view->directory, view->announcement, view->rules}
			       : (struct parts){};
}

/* Those that are not part of the newest view. */
static void free_new_parts(const struct qe_node *node, struct parts parts)
{
	struct parts before = current_parts(node);

	if (parts.directory != before.directory)
		directory_free(parts.directory);
	if (parts.announcement != before.announcement)
		announcement_free(parts.announcement);
	if (parts.rules != before.rules)
		rules_free(parts.rules);
}

static enum qe_error publish(struct qe_node *node, struct parts parts)
{
	struct view *view = calloc(1, sizeof(*view));

	if (view == nullptr)
		return -ENOMEM;
	*view = (struct view){.directory = parts.directory,
		.announcement = parts.announcement,
		.rules = parts.rules,
		.table = node->routing.table};
	enum qe_error error = qe_route_table_publish(view->table, &view->routes);

	if (error != QE_OK) {
		free(view);
		return error;
	}
	node->routing.changed = false;
	views_publish(&node->views, view);
	if (node->sink.published != nullptr)
		node->sink.published(node->sink.ctx);
	return QE_OK;
}

/* ---- what is announced ---- */

/* The announcement of before stays if there is nothing new in it. */
static enum qe_error renew_announcement(struct qe_node *node, struct parts *parts)
{
	struct routing *routing = &node->routing;
	struct announcement *made;

	QE_TRY(announcement_new(&made, parts->directory, routing->withdrawn, routing->n_withdrawn,
		node->instance, routing->announced + 1));
	if (parts->announcement != nullptr && announcement_equal(made, parts->announcement))
		announcement_free(made);
	else
		parts->announcement = made;
	return QE_OK;
}

static enum qe_error publish_announced(struct qe_node *node, struct parts parts, qe_time now)
{
	QE_TRY(publish(node, parts));
	node->routing.announce_anew = false;
	if (node->routing.announced != parts.announcement->number) {
		node->routing.announced = parts.announcement->number;
		node->routing.announced_at = now;
	}
	return QE_OK;
}

static void note_reclaim(struct qe_node *node, qe_time now)
{
	node->reclaim_at = node->views.list->older != nullptr ? now + RECLAIM_AFTER : QE_TIME_NEVER;
}

/* ---- changes ---- */

static enum qe_error check_changeable(const struct qe_node_settings *settings)
{
	constexpr size_t announced_max = QE_ROUTES_PER_PART * QE_ROUTES_PARTS_MAX;

	if (settings->n_peers > QE_PEERS_MAX || settings->n_local >= announced_max ||
		settings->n_forward >= announced_max - settings->n_local)
		return QE_ERR_RANGE;
	return QE_OK;
}

/* ---- rules ---- */

static enum qe_error need_gate(struct qe_node *node)
{
	const struct qe_gate_settings settings = {
		.flows_max = QE_GATE_FLOWS, .account = node->account, .seed = qe_random_u64()};

	return node->gate != nullptr ? QE_OK : qe_gate_new(&node->gate, &settings);
}

/* Takes the policy if it succeeds. */
static enum qe_error rules_new(
	struct rules **ret_rules, struct qe_node *node, struct qe_policy *policy)
{
	const struct rules *before = current_parts(node).rules;
	struct rules *rules;

	if (policy != nullptr)
		QE_TRY(need_gate(node));
	rules = calloc(1, sizeof(*rules));
	if (rules == nullptr)
		return -ENOMEM;
	*rules = (struct rules){.generation = before != nullptr ? before->generation + 1 : 1,
		.policy = policy,
		.gate = node->gate};
	*ret_rules = rules;
	return QE_OK;
}

static enum qe_error ask_for_policy(const struct directory *directory,
	const struct qe_node_settings *settings, struct qe_policy **ret_policy)
{
	uint32_t *slots = calloc(settings->n_peers + 1, sizeof(*slots));

	if (slots == nullptr)
		return -ENOMEM;
	for (size_t i = 0; i < settings->n_peers; i++)
		slots[i] = (uint32_t)directory_find(directory, &settings->peers[i].id);
	enum qe_error error = settings->make_policy(settings->make_policy_ctx, slots, ret_policy);

	free(slots);
	return error;
}

static enum qe_error make_rules(struct rules **ret_rules, struct qe_node *node,
	const struct directory *directory, const struct qe_node_settings *settings)
{
	struct qe_policy *policy = nullptr;

	if (settings->make_policy != nullptr)
		QE_TRY(ask_for_policy(directory, settings, &policy));
	enum qe_error error = rules_new(ret_rules, node, policy);

	if (error != QE_OK)
		qe_policy_free(policy);
	return error;
}

enum qe_error qe_node_set_policy(struct qe_node *node, struct qe_policy *policy, qe_time now)
{
	struct parts parts = current_parts(node);

	QE_TRY(rules_new(&parts.rules, node, policy));
	enum qe_error error = publish(node, parts);

	if (error != QE_OK) {
		parts.rules->policy = nullptr; /* stays the caller's */
		free_new_parts(node, parts);
		return error;
	}
	note_reclaim(node, now);
	return QE_OK;
}

/* ---- reconfiguration ---- */

/* All but what the RIB holds. */
static enum qe_error make_parts(struct qe_node *node, struct parts *parts,
	const struct qe_node_settings *settings, qe_time now)
{
	const struct directory_change change = {
		.own = &node->id,
		.before = parts->directory,
		.generation = views_next_generation(&node->views),
		.acknowledged = views_acknowledged(&node->views),
		.now = now,
	};

	QE_TRY(directory_new(&parts->directory, &change, settings));
	QE_TRY(make_rules(&parts->rules, node, parts->directory, settings));
	return renew_announcement(node, parts);
}

static enum qe_error adopt_parts(struct qe_node *node, struct parts parts, qe_time now)
{
	QE_TRY(routing_configure(&node->routing, parts.directory, now));
	routing_run(&node->routing, parts.directory, now);
	enum qe_error error = node->routing.damaged ? (enum qe_error) - ENOMEM
						    : publish_announced(node, parts, now);

	/* The RIB is told of the directory of before again. */
	node->routing.stale |= error != QE_OK;
	return error;
}

enum qe_error qe_node_reconfigure(
	struct qe_node *node, const struct qe_node_settings *settings, qe_time now)
{
	struct parts parts = current_parts(node);

	QE_TRY(check_changeable(settings));
	enum qe_error error = make_parts(node, &parts, settings, now);

	if (error == QE_OK)
		error = adopt_parts(node, parts, now);
	if (error != QE_OK) {
		free_new_parts(node, parts);
		node->retry_at = node->routing.stale ? now : node->retry_at;
		return error;
	}
	note_reclaim(node, now);
	return QE_OK;
}

/* ---- facts ---- */

void qe_node_take_event(struct qe_node *node, const struct qe_event *event, qe_time now)
{
	routing_take_event(&node->routing, current(node), event, now);
}

enum qe_error qe_node_set_withdrawn(
	struct qe_node *node, const struct qe_prefix *prefixes, size_t n, qe_time)
{
	struct qe_prefix *copy = calloc(n + 1, sizeof(*copy));

	if (copy == nullptr)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		copy[i] = prefixes[i];
	free(node->routing.withdrawn);
	node->routing.withdrawn = copy;
	node->routing.n_withdrawn = n;
	node->routing.announce_anew = true;
	return QE_OK;
}

enum qe_error qe_node_set_forbidden(
	struct qe_node *node, const struct qe_prefix *prefixes, size_t n, qe_time)
{
	return qe_rib_set_forbidden(node->routing.rib, prefixes, n);
}

/* ---- running ---- */

/* Not more often than peers take it (shard.h: ROUTES_PER_SECOND). */
static qe_time announce_at(const struct qe_node *node)
{
	return node->routing.announce_anew ? node->routing.announced_at + ANNOUNCE_PAUSE
					   : QE_TIME_NEVER;
}

static enum qe_error publish_renewed(struct qe_node *node, qe_time now)
{
	struct parts parts = current_parts(node);

	QE_TRY(renew_announcement(node, &parts));
	enum qe_error error = publish_announced(node, parts, now);

	if (error != QE_OK)
		free_new_parts(node, parts);
	return error;
}

static enum qe_error publish_changes(struct qe_node *node, qe_time now)
{
	if (node->routing.stale || node->routing.damaged)
		return -ENOMEM;
	if (announce_at(node) <= now)
		return publish_renewed(node, now);
	return node->routing.changed ? publish(node, current_parts(node)) : QE_OK;
}

static void sweep(struct qe_node *node, qe_time now)
{
	if (node->gate == nullptr || now < node->sweep_at)
		return;
	qe_gate_sweep(node->gate, now, &node->gate_sink);
	node->sweep_at = now + SWEEP_INTERVAL;
}

void qe_node_run(struct qe_node *node, qe_time now)
{
	routing_run(&node->routing, current(node), now);
	node->retry_at = publish_changes(node, now) == QE_OK ? QE_TIME_NEVER : now + RETRY_AFTER;
	sweep(node, now);
	views_reclaim(&node->views);
	note_reclaim(node, now);
}

qe_time qe_node_deadline(const struct qe_node *node)
{
	qe_time at = qe_time_min(node->reclaim_at, node->retry_at);

	at = qe_time_min(at, announce_at(node));
	if (node->gate != nullptr)
		at = qe_time_min(at, node->sweep_at);
	return qe_time_min(at, routing_deadline(&node->routing));
}

size_t qe_node_find_peer(const struct qe_node *node, const struct qe_node_id *id)
{
	return directory_find(current(node), id);
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
	node->sink = settings->sink;
	node->account = settings->account;
	node->retry_at = node->reclaim_at = QE_TIME_NEVER;
	QE_TRY(routing_init(&node->routing, &node->sink));
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
	routing_done(&node->routing);
	qe_gate_free(node->gate);
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

const struct qe_policy *qe_node_policy(const struct qe_node *node, uint64_t *ret_generation)
{
	const struct rules *rules = current_parts(node).rules;

	*ret_generation = rules->generation;
	return rules->policy;
}

struct qe_gate *qe_node_gate(struct qe_node *node)
{
	return node->gate;
}

void qe_node_set_gate_sink(struct qe_node *node, const struct qe_gate_sink *sink)
{
	node->gate_sink = *sink;
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
		[QE_DROP_POLICY] = "policy",
		[QE_DROP_POLICY_OUT] = "policy_out",
		[QE_DROP_NOT_LOCAL] = "not_local",
		[QE_DROP_NOT_FORWARDED] = "not_forwarded",
		[QE_DROP_HOP_LIMIT] = "hop_limit",
		[QE_DROP_LOOP] = "loop",
		[QE_DROP_HALF] = "half",
		[QE_DROP_CONGESTION] = "congestion",
		[QE_DROP_CONTROL_MALFORMED] = "control_malformed",
		[QE_DROP_CONTROL_LIMIT] = "control_limit",
		[QE_DROP_NO_MEMORY] = "no_memory",
	};

	return (unsigned)drop < QE_DROP_COUNT ? names[drop] : "unknown";
}
