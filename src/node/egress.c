/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * From the TUN, or from another peer's link, to a link: route, split, one DATAGRAM frame for each
 * IP packet.
 *
 * A peer whose congestion window is full keeps what is half sent, and the shard stops reading the
 * TUN for a moment, whose short queue then tells the senders. As that queue is one for all peers,
 * the moment is shorter where several are in use, and the packets that may have gathered meanwhile
 * are then read without another: nobody waits for a slow peer longer than TUN_PAUSE_SHARED. What
 * comes for that one waits in a queue of its own, as long as it would take to grow old there. A
 * peer whose window has not moved for a while stops nothing. One without a link has a small queue
 * as well, for as long as a handshake may take.
 */
#include <string.h>

#include "base/time.h"
#include "net/addr.h"
#include "net/checksum.h"
#include "net/icmp.h"
#include "node/shard.h"

constexpr size_t QUEUE_BYTES_MAX = 192 * 1024; /* for a peer without a link */
constexpr size_t QUEUE_PACKETS_MAX = 16;
constexpr size_t BLOCKED_PACKETS_MAX = 24; /* for a peer whose window is full */
constexpr qe_time BLOCKED_AGE_MAX = 10 * QE_MILLISECOND;
/* Of packets from other peers, which nobody can be told to hold back. */
constexpr size_t FORWARDED_PACKETS_MAX = 56;
constexpr qe_time FORWARDED_AGE_MAX = 50 * QE_MILLISECOND;
constexpr size_t ABSENT_RESERVE = 80; /* by what other peers send to peers without a link */
constexpr size_t POOL_RESERVE = 8; /* packets that no queue may take: the TUN is read into them */
constexpr qe_time TUN_PAUSE = 10 * QE_MILLISECOND;
constexpr qe_time TUN_PAUSE_SHARED = QE_MILLISECOND / 2;
constexpr qe_time SHARED_FOR = 5 * QE_SECOND;
constexpr qe_time STUCK_AFTER = 500 * QE_MILLISECOND; /* longer than BBR lies low to measure */
constexpr qe_time WAIT_MAX = 5 * QE_SECOND;

enum outcome : uint8_t { SENT, WAIT };

constexpr size_t FROM_TUN = SIZE_MAX; /* instead of a peer's slot */

/* ---- queues ---- */

static void free_packet(struct qe_shard *shard, struct shard_packet *packet)
{
	qe_pool_give(shard->packets, packet);
}

/* What is still to be sent of it; before it is started, what the kernel would have made of it. */
static uint64_t packets_in(const struct shard_packet *packet)
{
	if (!packet->started)
		return qe_segments(&packet->offload, packet->parsed.payload, (uint32_t)packet->len);
	return (packet->current.len > 0) + qe_segmenter_left(&packet->segmenter);
}

static void count_drop(
	struct qe_shard *shard, const struct shard_packet *packet, enum qe_drop reason)
{
	shard->counters.drops[reason] += packets_in(packet);
}

static void drop_packet(struct qe_shard *shard, struct shard_packet *packet, enum qe_drop reason)
{
	count_drop(shard, packet, reason);
	free_packet(shard, packet);
}

static void set_blocked(struct qe_shard *shard, struct shard_peer *speer, bool blocked)
{
	shard->n_blocked += (size_t)blocked - (size_t)speer->blocked;
	speer->blocked = blocked;
}

static struct shard_packet *first_packet(struct shard_peer *speer)
{
	return QE_CONTAINER_OF(speer->queue.next, struct shard_packet, place);
}

static struct shard_packet *take_first(struct qe_shard *shard, struct shard_peer *speer)
{
	struct shard_packet *packet = first_packet(speer);

	qe_list_remove(&packet->place);
	speer->queued_packets--;
	speer->queued_bytes -= packet->len;
	if (qe_list_empty(&speer->queue)) {
		qe_list_remove(&speer->waiting);
		set_blocked(shard, speer, false);
	}
	return packet;
}

/* Packets for more than one peer that has a link have come lately: whoever waits behind a slow one
 * is harmed. */
static bool is_shared(const struct qe_shard *shard)
{
	return shard->recent_peer_since != 0 &&
	       qe_time_since(shard->recent_peer_since, shard->now) < SHARED_FOR;
}

static void note_peer(struct qe_shard *shard, const struct shard_peer *speer)
{
	if (speer == shard->recent_peer)
		return;
	if (shard->recent_peer != nullptr)
		shard->recent_peer_since = shard->now;
	shard->recent_peer = speer;
}

