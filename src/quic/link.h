/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A link: one QUIC connection (RFC 9000) to one peer, carrying IP packets in DATAGRAM frames
 * (RFC 9221) and control messages on one bidirectional stream, which the dialling side opens. This
 * folder alone knows ngtcp2.
 *
 * A link does no I/O: packets come in by qe_link_input, packets go out into a batch, and the time
 * is a parameter. It reports facts to its owner through qe_link_ops and decides nothing about other
 * links. Callbacks run inside qe_link_input, qe_link_write and qe_link_timer; they must not free
 * the link, nor call those functions for it.
 *
 * Threads: a link belongs to the thread of its context.
 */
#pragma once

#include "crypto/tls.h"
#include "net/packet.h"
#include "quic/batch.h"
#include "quic/cid.h"

/* Error codes of the application in CONNECTION_CLOSE; written down in docs/protocol.md. */
enum qe_close_code : uint16_t {
	QE_CLOSE_NONE = 0, /* an orderly end: the node stops, or the link has been replaced */
	QE_CLOSE_CONTROL =
		1, /* a control message that is malformed, too long, or on a wrong stream */
	QE_CLOSE_INTERNAL = 2, /* the sender of this could not go on */
};

/* What a QUIC packet and the context byte cost: an IP packet of n bytes needs a UDP payload of at
 * most n + QE_LINK_OVERHEAD. Short header 1, connection ID 8, packet number 4, DATAGRAM type 1 and
 * length 2, context 1, AEAD tag 16. */
constexpr uint16_t QE_LINK_OVERHEAD = 33;
constexpr size_t QE_LINK_CONTROL_MAX = 1024; /* bytes of one control message */
/* How long path MTU discovery may take before a link is used as it is. */
constexpr qe_time QE_LINK_PATH_MTU_PATIENCE = 1'000'000'000;

/* The context byte of a datagram. */
constexpr uint8_t QE_CONTEXT_IP = 0;         /* one IP packet */
constexpr uint8_t QE_CONTEXT_IP_PARTIAL = 1; /* the same; its transport checksum is partial */
constexpr uint8_t QE_CONTEXT_IP_HEAD = 2;    /* a number and the first half of one IP packet */
constexpr uint8_t QE_CONTEXT_IP_TAIL = 3;    /* the same number and the other half */

struct qe_link;

struct qe_link_ops {
	/* The peer has shown a key; whether it may go on. For a link that was dialled the key has
	 * been compared with the expected one already. */
	bool (*authorize)(void *ctx, struct qe_link *link, const struct qe_node_id *id);
	/* A connection ID under which packets for this link arrive; false: it is taken. */
	bool (*add_cid)(void *ctx, struct qe_link *link, struct qe_bytes cid);
	void (*remove_cid)(void *ctx, struct qe_link *link, struct qe_bytes cid);
	/* A packet for no link that ends with this token is a stateless reset of this one, and to
	 * be given to it. */
	void (*add_reset)(void *ctx, struct qe_link *link, struct qe_bytes token);
	void (*remove_reset)(void *ctx, struct qe_link *link, struct qe_bytes token);
	/* Both sides have authenticated one another, and both know it. */
	void (*established)(void *ctx, struct qe_link *link);
	/* One DATAGRAM frame, with its context byte, and what stood on the UDP datagram that
	 * brought it; the bytes live until the callback returns. */
	void (*datagram)(
		void *ctx, struct qe_link *link, struct qe_bytes datagram, enum qe_ecn ecn);
	/* One control message; false if it is malformed, which ends the link. */
	bool (*control)(void *ctx, struct qe_link *link, struct qe_bytes message);
	/* The peer's address has changed and the new one has been validated. */
	void (*moved)(void *ctx, struct qe_link *link);
};

/* What all links of a shard share; not copied, outlives them. */
struct qe_link_context {
	struct qe_crypto *crypto;
	struct qe_tls_context *tls;
	struct qe_cid_keys cids;
	const struct qe_link_ops *ops;
	void *ops_ctx;
	uint16_t mtu; /* of the TUN: larger packets need not fit */
};

/* Dial a peer. lane: the number of the worker that dials, which the knock says. path.local may be
 * left to the system (family none). Packets come with the first qe_link_write. */
enum qe_error qe_link_dial(struct qe_link **ret_link, struct qe_link_context *context,
	const struct qe_node_id *peer, uint8_t lane, const struct qe_path *path, qe_time now);

/* What a first packet (an Initial that fits no link) asks for. */
struct qe_first_packet {
	struct qe_bytes dcid, scid, token;
	uint32_t version;
	uint8_t original_dcid[QE_KNOCK_SIZE]; /* after a Retry: the DCID before it */
	bool validated;                       /* the address has been validated by a Retry */
};

