/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Links of a shard: which packet belongs to which, first packets, birth and death. A link dies only
 * here and never inside one of its own callbacks; what a callback finds to be over is marked
 * doomed, and closed when the callback has returned.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "node/shard.h"
#include "quic/accept.h"

/* Of all shards together; each takes its part. */
constexpr unsigned HANDSHAKES_FREE =
	32; /* under way at a time, without the address being validated */
constexpr unsigned HANDSHAKES_MAX = 1024;
constexpr unsigned ACCEPTS_FREE = 200; /* in a second, likewise */
constexpr unsigned RESETS_PER_SECOND = 100;
constexpr unsigned ROUTES_PER_SECOND = 256; /* messages of a peer: ten times what it may announce */
/* 2,000 a second, spread so that nobody who comes at some moment has no chance. */
constexpr unsigned RETRIES_AT_ONCE = 20;
constexpr qe_time RETRIES_INTERVAL = 10 * QE_MILLISECOND;

static unsigned part(const struct qe_shard *shard, unsigned bound)
{
	return (bound + shard->node->workers - 1) / shard->node->workers;
}

void shard_mark_dirty(struct qe_shard *shard, struct shard_link *slink)
{
	if (qe_list_empty(&slink->dirty))
		qe_list_append(&shard->dirty, &slink->dirty);
}

/* ---- birth and death ---- */

/* Before the link itself, so that its callbacks find their owner. */
static struct shard_link *new_slink(struct qe_shard *shard)
{
	struct shard_link *slink = calloc(1, sizeof(*slink));

	if (slink == nullptr)
		return nullptr;
	if (qe_heap_reserve(&shard->link_timers, shard->n_links + 1) != QE_OK) {
		free(slink);
		return nullptr;
	}
	slink->number = ++shard->links_made;
	qe_list_init(&slink->place);
	qe_list_init(&slink->dirty);
	qe_list_append(&shard->links, &slink->place);
	shard->n_links++;
	return slink;
}

/* nullptr: the peer is not known yet, or has no such lane yet. */
static struct qe_peer *lane_of(const struct shard_link *slink)
{
	return slink->peer != nullptr ? shard_find_lane(slink->peer, qe_link_lane(slink->link))
				      : nullptr;
}

static void settle_handshake(struct qe_shard *shard, struct shard_link *slink)
{
	shard->n_handshaking -= slink->handshaking;
	slink->handshaking = false;
}

static void forget_halves(struct qe_shard *shard, struct shard_link *slink)
{
	unsigned n = slink->halves == nullptr ? 0 : halves_waiting(slink->halves);

	shard->counters.drops[QE_DROP_HALF] += n;
	shard->counters.waiting_frames -= n;
	free(slink->halves);
}

void shard_link_free(struct qe_shard *shard, struct shard_link *slink)
{
	settle_handshake(shard, slink);
	qe_heap_remove(&shard->link_timers, &slink->timer);
	qe_list_remove(&slink->dirty);
	qe_list_remove(&slink->place);
	shard->n_links--;
	qe_link_free(slink->link);
	forget_halves(shard, slink);
	free(slink);
}

void shard_link_close(struct qe_shard *shard, struct shard_link *slink)
{
	qe_link_close(slink->link, &shard->batch, QE_CLOSE_NONE, shard->now);
	shard_link_free(shard, slink);
}

void shard_link_failed(struct qe_shard *shard, struct shard_link *slink, enum qe_error error)
{
	if (!qe_link_is_established(slink->link)) {
		shard->counters.handshake_failures++;
		shard_drop(shard, QE_DROP_HANDSHAKE_FAILED);
	}
	if (error != QE_ERR_CLOSED)
		qe_link_close(slink->link, &shard->batch,
			error == QE_ERR_PROTOCOL ? QE_CLOSE_CONTROL : QE_CLOSE_INTERNAL,
			shard->now);
	struct qe_peer *lane = lane_of(slink);
	if (lane != nullptr)
		qe_peer_link_lost(lane, slink->link, qe_link_reason(slink->link), shard->now);
	if (slink->peer != nullptr)
		shard_set_peer_timer(shard, slink->peer, shard->now);
	shard_link_free(shard, slink);
}