static void pause_tun(struct qe_shard *shard, struct shard_peer *speer)
{
	bool shared = is_shared(shard);

	if ((shared && shard->tun_unpausable > 0) || !speer->blocked ||
		qe_time_since(speer->last_sent, shard->now) >= STUCK_AFTER)
		return;
	shard->tun_paused_at = shard->now;
	shard->tun_paused_until = shard->now + (shared ? shard->tun_pause_left : TUN_PAUSE);
}

bool egress_is_paused(const struct qe_shard *shard)
{
	return shard->n_blocked > 0 && shard->now < shard->tun_paused_until;
}

void egress_resume(struct qe_shard *shard)
{
	qe_time paused = qe_time_since(shard->tun_paused_at, shard->now);

	if (shard->tun_unpausable > 0)
		shard->tun_unpausable--;
	if (shard->tun_paused_until == 0)
		return;
	shard->tun_paused_until = 0;
	if (paused < shard->tun_pause_left) {
		shard->tun_pause_left -= paused;
		return;
	}
	shard->tun_pause_left = TUN_PAUSE_SHARED;
	shard->tun_unpausable = QE_TUN_QUEUE_LENGTH;
}

/* One that is blocked keeps what leaves soon, and what else fits the pool; the tail is dropped. */
static bool is_full(
	const struct qe_shard *shard, struct shard_peer *speer, const struct shard_packet *packet)
{
	if (qe_list_empty(&speer->queue))
		return false;
	qe_time age = qe_time_since(first_packet(speer)->arrived, shard->now);

	if (speer->blocked && packet->from != FROM_TUN)
		return speer->queued_packets >= FORWARDED_PACKETS_MAX || age > FORWARDED_AGE_MAX;
	if (speer->blocked && is_shared(shard))
		return speer->queued_packets >= BLOCKED_PACKETS_MAX || age > BLOCKED_AGE_MAX;
	return speer->queued_packets >= QUEUE_PACKETS_MAX ||
	       speer->queued_bytes + packet->len > QUEUE_BYTES_MAX;
}

/* How many packets of the pool must stay free. The one that a full window has stopped half-way
 * comes first: as long as it waits, the TUN does, and nothing is lost; packets for peers that are
 * not there must not take its place, and least of all what one peer sends on to many of these. */
static size_t reserve_for(struct qe_shard *shard, struct shard_peer *speer,
	const struct shard_packet *packet, bool first)
{
	if (packet->from != FROM_TUN && !speer->blocked && shard_peer_link(shard, speer) == nullptr)
		return ABSENT_RESERVE;
	if (!first)
		return 4 * POOL_RESERVE;
	return speer->blocked ? POOL_RESERVE : 2 * POOL_RESERVE;
}

static void enqueue(struct qe_shard *shard, struct shard_peer *speer, struct shard_packet *packet)
{
	bool first = qe_list_empty(&speer->queue);
	bool full = is_full(shard, speer, packet);

	if (packet->from == FROM_TUN)
		pause_tun(shard, speer);
	if (full || qe_pool_available(shard->packets) < reserve_for(shard, speer, packet, first)) {
		drop_packet(shard, packet, QE_DROP_QUEUE_FULL);
		if (first)
			set_blocked(shard, speer, false);
		return;
	}
	qe_list_append(&speer->queue, &packet->place);
	speer->queued_packets++;
	speer->queued_bytes += packet->len;
	if (!first)
		return;
	qe_list_append(&shard->waiting, &speer->waiting);
	shard_set_peer_timer(shard, speer, shard->now + WAIT_MAX);
}

void egress_discard(struct qe_shard *shard, struct shard_peer *speer)
{
	while (!qe_list_empty(&speer->queue))
		drop_packet(shard, take_first(shard, speer), QE_DROP_CLOSED);
}

uint64_t egress_queued(const struct qe_shard *shard)
{
	uint64_t n = 0;

	QE_LIST_FOR_EACH (peer, &shard->waiting) {
		struct shard_peer *speer = QE_CONTAINER_OF(peer, struct shard_peer, waiting);

		QE_LIST_FOR_EACH (place, &speer->queue)
			n += packets_in(QE_CONTAINER_OF(place, struct shard_packet, place));
	}
	return n;
}

qe_time egress_expire(struct qe_shard *shard, struct shard_peer *speer)
{
	while (!qe_list_empty(&speer->queue)) {
		qe_time until = first_packet(speer)->arrived + WAIT_MAX;

		if (until > shard->now)
			return until;
		drop_packet(shard, take_first(shard, speer), QE_DROP_NO_LINK);
	}
	return QE_TIME_NEVER;
}

/* ---- what goes back to the sender ---- */

