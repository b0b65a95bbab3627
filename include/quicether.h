/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * quicether.h - the public interface of libquicether
 *
 * A node is an identity, settings and the directory of the peers it trusts. A shard is the part
 * that works: QUIC links, timers and buffers of one thread. A shard does no I/O
 * and never reads a clock. Its owner hands it what the TUN device and the UDP socket delivered,
 * together with the time, and the shard hands back, through struct qe_sink, what is to be sent or
 * written and what has happened. One process may hold any number of nodes and shards.
 *
 * Threads: the shards of a node may run on as many threads as there are shards. What changes a node
 * (the functions under "changing a node") is called by one thread at a time, while the shards work
 * on. A shard belongs to one thread at a time; nothing in it is locked. Callbacks of the sink run
 * on the caller's thread, inside the call that caused them, and must not call back into the shard,
 * except where said.
 *
 * Slots: a peer is named by its slot, a small number that stays the same while the peer is
 * configured. The first configuration gives peer i of its list slot i; the slot of a peer that was
 * removed goes to another one when no shard knows the former any more, 10 s later at the earliest.
 *
 * Time: monotonic nanoseconds (qe_time), never going backwards between two calls on one shard.
 * Errors: enum qe_error; 0 is success, a value above -1000 is a negated errno, the others are
 * listed below. Byte order: addresses are bytes in network order; ports and all other integers are
 * in host order.
 */
#ifndef QUICETHER_H
#define QUICETHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L
#define QE_ERROR_ENUM enum [[nodiscard]] qe_error : int
#else
#define QE_ERROR_ENUM enum qe_error
#endif

QE_ERROR_ENUM{
	QE_OK = 0,
	QE_ERR_SYNTAX = -1000,    /* text or bytes that are not of the format they should have */
	QE_ERR_RANGE = -1001,     /* a value outside of what is allowed */
	QE_ERR_TRUNCATED = -1002, /* the input ended too early */
	QE_ERR_FULL = -1003,      /* a bounded thing has reached its bound */
	QE_ERR_CRYPTO =
		-1004, /* the cryptographic library failed, or the input did not authenticate */
	QE_ERR_KEY_EXPOSED =
		-1005,           /* the key file can be read or written by others than its owner */
	QE_ERR_KEY_TYPE = -1006, /* a key of a type that is not supported */
	QE_ERR_UNSUPPORTED = -1007, /* this build or this machine cannot do it */
	QE_ERR_NOT_FOUND = -1008,   /* no such peer, route or name */
	QE_ERR_AMBIGUOUS = -1009,   /* a prefix of a NodeId or name that fits more than one */
	QE_ERR_CONFLICT = -1010,    /* contradicts something that is there already */
	QE_ERR_PROTOCOL = -1011,    /* the peer broke the protocol */
	QE_ERR_CLOSED = -1012,      /* the link is closed or closing */
	QE_ERR_BLOCKED = -1013,     /* the congestion window is full, or the pacer waits: later */
	QE_ERR_TOO_BIG = -1014,     /* the packet does not fit the path's MTU */
	QE_ERR_HOST_BITS = -1015,   /* a prefix with bits set beyond its length */
	QE_ERR_INTERNAL = -1999,
};

/* A static English text without a full stop; for -errno, the system's. Thread-safe. */
const char *qe_error_text(enum qe_error error);

typedef uint64_t qe_time; /* monotonic nanoseconds */
#define QE_TIME_NEVER UINT64_MAX

/* ---- addresses ---- */

enum qe_family { QE_FAMILY_NONE = 0, QE_FAMILY_IPV4 = 4, QE_FAMILY_IPV6 = 6 };

struct qe_addr {
	uint8_t family;    /* enum qe_family */
	uint8_t bytes[16]; /* IPv4 uses the first four; the rest is zero */
};

struct qe_prefix {
	struct qe_addr addr; /* bits beyond length are zero */
	uint8_t length;      /* 0 to 32 or 128 */
};