/* Take a connection whose first packet has been looked at (quic/accept.h). The packet itself is
 * then given to qe_link_input. */
enum qe_error qe_link_accept(struct qe_link **ret_link, struct qe_link_context *context,
	const struct qe_first_packet *first, const struct qe_path *path, qe_time now);

/* Frees, wipes, removes all connection IDs; sends nothing. */
struct qe_link *qe_link_free(struct qe_link *link);

/* One UDP datagram. QE_OK also for what was ignored. QE_ERR_CLOSED when the peer has closed the
 * link or reset it: free it. Any other error: the link is to be closed with qe_link_close and then
 * freed. qe_link_reason says why. */
enum qe_error qe_link_input(struct qe_link *link, const struct qe_path *path, enum qe_ecn ecn,
	struct qe_bytes packet, qe_time now);
/* Send what the link has to send of its own: handshake, acknowledgements, control, probes. */
enum qe_error qe_link_write(struct qe_link *link, struct qe_batch *batch, qe_time now);
/* QUIC packets that came for the link and were not taken, repeated or not authentic: how many by
 * the last qe_link_write, and not told before. */
uint64_t qe_link_take_ignored(struct qe_link *link);
/* Send one IP packet, in a UDP datagram marked with ecn; a small one at the latest with
 * qe_link_write. QE_ERR_BLOCKED: not now, try again after the next input or at the deadline.
 * QE_ERR_TOO_BIG: more than qe_link_path_mtu. Other errors as qe_link_input. */
enum qe_error qe_link_send(struct qe_link *link, struct qe_batch *batch, uint8_t context_byte,
	enum qe_ecn ecn, struct qe_bytes packet, qe_time now);
/* Run what is due; to be called at qe_link_deadline, followed by qe_link_write. Errors as
 * qe_link_input; a link that has been idle or unanswered too long gives QE_ERR_CLOSED. */
enum qe_error qe_link_timer(struct qe_link *link, qe_time now);
qe_time qe_link_deadline(const struct qe_link *link);

/* Queue a control message of at most QE_LINK_CONTROL_MAX bytes. QE_ERR_FULL when too much waits
 * for the peer already, QE_ERR_BLOCKED before the link is established. */
enum qe_error qe_link_control(struct qe_link *link, struct qe_bytes message);
/* Write a CONNECTION_CLOSE, with what went wrong if something did, else with code. The link can
 * only be freed after it. */
void qe_link_close(
	struct qe_link *link, struct qe_batch *batch, enum qe_close_code code, qe_time now);

/* Now send something that the peer must answer, to learn whether the path is alive. */
void qe_link_probe(struct qe_link *link);

uint8_t qe_link_lane(const struct qe_link *link);    /* below QE_WORKERS_MAX */
bool qe_link_is_dialled(const struct qe_link *link); /* by this side */
/* On this side; the other may not know it yet. */
bool qe_link_is_authenticated(const struct qe_link *link);
bool qe_link_is_established(const struct qe_link *link);
/* The path MTU is known (or has been looked for long enough), so that the link can take over. */
bool qe_link_is_ready(const struct qe_link *link, qe_time now);
/* Large packets vanish while small ones get through: the path has become narrower. */
bool qe_link_is_narrowed(const struct qe_link *link);
/* Whether the peer is to be asked how many large IP packets it has received over this link, those
 * that do not fit every path; then: it has been asked. */
bool qe_link_wants_large(const struct qe_link *link);
void qe_link_large_asked(struct qe_link *link);
uint64_t qe_link_large_received(const struct qe_link *link);               /* the answer */
void qe_link_large_arrived(struct qe_link *link, uint64_t n, qe_time now); /* the peer's */
/* Since when something that was sent has been without any answer; QE_TIME_NEVER: nothing is. */
qe_time qe_link_unanswered_since(const struct qe_link *link);
const struct qe_node_id *qe_link_peer(const struct qe_link *link); /* once authorised */
const struct qe_path *qe_link_path(const struct qe_link *link);
/* The largest IP packet that fits now. */
uint16_t qe_link_path_mtu(const struct qe_link *link);
qe_time qe_link_started_at(const struct qe_link *link); /* dialled or accepted */
qe_time qe_link_established_at(const struct qe_link *link);
qe_time qe_link_last_input(const struct qe_link *link);    /* the last packet that authenticated */
qe_time qe_link_probe_timeout(const struct qe_link *link); /* PTO, RFC 9002 section 6.2 */
const char *qe_link_reason(const struct qe_link *link);    /* why it ended; static text */
void qe_link_get_status(const struct qe_link *link, struct qe_link_status *ret_status);

/* The owner's pointer. */
void qe_link_set_owner(struct qe_link *link, void *owner);
void *qe_link_owner(const struct qe_link *link);
