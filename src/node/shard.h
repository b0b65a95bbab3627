/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What the files of a shard share: its life and timers (shard.c), which peers there are (adopt.c),
 * their lanes (lanes.c), links and first packets (links.c), TUN to link (egress.c), link to TUN
 * (ingress.c).
 */
#pragma once

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/pool.h"
#include "net/coalesce.h"
#include "net/icmp.h"
#include "net/segment.h"
#include "node/knocks.h"
#include "node/limiter.h"
#include "node/loops.h"
#include "node/node.h"
#include "node/pieces.h"
#include "peer/peer.h"
#include "route/cache.h"

constexpr size_t SHARD_PACKET_SIZE = 65536;

/* A packet or super-packet from the TUN, until the last of it has been sent. */
struct shard_packet {
	struct qe_list place; /* in the peer's queue */
	struct qe_offload offload;
	struct qe_packet parsed;
	struct qe_segmenter segmenter;
	struct qe_bytes current; /* the segment to be sent next; empty: ask the segmenter */
	struct pieces pieces;    /* of current, where it does not fit */
	uint64_t pieces_link;    /* the number of the link they are for; 0: none were begun */
	bool started;
	size_t len;
	size_t from; /* slot of the peer that sent it; SIZE_MAX: it is from the TUN */
	qe_time arrived;
	alignas(64) uint8_t data[SHARD_PACKET_SIZE];
};

struct shard_peer {
	size_t slot;
	struct qe_peer *peer;     /* the own lane */
	struct qe_peer **passive; /* by lane, of QE_WORKERS_MAX; nullptr if there are none */
	size_t n_passive;
	struct qe_peer *in_use;                   /* the lane that packets were last sent on */
	unsigned n_up;                            /* lanes with a link */
	qe_time up_since;                         /* the first of them */
	struct qe_traffic before;                 /* what had been carried then */
	unsigned n_silent;                        /* lanes whose link does not answer */
	uint64_t past_rotations, past_reconnects; /* of lanes that are gone */
	struct qe_timer timer;                    /* of all lanes */
	struct qe_list queue;                     /* struct shard_packet, oldest first */
	struct qe_list waiting; /* in shard->waiting while the queue is not empty */
	size_t queued_packets, queued_bytes;
	bool blocked; /* by congestion: there is a link, but its window is full */
	struct {
		uint64_t generation; /* of the view that it passed under */
		struct qe_addr source, destination;
		struct shard_peer *to;     /* nullptr: the TUN */
		uint32_t sender, receiver; /* slots, as rules see them */
	} passed;                          /* the last pair that passed the checks */
	struct qe_gate_cache gate_in, gate_out;
	qe_time rtt_told, routes_since;
	unsigned routes_taken; /* messages, since then */
	uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes;
	qe_time last_rx, last_sent; /* of IP packets; 0: never */
};

struct shard_link {
	struct qe_link *link;
	uint64_t number;         /* of no other link of this shard, ever */
	struct shard_peer *peer; /* nullptr until the peer has shown who it is */
	struct qe_timer timer;
	struct qe_list place; /* in shard->links */
	struct qe_list
		dirty; /* in shard->dirty: something to write, or a deadline that may have moved */
	bool handshaking;      /* accepted and not yet established */
	bool doomed;           /* to be closed once the callback is over */
	uint64_t announcement; /* the number of the one being said on it */
	size_t announced_parts;
	uint16_t next_half;    /* number of the next packet sent in halves */
	struct halves *halves; /* nullptr until the first one has come */
};

struct qe_shard {
	struct qe_node *node;
	const struct view *view; /* the one taken up */
	struct qe_sink sink;
	qe_time now; /* of the call under way */
	struct qe_crypto *crypto;
	struct qe_link_context context;
	struct qe_batch batch;
	struct qe_coalescer *coalescer;
	struct qe_pool *packets;
	struct shard_packet *reading; /* given out by qe_shard_tun_buffer */
	struct shard_peer **peers;    /* by slot; nullptr where there is none */
	size_t n_slots;
	struct qe_map cids;   /* connection ID to struct qe_link */
	struct qe_map tokens; /* token of a stateless reset to struct qe_link */
	struct qe_heap link_timers, peer_timers;
	struct qe_list links, dirty, waiting;
	uint64_t links_made;
	size_t n_links, n_handshaking, n_blocked;
	qe_time tun_paused_at, tun_paused_until; /* 0: it is not */
	qe_time tun_pause_left;
	const struct shard_peer *recent_peer; /* of the last packet from the TUN */
	qe_time recent_peer_since;            /* 0: it is the only one ever */
	unsigned tun_unpausable; /* so many packets are read before it is paused again */
	qe_time last_stranger, resets_since, retries_since;
	unsigned resets, retries;  /* since then */
	struct limiter handshakes; /* by source, once many are under way */
	struct {
		uint64_t generation;
		struct qe_addr destination;
		struct shard_peer *to;
		uint32_t receiver;
	} routed; /* the last destination of a packet from the TUN */
	struct qe_route_cache route_cache;
	struct limiter answers; /* ICMP messages to senders behind peers */
	struct loops loops;
	qe_time accepts_since;
	unsigned accepts;
	struct knocks knocks;
	struct qe_shard_counters counters;
};

static inline void shard_drop(struct qe_shard *shard, enum qe_drop reason)
{
	shard->counters.drops[reason]++;
}

/* Whether the rules allow a packet; by the cache of the flow that came or went there last. */
static inline bool shard_allows(
	struct qe_shard *shard, struct qe_gate_cache *cache, const struct qe_gate_packet *packet)
{
	const struct rules *rules = shard->view->rules;
	struct qe_policy_result result;