/* ---- what a link reports ---- */

static void report_stranger(
	struct qe_shard *shard, const struct qe_link *link, const struct qe_node_id *id)
{
	shard_drop(shard, QE_DROP_STRANGER);
	if (shard->last_stranger != 0 &&
		qe_time_since(shard->last_stranger, shard->now) < QE_SECOND)
		return;
	shard->last_stranger = shard->now;
	shard->sink.event(shard->sink.ctx, &(struct qe_event){.type = QE_EVENT_STRANGER,
						   .time = shard->now,
						   .worker = shard->context.cids.worker,
						   .peer = SIZE_MAX,
						   .id = *id,
						   .path = *qe_link_path(link)});
}

static bool on_authorize(void *ctx, struct qe_link *link, const struct qe_node_id *id)
{
	struct qe_shard *shard = ctx;
	struct shard_link *slink = qe_link_owner(link);
	size_t slot = directory_find(shard->view->directory, id);

	if (slot == SIZE_MAX) {
		report_stranger(shard, link, id);
		return false;
	}
	if (slink->peer != nullptr)
		return true;
	slink->peer = shard->peers[slot];
	const struct qe_peer *lane = lane_of(slink);
	return lane == nullptr || qe_peer_has_room(lane);
}

/* Connection IDs are registered while the link is being made, when it has no owner yet. */
static bool on_add_cid(void *ctx, struct qe_link *link, struct qe_bytes cid)
{
	struct qe_shard *shard = ctx;

	return qe_map_put(&shard->cids, qe_cid_map_key(cid), link) == QE_OK;
}

static void on_remove_cid(void *ctx, struct qe_link *, struct qe_bytes cid)
{
	struct qe_shard *shard = ctx;

	qe_map_remove(&shard->cids, qe_cid_map_key(cid));
}

/* A peer that gives a token which another link has already only harms itself. */
static void on_add_reset(void *ctx, struct qe_link *link, struct qe_bytes token)
{
	struct qe_shard *shard = ctx;
	enum qe_error error = qe_map_put(&shard->tokens, qe_cid_map_key(token), link);

	(void)error;
}

static void on_remove_reset(void *ctx, struct qe_link *link, struct qe_bytes token)
{
	struct qe_shard *shard = ctx;
	uint64_t key = qe_cid_map_key(token);

	if (qe_map_get(&shard->tokens, key) == link)
		qe_map_remove(&shard->tokens, key);
}

static void on_established(void *ctx, struct qe_link *link)
{
	struct qe_shard *shard = ctx;
	struct shard_link *slink = qe_link_owner(link);

	settle_handshake(shard, slink);
	shard->counters.handshakes++;
	struct qe_peer *lane = shard_need_lane(shard, slink->peer, qe_link_lane(link));
	if (lane == nullptr || !qe_peer_link_up(lane, link, shard->now))
		slink->doomed = true;
	shard_set_peer_timer(shard, slink->peer, shard->now);
}

static void on_datagram(void *ctx, struct qe_link *link, struct qe_bytes datagram, enum qe_ecn ecn)
{
	ingress_datagram(ctx, qe_link_owner(link), datagram, ecn);
}

static bool on_control(void *ctx, struct qe_link *link, struct qe_bytes message)
{
	struct qe_shard *shard = ctx;
	struct shard_link *slink = qe_link_owner(link);

	struct qe_peer *lane = lane_of(slink);

	if (lane == nullptr)
		return true; /* about to be closed */
	if (!qe_peer_control(lane, link, message, shard->now)) {
		shard_drop(shard, QE_DROP_CONTROL_MALFORMED);
		return false;
	}
	shard_set_peer_timer(shard, slink->peer, qe_peer_deadline(lane));
	return true;
}

static void on_moved(void *, struct qe_link *link)
{
	struct qe_peer *lane = lane_of(qe_link_owner(link));

	if (lane != nullptr)
		qe_peer_link_moved(lane, link);
}

