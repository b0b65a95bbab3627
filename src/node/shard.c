/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A shard: everything one thread needs to carry packets for its node. Input is processed as it
 * comes; what follows from it - acknowledgements, coalesced writes, timers, what waited for room -
 * is done once per batch, in qe_shard_run, in this order:
 *
 *   a new view -> timers of links -> the coalescer -> links with something to write -> peers ->
 * what waits -> send
 *
 * Invariants: every link is in shard->links, and in shard->dirty whenever it may have something to
 * write or its deadline may have moved; every peer has a timer no later than qe_peer_deadline;
 * nothing is allocated for a packet.
 */
#include "node/shard.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "crypto/random.h"

constexpr size_t PACKETS = 96; /* 6 MiB, of which only what is used is touched */
constexpr size_t CIDS_MAX = 1 << 21;
constexpr unsigned ROUNDS_MAX = 4;
constexpr qe_time TICK_MIN = 50 * QE_MICROSECOND;

/* ---- life ---- */

static void on_batch_send(void *ctx, const struct qe_path *path, uint8_t ecn, const uint8_t *data,
	size_t len, size_t segment_size)
{
	struct qe_shard *shard = ctx;

	shard->sink.udp_send(shard->sink.ctx, path, ecn, data, len, segment_size);
}

static enum qe_error fill_shard(struct qe_shard *shard, uint8_t worker)
{
	struct qe_node *node = shard->node;

	QE_TRY(qe_crypto_new(&shard->crypto, QE_CRYPTO_BEST));
	QE_TRY(qe_batch_init(&shard->batch, on_batch_send, shard));
	QE_TRY(qe_coalescer_new(&shard->coalescer, true, ingress_write, shard));
	QE_TRY(qe_pool_new(&shard->packets, PACKETS, sizeof(struct shard_packet)));
	shard->context = (struct qe_link_context){
		.crypto = shard->crypto,
		.tls = node->tls,
		.ops = &shard_link_ops,
		.ops_ctx = shard,
		.mtu = node->mtu,
	};
	QE_TRY(qe_cid_keys_init(&shard->context.cids, worker, node->cid_secret, &node->id));
	views_enter(&node->views, worker);
	enum qe_error error = shard_adopt(shard);

	if (error != QE_OK)
		views_leave(&node->views, worker);
	return error;
}

enum qe_error qe_shard_new(struct qe_shard **ret_shard, struct qe_node *node, uint8_t worker,
	const struct qe_sink *sink, qe_time now)
{
	struct qe_shard *shard;

	if (worker >= node->workers)
		return QE_ERR_RANGE;
	shard = calloc(1, sizeof(*shard));
	if (shard == nullptr)
		return -ENOMEM;
	shard->node = node;
	shard->sink = *sink;
	shard->now = now;
	qe_list_init(&shard->links);
	qe_list_init(&shard->dirty);
	qe_list_init(&shard->waiting);
	qe_heap_init(&shard->link_timers);
	qe_heap_init(&shard->peer_timers);
	qe_map_init(&shard->cids, CIDS_MAX, qe_random_u64());
	limiter_init(&shard->handshakes, qe_random_u64(), node->workers);
	limiter_init(&shard->answers, qe_random_u64(), node->workers);
	loops_init(&shard->loops, qe_random_u64());
	knocks_init(&shard->knocks, qe_random_u64());
	qe_map_init(&shard->tokens, CIDS_MAX, qe_random_u64());
	enum qe_error error = fill_shard(shard, worker);

	if (error != QE_OK) {
		qe_shard_free(shard);
		return error;
	}
	*ret_shard = shard;
	return QE_OK;
}

struct qe_shard *qe_shard_free(struct qe_shard *shard)
{
	if (shard == nullptr)
		return nullptr;
	qe_heap_done(&shard->peer_timers); /* lets go of timers in the peers */
	shard_free_peers(shard);
	if (shard->view != nullptr)
		views_leave(&shard->node->views, shard->context.cids.worker);
	QE_LIST_FOR_EACH (place, &shard->links)
		shard_link_free(shard, QE_CONTAINER_OF(place, struct shard_link, place));
	qe_pool_free(shard->packets);
	qe_coalescer_free(shard->coalescer);
	qe_batch_done(&shard->batch);
	qe_crypto_free(shard->crypto);
	qe_cid_keys_done(&shard->context.cids);
	qe_map_done(&shard->cids);
	knocks_done(&shard->knocks);
	qe_map_done(&shard->tokens);
	qe_heap_done(&shard->link_timers);
	free(shard);
	return nullptr;
}