	return rules->policy == nullptr ||
	       qe_gate_check(rules->gate, cache, rules->policy, rules->generation, packet,
		       shard->now, &result) == QE_ACTION_ALLOW;
}

/* To the TUN. */
static inline void shard_write(
	struct qe_shard *shard, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	shard->counters.tun_tx_packets += qe_segments(offload, offload->hdr_len, (uint32_t)len);
	shard->sink.tun_write(shard->sink.ctx, offload, data, len);
}

/* Run the peer no later than this. Cannot fail: the room was reserved. */
void shard_set_peer_timer(struct qe_shard *shard, struct shard_peer *speer, qe_time at);

/* ---- adopt.c ---- */

/* Takes up the newest view. On an error the one before stays. */
enum qe_error shard_adopt(struct qe_shard *shard);
/* For what the owner asks: the peer in a slot of the newest view, or nullptr. */
struct shard_peer *shard_ask_peer(struct qe_shard *shard, size_t slot, qe_time now);
void shard_free_peers(struct qe_shard *shard);

/* The peer in a slot, or nullptr. */
static inline struct shard_peer *shard_get_peer(const struct qe_shard *shard, size_t slot)
{
	return slot < shard->n_slots ? shard->peers[slot] : nullptr;
}

/* ---- lanes.c ---- */

enum qe_error shard_make_lane(
	struct qe_shard *shard, struct shard_peer *speer, const struct directory_slot *slot);
void shard_free_lanes(struct shard_peer *speer);
/* Takes all links out of a peer's lanes, which stay in shard->links, and drops what waits. */
void shard_leave_links(struct qe_shard *shard, struct shard_peer *speer);
struct qe_peer *shard_find_lane(const struct shard_peer *speer, uint8_t number); /* or nullptr */
/* Makes it if need be; nullptr without memory. */
struct qe_peer *shard_need_lane(struct qe_shard *shard, struct shard_peer *speer, uint8_t number);
/* The own lane after nullptr, then the passive ones; nullptr after the last. */
struct qe_peer *shard_next_lane(const struct shard_peer *speer, const struct qe_peer *lane);
#define SHARD_FOR_EACH_LANE(lane, speer) \
	for (struct qe_peer *lane = shard_next_lane(speer, nullptr); lane != nullptr; \
		lane = shard_next_lane(speer, lane))
/* The link to send on, of whichever lane; nullptr if there is none. */
struct qe_link *shard_peer_link(struct qe_shard *shard, struct shard_peer *speer);
void shard_run_peer(struct qe_shard *shard, struct shard_peer *speer);
/* Says on a link that is in use what has not been said on it yet, as far as it goes. */
void shard_announce(struct qe_shard *shard, struct shard_link *slink);
/* Tells how far away the peer is, now and then. */
void shard_note_rtt(struct qe_shard *shard, struct shard_link *slink);
qe_time shard_peer_deadline(const struct shard_peer *speer);

/* ---- links.c ---- */

extern const struct qe_link_ops shard_link_ops;
extern const struct qe_peer_ops shard_peer_ops;
void shard_mark_dirty(struct qe_shard *shard, struct shard_link *slink);
void shard_emit(struct qe_shard *shard, struct shard_peer *speer, struct qe_event event);
/* The link has failed or was closed by the peer: report, close, free. */
void shard_link_failed(struct qe_shard *shard, struct shard_link *slink, enum qe_error error);
/* Close in order and free; reports nothing. */
void shard_link_close(struct qe_shard *shard, struct shard_link *slink);
void shard_link_free(struct qe_shard *shard, struct shard_link *slink);
void shard_datagram_input(
	struct qe_shard *shard, const struct qe_path *path, uint8_t ecn, struct qe_bytes packet);

/* ---- egress.c ---- */

/* Whether the TUN is left alone, so that its queue fills. */
bool egress_is_paused(const struct qe_shard *shard);
/* It is read again. */
void egress_resume(struct qe_shard *shard);
/* The packet in shard->reading, of len bytes. */
void egress_packet(struct qe_shard *shard, size_t len, const struct qe_offload *offload);
/* A packet that this node passes on, from the pool, with data, len, parsed, offload and from. */
void egress_forward(struct qe_shard *shard, struct shard_peer *speer, struct shard_packet *packet);
/* An ICMP message to the sender of a packet that came from a peer. */
void egress_answer_peer(struct qe_shard *shard, size_t slot, enum qe_icmp_error error, uint16_t mtu,
	struct qe_bytes about, const struct qe_packet *packet);
/* Send what waits for this peer, as far as it goes. */
void egress_drain(struct qe_shard *shard, struct shard_peer *speer);
/* Drop what has waited too long for a link; returns when the rest will have. */
qe_time egress_expire(struct qe_shard *shard, struct shard_peer *speer);
void egress_discard(struct qe_shard *shard, struct shard_peer *speer);
uint64_t egress_queued(const struct qe_shard *shard); /* packets that wait for their peers */

/* ---- ingress.c ---- */

void ingress_datagram(struct qe_shard *shard, struct shard_link *slink, struct qe_bytes datagram,
	enum qe_ecn ecn);
/* For the coalescer. */
void ingress_write(void *shard, const struct qe_offload *offload, const uint8_t *data, size_t len);

/* ---- forward.c ---- */

/* A packet from one peer to another, whose addresses have passed the checks. False: it was dropped,
 * and counted. */
bool forward_packet(struct qe_shard *shard, struct shard_peer *from, struct shard_peer *to,
	struct qe_bytes bytes, const struct qe_packet *parsed, bool partial, enum qe_ecn outer);