const struct qe_link_ops shard_link_ops = {
	.authorize = on_authorize,
	.add_cid = on_add_cid,
	.remove_cid = on_remove_cid,
	.add_reset = on_add_reset,
	.remove_reset = on_remove_reset,
	.established = on_established,
	.datagram = on_datagram,
	.control = on_control,
	.moved = on_moved,
};

/* ---- what a peer asks for ---- */

static struct qe_link *on_dial(void *ctx, struct qe_peer *peer, const struct qe_endpoint *remote)
{
	struct qe_shard *shard = ctx;
	struct shard_peer *speer = shard->peers[qe_peer_index(peer)];
	struct qe_path path = {.remote = *remote};
	struct shard_link *slink = new_slink(shard);

	if (slink == nullptr)
		return nullptr;
	if (qe_link_dial(&slink->link, &shard->context, qe_peer_id(peer), qe_peer_lane(peer), &path,
		    shard->now) != QE_OK) {
		shard_link_free(shard, slink);
		return nullptr;
	}
	slink->peer = speer;
	qe_link_set_owner(slink->link, slink);
	shard_mark_dirty(shard, slink);
	return slink->link;
}

static void on_close(void *ctx, struct qe_link *link)
{
	shard_link_close(ctx, qe_link_owner(link));
}

static void on_wake(void *ctx, struct qe_link *link)
{
	shard_mark_dirty(ctx, qe_link_owner(link));
}

/* What waits is sent at the end of qe_shard_run. */
static void on_switched(void *ctx, struct qe_peer *peer)
{
	struct qe_shard *shard = ctx;
	struct qe_link *link = qe_peer_link(peer, shard->now);

	shard_set_peer_timer(shard, shard->peers[qe_peer_index(peer)], shard->now);
	if (link != nullptr)
		shard_mark_dirty(shard, qe_link_owner(link)); /* there is something to announce */
}

static struct qe_traffic traffic_of(const struct shard_peer *speer)
{
	return (struct qe_traffic){
		.tx_packets = speer->tx_packets - speer->before.tx_packets,
		.tx_bytes = speer->tx_bytes - speer->before.tx_bytes,
		.rx_packets = speer->rx_packets - speer->before.rx_packets,
		.rx_bytes = speer->rx_bytes - speer->before.rx_bytes,
	};
}

static void note_up(struct shard_peer *speer, qe_time now)
{
	speer->up_since = now;
	speer->before = (struct qe_traffic){
		speer->tx_packets, speer->tx_bytes, speer->rx_packets, speer->rx_bytes};
}

/* Of the lanes' ups and downs, what is one of the peer. */
static bool is_of_peer(struct shard_peer *speer, enum qe_event_type type)
{
	if (type == QE_EVENT_PEER_UP)
		return speer->n_up++ == 0;
	if (type == QE_EVENT_PEER_DOWN)
		return --speer->n_up == 0;
	if (type == QE_EVENT_PEER_SILENT)
		return speer->n_silent++ == 0;
	if (type == QE_EVENT_PEER_ANSWERS)
		return --speer->n_silent == 0 && speer->n_up > 0;
	return true;
}

void shard_emit(struct qe_shard *shard, struct shard_peer *speer, struct qe_event event)
{
	event.time = shard->now;
	event.worker = shard->context.cids.worker;
	event.peer = speer->slot;
	event.id = *qe_peer_id(speer->peer);
	event.traffic = traffic_of(speer);
	event.since = speer->up_since;
	shard->sink.event(shard->sink.ctx, &event);
}

static void on_event(void *ctx, struct qe_peer *peer, const struct qe_event *event)
{
	struct qe_shard *shard = ctx;
	struct shard_peer *speer = shard->peers[qe_peer_index(peer)];

	if (!is_of_peer(speer, event->type))
		return;
	if (event->type == QE_EVENT_PEER_UP)
		note_up(speer, shard->now);
	shard_emit(shard, speer, *event);
}