enum qe_next_hop {
	QE_NEXT_HOP_LOCAL,  /* this node */
	QE_NEXT_HOP_NODE,   /* the peer that owns it */
	QE_NEXT_HOP_GATEWAY /* a peer that forwards for it */
};

struct qe_route {
	struct qe_prefix prefix;
	uint8_t next_hop; /* enum qe_next_hop */
	uint32_t peer;    /* its slot; 0 for QE_NEXT_HOP_LOCAL */
};

struct qe_endpoint {
	struct qe_addr addr;
	uint16_t port;
	uint32_t scope; /* interface index of an IPv6 link-local address, else 0 */
};

/* A local endpoint whose family is QE_FAMILY_NONE means: whichever address the system chooses. */
struct qe_path {
	struct qe_endpoint local, remote;
};

/* ---- identity ---- */

#define QE_NODE_ID_SIZE 20
#define QE_NODE_ID_TEXT_SIZE 33 /* 32 base32 characters and a zero byte */

struct qe_node_id {
	uint8_t bytes[QE_NODE_ID_SIZE];
};

struct qe_key; /* a node's key pair */

enum qe_key_type { QE_KEY_ED25519, QE_KEY_ML_DSA_65 };

/* ---- a node: settings and peers ---- */

enum qe_pq { QE_PQ_REQUIRED, QE_PQ_PREFERRED };

enum qe_cipher {
	QE_CIPHER_AUTO,
	QE_CIPHER_AES_256_GCM,
	QE_CIPHER_AES_128_GCM,
	QE_CIPHER_CHACHA20_POLY1305
};

#define QE_PEERS_MAX 65536
#define QE_WORKERS_MAX 16
#define QE_PEER_ENDPOINTS_MAX 16
#define QE_MTU_MIN 1280
#define QE_MTU_MAX 9000

struct qe_peer_settings {
	const char *name; /* may be NULL; copied */
	struct qe_node_id id;
	/* What the peer owns: it may send from there and announce it, and until it announces
	 * anything it is taken to have announced all of it; copied. Its own overlay IPv6 address is
	 * always among them. No prefix may have two owners; of nested ones the longest counts. */
	const struct qe_prefix *prefixes;
	size_t n_prefixes;
	/* What the peer may announce to forward for, and pass on packets from; copied. */
	const struct qe_prefix *gateway_prefixes;
	size_t n_gateway_prefixes;
	bool exit;            /* the same for all that nobody owns: default routes */
	bool default_gateway; /* an exit that need not announce it: the last resort */
	bool dial; /* dial at start and keep the link up; otherwise only wait and dial on demand */
};

/* What a node says to whoever changes it, from inside the functions that do. Each may be NULL. */
struct qe_node_sink {
	void *ctx;
	/* Something is new for the shards: have qe_shard_run called on all of them, soon. */
	void (*published)(void *ctx);
	/* The route in use for a prefix has changed; NULL: there is none any more. */
	void (*route)(void *ctx, const struct qe_prefix *prefix, const struct qe_route *route);
	/* A peer's announcement is believed now that was not, or refused for a new reason. gateway:
	 * the peer does not own the prefix but forwards for it. reason: NULL if it is believed. */
	void (*judged)(void *ctx, size_t peer, const struct qe_prefix *prefix, bool gateway,
		uint16_t metric, const char *reason);
};

struct qe_policy; /* compiled rules; src/policy/policy.h */

