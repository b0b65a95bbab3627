/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#define _GNU_SOURCE /* qsort_r */
#include "node/directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/node_id.h"

constexpr qe_time REUSE_AFTER = 10 * QE_SECOND; /* what is said of a peer under way by then */

/* ---- slots ---- */

/* With the overlay address in front, which goes without saying. */
static enum qe_error copy_own(struct qe_prefix **ret_copy, size_t *ret_n,
	const struct qe_node_id *id, const struct qe_prefix *prefixes, size_t n)
{
	struct qe_addr overlay = qe_node_id_overlay_addr(id);
	struct qe_prefix *copy = calloc(n + 1, sizeof(*copy));
	size_t used = 1;

	if (copy == nullptr)
		return -ENOMEM;
	copy[0] = qe_prefix_host(&overlay);
	for (size_t i = 0; i < n; i++)
		if (qe_prefix_compare(&prefixes[i], &copy[0]) != 0)
			copy[used++] = prefixes[i];
	*ret_copy = copy;
	*ret_n = used;
	return QE_OK;
}

static enum qe_error put_gateway(struct directory_slot *to, const struct qe_peer_settings *peer)
{
	if (peer->n_gateway_prefixes == 0)
		return QE_OK;
	struct qe_route *entries = calloc(peer->n_gateway_prefixes, sizeof(*entries));

	to->gateway = calloc(peer->n_gateway_prefixes, sizeof(*to->gateway));
	if (entries == nullptr || to->gateway == nullptr) {
		free(entries);
		return -ENOMEM;
	}
	for (; to->n_gateway < peer->n_gateway_prefixes; to->n_gateway++)
		entries[to->n_gateway].prefix = to->gateway[to->n_gateway] =
			peer->gateway_prefixes[to->n_gateway];
	enum qe_error error = prefix_map_init(&to->gateway_map, entries, to->n_gateway);

	free(entries);
	return error;
}

static enum qe_error put_peer(
	struct directory *directory, size_t slot, const struct qe_peer_settings *peer)
{
	struct directory_slot *to = &directory->slots[slot];

	if (to->used)
		return QE_ERR_CONFLICT;
	*to = (struct directory_slot){.used = true,
		.id = peer->id,
		.dial = peer->dial,
		.exit = peer->exit || peer->default_gateway,
		.default_gateway = peer->default_gateway};
	directory->by_id[directory->n_peers++] = (uint32_t)slot;
	if (slot >= directory->n_slots)
		directory->n_slots = slot + 1;
	QE_TRY(copy_own(&to->own, &to->n_own, &peer->id, peer->prefixes, peer->n_prefixes));
	QE_TRY(put_gateway(to, peer));
	if (peer->name == nullptr)
		return QE_OK;
	to->name = strdup(peer->name);
	return to->name != nullptr ? QE_OK : -ENOMEM;
}

static bool may_be_used(
	const struct directory *directory, size_t slot, const struct directory_change *change)
{
	const struct directory_slot *empty = &directory->slots[slot];

	if (slot >= directory->n_slots)
		return true;
	return !empty->used && empty->left <= change->acknowledged &&
	       qe_time_since(empty->left_at, change->now) >= REUSE_AFTER;
}

static size_t slot_before(
	const struct directory_change *change, const struct qe_peer_settings *peer)
{
	return change->before != nullptr ? directory_find(change->before, &peer->id) : SIZE_MAX;
}

/* Those that stay first, so that nobody takes their slots. */
static enum qe_error put_peers(struct directory *directory, const struct directory_change *change,
	const struct qe_peer_settings *peers, size_t n)
{
	size_t next = 0;

	for (size_t i = 0; i < n; i++) {
		size_t slot = slot_before(change, &peers[i]);

		if (slot != SIZE_MAX)
			QE_TRY(put_peer(directory, slot, &peers[i]));
	}
	for (size_t i = 0; i < n; i++) {
		if (slot_before(change, &peers[i]) != SIZE_MAX)
			continue;
		while (next < QE_PEERS_MAX && !may_be_used(directory, next, change))
			next++;
		if (next == QE_PEERS_MAX)
			return QE_ERR_FULL;
		QE_TRY(put_peer(directory, next, &peers[i]));
	}
	return QE_OK;
}