/* A node says what it announces once on each link, and again when it changes. */
static void on_routes(void *ctx, struct qe_peer *peer, struct qe_bytes message)
{
	struct qe_shard *shard = ctx;
	struct shard_peer *speer = shard->peers[qe_peer_index(peer)];

	if (qe_time_since(speer->routes_since, shard->now) >= QE_SECOND) {
		speer->routes_since = shard->now;
		speer->routes_taken = 0;
	}
	if (speer->routes_taken == ROUTES_PER_SECOND) {
		shard_drop(shard, QE_DROP_CONTROL_LIMIT);
		return;
	}
	speer->routes_taken++;
	shard_emit(shard, speer,
		(struct qe_event){.type = QE_EVENT_ROUTES,
			.message = message.data,
			.message_len = message.len});
}

const struct qe_peer_ops shard_peer_ops = {
	.dial = on_dial,
	.close = on_close,
	.wake = on_wake,
	.switched = on_switched,
	.routes = on_routes,
	.event = on_event,
};

/* ---- packets ---- */

/* False if that was the end of the link. */
static bool give_to_link(struct qe_shard *shard, struct shard_link *slink,
	const struct qe_path *path, uint8_t ecn, struct qe_bytes packet)
{
	shard->counters.link_datagrams++;
	enum qe_error error = qe_link_input(
		slink->link, path, (enum qe_ecn)(ecn & 3), packet, shard->now);

	if (error != QE_OK)
		shard_link_failed(shard, slink, error);
	else if (slink->doomed)
		shard_link_close(shard, slink);
	else
		shard_mark_dirty(shard, slink);
	return error == QE_OK;
}

static struct qe_bytes knock_of(const struct qe_first_packet *first)
{
	return first->validated ? (struct qe_bytes){first->original_dcid, QE_KNOCK_SIZE}
				: first->dcid;
}

static void accept_first(struct qe_shard *shard, const struct qe_first_packet *first,
	const struct qe_path *path, uint8_t ecn, struct qe_bytes packet)
{
	struct shard_link *slink = new_slink(shard);

	if (slink == nullptr ||
		qe_link_accept(&slink->link, &shard->context, first, path, shard->now) != QE_OK) {
		shard_drop(shard, QE_DROP_NO_MEMORY);
		if (slink != nullptr)
			shard_link_free(shard, slink);
		return;
	}
	qe_link_set_owner(slink->link, slink);
	slink->handshaking = true;
	shard->n_handshaking++;
	shard->accepts++;
	/* One that fails at once has shown nothing, and may be a flight whose second packet came
	 * first. */
	if (give_to_link(shard, slink, path, ecn, packet))
		knocks_add(&shard->knocks, knock_of(first));
}

/* Under load a client shows that it owns its address (the Retry), and starts only so many
 * handshakes from there: each costs this side half a millisecond. */
static void accept_bounded(struct qe_shard *shard, const struct qe_first_packet *first,
	const struct qe_path *path, uint8_t ecn, struct qe_bytes packet)
{
	/* First, so that a replay takes nothing from the address that it pretends to come from. */
	if (first->validated && knocks_contain(&shard->knocks, knock_of(first)))
		shard_drop(shard, QE_DROP_NO_KNOCK);
	else if (shard->n_handshaking >= part(shard, HANDSHAKES_MAX) ||
		 (first->validated &&
			 !limiter_take(&shard->handshakes, &path->remote.addr, shard->now)))
		shard_drop(shard, QE_DROP_HANDSHAKE_LIMIT);
	else
		accept_first(shard, first, path, ecn, packet);
}

/* Many handshakes under way, or many in this second, also if they failed at once. */
static bool is_under_load(struct qe_shard *shard)
{
	if (qe_time_since(shard->accepts_since, shard->now) >= QE_SECOND) {
		shard->accepts_since = shard->now;
		shard->accepts = 0;
	}
	return shard->n_handshaking >= part(shard, HANDSHAKES_FREE) ||
	       shard->accepts >= part(shard, ACCEPTS_FREE);
}

