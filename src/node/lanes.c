/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The peers of a shard, and their lanes. A lane is the number of the worker that dials: worker i of
 * a node dials lane i of each peer that it has packets for, and a peer steers what comes to its
 * worker i, modulo as many as it has (docs/protocol.md, "Lanes"). So a shard has for each peer its
 * own lane, of its own number, and a passive one for each lane of a worker that only the peer has;
 * these come with their first link, and go with their last.
 *
 * A packet is sent on the lane that carried the one before, as long as that has a link: a flow
 * would lose its order if it changed.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/time.h"
#include "node/shard.h"

constexpr qe_time RTT_INTERVAL = 5 * QE_SECOND;
constexpr qe_time LATELY = 60 * QE_SECOND; /* a lane that carried packets then does not rest */

static uint8_t own_number(const struct qe_shard *shard)
{
	return shard->context.cids.worker;
}

/* ---- life ---- */

static enum qe_error new_lane(struct qe_peer **ret_lane, struct qe_shard *shard, size_t index,
	const struct directory_slot *slot, uint8_t number)
{
	const struct qe_node *node = shard->node;
	struct qe_peer_config config = {
		.index = index,
		.id = slot->id,
		.lane = number,
		.passive = number != own_number(shard),
		.rests = number != 0,
		.elector = qe_node_id_compare(&node->id, &slot->id) < 0,
		.keep = slot->dial && number == 0,
		.rotate = node->rotate,
		.instance = node->instance,
		.ops = &shard_peer_ops,
		.ops_ctx = shard,
	};

	return qe_peer_new(ret_lane, &config, shard->now);
}

enum qe_error shard_make_lane(
	struct qe_shard *shard, struct shard_peer *speer, const struct directory_slot *slot)
{
	QE_TRY(new_lane(&speer->peer, shard, speer->slot, slot, own_number(shard)));
	speer->in_use = speer->peer;
	return QE_OK;
}

/* Its links must be gone. */
static void free_passive(struct shard_peer *speer, uint8_t number)
{
	struct qe_peer *lane = speer->passive[number];
	struct qe_peer_status status;

	qe_peer_get_status(lane, &status);
	speer->past_rotations += status.rotations;
	speer->past_reconnects += status.reconnects;
	if (speer->in_use == lane)
		speer->in_use = speer->peer;
	speer->passive[number] = qe_peer_free(lane);
	if (--speer->n_passive > 0)
		return;
	free(speer->passive);
	speer->passive = nullptr;
}

struct qe_peer *shard_next_lane(const struct shard_peer *speer, const struct qe_peer *lane)
{
	if (lane == nullptr)
		return speer->peer;
	if (speer->n_passive == 0)
		return nullptr;
	for (unsigned i = lane == speer->peer ? 0 : qe_peer_lane(lane) + 1u; i < QE_WORKERS_MAX;
		i++)
		if (speer->passive[i] != nullptr)
			return speer->passive[i];
	return nullptr;
}

struct qe_peer *shard_find_lane(const struct shard_peer *speer, uint8_t number)
{
	if (number == qe_peer_lane(speer->peer))
		return speer->peer;
	return speer->n_passive > 0 ? speer->passive[number] : nullptr;
}

struct qe_peer *shard_need_lane(struct qe_shard *shard, struct shard_peer *speer, uint8_t number)
{
	struct qe_peer *lane = shard_find_lane(speer, number);

	if (lane != nullptr)
		return lane;
	if (speer->passive == nullptr)
		speer->passive = calloc(QE_WORKERS_MAX, sizeof(struct qe_peer *));
	if (speer->passive == nullptr)
		return nullptr;
	if (new_lane(&speer->passive[number], shard, speer->slot,
		    directory_get(shard->view->directory, speer->slot), number) == QE_OK)
		speer->n_passive++;
	return speer->passive[number];
}

void shard_leave_links(struct qe_shard *shard, struct shard_peer *speer)
{
	SHARD_FOR_EACH_LANE (lane, speer)
		while (qe_peer_take_link(lane) != nullptr)
			;
	egress_discard(shard, speer);
}

void shard_free_lanes(struct shard_peer *speer)
{
	for (unsigned lane = 0; speer->n_passive > 0 && lane < QE_WORKERS_MAX; lane++)
		qe_peer_free(speer->passive[lane]);
	free(speer->passive);
	qe_peer_free(speer->peer);
}

/* ---- the lane in use ---- */

struct qe_link *shard_peer_link(struct qe_shard *shard, struct shard_peer *speer)
{
	struct qe_link *link = qe_peer_link(speer->in_use, shard->now);