/* From this node's own address where it can be. Linux takes no IPv4 packet from the TUN that has
 * one of the host's own addresses as its source (unless accept_local is set, and then it takes all
 * such packets): that one goes in the name of the destination, whose way back leads through here.
 */
static void answer(struct qe_shard *shard, enum qe_icmp_error error, uint16_t mtu,
	struct qe_bytes about, const struct qe_packet *packet)
{
	uint8_t message[QE_ICMP_MAX];
	struct qe_addr from = packet->version == 6 ? qe_node_id_overlay_addr(&shard->node->id)
						   : packet->destination;
	size_t len = qe_icmp_error(message, error, &from, mtu, about, packet);

	if (len == 0)
		return;
	shard->counters.icmp_packets++;
	shard_write(shard, &(struct qe_offload){}, message, len);
}

/* ---- one IP packet ---- */

static enum outcome link_trouble(
	struct qe_shard *shard, struct shard_peer *speer, struct qe_link *link, enum qe_error error)
{
	struct shard_link *slink = qe_link_owner(link);

	if (error == QE_ERR_BLOCKED) {
		set_blocked(shard, speer, true);
	} else {
		shard_link_failed(shard, slink, error);
		set_blocked(shard, speer, false);
	}
	return WAIT;
}

static void note_sent(
	struct qe_shard *shard, struct shard_peer *speer, struct qe_link *link, size_t len)
{
	shard_mark_dirty(shard, qe_link_owner(link));
	speer->last_sent = shard->now;
	speer->tx_packets++;
	speer->tx_bytes += len;
	shard->counters.tx_packets++;
	shard->counters.tx_bytes += len;
}

static enum outcome send_pieces(struct qe_shard *shard, struct shard_peer *speer,
	struct qe_link *link, struct shard_packet *packet)
{
	struct pieces *pieces = &packet->pieces;
	uint8_t piece[QE_MTU_MAX];
	size_t len;

	while ((len = pieces_write(pieces, piece, packet->current)) > 0) {
		enum qe_error error = qe_link_send(link, &shard->batch, pieces->context,
			qe_packet_ecn(&pieces->packet), (struct qe_bytes){piece, len}, shard->now);

		if (error == QE_ERR_TOO_BIG) { /* the path has become narrower still */
			shard_drop(shard, QE_DROP_TOO_BIG);
			return SENT;
		}
		if (error != QE_OK)
			return link_trouble(shard, speer, link, error);
		shard_mark_dirty(shard, qe_link_owner(link));
		pieces->index++;
	}
	if (pieces->index > 0)
		note_sent(shard, speer, link, packet->current.len);
	else /* a fragment that reaches beyond the largest packet */
		shard_drop(shard, QE_DROP_TUN_MALFORMED);
	return SENT;
}

/* In pieces, or else the sender is told what fits. No link carries less than 1,280 bytes of IPv6,
 * and no host believes that one does. */
static enum outcome too_big(struct qe_shard *shard, struct shard_peer *speer, struct qe_link *link,
	struct shard_packet *packet)
{
	struct shard_link *slink = qe_link_owner(link);
	struct pieces *pieces = &packet->pieces;
	uint16_t mtu = qe_link_path_mtu(link);

	if (packet->pieces_link == slink->number)
		return send_pieces(shard, speer, link, packet);
	if (pieces_begin(
		    pieces, packet->current, packet->segmenter.partial, mtu, slink->next_half++)) {
		packet->pieces_link = slink->number;
		return send_pieces(shard, speer, link, packet);
	}
	shard_drop(shard, QE_DROP_TOO_BIG);
	if (pieces->packet.version == 6 && mtu < QE_MTU_MIN)
		mtu = QE_MTU_MIN;
	if (packet->from == FROM_TUN)
		answer(shard, QE_ICMP_PACKET_TOO_BIG, mtu, packet->current, &pieces->packet);
	else
		egress_answer_peer(shard, packet->from, QE_ICMP_PACKET_TOO_BIG, mtu,
			packet->current, &pieces->packet);
	return SENT;
}

static enum outcome send_current(struct qe_shard *shard, struct shard_peer *speer,
	struct qe_link *link, struct shard_packet *packet)
{
	bool partial = packet->segmenter.partial;
	enum qe_error error = qe_link_send(link, &shard->batch,
		partial ? QE_CONTEXT_IP_PARTIAL : QE_CONTEXT_IP, qe_packet_ecn(&packet->parsed),
		packet->current, shard->now);

	if (error == QE_ERR_TOO_BIG) {
		if (too_big(shard, speer, link, packet) == WAIT)
			return WAIT;
	} else if (error != QE_OK) {
		return link_trouble(shard, speer, link, error);
	} else {
		note_sent(shard, speer, link, packet->current.len);
	}
	packet->current = (struct qe_bytes){};
	packet->pieces_link = 0;
	return SENT;
}