struct qe_node_settings {
	const char *name;   /* told to peers as information; may be NULL; copied */
	struct qe_key *key; /* not owned; outlives the node */
	uint16_t mtu;       /* of the TUN interface */
	enum qe_pq pq;
	enum qe_cipher cipher;
	qe_time rotate; /* age at which a link is replaced; 1 s to 600 s */
	/* What is delivered to this node's TUN: its own addresses and the subnets behind it;
	 * copied. */
	const struct qe_prefix *local;
	size_t n_local;
	/* What this node is a gateway to: announced as such, and packets of one peer that go there
	 * or come from there are passed on to another, or to the TUN where no peer owns it; copied.
	 */
	const struct qe_prefix *forward;
	size_t n_forward;
	uint16_t metric; /* of what is announced; less is better */
	const struct qe_peer_settings *peers;
	size_t n_peers;
	/* Makes the policy, which is the node's then: slots[i] is that of peers[i]. Called by
	 * qe_node_new and qe_node_reconfigure, before anything has changed; what it returns they
	 * return. NULL: there are no rules, and what grants and routes allow is allowed. */
	enum qe_error (*make_policy)(
		void *ctx, const uint32_t *slots, struct qe_policy **ret_policy);
	void *make_policy_ctx;
	bool account;     /* for qe_gate_sink.flow; looked at by qe_node_new alone */
	unsigned workers; /* how many shards it will have, at most QE_WORKERS_MAX; 0 means 1 */
	struct qe_node_sink sink;
};

struct qe_node;
struct qe_event;

enum qe_error qe_node_new(struct qe_node **ret_node, const struct qe_node_settings *settings);
struct qe_node *qe_node_free(struct qe_node *node); /* after its shards; NULL-safe; returns NULL */

/* ---- changing a node ---- */

/* Takes local, forward, metric, peers and the policy from the settings; the rest of a node is as it
 * was made, and not looked at. A peer is known by its NodeId: one that stays keeps slot, links and
 * counters. Each shard takes the change up with its next call of qe_shard_run, or when something is
 * asked of it, and then closes the links of peers that are gone: wake all of them. On an error
 * nothing has changed. */
enum qe_error qe_node_reconfigure(
	struct qe_node *node, const struct qe_node_settings *settings, qe_time now);
/* The slot of a peer; SIZE_MAX if there is none. */
size_t qe_node_find_peer(const struct qe_node *node, const struct qe_node_id *id);
/* Every event of every shard is to be told to the node, in the shard's order: who can be reached
 * and what peers announce decides the routes. */
void qe_node_take_event(struct qe_node *node, const struct qe_event *event, qe_time now);
/* Other rules for the same peers, which are the node's then unless this fails; NULL: none. */
enum qe_error qe_node_set_policy(struct qe_node *node, struct qe_policy *policy, qe_time now);
/* Of local and forward, what is not announced for now; copied, replaces what was said before. */
enum qe_error qe_node_set_withdrawn(
	struct qe_node *node, const struct qe_prefix *prefixes, size_t n, qe_time now);
/* Where no announced prefix may lie: the underlay addresses of peers, say; copied, replaces. */
enum qe_error qe_node_set_forbidden(
	struct qe_node *node, const struct qe_prefix *prefixes, size_t n, qe_time now);
/* When qe_node_deadline has come, which it does at once after most of these. */
void qe_node_run(struct qe_node *node, qe_time now);
qe_time qe_node_deadline(const struct qe_node *node);

/* ---- the routes of a node, as of the last qe_node_run; on the thread that changes it ---- */

enum qe_route_state {
	QE_ROUTE_BEST,        /* the one in use for its prefix */
	QE_ROUTE_STANDBY,     /* another one is better */
	QE_ROUTE_UNREACHABLE, /* and so not used, as something else is reachable */
	QE_ROUTE_HELD_DOWN,   /* has failed and is back, but not for long enough */
	QE_ROUTE_DAMPED       /* comes and goes too often */
};

/* One way to a prefix, of which there may be several. */
struct qe_route_status {
	struct qe_route route;
	enum qe_route_state state;
	bool announced; /* by the peer; otherwise it follows from the settings */
	uint16_t metric;
	qe_time rtt;     /* of the peer; 0: not known */
	const char *why; /* it is used, or not; static English text, no full stop */
};