/* ---- input ---- */

void shard_set_peer_timer(struct qe_shard *shard, struct shard_peer *speer, qe_time at)
{
	if (speer->timer.place != 0 && speer->timer.at <= at)
		return;
	enum qe_error error = qe_heap_set(&shard->peer_timers, &speer->timer, at);

	assert(error == QE_OK);
}

uint8_t *qe_shard_tun_buffer(struct qe_shard *shard, size_t *ret_capacity)
{
	if (egress_is_paused(shard))
		return nullptr;
	if (shard->reading == nullptr)
		shard->reading = qe_pool_take(shard->packets);
	if (shard->reading == nullptr)
		return nullptr;
	*ret_capacity = SHARD_PACKET_SIZE;
	return shard->reading->data;
}

void qe_shard_tun_input(
	struct qe_shard *shard, const struct qe_offload *offload, size_t len, qe_time now)
{
	assert(shard->reading != nullptr && len <= SHARD_PACKET_SIZE);
	shard->now = now;
	egress_resume(shard);
	egress_packet(shard, len, offload);
}

void qe_shard_udp_input(struct qe_shard *shard, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len, size_t segment_size, qe_time now)
{
	shard->now = now;
	if (segment_size == 0)
		segment_size = len;
	while (len > 0) {
		size_t part = len < segment_size ? len : segment_size;

		shard_datagram_input(shard, path, ecn, (struct qe_bytes){data, part});
		data += part;
		len -= part;
	}
}

/* ---- run ---- */

static void run_link_timers(struct qe_shard *shard)
{
	struct qe_timer *timer;

	while ((timer = qe_heap_pop(&shard->link_timers, shard->now)) != nullptr) {
		struct shard_link *slink = QE_CONTAINER_OF(timer, struct shard_link, timer);
		enum qe_error error = qe_link_timer(slink->link, shard->now);

		if (error != QE_OK)
			shard_link_failed(shard, slink, error);
		else
			shard_mark_dirty(shard, slink);
	}
}

/* A deadline that has passed already is one that ngtcp2 cannot act on yet, such as an
 * acknowledgement that the amplification limit holds back: it is looked at again a little later. */
static void set_link_timer(struct qe_shard *shard, struct shard_link *slink)
{
	qe_time at = qe_link_deadline(slink->link);
	enum qe_error error = qe_heap_set(
		&shard->link_timers, &slink->timer, qe_time_max(at, shard->now + TICK_MIN));

	assert(error == QE_OK);
}

static void write_link(struct qe_shard *shard, struct shard_link *slink)
{
	enum qe_error error = qe_link_write(slink->link, &shard->batch, shard->now);

	if (error != QE_OK) {
		shard_link_failed(shard, slink, error);
		return;
	}
	shard->counters.ignored += qe_link_take_ignored(slink->link);
	set_link_timer(shard, slink);
	if (slink->peer == nullptr)
		return;
	struct qe_peer *lane = shard_find_lane(slink->peer, qe_link_lane(slink->link));
	if (lane == nullptr)
		return;
	qe_peer_link_used(lane, slink->link, shard->now);
	if (qe_peer_link(lane, shard->now) == slink->link) {
		shard_announce(shard, slink);
		shard_note_rtt(shard, slink);
	}
	shard_set_peer_timer(shard, slink->peer, qe_peer_deadline(lane));
}

static void write_links(struct qe_shard *shard)
{
	while (!qe_list_empty(&shard->dirty)) {
		struct shard_link *slink = QE_CONTAINER_OF(
			shard->dirty.next, struct shard_link, dirty);

		qe_list_remove(&slink->dirty);
		write_link(shard, slink);
	}
}

static void run_peers(struct qe_shard *shard)
{
	struct qe_timer *timer;

	while ((timer = qe_heap_pop(&shard->peer_timers, shard->now)) != nullptr) {
		struct shard_peer *speer = QE_CONTAINER_OF(timer, struct shard_peer, timer);
		qe_time expire = egress_expire(shard, speer);

		shard_run_peer(shard, speer);
		/* Whatever is due again at once waits for the next call. */
		qe_time at = qe_time_min(shard_peer_deadline(speer), expire);

		shard_set_peer_timer(shard, speer, qe_time_max(at, shard->now + 1));
	}
}

static void drain_waiting(struct qe_shard *shard)
{
	QE_LIST_FOR_EACH (place, &shard->waiting)
		egress_drain(shard, QE_CONTAINER_OF(place, struct shard_peer, waiting));
}