	if (link != nullptr || speer->n_passive == 0)
		return link;
	SHARD_FOR_EACH_LANE (lane, speer) {
		link = qe_peer_link(lane, shard->now);
		if (link == nullptr)
			continue;
		speer->in_use = lane;
		return link;
	}
	speer->in_use = speer->peer;
	return nullptr;
}

/* ---- what is said, and heard ---- */

/* Announcements are numbered from 1. What the peer does not take now, as it has not opened the
 * stream or does not read, it takes after its next acknowledgement. */
void shard_announce(struct qe_shard *shard, struct shard_link *slink)
{
	const struct announcement *announcement = shard->view->announcement;

	if (slink->announcement != announcement->number) {
		slink->announcement = announcement->number;
		slink->announced_parts = 0;
	}
	while (slink->announced_parts < announcement->n_parts) {
		const struct announcement_part *part = &announcement->parts[slink->announced_parts];

		if (qe_link_control(slink->link, (struct qe_bytes){part->bytes, part->len}) !=
			QE_OK)
			return;
		slink->announced_parts++;
		shard_mark_dirty(shard, slink);
	}
}

void shard_note_rtt(struct qe_shard *shard, struct shard_link *slink)
{
	struct shard_peer *speer = slink->peer;
	struct qe_link_status status;

	if (speer->rtt_told != 0 && qe_time_since(speer->rtt_told, shard->now) < RTT_INTERVAL)
		return;
	speer->rtt_told = shard->now;
	qe_link_get_status(slink->link, &status);
	shard_emit(shard, speer, (struct qe_event){.type = QE_EVENT_PEER_RTT, .rtt = status.rtt});
}

/* ---- running ---- */

qe_time shard_peer_deadline(const struct shard_peer *speer)
{
	qe_time at = QE_TIME_NEVER;

	SHARD_FOR_EACH_LANE (lane, speer)
		at = qe_time_min(at, qe_peer_deadline(lane));
	return at;
}

static bool is_used(const struct qe_shard *shard, const struct shard_peer *speer)
{
	qe_time last = qe_time_max(speer->last_rx, speer->last_sent);

	return last != 0 && qe_time_since(last, shard->now) < LATELY;
}

void shard_run_peer(struct qe_shard *shard, struct shard_peer *speer)
{
	bool used = is_used(shard, speer);

	SHARD_FOR_EACH_LANE (lane, speer) {
		if (used && qe_peer_get_state(lane) == QE_PEER_CONNECTED)
			qe_peer_want(lane, shard->now);
		qe_peer_run(lane, shard->now);
	}
	for (uint8_t i = 0; i < QE_WORKERS_MAX && speer->n_passive > 0; i++)
		if (speer->passive[i] != nullptr && qe_peer_is_empty(speer->passive[i]))
			free_passive(speer, i);
}

/* ---- status ---- */

void qe_peer_status_add(struct qe_peer_status *sum, const struct qe_peer_status *status)
{
	if (status->state > sum->state)
		sum->state = status->state;
	if (!sum->has_link && status->has_link)
		sum->link = status->link;
	sum->has_link |= status->has_link;
	sum->n_links += status->n_links;
	sum->tx_packets += status->tx_packets;
	sum->tx_bytes += status->tx_bytes;
	sum->rx_packets += status->rx_packets;
	sum->rx_bytes += status->rx_bytes;
	sum->rotations += status->rotations;
	sum->reconnects += status->reconnects;
	sum->last_rx = qe_time_max(sum->last_rx, status->last_rx);
	sum->next_dial = sum->has_link ? QE_TIME_NEVER
				       : qe_time_min(sum->next_dial, status->next_dial);
}

enum qe_error qe_shard_peer_status(
	const struct qe_shard *shard, size_t peer, struct qe_peer_status *ret_status)
{
	const struct shard_peer *speer = shard_get_peer(shard, peer);

	if (speer == nullptr)
		return QE_ERR_NOT_FOUND;
	const struct directory_slot *slot = directory_get(shard->view->directory, peer);

	*ret_status = (struct qe_peer_status){
		.name = slot->name,
		.id = slot->id,
		.tx_packets = speer->tx_packets,
		.tx_bytes = speer->tx_bytes,
		.rx_packets = speer->rx_packets,
		.rx_bytes = speer->rx_bytes,
		.rotations = speer->past_rotations,
		.reconnects = speer->past_reconnects,
		.last_rx = speer->last_rx,
		.next_dial = QE_TIME_NEVER,
	};
	SHARD_FOR_EACH_LANE (lane, speer) {
		struct qe_peer_status status;

		qe_peer_get_status(lane, &status);
		qe_peer_status_add(ret_status, &status);
	}
	return QE_OK;
}