/* What a peer announces, and is not believed. */
struct qe_route_refusal {
	size_t peer;
	struct qe_prefix prefix;
	bool gateway; /* it does not own the prefix, but forwards for it */
	uint16_t metric;
	const char *reason; /* static English text, no full stop */
};

/* In the order of prefixes, and for each the best first. -ENOMEM. */
enum qe_error qe_node_visit_routes(const struct qe_node *node,
	void (*visit)(void *ctx, const struct qe_route_status *status), void *ctx);
void qe_node_visit_refusals(const struct qe_node *node,
	void (*visit)(void *ctx, const struct qe_route_refusal *refusal), void *ctx);
struct qe_route_counts {
	size_t prefixes;    /* that are known */
	size_t ways;        /* to them, of all peers */
	size_t refused;     /* announcements */
	uint64_t changes;   /* of the routes in use, since the start */
	uint64_t malformed; /* messages with announcements, since the start */
};
struct qe_route_counts qe_node_count_routes(const struct qe_node *node);
/* The route that a packet to the address takes; QE_ERR_NOT_FOUND. */
enum qe_error qe_node_find_route(
	const struct qe_node *node, const struct qe_addr *addr, struct qe_route *ret_route);

/* How a peer stands as a way to what nobody owns. */
struct qe_exit_status {
	bool up;         /* there is a link to it */
	bool answers;    /* on each of them */
	bool announced;  /* it has said what it has */
	bool ipv4, ipv6; /* its default routes are among that, and believed */
};
struct qe_exit_status qe_node_exit_status(const struct qe_node *node, size_t peer);

/* ---- what a node is ---- */

const struct qe_node_id *qe_node_get_id(const struct qe_node *node);
/* The address that a NodeId owns by right: see docs/protocol.md, "Overlay addresses". */
struct qe_addr qe_node_id_overlay_addr(const struct qe_node_id *id);
/* "libipsec_mb 2.0 (AVX512)" or "OpenSSL 3.5.7": what protects the packets. */
const char *qe_node_crypto_provider(const struct qe_node *node);

/* ---- a shard: what goes in ---- */

/* What a TUN read or write says of its packet besides the bytes; the fields of struct
 * virtio_net_hdr. */
enum qe_gso { QE_GSO_NONE, QE_GSO_TCP4, QE_GSO_TCP6, QE_GSO_UDP };

struct qe_offload {
	uint8_t gso;       /* enum qe_gso */
	bool needs_csum;   /* the transport checksum holds only the pseudo-header's sum */
	bool csum_valid;   /* on read: the kernel vouches for the checksum */
	uint16_t gso_size; /* payload bytes per segment */
	uint16_t hdr_len;  /* a hint: never trusted */
	uint16_t csum_start, csum_offset;
};

struct qe_sink {
	void *ctx;
	/* Send one or more UDP datagrams, all of segment_size bytes but the last, which may be
	 * shorter. The bytes are the shard's. What cannot be sent is lost; QUIC bears it. ecn: the
	 * two bits of the IP header. */
	void (*udp_send)(void *ctx, const struct qe_path *path, uint8_t ecn, const uint8_t *data,
		size_t len, size_t segment_size);
	/* Write one IP packet, or one super-packet of up to 64 KiB, whose hdr_len is right. */
	void (*tun_write)(
		void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len);
	/* The event and all it points to live until the callback returns. */
	void (*event)(void *ctx, const struct qe_event *event);
};

struct qe_shard;

/* worker: the shard's number, from 0 to below workers, and the first byte of its connection IDs.
 * The sink is copied. */
enum qe_error qe_shard_new(struct qe_shard **ret_shard, struct qe_node *node, uint8_t worker,
	const struct qe_sink *sink, qe_time now);
struct qe_shard *qe_shard_free(
	struct qe_shard *shard); /* wipes all keys, sends nothing; NULL-safe; returns NULL */