/* A Retry costs more than a packet that gets no answer, most of it in the kernel: a flood under
 * false addresses gets so many, and a client that gets none asks again. */
static void validate_address(
	struct qe_shard *shard, const struct qe_first_packet *first, const struct qe_path *path)
{
	if (qe_time_since(shard->retries_since, shard->now) >= RETRIES_INTERVAL) {
		shard->retries_since = shard->now;
		shard->retries = 0;
	}
	if (shard->retries >= part(shard, RETRIES_AT_ONCE) ||
		!qe_retry(&shard->context, &shard->batch, first, path, shard->now)) {
		shard_drop(shard, QE_DROP_HANDSHAKE_LIMIT);
		return;
	}
	shard->retries++;
	shard->counters.retries++;
}

static void first_packet(struct qe_shard *shard, struct qe_bytes dcid, const struct qe_path *path,
	uint8_t ecn, struct qe_bytes packet)
{
	bool want_retry = is_under_load(shard);
	struct qe_first_packet first;

	/* A knock opens once, as it reaches only the worker that its first byte names. */
	if (dcid.len == 0 || dcid.data[0] % shard->node->workers != shard->context.cids.worker ||
		(dcid.len == QE_KNOCK_SIZE && knocks_contain(&shard->knocks, dcid))) {
		shard_drop(shard, QE_DROP_NO_KNOCK);
		return;
	}
	switch (qe_first_packet_check(
		&first, &shard->context, path, packet, want_retry, shard->now)) {
	case QE_FIRST_ACCEPT:
		accept_bounded(shard, &first, path, ecn, packet);
		break;
	case QE_FIRST_RETRY:
		validate_address(shard, &first, path);
		break;
	case QE_FIRST_NO_KNOCK:
		shard_drop(shard, QE_DROP_NO_KNOCK);
		break;
	case QE_FIRST_MALFORMED:
		shard_drop(shard, QE_DROP_UDP_MALFORMED);
		break;
	}
}

/* Few are enough to tell a peer that its link is gone, and a flood of old packets gets no flood. */
static bool may_reset(struct qe_shard *shard)
{
	if (qe_time_since(shard->resets_since, shard->now) >= QE_SECOND) {
		shard->resets_since = shard->now;
		shard->resets = 0;
	}
	return shard->resets < part(shard, RESETS_PER_SECOND);
}

/* The link that this resets, if it is a stateless reset. */
static struct qe_link *find_reset(const struct qe_shard *shard, struct qe_bytes packet)
{
	if (packet.len < QE_RESET_MIN)
		return nullptr;
	struct qe_bytes token = {
		packet.data + packet.len - QE_RESET_TOKEN_SIZE, QE_RESET_TOKEN_SIZE};

	return qe_map_get(&shard->tokens, qe_cid_map_key(token));
}

static void unknown_connection(
	struct qe_shard *shard, const struct qe_path *path, struct qe_bytes packet)
{
	shard_drop(shard, QE_DROP_UNKNOWN_CONNECTION);
	if (may_reset(shard) && qe_stateless_reset(&shard->context, &shard->batch, path, packet)) {
		shard->resets++;
		shard->counters.stateless_resets++;
	}
}

void shard_datagram_input(
	struct qe_shard *shard, const struct qe_path *path, uint8_t ecn, struct qe_bytes packet)
{
	struct qe_bytes dcid;
	enum qe_packet_kind kind = qe_packet_classify(packet, &dcid);

	shard->counters.rx_datagrams++;
	if (kind == QE_PACKET_MALFORMED) {
		shard_drop(shard, QE_DROP_UDP_MALFORMED);
		return;
	}
	struct qe_link *link = qe_map_get(&shard->cids, qe_cid_map_key(dcid));

	if (link == nullptr && kind == QE_PACKET_SHORT)
		link = find_reset(shard, packet);
	if (link != nullptr)
		give_to_link(shard, qe_link_owner(link), path, ecn, packet);
	else if (kind == QE_PACKET_LONG)
		first_packet(shard, dcid, path, ecn, packet);
	else
		unknown_connection(shard, path, packet);
}
