/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * From a link to the TUN, or on to another peer: the context byte, the packet, whether its source
 * is the peer's to use, where its destination is, what the rules say, then the coalescer (or
 * forward.c). The two lookups are remembered per peer for the last pair of addresses that passed,
 * for as long as the view is the same.
 */
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"
#include "net/checksum.h"
#include "node/shard.h"

/* What no host may send from, or is reached at from elsewhere, whatever prefix was granted:
 * 0.0.0.0/0 holds it all. */
static bool is_no_host(const struct qe_addr *addr)
{
	return qe_addr_is_unspecified(addr) || qe_addr_is_multicast(addr) ||
	       qe_addr_is_broadcast(addr) || qe_addr_is_loopback(addr) ||
	       qe_addr_is_link_local(addr);
}

/* Where it goes; nullptr: to the TUN. Otherwise a reason to drop it. */
static bool find_way(struct qe_shard *shard, struct shard_peer *speer,
	const struct qe_packet *packet, struct shard_peer **ret_to, enum qe_drop *ret_reason)
{
	const struct view *view = shard->view;
	struct qe_hop hop = {};

	*ret_reason = QE_DROP_SOURCE;
	if (is_no_host(&packet->source) ||
		!grants_allow_source(view->directory, speer->slot, &packet->source))
		return false;
	if (!is_no_host(&packet->destination))
		hop = qe_route_cache_lookup(
			&shard->route_cache, view->routes, &packet->destination);
	*ret_to = nullptr;
	if (qe_hop_found(hop) && qe_hop_next_hop(hop) == QE_NEXT_HOP_LOCAL)
		return true;
	*ret_to = qe_hop_found(hop) ? shard_get_peer(shard, qe_hop_peer(hop)) : nullptr;
	*ret_reason = *ret_to == nullptr ? QE_DROP_NOT_LOCAL
		      : *ret_to == speer ? QE_DROP_LOOP
					 : QE_DROP_NOT_FORWARDED;
	return *ret_to != nullptr && *ret_to != speer &&
	       grants_forward(&view->directory->grants, &packet->source, &packet->destination);
}

/* Who the pair is from and goes to, as rules see it. */
static void name_ends(const struct qe_shard *shard, struct shard_peer *speer)
{
	const struct grants *grants = &shard->view->directory->grants;
	const struct shard_peer *to = speer->passed.to;

	speer->passed.sender = grants_owner(grants, &speer->passed.source, speer->slot);
	speer->passed.receiver = to == nullptr ? QE_POLICY_SELF
					       : grants_owner(grants, &speer->passed.destination,
							 to->slot);
}

static bool addresses_pass(struct qe_shard *shard, struct shard_peer *speer,
	const struct qe_packet *packet, struct shard_peer **ret_to)
{
	enum qe_drop reason;

	if (speer->passed.generation == shard->view->generation &&
		qe_addr_equal(&packet->source, &speer->passed.source) &&
		qe_addr_equal(&packet->destination, &speer->passed.destination)) {
		*ret_to = speer->passed.to;
		return true;
	}
	if (!find_way(shard, speer, packet, ret_to, &reason)) {
		shard_drop(shard, reason);
		return false;
	}
	speer->passed.generation = shard->view->generation;
	speer->passed.source = packet->source;
	speer->passed.destination = packet->destination;
	speer->passed.to = *ret_to;
	if (shard->view->rules->policy != nullptr)
		name_ends(shard, speer);
	return true;
}

/* The rules, whatever the sender has made of its own. */
static bool rules_pass(struct qe_shard *shard, struct shard_peer *speer,
	const struct qe_packet *packet, struct qe_bytes bytes)
{
	const struct qe_gate_packet asked = {.packet = packet,
		.bytes = bytes,
		.from = speer->passed.sender,
		.to = speer->passed.receiver,
		.packets = 1};

	if (shard_allows(shard, &speer->gate_in, &asked))
		return true;
	shard_drop(shard, QE_DROP_POLICY);
	return false;
}

/* A mark is written into a copy, for the bytes are the link's. Where there is no room for it, the
 * loss says the same. */