/* The shard that a UDP datagram must be given to, and the one that a TUN packet should be: then
 * both directions of a flow, here and on a peer with as many workers, go through shards of one
 * number. A flow that changes shards may lose its order. */
unsigned qe_datagram_worker(const uint8_t *datagram, size_t len, unsigned workers);
unsigned qe_packet_worker(const uint8_t *packet, size_t len, unsigned workers);

/* How many packets the TUN device is to queue: few, so that what the tunnel cannot carry is dropped
 * where the senders notice, and soon. */
#define QE_TUN_QUEUE_LENGTH 64

/* Where the next TUN packet is to be read into, with its capacity; NULL while the shard wants none,
 * which is how congestion reaches the senders: leave the packets in the device's queue and ask
 * again after the next call of qe_shard_run. */
uint8_t *qe_shard_tun_buffer(struct qe_shard *shard, size_t *ret_capacity);
/* The packet of len bytes that stands in the buffer that qe_shard_tun_buffer gave. */
void qe_shard_tun_input(
	struct qe_shard *shard, const struct qe_offload *offload, size_t len, qe_time now);

/* One or more UDP datagrams from one sender, as UDP_GRO gives them: all of segment_size but the
 * last. */
void qe_shard_udp_input(struct qe_shard *shard, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len, size_t segment_size, qe_time now);

/* After each batch of input, and whenever qe_shard_deadline has come: sends acknowledgements and
 * what waits, writes what is coalesced, runs timers. */
void qe_shard_run(struct qe_shard *shard, qe_time now);
qe_time qe_shard_deadline(const struct qe_shard *shard);

/* ---- a shard: what its owner asks of it ---- */

/* Where a peer might be reached, best first; replaces what was said before. */
enum qe_error qe_shard_set_endpoints(struct qe_shard *shard, size_t peer,
	const struct qe_endpoint *endpoints, size_t n, qe_time now);
/* Another shard of this node has a link to the peer there: to be dialled there first, and soon if
 * what leads elsewhere does not answer. */
enum qe_error qe_shard_peer_seen(
	struct qe_shard *shard, size_t peer, const struct qe_endpoint *at, qe_time now);
/* Another shard of this node has lost its links to the peer: see whether those of this one live. */
enum qe_error qe_shard_peer_check(struct qe_shard *shard, size_t peer, qe_time now);
/* Addresses or routes of this host have changed: links are checked at once instead of at the next
 * sign of trouble. */
void qe_shard_network_changed(struct qe_shard *shard, qe_time now);
/* Ask the peer for an answer over the control stream; QE_EVENT_PONG or QE_EVENT_PING_LOST with the
 * cookie follows. Dials if need be. */
enum qe_error qe_shard_ping(struct qe_shard *shard, size_t peer, uint64_t cookie, qe_time now);
/* Close every link in order. Nothing is sent after it. */
void qe_shard_close(struct qe_shard *shard, qe_time now);

enum qe_peer_state { QE_PEER_IDLE, QE_PEER_CONNECTING, QE_PEER_CONNECTED };

struct qe_link_status {
	struct qe_path path;
	bool dialled;             /* by this node */
	const char *cipher;       /* "AES-256-GCM"; static */
	const char *key_exchange; /* "X25519MLKEM768"; static or the link's */
	qe_time established;
	qe_time handshake;    /* how long it took */
	qe_time rtt, rtt_min; /* smoothed; the least seen */
	uint16_t path_mtu;    /* the largest IP packet that fits a datagram */
	uint64_t cwnd;        /* bytes */
	uint64_t lost_packets;
};

struct qe_peer_status {
	const char *name; /* NULL if it has none; until the shard is called again */
	struct qe_node_id id;
	enum qe_peer_state state;
	unsigned n_links; /* established */
	bool has_link;
	struct qe_link_status link;                          /* the one in use, if has_link */
	uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes; /* IP packets inside the tunnel */
	uint64_t rotations, reconnects;
	qe_time last_rx;   /* 0: never */
	qe_time next_dial; /* QE_TIME_NEVER: none is planned */
};

