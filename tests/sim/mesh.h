/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A whole mesh in one process: hosts with a node and its shards each, the wires between them, NAT
 * boxes, TUN devices in memory, and one clock that jumps from event to event. What is random in the
 * network comes from one seed, which every failed check prints; the library's own randomness
 * (keys, connection IDs, jitter) is real.
 *
 * mesh.c has the clock, the events and the hosts, wire.c what lies between them, tun.c the packets
 * inside. In the environment, MESH_TRACE=1 prints every event of every shard, and MESH_SEED=n is
 * added to every seed.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/time.h"
#include "crypto/key.h"
#include "net/packet.h"
#include "policy/policy.h"

#define MESH_DATAGRAM_MAX 2048
#define MESH_PORT 7844
#define MESH_SEEN_MAX 64
#define MESH_PREFIXES_MAX 8

struct mesh;
struct mesh_host;
struct mesh_flow;

/* ---- the clock ---- */

/* What happens at a time. Embedded in what it happens to; fire may free it or schedule it again. */
struct mesh_event {
	qe_time at;
	uint64_t order; /* events of one instant fire in the order they were scheduled */
	void (*fire)(struct mesh *mesh, struct mesh_event *event);
};

/* ---- wires ---- */

/* One direction between two hosts. */
struct mesh_wire {
	qe_time delay, jitter;                /* a datagram takes delay, and up to jitter more */
	double loss, duplication, corruption; /* of datagrams, 0 to 1 */
	uint64_t rate;                        /* bits per second; 0: without limit */
	size_t queue; /* bytes in front of the bottleneck; the tail is dropped */
	size_t mtu;   /* the largest UDP payload that passes */
	bool cut;
	const uint8_t *remark; /* what becomes of each ECN field on the way; NULL: nothing */
};

/* A NAT box with one public address: a mapping per inside host and remote endpoint, which nobody
 * else may use from outside; a mapping unused for timeout is forgotten and the next gets another
 * port. One public port may lead to a host, as the operator of a server behind NAT sets it up. */
struct mesh_nat;

/* ---- hosts ---- */

struct mesh_peer {
	struct mesh_host *host;
	struct qe_node_id id;                        /* the one expected */
	struct qe_prefix subnets[MESH_PREFIXES_MAX]; /* said to be behind it */
	size_t n_subnets;
	struct qe_prefix gateway[MESH_PREFIXES_MAX]; /* granted to it as a gateway */
	size_t n_gateway;
	bool exit, default_gateway;
	bool told; /* told where the peer is */
	bool dial;
};

/* What the host has seen of its shards; see struct qe_shard_counters. */
struct mesh_books {
	uint64_t tun_rx_packets, tun_tx_packets, tx_datagrams, rx_datagrams;
};

struct mesh_host {
	struct mesh *mesh;
	size_t index;
	struct qe_key *key;
	struct qe_node *node;   /* NULL while the host is down */
	struct qe_shard *shard; /* the first of them */
	struct qe_shard *shards[QE_WORKERS_MAX];
	qe_time deadline;
	uint64_t runs;                                          /* calls of qe_shard_run */
	uint64_t published, routes_changed, accepted, rejected; /* by the node's sink */

	/* Settings of the next start. */
	uint16_t mtu;
	enum qe_pq pq;
	enum qe_cipher cipher;
	qe_time rotate;
	unsigned workers; /* shards; at first 1 */
	struct mesh_peer *peers;
	size_t n_peers;
	struct qe_prefix subnets[MESH_PREFIXES_MAX], forward[MESH_PREFIXES_MAX];
	size_t n_subnets, n_forward; /* behind it, besides its addresses; it is a gateway to */
	uint16_t metric;
	/* Each host is called h and its index; NULL: no rules. */
	const struct qe_policy_source *policy;

	struct qe_endpoint at[2]; /* IPv4 and IPv6; family QE_FAMILY_NONE: has none */
	struct mesh_nat *nat;     /* of IPv4 */
	bool asleep; /* as a laptop with its lid down: nothing runs, nothing comes in */

	/* The TUN device: what waits to be read, and what was written and belongs to no flow. */
	struct qe_addr inner4, inner6;
	struct mesh_packet *tun_head, **tun_tail;
	size_t tun_waiting, tun_limit;
	uint64_t tun_refused; /* times the shard would read nothing although packets waited */
	struct mesh_packet *inbox, **inbox_tail;
	size_t n_inbox;
	uint64_t tun_writes, tun_packets; /* super-packets count once, and as what they hold */
	uint64_t tun_fed, tun_written;    /* packets, to and from the shard */
	struct mesh_books before;         /* the start of this shard */

	uint64_t tx_datagrams, tx_bytes, rx_datagrams, rx_bytes; /* UDP payloads */
	uint64_t tx_ecn[4];                                      /* datagrams, by their ECN field */
	uint64_t unsendable; /* from an address that the host no longer has */