static bool deliver_marked(struct qe_shard *shard, struct qe_bytes bytes, struct qe_packet *packet,
	bool partial, enum qe_ecn ecn)
{
	struct shard_packet *copy = bytes.len <= SHARD_PACKET_SIZE ? qe_pool_take(shard->packets)
								   : nullptr;

	if (copy == nullptr) {
		shard_drop(shard, QE_DROP_CONGESTION);
		return false;
	}
	memcpy(copy->data, bytes.data, bytes.len);
	qe_packet_set_ecn(copy->data, packet, ecn);
	qe_coalescer_add(
		shard->coalescer, (struct qe_bytes){copy->data, bytes.len}, packet, partial);
	qe_pool_give(shard->packets, copy);
	return true;
}

/* What routers on the way have marked is told to the receiver inside (RFC 6040). */
static bool deliver(struct qe_shard *shard, struct qe_bytes bytes, struct qe_packet *packet,
	bool partial, enum qe_ecn outer)
{
	enum qe_ecn inner = qe_packet_ecn(packet), ecn;

	if (!qe_ecn_decapsulate(&ecn, inner, outer)) {
		shard_drop(shard, QE_DROP_CONGESTION);
		return false;
	}
	if (ecn != inner)
		return deliver_marked(shard, bytes, packet, partial, ecn);
	qe_coalescer_add(shard->coalescer, bytes, packet, partial);
	return true;
}

static void take_packet(struct qe_shard *shard, struct shard_peer *speer, struct qe_bytes bytes,
	bool partial, enum qe_ecn ecn)
{
	struct qe_packet packet;
	struct shard_peer *to;

	if (qe_packet_parse(&packet, bytes) != QE_OK ||
		(partial && !qe_packet_has_checksum(&packet))) {
		shard_drop(shard, QE_DROP_DATAGRAM_MALFORMED);
		return;
	}
	if (!addresses_pass(shard, speer, &packet, &to) ||
		!rules_pass(shard, speer, &packet, bytes))
		return;
	if (to != nullptr ? !forward_packet(shard, speer, to, bytes, &packet, partial, ecn)
			  : !deliver(shard, bytes, &packet, partial, ecn))
		return;
	speer->rx_packets++;
	speer->rx_bytes += bytes.len;
	speer->last_rx = shard->now;
	if (to != nullptr)
		return;
	shard->counters.rx_packets++;
	shard->counters.rx_bytes += bytes.len;
}

/* The room for halves is made for the first one of a link: few paths are so narrow. */
static void take_half(struct qe_shard *shard, struct shard_link *slink, uint8_t context,
	struct qe_bytes payload, enum qe_ecn ecn)
{
	struct qe_bytes whole;

	if (slink->halves == nullptr)
		slink->halves = calloc(1, sizeof(*slink->halves));
	if (slink->halves == nullptr) {
		shard_drop(shard, QE_DROP_HALF);
		return;
	}
	switch (halves_take(slink->halves, context, payload, ecn, shard->now, &whole, &ecn)) {
	case HALVES_WHOLE:
		shard->counters.joined_frames++;
		shard->counters.waiting_frames--;
		take_packet(shard, slink->peer, whole, false, ecn);
		break;
	case HALVES_WAITING:
		shard->counters.waiting_frames++;
		break;
	case HALVES_REPLACED:
		shard_drop(shard, QE_DROP_HALF);
		break;
	case HALVES_MALFORMED:
		shard_drop(shard, QE_DROP_DATAGRAM_MALFORMED);
		break;
	}
}

void ingress_datagram(
	struct qe_shard *shard, struct shard_link *slink, struct qe_bytes datagram, enum qe_ecn ecn)
{
	shard->counters.rx_frames++;
	if (datagram.len == 0) {
		shard_drop(shard, QE_DROP_DATAGRAM_MALFORMED);
		return;
	}
	uint8_t context = datagram.data[0];
	struct qe_bytes payload = {datagram.data + 1, datagram.len - 1};

	switch (context) {
	case QE_CONTEXT_IP:
	case QE_CONTEXT_IP_PARTIAL:
		take_packet(shard, slink->peer, payload, context == QE_CONTEXT_IP_PARTIAL, ecn);
		break;
	case QE_CONTEXT_IP_HEAD:
	case QE_CONTEXT_IP_TAIL:
		take_half(shard, slink, context, payload, ecn);
		break;
	default:
		shard_drop(shard, QE_DROP_DATAGRAM_CONTEXT);
	}
}

void ingress_write(void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	struct qe_shard *shard = ctx;

	shard_write(shard, offload, data, len);
}