enum qe_error qe_shard_peer_status(
	const struct qe_shard *shard, size_t peer, struct qe_peer_status *ret_status);
/* The status of one peer over several shards: starts with that of one, of any. The link is the
 * first one's that has any. */
void qe_peer_status_add(struct qe_peer_status *sum, const struct qe_peer_status *status);

/* Why packets, datagrams and messages were not taken. qe_drop_name gives a stable snake_case name
 * for each. */
enum qe_drop {
	/* Packets from the TUN, or forwarded. */
	QE_DROP_TUN_MALFORMED, /* not an IP packet, or lengths that contradict one another */
	QE_DROP_NOT_UNICAST,   /* multicast, broadcast and link-local stay off the overlay */
	QE_DROP_NO_ROUTE,      /* no peer owns the destination */
	QE_DROP_NO_LINK,       /* the peer could not be reached in time */
	QE_DROP_POLICY_OUT,    /* no rule allows it; the sender was told */
	QE_DROP_QUEUE_FULL,    /* the peer's queue was full */
	QE_DROP_TOO_BIG,       /* does not fit the path; the sender was told */
	QE_DROP_CLOSED,        /* waited when the shard was closed or the peer removed */
	/* DATAGRAM frames from links. */
	QE_DROP_DATAGRAM_MALFORMED, /* holds no IP packet */
	QE_DROP_DATAGRAM_CONTEXT,   /* a context byte that this version does not know */
	QE_DROP_SOURCE,             /* a source address that is not the peer's to use */
	QE_DROP_POLICY,             /* no rule allows it */
	QE_DROP_NOT_LOCAL,          /* a destination that nobody is known to have */
	QE_DROP_NOT_FORWARDED,      /* another peer's, and this node is no gateway to it */
	QE_DROP_HOP_LIMIT,          /* has been passed on too often; the sender was told */
	QE_DROP_LOOP, /* goes back to where it came from, or where many have ended their hops */
	QE_DROP_HALF, /* of a packet that came in two, and the other was lost */
	QE_DROP_CONGESTION, /* marked by a router on the way, and its sender does not know ECN */
	/* UDP datagrams. */
	QE_DROP_UDP_MALFORMED,      /* not QUIC */
	QE_DROP_UNKNOWN_CONNECTION, /* a connection ID of no link */
	QE_DROP_NO_KNOCK,           /* a first packet by somebody who does not know this NodeId */
	QE_DROP_HANDSHAKE_LIMIT,    /* more handshakes or Retries than are allowed */
	QE_DROP_NO_MEMORY,
	/* Links, and what was said on them. */
	QE_DROP_HANDSHAKE_FAILED,
	QE_DROP_STRANGER,          /* a key of no known peer */
	QE_DROP_CONTROL_MALFORMED, /* a control message that does not parse; the link is closed */
	QE_DROP_CONTROL_LIMIT,     /* more announcements in a second than anybody needs */
	QE_DROP_COUNT
};
const char *qe_drop_name(enum qe_drop drop);

/* A packet is an IP packet as it crosses the tunnel. A super-packet of the TUN counts as the
 * packets of gso_size that it stands for; what does not parse counts as one, and so does what is
 * sent in pieces. Each is counted once on its way, so that after qe_shard_run, and after
 * qe_shard_close,
 *
 *   tun_rx_packets + forwarded_packets + icmp_tx_packets + split_packets
 *     = tx_packets + queued_packets + drops of packets from the TUN, or from another peer
 *   rx_frames = rx_packets + forwarded_packets + joined_frames + waiting_frames
 *     + drops of DATAGRAM frames
 *   tun_tx_packets = rx_packets + icmp_packets
 *   rx_datagrams = link_datagrams + retries + drops of UDP datagrams
 *
 * All counts come first, so that qe_shard_counters_add can go through them. */