	unsigned events[QE_EVENT_COUNT];
	qe_time event_at[QE_EVENT_COUNT];
	/* To be told to all shards, as a daemon does: where peers were seen. */
	struct mesh_seen {
		size_t peer;
		struct qe_endpoint at;
	} seen[MESH_SEEN_MAX];
	size_t n_seen;
	struct qe_event last; /* about links and peers; without reason */
	char reason[96];      /* of the last event that had one */
};

/* ---- the mesh ---- */

struct mesh {
	uint64_t seed, random;
	qe_time now;
	struct mesh_event **heap;
	size_t n_heap, heap_capacity;
	uint64_t order;

	struct mesh_host **hosts;
	size_t n_hosts;
	struct mesh_wire wire; /* of hosts between which no other was laid; without a rate */
	struct mesh_laid *laid;
	struct mesh_nat *nats;
	struct mesh_batch *batch;
	uint64_t nowhere_datagrams, nowhere_bytes; /* sent to addresses that no host has */
	/* Sees each datagram that a host sends, before it is lost. */
	void (*tap)(void *ctx, const struct mesh_host *from, struct qe_bytes datagram);
	void *tap_ctx;

	struct mesh_flow **flows;
	size_t n_flows;
};

struct mesh *mesh_new(uint64_t seed);
struct mesh *mesh_free(struct mesh *mesh);

