/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the files of a link share: the connection (link.c), its keys (link_crypto.c), its control
 * stream (link_control.c), its packets (link_packets.c, link_send.c). Nobody else includes this. */
#pragma once

#include <ngtcp2/ngtcp2.h>

#include "base/list.h"
#include "base/time.h"
#include "quic/link.h"

constexpr size_t LINK_CIDS_MAX = 24; /* ngtcp2 keeps at most 8 active, and as many retiring */
constexpr size_t LINK_TOKENS_MAX = 8;
constexpr size_t CONTROL_QUEUE_MAX = 16 * 1024;
constexpr qe_time LINK_KEEPALIVE = 20 * QE_SECOND; /* below what NATs keep a UDP binding for */

struct control_stream {
	int64_t id; /* -1: not open */
	uint8_t in[2 + QE_LINK_CONTROL_MAX];
	size_t in_len;
	struct qe_list out; /* struct control_chunk, oldest first, kept until acknowledged */
	size_t out_bytes;
	uint64_t acked; /* stream offset up to which all is acknowledged and freed */
};

/* IP packets that need more than what fits every path. */
struct link_large {
	uint64_t sent, received;           /* so far */
	uint64_t packets_lost, bytes_lost; /* of any size, when all was last well */
	bool ask, asking;                  /* the peer is to be asked; its answer is to come */
	bool answered; /* once; what it said, when, and how many were sent then */
	bool narrowed;
	uint64_t arrived, sent_then;
	qe_time answered_at;
};

struct link_pace {
	uint64_t widest;  /* congestion window so far */
	uint64_t per_mib; /* how long a MiB takes */
	qe_time ahead;    /* so much time may have been used in advance */
	qe_time free_at;  /* when all that was sent has had its time */
};

constexpr size_t LINK_BUNDLE_MAX = 32;

/* Small IP packets that leave together, oldest first. */
struct link_bundle {
	enum qe_ecn ecn; /* of each of them */
	uint8_t n;
	uint16_t len; /* of bytes in use */
	struct link_bundled {
		uint16_t at, len; /* in bytes: the context byte and the packet */
	} packets[LINK_BUNDLE_MAX];
	uint8_t bytes[1400];
};

struct link_cid {
	uint8_t len;
	uint8_t bytes[NGTCP2_MAX_CIDLEN];
};

struct qe_link {
	struct qe_link_context *context;
	void *owner;
	ngtcp2_conn *conn;
	struct qe_tls *tls; /* until the handshake is confirmed */
	uint8_t lane;
	bool dialled;
	bool pinned_local;   /* the local address is part of the path; else the system chooses it */
	bool keyed;          /* it can seal something, and be it a CONNECTION_CLOSE */
	bool authorised;     /* the owner knows the key, whose signature is still to come */
	bool authenticated;  /* the handshake is complete on this side */
	bool established;    /* and on the other */
	bool control_broken; /* the peer broke the rules of the control stream */
	struct qe_node_id peer; /* dialled: the expected one */
	struct qe_path path;
	struct qe_path input_seen; /* where the last packet came from, and by which local address */
	ngtcp2_path_storage input; /* the same, as ngtcp2 has it */
	ngtcp2_path_storage known; /* path, as ngtcp2 has it */
	ngtcp2_path_storage written; /* of the last packet written */

	enum qe_suite suite;
	const char *key_exchange;
	struct control_stream control;
	struct link_bundle bundle;
	struct link_cid cids[LINK_CIDS_MAX];
	size_t n_cids;
	uint8_t tokens[LINK_TOKENS_MAX]
		      [QE_RESET_TOKEN_SIZE]; /* what the peer would reset it with */
	size_t n_tokens;
	struct link_large large;
	struct link_pace pace;

	qe_time now;          /* of the call under way, for the callbacks */
	enum qe_ecn ecn_seen; /* on the UDP datagram being read */
	qe_time started, established_at;
	qe_time last_input, unanswered_since;
	qe_time next_ready_check;
	uint64_t key_updated_at; /* packets sent by then */
	uint64_t packets_seen;   /* received and authenticated, when last looked */
	uint64_t ignored, told;  /* not taken, when last looked; of these, told to the owner */
	bool probe;
	int failure;        /* ngtcp2's error */
	const char *reason; /* nullptr: nothing went wrong */
};

/* ---- link_crypto.c ---- */

extern const struct qe_tls_ops link_tls_ops;
/* Fills in the callbacks that have to do with keys and TLS. */
void link_crypto_callbacks(ngtcp2_callbacks *callbacks);

/* ---- link_control.c ---- */

void link_control_init(struct control_stream *control);
void link_control_done(struct control_stream *control);
void link_control_callbacks(ngtcp2_callbacks *callbacks);
/* What is to be sent next: up to capacity vectors of it; 0 if nothing waits. */
size_t link_control_unsent(
	const struct control_stream *control, ngtcp2_vec *vectors, size_t capacity);
void link_control_mark_sent(struct control_stream *control, size_t len);

/* ---- link_packets.c ---- */

/* Takes down what ngtcp2 has said, and returns what it means. */
enum qe_error link_failed(struct qe_link *link, int failure);
/* The packet of len bytes that ngtcp2 has just written. */
void link_add_to_batch(struct qe_link *link, struct qe_batch *batch, size_t len, enum qe_ecn ecn);

/* ---- link_send.c ---- */

/* QE_ERR_BLOCKED: what is left goes later. Other errors as qe_link_input. */
enum qe_error link_send_bundle(struct qe_link *link, struct qe_batch *batch, qe_time now);

/* ---- link_mtu.c ---- */

bool link_is_large(size_t len); /* of an IP packet */
void link_note_losses(struct qe_link *link, const ngtcp2_conn_info *info, qe_time now);

/* ---- link_pace.c ---- */

void link_pace_set(struct qe_link *link, const ngtcp2_conn_info *info);
/* Whether an IP packet may leave now; if not, it may at the deadline. */
bool link_pace_allows(const struct qe_link *link, qe_time now);
void link_pace_sent(struct qe_link *link, size_t len);
qe_time link_pace_deadline(const struct qe_link *link);

/* ---- link_reset.c ---- */

void link_reset_callbacks(ngtcp2_callbacks *callbacks);
void link_reset_done(struct qe_link *link);

/* ---- link.c ---- */

/* The largest UDP payload that the TUN's MTU can need. */
uint16_t link_payload_max(const struct qe_link_context *context);

/* ---- link_path.c ---- */

/* The addresses as ngtcp2 wants them; storage holds them. */
ngtcp2_path link_path_to_ngtcp2(ngtcp2_path_storage *storage, const struct qe_path *path);
/* The path of a packet as the link sees it, a local address that the system chooses left out. */
const ngtcp2_path *link_input_path(struct qe_link *link, const struct qe_path *path);
/* Where the packet just written goes: nearly always link->path, else *other is filled in. */
const struct qe_path *link_written_path(const struct qe_link *link, struct qe_path *other);
/* Takes over ngtcp2's idea of the current path. */
void link_follow_path(struct qe_link *link);

/* ---- link_memory.c ---- */

extern const ngtcp2_mem link_memory;
