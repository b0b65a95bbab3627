/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * From a link to another peer's: what a router does with a packet, and no more. The hop limit goes
 * down by one, what routers on the way have marked is passed on inside, and the sender hears of
 * what cannot go on. Packets are copied once, as the bytes they come in are the link's.
 *
 * This runs inside a callback of the link that the packet came on; never back to that peer, so that
 * no link is written to in its own callback. What goes back there, an ICMP message, waits for
 * qe_shard_run.
 */
#include <string.h>

#include "node/shard.h"

static void end_hops(struct qe_shard *shard, struct shard_peer *from, struct qe_bytes bytes,
	const struct qe_packet *parsed)
{
	shard_drop(shard, QE_DROP_HOP_LIMIT);
	loops_note(&shard->loops, from->slot, &parsed->destination, shard->now);
	egress_answer_peer(shard, from->slot, QE_ICMP_TIME_EXCEEDED, 0, bytes, parsed);
}

/* In the state that it goes on in. */
static void fill(struct shard_packet *packet, struct qe_bytes bytes, const struct qe_packet *parsed,
	bool partial, enum qe_ecn ecn)
{
	memcpy(packet->data, bytes.data, bytes.len);
	packet->len = bytes.len;
	packet->parsed = *parsed;
	qe_packet_decrement_hop_limit(packet->data);
	packet->parsed.hop_limit--;
	if (ecn != qe_packet_ecn(parsed))
		qe_packet_set_ecn(packet->data, &packet->parsed, ecn);
	/* The checksum that came partial goes on so: as if a kernel vouched for it. */
	packet->offload = (struct qe_offload){.csum_valid = partial};
}

bool forward_packet(struct qe_shard *shard, struct shard_peer *from, struct shard_peer *to,
	struct qe_bytes bytes, const struct qe_packet *parsed, bool partial, enum qe_ecn outer)
{
	struct shard_packet *packet;
	enum qe_ecn ecn;

	if (!qe_ecn_decapsulate(&ecn, qe_packet_ecn(parsed), outer)) {
		shard_drop(shard, QE_DROP_CONGESTION);
		return false;
	}
	if (parsed->hop_limit <= 1) {
		end_hops(shard, from, bytes, parsed);
		return false;
	}
	if (!loops_allow(&shard->loops, from->slot, &parsed->destination, shard->now)) {
		shard_drop(shard, QE_DROP_LOOP);
		return false;
	}
	packet = bytes.len <= SHARD_PACKET_SIZE ? qe_pool_take(shard->packets) : nullptr;
	shard->counters.forwarded_packets++;
	if (packet == nullptr) {
		shard_drop(shard, QE_DROP_QUEUE_FULL);
		return false;
	}
	fill(packet, bytes, parsed, partial, ecn);
	packet->from = from->slot;
	egress_forward(shard, to, packet);
	return true;
}