/* Ends the test with seed and time if the condition does not hold. */
#define mesh_check(mesh, condition, ...) \
	do { \
		if (!(condition)) \
			mesh_fail(mesh, __FILE__, __LINE__, \
				#condition __VA_OPT__(": ") __VA_ARGS__); \
	} while (0)
[[gnu::format(printf, 4, 5)]] void mesh_fail(
	const struct mesh *mesh, const char *file, int line, const char *format, ...);

uint64_t mesh_random(struct mesh *mesh);
uint64_t mesh_random_below(struct mesh *mesh, uint64_t limit);
bool mesh_chance(struct mesh *mesh, double probability);

void mesh_schedule(struct mesh *mesh, struct mesh_event *event, qe_time at);
void mesh_run(struct mesh *mesh, qe_time duration);
/* Runs until the condition holds, in steps of at most 1 ms; false if it did not within duration. */
bool mesh_run_until(struct mesh *mesh, bool (*condition)(void *ctx), void *ctx, qe_time duration);

/* A host that is down, with addresses of its own: the index makes 10.0.x.y and fd00::x. */
struct mesh_host *mesh_host_add(struct mesh *mesh);
struct mesh_host *mesh_host_add_of_type(struct mesh *mesh, enum qe_key_type type);
enum mesh_how { MESH_WAITS, MESH_KNOWS, MESH_DIALS };
/* Make other a peer of host from host's next start on: waits for it, knows where it is and dials
 * on demand, or dials at start. */
struct qe_prefix mesh_prefix(const char *text);
struct mesh_peer *mesh_befriend(struct mesh_host *host, struct mesh_host *other, enum mesh_how how);
void mesh_unfriend(struct mesh_host *host, const struct mesh_host *other);
/* What was befriended and unfriended since the start, and changed in host->peers. A host that is
 * asleep takes it up when it wakes. */
enum qe_error mesh_reconfigure(struct mesh_host *host);
/* host->policy, at once; the peers are those of before. */
void mesh_set_policy(struct mesh_host *host);
size_t mesh_slot(const struct mesh_host *host, const struct mesh_host *other);
void mesh_start(struct mesh_host *host);
void mesh_kill(struct mesh_host *host);  /* as if by SIGKILL */
void mesh_close(struct mesh_host *host); /* in order */
void mesh_sleep(struct mesh_host *host);
void mesh_wake(struct mesh_host *host);
/* Give the host addresses it never had. told: its shard is told that the network has changed. */
void mesh_move(struct mesh_host *host, bool told);
struct qe_peer_status mesh_status(const struct mesh_host *host, size_t peer);
struct qe_shard_counters mesh_counters(const struct mesh_host *host);
/* That every packet is in the shard's counters, once. Done whenever a host goes down. */
void mesh_check_books(const struct mesh_host *host);
bool mesh_linked(const struct mesh_host *host, size_t peer);

/* Two hosts that know one another, a dialling at start and b as said, both started. */
struct mesh_pair {
	struct mesh *mesh;
	struct mesh_host *a, *b;
};
struct mesh_pair mesh_pair_new(uint64_t seed, enum mesh_how a, enum mesh_how b);
struct mesh_pair mesh_pair_of_types(uint64_t seed, enum mesh_how a, enum mesh_how b,
	enum qe_key_type of_a, enum qe_key_type of_b);
void mesh_pair_start(struct mesh_pair *pair);
/* True once both have a link, within duration. */
bool mesh_pair_link(struct mesh_pair *pair, qe_time duration);

/* ---- wire.c ---- */

/* The wire from one host to another, laid with the mesh's settings if there was none. */
struct mesh_wire *mesh_lay(
	struct mesh *mesh, const struct mesh_host *from, const struct mesh_host *to);
void mesh_lay_both(struct mesh *mesh, const struct mesh_host *a, const struct mesh_host *b,
	const struct mesh_wire *wire);
void mesh_transmit(
	struct mesh_host *host, const struct qe_path *path, uint8_t ecn, struct qe_bytes datagram);
/* A datagram from anywhere, which need not exist, to a host; arrives at once. */
void mesh_spoof(struct mesh *mesh, const struct qe_endpoint *from, const struct mesh_host *to,
	struct qe_bytes datagram);
struct mesh_batch *mesh_batch_new(void);
void mesh_batch_flush(struct mesh *mesh); /* hand over what arrived together */
void mesh_wires_done(struct mesh *mesh);

/* Put a host behind a new box. forwarded: the box's public port MESH_PORT leads to it. */
struct mesh_nat *mesh_nat_add(struct mesh_host *host, qe_time timeout, bool forwarded);
void mesh_nat_rebind(struct mesh_nat *nat);             /* forget all mappings */
uint64_t mesh_nat_mappings(const struct mesh_nat *nat); /* ever made */
/* Where the host's peers find it: behind NAT the box's public endpoint. */
struct qe_endpoint mesh_reachable_at(const struct mesh_host *host, unsigned family);

/* ---- tun.c ---- */

struct mesh_packet {
	struct mesh_packet *next;
	struct qe_offload offload;
	size_t len;
	uint8_t bytes[];
};

/* Queue a packet in the host's TUN device; false if the queue is full. */
bool mesh_inject(struct mesh_host *host, const struct qe_offload *offload, struct qe_bytes packet);
uint64_t mesh_packets_in(const struct qe_offload *offload, struct qe_bytes bytes);
bool mesh_tun_is_wanted(const struct mesh_host *host); /* something waits, and would be read */
bool mesh_tun_feed(struct mesh_host *host); /* what waits, to the shard; true if it took any */
void mesh_tun_write(void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len);
void mesh_tun_drain(struct mesh_host *host); /* forget what waits in the queue */
void mesh_inbox_clear(struct mesh_host *host);

/* One whole packet with right lengths and checksums. Returns its length; to: 65,535 bytes. */
struct mesh_inner {
	struct qe_addr source, destination;
	uint8_t protocol; /* UDP and TCP get a header with the ports; others are the payload alone
			   */
	uint16_t source_port, destination_port;
	uint32_t sequence; /* TCP */
	uint8_t tcp_flags, traffic_class;
	uint8_t hop_limit;  /* 0: 64 */
	bool dont_fragment; /* IPv4 */
};
size_t mesh_build(uint8_t *to, const struct mesh_inner *inner, struct qe_bytes payload);

/* A numbered stream of packets from one host to another. For UDP a cell is a packet, for TCP a
 * byte of the stream; each carries what it must be, so that loss, duplicates and damage are told
 * apart and counted. */
struct mesh_flow {
	struct mesh_event event;
	struct mesh_host *from, *to;
	struct mesh_inner inner;
	size_t size;       /* of a UDP packet, or of a TCP segment's payload */
	unsigned segments; /* in one super-packet; 1: no offload */
	qe_time interval;  /* between two injections; 0: whenever there is room in the queue */
	size_t room;       /* with interval 0: how many injections may wait in the queue */
	uint64_t limit;    /* cells; then it stops by itself */
	bool stopped;

	uint32_t index;
	uint8_t *seen;
	uint64_t seen_capacity;
	uint64_t sent, received, duplicates, damaged, reordered, refused; /* cells */
	uint64_t next;
	uint64_t marked; /* packets that came with CE */
	qe_time started, last_received, longest_gap;
	qe_time longest_delay, total_delay; /* of UDP; from injection to delivery */
};

enum mesh_kind { MESH_UDP4, MESH_UDP6, MESH_TCP4, MESH_TCP6 };

/* Starts at once; fields may be changed before the mesh runs on. The mesh owns the flow. */
struct mesh_flow *mesh_flow_start(struct mesh_host *from, struct mesh_host *to, enum mesh_kind kind,
	size_t size, qe_time interval);
void mesh_flow_stop(struct mesh_flow *flow);
uint64_t mesh_flow_lost(const struct mesh_flow *flow);
/* All that was sent came, once and unharmed. */
void mesh_flow_check_whole(const struct mesh_flow *flow);
void mesh_flow_free(struct mesh_flow *flow);