void qe_shard_run(struct qe_shard *shard, qe_time now)
{
	shard->now = now;
	(void)!shard_adopt(shard); /* without memory for it: next time */
	run_link_timers(shard);
	qe_coalescer_flush(shard->coalescer);
	/* A round may make more work for the next: a new link has its first packets to write. */
	for (unsigned i = 0; i < ROUNDS_MAX; i++) {
		write_links(shard);
		run_peers(shard);
		drain_waiting(shard);
		if (qe_list_empty(&shard->dirty))
			break;
	}
	qe_batch_flush(&shard->batch);
}

qe_time qe_shard_deadline(const struct qe_shard *shard)
{
	qe_time at = qe_time_min(
		qe_heap_next(&shard->link_timers), qe_heap_next(&shard->peer_timers));

	if (!qe_list_empty(&shard->dirty))
		return shard->now;
	if (egress_is_paused(shard))
		at = qe_time_min(at, shard->tun_paused_until);
	return at;
}

/* ---- what its owner asks of it ---- */

enum qe_error qe_shard_set_endpoints(struct qe_shard *shard, size_t peer,
	const struct qe_endpoint *endpoints, size_t n, qe_time now)
{
	struct shard_peer *speer = shard_ask_peer(shard, peer, now);

	if (speer == nullptr)
		return QE_ERR_NOT_FOUND;
	if (n > QE_PEER_ENDPOINTS_MAX)
		return QE_ERR_RANGE;
	qe_peer_set_endpoints(speer->peer, endpoints, n, now);
	shard_set_peer_timer(shard, speer, now);
	return QE_OK;
}

enum qe_error qe_shard_peer_seen(
	struct qe_shard *shard, size_t peer, const struct qe_endpoint *at, qe_time now)
{
	struct shard_peer *speer = shard_ask_peer(shard, peer, now);

	if (speer == nullptr)
		return QE_ERR_NOT_FOUND;
	qe_peer_seen(speer->peer, at, now);
	shard_set_peer_timer(shard, speer, now);
	return QE_OK;
}

enum qe_error qe_shard_peer_check(struct qe_shard *shard, size_t peer, qe_time now)
{
	struct shard_peer *speer = shard_ask_peer(shard, peer, now);

	if (speer == nullptr)
		return QE_ERR_NOT_FOUND;
	SHARD_FOR_EACH_LANE (lane, speer)
		qe_peer_check(lane);
	shard_set_peer_timer(shard, speer, now);
	return QE_OK;
}

void qe_shard_network_changed(struct qe_shard *shard, qe_time now)
{
	shard->now = now;
	for (size_t i = 0; i < shard->n_slots; i++) {
		struct shard_peer *speer = shard->peers[i];

		if (speer == nullptr)
			continue;
		SHARD_FOR_EACH_LANE (lane, speer)
			qe_peer_network_changed(lane, now);
		shard_set_peer_timer(shard, speer, now);
	}
}

enum qe_error qe_shard_ping(struct qe_shard *shard, size_t peer, uint64_t cookie, qe_time now)
{
	struct shard_peer *speer = shard_ask_peer(shard, peer, now);

	if (speer == nullptr)
		return QE_ERR_NOT_FOUND;
	shard_peer_link(shard, speer); /* a lane with a link, if there is one */
	QE_TRY(qe_peer_ping(speer->in_use, cookie, now));
	shard_set_peer_timer(shard, speer, now);
	return QE_OK;
}

void qe_shard_close(struct qe_shard *shard, qe_time now)
{
	shard->now = now;
	for (size_t i = 0; i < shard->n_slots; i++)
		if (shard->peers[i] != nullptr)
			shard_leave_links(shard, shard->peers[i]);
	QE_LIST_FOR_EACH (place, &shard->links)
		shard_link_close(shard, QE_CONTAINER_OF(place, struct shard_link, place));
	qe_coalescer_flush(shard->coalescer);
	qe_batch_flush(&shard->batch);
}

void qe_shard_get_counters(const struct qe_shard *shard, struct qe_shard_counters *ret_counters)
{
	*ret_counters = shard->counters;
	ret_counters->tx_datagrams = shard->batch.datagrams;
	ret_counters->queued_packets = egress_queued(shard);
	ret_counters->crypto_fallback = qe_crypto_is_fallback(shard->crypto);
}

void qe_shard_counters_add(struct qe_shard_counters *sum, const struct qe_shard_counters *counters)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)counters;

	for (size_t i = 0; i < offsetof(struct qe_shard_counters, crypto_fallback) / sizeof(*to);
		i++)
		to[i] += from[i];
	sum->crypto_fallback |= counters->crypto_fallback;
}
