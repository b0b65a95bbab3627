/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * How a shard takes up a view. All that can fail comes first, so that a shard without memory goes
 * on with the view it has. A peer that is in both views keeps its lanes, links, queue and counters;
 * the links of one that is gone are closed in order, those that have not said yet whose they are
 * ask the new view.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/time.h"
#include "node/shard.h"

/* ---- one peer ---- */

static void free_peer(struct qe_shard *shard, size_t slot)
{
	struct shard_peer *speer = shard->peers[slot];

	if (speer == nullptr)
		return;
	shard_free_lanes(speer);
	free(speer);
	shard->peers[slot] = nullptr;
}

static enum qe_error make_peer(
	struct qe_shard *shard, size_t slot, const struct directory_slot *from)
{
	struct shard_peer *speer = calloc(1, sizeof(*speer));

	if (speer == nullptr)
		return -ENOMEM;
	speer->slot = slot;
	qe_list_init(&speer->queue);
	qe_list_init(&speer->waiting);
	shard->peers[slot] = speer;
	return shard_make_lane(shard, speer, from);
}

static void remove_peer(struct qe_shard *shard, size_t slot)
{
	struct shard_peer *speer = shard->peers[slot];

	SHARD_FOR_EACH_LANE (lane, speer)
		qe_peer_end(lane, "the peer has been removed");
	/* Those in a handshake are of no lane yet. */
	QE_LIST_FOR_EACH (place, &shard->links) {
		struct shard_link *slink = QE_CONTAINER_OF(place, struct shard_link, place);

		if (slink->peer == speer)
			shard_link_close(shard, slink);
	}
	egress_discard(shard, speer);
	qe_heap_remove(&shard->peer_timers, &speer->timer);
	if (shard->recent_peer == speer)
		shard->recent_peer = nullptr;
	free_peer(shard, slot);
}

static void change_peer(
	struct qe_shard *shard, struct shard_peer *speer, const struct directory_slot *to)
{
	/* Only lane 0 is kept up. */
	if (qe_peer_lane(speer->peer) != 0)
		return;
	qe_peer_set_keep(speer->peer, to->dial);
	shard_set_peer_timer(shard, speer, shard->now);
}

/* ---- all of them ---- */

static enum qe_error reserve(struct qe_shard *shard, const struct directory *directory)
{
	size_t n = directory->n_slots;

	QE_TRY(qe_heap_reserve(&shard->peer_timers, n));
	if (n <= shard->n_slots)
		return QE_OK;
	struct shard_peer **peers = realloc(shard->peers, n * sizeof(struct shard_peer *));

	if (peers == nullptr)
		return -ENOMEM;
	while (shard->n_slots < n)
		peers[shard->n_slots++] = nullptr;
	shard->peers = peers;
	return QE_OK;
}

static const struct directory_slot *slot_before(const struct qe_shard *shard, size_t slot)
{
	return shard->view != nullptr ? directory_get(shard->view->directory, slot) : nullptr;
}

static enum qe_error make_new_peers(struct qe_shard *shard, const struct directory *directory)
{
	for (size_t i = 0; i < directory->n_slots; i++) {
		const struct directory_slot *slot = directory_get(directory, i);

		if (slot != nullptr && slot_before(shard, i) == nullptr)
			QE_TRY(make_peer(shard, i, slot));
	}
	return QE_OK;
}

static void free_new_peers(struct qe_shard *shard)
{
	for (size_t i = 0; i < shard->n_slots; i++)
		if (slot_before(shard, i) == nullptr)
			free_peer(shard, i);
}

static void change_old_peers(struct qe_shard *shard, const struct directory *directory)
{
	for (size_t i = 0; i < shard->n_slots; i++) {
		const struct directory_slot *before = slot_before(shard, i);
		const struct directory_slot *after = directory_get(directory, i);

		if (before == nullptr)
			continue;
		if (after == nullptr)
			remove_peer(shard, i);
		else if (before->dial != after->dial)
			change_peer(shard, shard->peers[i], after);
	}
}

static enum qe_error adopt_directory(struct qe_shard *shard, const struct directory *directory)
{
	QE_TRY(reserve(shard, directory));
	enum qe_error error = make_new_peers(shard, directory);

	if (error == QE_OK)
		change_old_peers(shard, directory);
	else
		free_new_peers(shard);
	return error;
}

enum qe_error shard_adopt(struct qe_shard *shard)
{
	const struct view *before = shard->view, *view = views_newest(&shard->node->views);

	if (view == before)
		return QE_OK;
	if (before == nullptr || view->directory != before->directory)
		QE_TRY(adopt_directory(shard, view->directory));
	shard->view = view;
	if (before != nullptr && view->announcement != before->announcement)
		QE_LIST_FOR_EACH (place, &shard->links)
			shard_mark_dirty(shard, QE_CONTAINER_OF(place, struct shard_link, place));
	loops_init(&shard->loops, shard->loops.seed); /* as what circled may have another way now */
	views_acknowledge(&shard->node->views, shard->context.cids.worker, view->generation);
	return QE_OK;
}

struct shard_peer *shard_ask_peer(struct qe_shard *shard, size_t slot, qe_time now)
{
	shard->now = now;
	/* Without memory the peers are those of before, for now. */
	(void)!shard_adopt(shard);
	return shard_get_peer(shard, slot);
}

void shard_free_peers(struct qe_shard *shard)
{
	for (size_t i = 0; i < shard->n_slots; i++) {
		if (shard->peers[i] == nullptr)
			continue;
		shard_leave_links(shard, shard->peers[i]);
		free_peer(shard, i);
	}
	free(shard->peers);
}