/* All slots of before, empty. */
static void leave_peers(struct directory *directory, const struct directory_change *change)
{
	const struct directory *before = change->before;

	if (before == nullptr)
		return;
	directory->n_slots = before->n_slots;
	for (size_t i = 0; i < before->n_slots; i++) {
		const struct directory_slot *slot = &before->slots[i];

		directory->slots[i].left = slot->used ? change->generation : slot->left;
		directory->slots[i].left_at = slot->used ? change->now : slot->left_at;
	}
}

/* ---- the index ---- */

static int compare_ids(const void *a, const void *b, void *slots)
{
	const struct directory_slot *list = slots;

	return qe_node_id_compare(&list[*(const uint32_t *)a].id, &list[*(const uint32_t *)b].id);
}

static enum qe_error index_peers(struct directory *directory, const struct qe_node_id *own)
{
	qsort_r(directory->by_id, directory->n_peers, sizeof(*directory->by_id), compare_ids,
		directory->slots);
	for (size_t i = 1; i < directory->n_peers; i++)
		if (compare_ids(&directory->by_id[i - 1], &directory->by_id[i], directory->slots) ==
			0)
			return QE_ERR_CONFLICT;
	return directory_find(directory, own) == SIZE_MAX ? QE_OK : QE_ERR_CONFLICT;
}

size_t directory_find(const struct directory *directory, const struct qe_node_id *id)
{
	size_t low = 0, high = directory->n_peers;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		uint32_t slot = directory->by_id[middle];
		int order = qe_node_id_compare(&directory->slots[slot].id, id);

		if (order == 0)
			return slot;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return SIZE_MAX;
}

/* ---- life ---- */

static enum qe_error put_node(struct directory *directory, const struct directory_change *change,
	const struct qe_node_settings *settings)
{
	directory->metric = settings->metric;
	QE_TRY(copy_own(&directory->local, &directory->n_local, change->own, settings->local,
		settings->n_local));
	directory->forward = calloc(settings->n_forward + 1, sizeof(*directory->forward));
	if (directory->forward == nullptr)
		return -ENOMEM;
	for (; directory->n_forward < settings->n_forward; directory->n_forward++)
		directory->forward[directory->n_forward] = settings->forward[directory->n_forward];
	return grants_init(&directory->grants, directory, settings);
}

static enum qe_error fill(struct directory *directory, const struct directory_change *change,
	const struct qe_node_settings *settings)
{
	size_t n = settings->n_peers;
	size_t n_before = change->before != nullptr ? change->before->n_slots : 0;

	directory->slots = calloc(n_before + n + 1, sizeof(*directory->slots));
	directory->by_id = calloc(n + 1, sizeof(*directory->by_id));
	if (directory->slots == nullptr || directory->by_id == nullptr)
		return -ENOMEM;
	leave_peers(directory, change);
	QE_TRY(put_peers(directory, change, settings->peers, n));
	QE_TRY(index_peers(directory, change->own));
	return put_node(directory, change, settings);
}

enum qe_error directory_new(struct directory **ret_directory, const struct directory_change *change,
	const struct qe_node_settings *settings)
{
	struct directory *directory = calloc(1, sizeof(*directory));

	if (directory == nullptr)
		return -ENOMEM;
	enum qe_error error = fill(directory, change, settings);

	if (error != QE_OK) {
		directory_free(directory);
		return error;
	}
	*ret_directory = directory;
	return QE_OK;
}

static void free_slot(struct directory_slot *slot)
{
	free(slot->name);
	free(slot->own);
	free(slot->gateway);
	prefix_map_done(&slot->gateway_map);
}

struct directory *directory_free(struct directory *directory)
{
	if (directory == nullptr)
		return nullptr;
	for (size_t i = 0; directory->slots != nullptr && i < directory->n_slots; i++)
		free_slot(&directory->slots[i]);
	grants_done(&directory->grants);
	free(directory->local);
	free(directory->forward);
	free(directory->slots);
	free(directory->by_id);
	free(directory);
	return nullptr;
}