/* ---- one packet or super-packet ---- */

/* TCP is cut to what fits the path. Everything else keeps its boundaries, and what is too big is
 * found to be so when it is sent. */
static bool start(struct qe_shard *shard, struct qe_link *link, struct shard_packet *packet)
{
	uint64_t before = packets_in(packet);
	enum qe_error error = qe_segmenter_init(&packet->segmenter, packet->data, &packet->parsed,
		&packet->offload, qe_link_path_mtu(link));

	if (error == QE_ERR_TOO_BIG)
		error = qe_segmenter_init(&packet->segmenter, packet->data, &packet->parsed,
			&packet->offload, SHARD_PACKET_SIZE);
	if (error != QE_OK)
		return false;
	packet->started = true;
	shard->counters.split_packets += packets_in(packet) - before;
	return true;
}

static enum outcome send_packet(
	struct qe_shard *shard, struct shard_peer *speer, struct shard_packet *packet)
{
	struct qe_link *link = shard_peer_link(shard, speer);

	if (link == nullptr) {
		set_blocked(shard, speer, false);
		qe_peer_want(speer->peer, shard->now);
		shard_set_peer_timer(shard, speer, qe_peer_deadline(speer->peer));
		return WAIT;
	}
	if (packet->from == FROM_TUN)
		note_peer(shard, speer);
	if (!packet->started && !start(shard, link, packet)) {
		count_drop(shard, packet, QE_DROP_TUN_MALFORMED);
		return SENT;
	}
	while (packet->current.len > 0 || qe_segmenter_next(&packet->segmenter, &packet->current))
		if (send_current(shard, speer, link, packet) == WAIT)
			return WAIT;
	return SENT;
}

void egress_drain(struct qe_shard *shard, struct shard_peer *speer)
{
	while (!qe_list_empty(&speer->queue)) {
		if (send_packet(shard, speer, first_packet(speer)) == WAIT)
			return;
		free_packet(shard, take_first(shard, speer));
	}
}

static bool crosses_overlay(const struct qe_packet *packet)
{
	return !qe_addr_is_multicast(&packet->destination) &&
	       !qe_addr_is_broadcast(&packet->destination) &&
	       !qe_addr_is_link_local(&packet->destination) &&
	       !qe_addr_is_unspecified(&packet->source);
}

/* Remembered for the last destination, as long as the view is the same. */
static struct shard_peer *find_peer(struct qe_shard *shard, const struct qe_addr *destination)
{
	const struct view *view = shard->view;

	if (shard->routed.generation == view->generation &&
		qe_addr_equal(&shard->routed.destination, destination))
		return shard->routed.to;
	struct qe_hop hop = qe_route_cache_lookup(&shard->route_cache, view->routes, destination);
	struct shard_peer *to = qe_hop_found(hop) && qe_hop_next_hop(hop) != QE_NEXT_HOP_LOCAL
					? shard_get_peer(shard, qe_hop_peer(hop))
					: nullptr;

	shard->routed.generation = view->generation;
	shard->routed.destination = *destination;
	shard->routed.to = to;
	if (to != nullptr && view->rules->policy != nullptr)
		shard->routed.receiver = grants_owner(
			&view->directory->grants, destination, to->slot);
	return to;
}

static struct shard_peer *route_packet(struct qe_shard *shard, struct shard_packet *packet)
{
	struct qe_bytes bytes = {packet->data, packet->len};
	struct shard_peer *speer;

	if (!crosses_overlay(&packet->parsed)) {
		count_drop(shard, packet, QE_DROP_NOT_UNICAST);
		return nullptr;
	}
	speer = find_peer(shard, &packet->parsed.destination);
	if (speer == nullptr) {
		count_drop(shard, packet, QE_DROP_NO_ROUTE);
		answer(shard, QE_ICMP_NO_ROUTE, 0, bytes, &packet->parsed);
		return nullptr;
	}
	const struct qe_gate_packet asked = {.packet = &packet->parsed,
		.bytes = bytes,
		.from = QE_POLICY_SELF,
		.to = shard->routed.receiver,
		.packets = packets_in(packet)};

	if (!shard_allows(shard, &speer->gate_out, &asked)) {
		count_drop(shard, packet, QE_DROP_POLICY_OUT);
		answer(shard, QE_ICMP_ADMIN_PROHIBITED, 0, bytes, &packet->parsed);
		return nullptr;
	}
	return speer;
}