struct qe_shard_counters {
	uint64_t tun_rx_packets;       /* taken by qe_shard_tun_input */
	uint64_t split_packets;        /* more than that, of TCP for a path narrower than the TUN */
	uint64_t queued_packets;       /* waiting now */
	uint64_t tx_packets, tx_bytes; /* sent on links */

	uint64_t rx_frames;      /* DATAGRAM frames received on links */
	uint64_t joined_frames;  /* of these, joined to another that had the packet's other half */
	uint64_t waiting_frames; /* waiting now for one that has it */
	uint64_t rx_packets, rx_bytes; /* of these, taken */
	uint64_t forwarded_packets;    /* of these, to go on to another peer */
	uint64_t icmp_packets;         /* told to senders on this side: too big, no route */
	uint64_t icmp_tx_packets;      /* told to senders behind peers: too big, hop limit */
	uint64_t tun_tx_packets;       /* handed to tun_write */

	uint64_t tx_datagrams;   /* UDP, handed to udp_send */
	uint64_t rx_datagrams;   /* UDP, taken by qe_shard_udp_input */
	uint64_t link_datagrams; /* of these, handed to a link, new ones included */
	uint64_t ignored;        /* QUIC packets in these: repeated, or not authentic */
	uint64_t handshakes, handshake_failures, retries, stateless_resets;
	uint64_t drops[QE_DROP_COUNT];
	bool crypto_fallback; /* the fastest provider of packet protection does not work here */
};
void qe_shard_get_counters(const struct qe_shard *shard, struct qe_shard_counters *ret_counters);
void qe_shard_counters_add(struct qe_shard_counters *sum, const struct qe_shard_counters *counters);

/* ---- events ---- */

enum qe_event_type {
	QE_EVENT_LINK_UP,      /* peer, path, dialled, rotation */
	QE_EVENT_LINK_DOWN,    /* peer, path, reason */
	QE_EVENT_DIAL_FAILED,  /* peer, path, reason */
	QE_EVENT_PEER_MOVED,   /* peer, path: the peer's address has changed, the link lives on */
	QE_EVENT_PEER_UP,      /* peer: first link established */
	QE_EVENT_PEER_DOWN,    /* peer: no link is left; traffic, since */
	QE_EVENT_PEER_SILENT,  /* peer: has a link, but has not answered for 2 s */
	QE_EVENT_PEER_ANSWERS, /* peer: it does again */
	QE_EVENT_PEER_RTT,     /* peer, rtt: of the link in use, now and then */
	QE_EVENT_ROUTES,    /* peer, message: what it announces, a part; for qe_node_take_event */
	QE_EVENT_PONG,      /* peer, cookie, rtt */
	QE_EVENT_PING_LOST, /* peer, cookie */
	QE_EVENT_STRANGER,  /* id, path: a key of no known peer was refused; at most one a second */
};
#define QE_EVENT_COUNT (QE_EVENT_STRANGER + 1)

/* IP packets inside the tunnel, and their bytes. */
struct qe_traffic {
	uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes;
};

#define QE_EVENT_MESSAGE_MAX 1024

struct qe_event {
	enum qe_event_type type;
	uint8_t worker; /* of the shard */
	qe_time time;
	size_t peer; /* slot; SIZE_MAX where there is none */
	struct qe_node_id id;
	struct qe_path path;
	bool dialled, rotation;
	uint64_t cookie;
	qe_time rtt;
	struct qe_traffic traffic; /* with the peer, since it was up */
	qe_time since;             /* when it came up */
	const char *reason;        /* English, no full stop; NULL where there is none */
	const uint8_t *message;
	size_t message_len; /* at most QE_EVENT_MESSAGE_MAX */
};

#ifdef __cplusplus
}
#endif

#endif