/* What does not parse is one packet, whatever is said of it. */
static bool take_packet(struct qe_shard *shard, struct shard_packet *packet)
{
	bool parses = qe_packet_parse(&packet->parsed,
			      (struct qe_bytes){packet->data, packet->len}) == QE_OK;

	shard->counters.tun_rx_packets += parses ? packets_in(packet) : 1;
	if (!parses)
		shard_drop(shard, QE_DROP_TUN_MALFORMED);
	return parses;
}

/* So that a connection starts with segments that fit, also one of hosts behind this one. */
static void clamp_mss(struct qe_shard *shard, struct shard_peer *speer, struct shard_packet *packet)
{
	if (!qe_packet_is_syn(&packet->parsed))
		return;
	const struct qe_link *link = shard_peer_link(shard, speer);
	uint16_t mtu = shard->node->mtu;

	if (link != nullptr && qe_link_is_ready(link, shard->now) && qe_link_path_mtu(link) < mtu)
		mtu = qe_link_path_mtu(link);
	qe_packet_clamp_mss(packet->data, &packet->parsed, packet->offload.needs_csum, mtu);
}

/* In the pool, and not begun to be sent. */
static void init_packet(struct qe_shard *shard, struct shard_packet *packet)
{
	qe_list_init(&packet->place);
	packet->arrived = shard->now;
	packet->started = false;
	packet->current = (struct qe_bytes){};
	packet->pieces_link = 0;
}

static void send_or_enqueue(
	struct qe_shard *shard, struct shard_peer *speer, struct shard_packet *packet)
{
	clamp_mss(shard, speer, packet);
	if (!qe_list_empty(&speer->queue) || send_packet(shard, speer, packet) == WAIT)
		enqueue(shard, speer, packet);
	else
		free_packet(shard, packet);
}

void egress_packet(struct qe_shard *shard, size_t len, const struct qe_offload *offload)
{
	struct shard_packet *packet = shard->reading;
	struct shard_peer *speer = nullptr;

	shard->reading = nullptr;
	init_packet(shard, packet);
	packet->offload = *offload;
	packet->len = qe_packet_trim((struct qe_bytes){packet->data, len}).len;
	packet->from = FROM_TUN;
	if (take_packet(shard, packet))
		speer = route_packet(shard, packet);
	if (speer != nullptr)
		send_or_enqueue(shard, speer, packet);
	else
		free_packet(shard, packet);
}

void egress_forward(struct qe_shard *shard, struct shard_peer *speer, struct shard_packet *packet)
{
	init_packet(shard, packet);
	send_or_enqueue(shard, speer, packet);
}

/* ---- what goes back to a sender behind a peer ---- */

/* From an address that the peer takes as this node's; without one in the name of the destination,
 * which it takes from here as well. */
static struct qe_addr answer_source(const struct qe_shard *shard, const struct qe_packet *about)
{
	const struct qe_addr *source4 = &shard->view->directory->grants.source4;

	if (about->version == 6)
		return qe_node_id_overlay_addr(&shard->node->id);
	return source4->family != QE_FAMILY_NONE ? *source4 : about->destination;
}

/* By the routes, as any packet; the way it came where there is none. */
static struct shard_peer *way_back(
	struct qe_shard *shard, size_t slot, const struct qe_addr *source)
{
	const struct qe_route *route = qe_route_lookup(shard->view->routes, source);
	struct shard_peer *speer = nullptr;

	if (route != nullptr && route->next_hop != QE_NEXT_HOP_LOCAL)
		speer = shard_get_peer(shard, route->peer);
	return speer != nullptr ? speer : shard_get_peer(shard, slot);
}

void egress_answer_peer(struct qe_shard *shard, size_t slot, enum qe_icmp_error error, uint16_t mtu,
	struct qe_bytes about, const struct qe_packet *parsed)
{
	struct shard_peer *speer = way_back(shard, slot, &parsed->source);
	struct qe_addr from = answer_source(shard, parsed);

	if (speer == nullptr || !limiter_take(&shard->answers, &parsed->source, shard->now))
		return;
	struct shard_packet *packet = qe_pool_take(shard->packets);

	if (packet == nullptr)
		return;
	packet->len = qe_icmp_error(packet->data, error, &from, mtu, about, parsed);
	if (packet->len == 0 || qe_packet_parse(&packet->parsed,
					(struct qe_bytes){packet->data, packet->len}) != QE_OK) {
		free_packet(shard, packet);
		return;
	}
	shard->counters.icmp_tx_packets++;
	packet->offload = (struct qe_offload){};
	packet->from = slot;
	init_packet(shard, packet);
	enqueue(shard, speer, packet);
	shard_set_peer_timer(shard, speer, shard->now);
}
