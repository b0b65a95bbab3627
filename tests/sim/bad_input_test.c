/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What is authentic and yet bad: packets of a member who lies, which no honest node would send, and
 * datagrams of honest ones that somebody has kept and sends again. Whatever comes out of a TUN is
 * looked at here as it is written, before anything takes it for a packet.
 */
#include "mesh.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "node/shard.h"

#define ROUNDS 20000
#define REPLAYS 100000
#define CAPTURED_MAX 8192
#define GROWTH_MAX (8 << 20)
#define WRITTEN_MAX 4096

/* ---- what comes out ---- */

void __real_mesh_tun_write(
	void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len);
void __wrap_mesh_tun_write(
	void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len);

static struct {
	struct mesh_host *host; /* nullptr: all as always */
	size_t n;
	size_t lens[WRITTEN_MAX];
	uint8_t *packets[WRITTEN_MAX];
} written;

void __wrap_mesh_tun_write(
	void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	if (ctx != written.host) {
		__real_mesh_tun_write(ctx, offload, data, len);
		return;
	}
	assert_true(written.n < WRITTEN_MAX);
	assert_int_equal(offload->gso, QE_GSO_NONE);
	written.lens[written.n] = len;
	written.packets[written.n] = malloc(len + 1);
	assert_non_null(written.packets[written.n]);
	memcpy(written.packets[written.n++], data, len);
}

static void forget_written(void)
{
	while (written.n > 0)
		free(written.packets[--written.n]);
}

/* ---- the liar ---- */

static struct mesh_pair liar_and_victim(uint64_t seed)
{
	struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, MESH_WAITS);

	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	mesh_run(pair.mesh, 5 * QE_SECOND); /* until the path MTU is known */
	written.host = pair.b;
	return pair;
}

/* Straight into a datagram of the link, past all that the liar's own node would mind. */
static void lie(struct mesh_pair *pair, uint8_t context, struct qe_bytes packet)
{
	struct qe_shard *shard = pair->a->shard;
	struct qe_link *link = qe_peer_link(shard->peers[0]->peer, pair->mesh->now);
	enum qe_error error;

	while ((error = qe_link_send(link, &shard->batch, context, QE_ECN_NOT_ECT, packet,
			pair->mesh->now)) == QE_ERR_BLOCKED) {
		shard_mark_dirty(shard, qe_link_owner(link));
		pair->a->deadline = pair->mesh->now;
		mesh_run(pair->mesh, 10 * QE_MILLISECOND);
	}
	mesh_check(pair->mesh, error == QE_OK, "%d", error);
	shard_mark_dirty(shard, qe_link_owner(link));
	pair->a->deadline = pair->mesh->now;
}

static void settle(struct mesh_pair *pair)
{
	mesh_run(pair->mesh, 100 * QE_MILLISECOND);
}

static uint64_t dropped(const struct mesh_pair *pair, enum qe_drop reason)
{
	return mesh_counters(pair->b).drops[reason];
}

/* Nothing comes of it but a count. */
static void check_refused(
	struct mesh_pair *pair, enum qe_drop reason, uint8_t context, struct qe_bytes packet)
{
	uint64_t before = dropped(pair, reason);

	lie(pair, context, packet);
	settle(pair);
	mesh_check(pair->mesh, dropped(pair, reason) == before + 1 && written.n == 0, "%zu bytes",
		packet.len);
}

static void check_passes(struct mesh_pair *pair, uint8_t context, struct qe_bytes packet)
{
	lie(pair, context, packet);
	settle(pair);
	mesh_check(pair->mesh, written.n == 1 && written.lens[0] == packet.len &&
				       memcmp(written.packets[0], packet.data, packet.len) == 0);
	forget_written();
}

static void done(struct mesh_pair *pair)
{
	struct qe_shard_counters counters = mesh_counters(pair->b);

	mesh_check(pair->mesh, mesh_linked(pair->b, 0) && counters.handshakes == 1);
	written.host = nullptr;
	mesh_free(pair->mesh);
}

static size_t build(
	const struct mesh_pair *pair, uint8_t *to, bool v6, uint8_t protocol, size_t payload_len)
{
	static const uint8_t payload[1300];
	static uint16_t port; /* another flow each time, so that nothing continues anything */
	struct mesh_inner inner = {.source = v6 ? pair->a->inner6 : pair->a->inner4,
		.destination = v6 ? pair->b->inner6 : pair->b->inner4,
		.protocol = protocol,
		.source_port = ++port,
		.destination_port = 6};

	return mesh_build(to, &inner, (struct qe_bytes){payload, payload_len});
}

/* ---- frames and lengths ---- */

static void refuses_what_holds_no_packet(void **)
{
	struct mesh_pair pair = liar_and_victim(41);
	uint8_t packet[1400];
	size_t len = build(&pair, packet, false, QE_IP_UDP, 30);

	check_refused(
		&pair, QE_DROP_DATAGRAM_MALFORMED, QE_CONTEXT_IP, (struct qe_bytes){packet, 0});
	for (unsigned context = QE_CONTEXT_IP_TAIL + 1; context < 256; context += 11)
		check_refused(&pair, QE_DROP_DATAGRAM_CONTEXT, (uint8_t)context,
			(struct qe_bytes){packet, len});
	check_passes(&pair, QE_CONTEXT_IP, (struct qe_bytes){packet, len});
	done(&pair);
}

static void lie_in_halves(struct mesh_pair *pair, uint8_t number, struct qe_bytes packet)
{
	size_t head = packet.len / 2;
	uint8_t first[1400] = {0, number}, second[1400] = {0, number};

	memcpy(first + 2, packet.data, head);
	memcpy(second + 2, packet.data + head, packet.len - head);
	lie(pair, QE_CONTEXT_IP_TAIL, (struct qe_bytes){second, 2 + packet.len - head});
	lie(pair, QE_CONTEXT_IP_HEAD, (struct qe_bytes){first, 2 + head});
	settle(pair);
}

/* What is put together is looked at like any other packet. */
static void refuses_bad_packets_in_halves(void **)
{
	struct mesh_pair pair = liar_and_victim(49);
	uint8_t packet[1400];
	size_t len = build(&pair, packet, true, QE_IP_UDP, 1000);
	struct qe_bytes bytes = {packet, len};

	lie_in_halves(&pair, 1, bytes);
	mesh_check(pair.mesh, written.n == 1 && written.lens[0] == len &&
				      memcmp(written.packets[0], packet, len) == 0);
	forget_written();
	packet[23] ^= 1; /* the last byte of the source */
	lie_in_halves(&pair, 2, bytes);
	mesh_check(pair.mesh, written.n == 0 && dropped(&pair, QE_DROP_SOURCE) == 1);
	packet[5] ^= 1; /* the length */
	lie_in_halves(&pair, 3, bytes);
	mesh_check(pair.mesh, written.n == 0 && dropped(&pair, QE_DROP_DATAGRAM_MALFORMED) == 1);
	check_refused(&pair, QE_DROP_DATAGRAM_MALFORMED, QE_CONTEXT_IP_HEAD,
		(struct qe_bytes){packet, 2});
	check_refused(&pair, QE_DROP_DATAGRAM_MALFORMED, QE_CONTEXT_IP_TAIL,
		(struct qe_bytes){packet, 1300});
	/* Heads without tails: each but the first eight takes the place of another. */
	for (unsigned i = 0; i < 100; i++) {
		packet[1] = (uint8_t)i;
		lie(&pair, QE_CONTEXT_IP_HEAD, (struct qe_bytes){packet, 700});
	}
	settle(&pair);
	mesh_check(pair.mesh, written.n == 0 && dropped(&pair, QE_DROP_HALF) == 92);
	done(&pair);
}

/* Cut at every length, with the length field as it was, and with bytes behind the end. */
static void refuses_wrong_lengths(void **)
{
	struct mesh_pair pair = liar_and_victim(42);

	for (unsigned kind = 0; kind < 4; kind++) {
		uint8_t packet[1400] = {};
		size_t len = build(&pair, packet, kind % 2, kind / 2 ? QE_IP_UDP : QE_IP_TCP, 20);

		for (size_t cut = 0; cut <= len + 40; cut++) {
			struct qe_bytes bytes = {packet, cut};

			if (cut == len)
				check_passes(&pair, QE_CONTEXT_IP, bytes);
			else
				check_refused(
					&pair, QE_DROP_DATAGRAM_MALFORMED, QE_CONTEXT_IP, bytes);
		}
	}
	done(&pair);
}

/* From the TUN, where somebody may have written the packet as an Ethernet card gave it. */
static void takes_padding_off(void **)
{
	struct mesh_pair pair = liar_and_victim(50);

	for (unsigned kind = 0; kind < 4; kind++) {
		uint8_t packet[1400] = {};
		size_t len = build(&pair, packet, kind % 2, kind / 2 ? QE_IP_UDP : QE_IP_TCP, 5);

		mesh_inject(pair.a, nullptr, (struct qe_bytes){packet, len + 13});
		settle(&pair);
		mesh_check(pair.mesh, written.n == 1 && written.lens[0] == len &&
					      memcmp(written.packets[0], packet, len) == 0);
		forget_written();
	}
	done(&pair);
}

/* One wrong field, told by its place, in a packet that is right otherwise. */
static void refuses_wrong_fields(void **)
{
	static const struct {
		bool v6;
		uint8_t protocol, at, value;
	} fields[] = {
		{false, QE_IP_UDP, 0, 0x00},  /* version 0 */
		{false, QE_IP_UDP, 0, 0x55},  /* 5 */
		{false, QE_IP_UDP, 0, 0xf5},  /* 15 */
		{false, QE_IP_UDP, 0, 0x65},  /* 6, in a packet of version 4 */
		{true, QE_IP_UDP, 0, 0x45},   /* 4, in a packet of version 6 */
		{false, QE_IP_UDP, 0, 0x44},  /* a header of 16 bytes */
		{false, QE_IP_UDP, 0, 0x4f},  /* of 60, in a packet of 48 */
		{false, QE_IP_TCP, 32, 0x40}, /* a TCP header of 16 bytes */
		{false, QE_IP_TCP, 32, 0xb0}, /* of 44, where 40 are left */
		{true, QE_IP_TCP, 52, 0x40},  /* the same in version 6 */
		{true, QE_IP_TCP, 52, 0xb0},
		{true, QE_IP_UDP, 6, 0}, /* extension headers that go on behind the end */
		{true, QE_IP_UDP, 6, 60},
		{true, QE_IP_UDP, 6, 51},
	};
	struct mesh_pair pair = liar_and_victim(43);

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		uint8_t packet[1400];
		size_t len = build(&pair, packet, fields[i].v6, fields[i].protocol, 20);
		size_t transport = fields[i].v6 ? 40 : 20;

		memset(packet + transport, fields[i].at < transport ? 0xff : 0, 12);
		packet[fields[i].at] = fields[i].value;
		check_refused(&pair, QE_DROP_DATAGRAM_MALFORMED, QE_CONTEXT_IP,
			(struct qe_bytes){packet, len});
	}
	done(&pair);
}

/* RFC 791: strict and loose source routes would take it elsewhere than its header says. */
static void refuses_source_routes(void **)
{
	static const uint8_t options[][8] = {
		{131, 7, 4, 10, 0, 0, 1, 0},  /* loose */
		{137, 7, 4, 10, 0, 0, 1, 0},  /* strict */
		{1, 131, 7, 4, 10, 0, 0, 1},  /* behind a NOP */
		{148, 4, 0, 0, 137, 4, 4, 0}, /* behind another, and already at its end */
		{148, 9, 0, 0, 0, 0, 0, 0},   /* lengths that do not fit */
		{148, 1, 0, 0, 0, 0, 0, 0},
		{1, 1, 1, 1, 1, 1, 1, 148},
	};
	static const uint8_t alert[8] = {148, 4, 0, 0, 0, 131, 7, 4}; /* the end stands before it */
	struct mesh_pair pair = liar_and_victim(44);
	uint8_t packet[1400];
	size_t len = build(&pair, packet, false, QE_IP_UDP, 20);

	memmove(packet + 28, packet + 20, len - 20);
	len += 8;
	packet[0] = 0x47;
	qe_store_u16(packet + 2, (uint16_t)len);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		memcpy(packet + 20, options[i], 8);
		check_refused(&pair, QE_DROP_DATAGRAM_MALFORMED, QE_CONTEXT_IP,
			(struct qe_bytes){packet, len});
	}
	memcpy(packet + 20, alert, 8);
	check_passes(&pair, QE_CONTEXT_IP, (struct qe_bytes){packet, len});
	done(&pair);
}

/* ---- anything ---- */

/* What must hold for all that comes out, in other words than the parser's. */
static void check_written(const struct mesh_pair *pair)
{
	for (size_t i = 0; i < written.n; i++) {
		const uint8_t *at = written.packets[i];
		size_t len = written.lens[i];
		bool v6 = at[0] >> 4 == 6;

		mesh_check(pair->mesh, v6 || at[0] >> 4 == 4);
		mesh_check(pair->mesh, len >= (v6 ? 40 : 20));
		mesh_check(pair->mesh,
			(size_t)(at[v6 ? 4 : 2] << 8 | at[v6 ? 5 : 3]) == len - (v6 ? 40 : 0));
		mesh_check(pair->mesh, v6 || ((at[0] & 15) >= 5 && (at[0] & 15) * 4u <= len));
		mesh_check(pair->mesh,
			memcmp(at + (v6 ? 8 : 12),
				v6 ? pair->a->inner6.bytes : pair->a->inner4.bytes,
				v6 ? 16 : 4) == 0,
			"a source that is not the sender's");
		mesh_check(pair->mesh,
			memcmp(at + (v6 ? 24 : 16),
				v6 ? pair->b->inner6.bytes : pair->b->inner4.bytes,
				v6 ? 16 : 4) == 0,
			"a destination that is not here");
	}
}

static void takes_nothing_but_packets(void **)
{
	struct mesh_pair pair = liar_and_victim(45);
	struct mesh *mesh = pair.mesh;
	uint64_t came = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint8_t packet[1400];
		size_t len = build(&pair, packet, i % 2, i % 3 ? QE_IP_UDP : QE_IP_TCP,
			mesh_random_below(mesh, 100));

		for (uint64_t n = mesh_random_below(mesh, 3); n > 0; n--)
			packet[mesh_random_below(mesh, len < 60 ? len : 60)] = (uint8_t)mesh_random(
				mesh);
		if (mesh_chance(mesh, 0.1))
			len = mesh_random_below(mesh, len);
		uint8_t strange = (uint8_t)(QE_CONTEXT_IP_TAIL + 1 + mesh_random_below(mesh, 252));

		lie(&pair, mesh_chance(mesh, 0.02) ? strange : QE_CONTEXT_IP,
			(struct qe_bytes){packet, len});
		if (i % 32 == 31) {
			settle(&pair);
			check_written(&pair);
			came += written.n;
			forget_written();
		}
	}
	settle(&pair);
	struct qe_shard_counters counters = mesh_counters(pair.b);
	uint64_t refused = counters.drops[QE_DROP_DATAGRAM_MALFORMED] +
			   counters.drops[QE_DROP_DATAGRAM_CONTEXT] +
			   counters.drops[QE_DROP_SOURCE] + counters.drops[QE_DROP_NOT_LOCAL] +
			   counters.drops[QE_DROP_LOOP];

	mesh_check(mesh, came == counters.rx_packets && came > ROUNDS / 10);
	mesh_check(mesh, came + refused == ROUNDS && refused > ROUNDS / 10, "%llu + %llu",
		(unsigned long long)came, (unsigned long long)refused);
	done(&pair);
}

/* ---- fragments ---- */

static size_t make_fragment(const struct mesh_pair *pair, uint8_t *to, bool v6, unsigned offset,
	bool more, size_t payload_len)
{
	size_t len = build(pair, to, v6, 253, payload_len + (v6 ? 8 : 0));
	unsigned field = offset | (unsigned)more << (v6 ? 0 : 13);

	for (size_t i = v6 ? 48 : 20; i < len; i++)
		to[i] = (uint8_t)mesh_random(pair->mesh); /* as if it were TCP, now and then */
	if (v6) {
		to[6] = 44;
		memcpy(to + 40, (uint8_t[]){QE_IP_TCP, 0, 0, 0, 1, 2, 3, 4}, 8);
		qe_store_u16(to + 42, (uint16_t)(offset << 3 | more));
		return len;
	}
	to[9] = QE_IP_TCP;
	qe_store_u16(to + 4, 0x1234);
	qe_store_u16(to + 6, (uint16_t)field);
	return len;
}

/* Fragments of one packet that overlap, are too short for a transport header, come twice or from
 * behind: to put them together, or to refuse to, is the business of whoever they are for. Here they
 * pass, each as it is, and in their order. */
static void passes_fragments_as_they_are(void **)
{
	struct mesh_pair pair = liar_and_victim(46);
	struct mesh *mesh = pair.mesh;

	for (unsigned round = 0; round < 200; round++) {
		uint8_t sent[8][256];
		size_t lens[8];

		for (unsigned i = 0; i < 8; i++) {
			lens[i] = make_fragment(&pair, sent[i], round % 2,
				(unsigned)mesh_random_below(mesh, 4), mesh_chance(mesh, 0.7),
				8 * mesh_random_below(mesh, 9));
			lie(&pair, QE_CONTEXT_IP, (struct qe_bytes){sent[i], lens[i]});
		}
		settle(&pair);
		unsigned n = 0;

		for (unsigned i = 0; i < 8 && n < written.n; i++)
			n += lens[i] == written.lens[n] &&
			     memcmp(sent[i], written.packets[n], lens[i]) == 0;
		mesh_check(mesh, n == written.n, "changed, or out of order");
		/* Offset 0 and nothing to follow is a whole packet: it may lack a TCP header. */
		for (unsigned i = 0; i < 8; i++)
			n += (qe_load_u16(sent[i] + (round % 2 ? 42 : 6)) &
				     (round % 2 ? 0xfff9 : 0x3fff)) == 0;
		mesh_check(mesh, n >= 8, "a fragment is missing");
		forget_written();
	}
	done(&pair);
}

/* A fragment has no transport checksum of its own that could be partial. */
static void refuses_partial_fragments(void **)
{
	struct mesh_pair pair = liar_and_victim(47);
	uint8_t packet[256];

	for (unsigned i = 0; i < 40; i++) {
		size_t len = make_fragment(&pair, packet, i % 2, i % 4, i % 4 == 0 || i % 3, 64);

		check_refused(&pair, QE_DROP_DATAGRAM_MALFORMED, QE_CONTEXT_IP_PARTIAL,
			(struct qe_bytes){packet, len});
	}
	done(&pair);
}

/* ---- replays ---- */

struct captured {
	const struct mesh_host *from;
	size_t len;
	uint8_t bytes[MESH_DATAGRAM_MAX];
};

static struct captured captured[CAPTURED_MAX];
static size_t n_captured;

static void capture(void *, const struct mesh_host *from, struct qe_bytes datagram)
{
	assert_true(n_captured < CAPTURED_MAX);
	struct captured *to = &captured[n_captured++];

	to->from = from;
	to->len = datagram.len;
	memcpy(to->bytes, datagram.data, datagram.len);
}

static void replay_one(struct mesh_pair *pair)
{
	struct mesh *mesh = pair->mesh;
	const struct captured *one = &captured[mesh_random_below(mesh, n_captured)];
	const struct mesh_host *to = one->from == pair->a ? pair->b : pair->a;
	struct qe_endpoint from = one->from->at[0];

	if (mesh_chance(mesh, 0.5))
		from.port = (uint16_t)mesh_random(mesh);
	if (mesh_chance(mesh, 0.3))
		from.addr.bytes[3] ^= 0x55;
	mesh_spoof(mesh, &from, to, (struct qe_bytes){one->bytes, one->len});
}

static void check_one_link_as_ever(const struct mesh_pair *pair)
{
	struct qe_peer_status status = mesh_status(pair->b, 0);

	mesh_check(pair->mesh, status.has_link && mesh_linked(pair->a, 0));
	mesh_check(pair->mesh, qe_endpoint_equal(&status.link.path.remote, &pair->a->at[1]));
	mesh_check(pair->mesh, pair->a->events[QE_EVENT_PEER_DOWN] == 0);
	mesh_check(pair->mesh, pair->b->events[QE_EVENT_PEER_MOVED] == 0);
}

/* All that went over two links, the second of which is still there, while it carries more. */
static void lets_no_replay_in(void **)
{
	struct mesh_pair pair = mesh_pair_new(48, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = pair.mesh;

	pair.a->rotate = pair.b->rotate = 20 * QE_SECOND;
	mesh->tap = capture;
	mesh_pair_start(&pair);
	mesh_check(mesh, mesh_pair_link(&pair, QE_SECOND));
	struct mesh_flow *there = mesh_flow_start(
		pair.a, pair.b, MESH_UDP4, 300, 20 * QE_MILLISECOND);
	struct mesh_flow *back = mesh_flow_start(
		pair.b, pair.a, MESH_UDP6, 300, 20 * QE_MILLISECOND);

	mesh_run(mesh, 25 * QE_SECOND);
	mesh_check(mesh, mesh_counters(pair.b).handshakes == 2);
	/* What overtakes its original is no replay, but a peer that has moved (RFC 9000, 9.3.3). */
	mesh->tap = nullptr;
	mesh_run(mesh, 100 * QE_MILLISECOND);
	size_t memory = mallinfo2().uordblks;
	uint64_t ignored = mesh_counters(pair.a).ignored + mesh_counters(pair.b).ignored,
		 unknown = mesh_counters(pair.a).drops[QE_DROP_UNKNOWN_CONNECTION] +
			   mesh_counters(pair.b).drops[QE_DROP_UNKNOWN_CONNECTION];

	for (unsigned i = 0; i < REPLAYS; i++) {
		replay_one(&pair);
		if (i % 64 == 0)
			mesh_run(mesh, QE_MILLISECOND);
	}
	mesh_flow_stop(there);
	mesh_flow_stop(back);
	mesh_run(mesh, QE_SECOND);
	mesh_flow_check_whole(there);
	mesh_flow_check_whole(back);
	mesh_check(mesh, mesh_counters(pair.b).rx_packets == there->received);
	mesh_check(mesh, mesh_counters(pair.a).rx_packets == back->received);
	ignored = mesh_counters(pair.a).ignored + mesh_counters(pair.b).ignored - ignored;
	unknown = mesh_counters(pair.a).drops[QE_DROP_UNKNOWN_CONNECTION] +
		  mesh_counters(pair.b).drops[QE_DROP_UNKNOWN_CONNECTION] - unknown;
	mesh_check(mesh, ignored > REPLAYS / 5, "%llu", (unsigned long long)ignored);
	mesh_check(mesh, ignored + unknown > REPLAYS * 9 / 10, "%llu and %llu",
		(unsigned long long)ignored, (unsigned long long)unknown);
	mesh_check(mesh, mallinfo2().uordblks < memory + GROWTH_MAX);
	mesh_check(mesh, mesh_counters(pair.b).handshakes == 2);
	check_one_link_as_ever(&pair);
	mesh_free(mesh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_what_holds_no_packet),
		cmocka_unit_test(refuses_bad_packets_in_halves),
		cmocka_unit_test(refuses_wrong_lengths),
		cmocka_unit_test(takes_padding_off),
		cmocka_unit_test(refuses_wrong_fields),
		cmocka_unit_test(refuses_source_routes),
		cmocka_unit_test(takes_nothing_but_packets),
		cmocka_unit_test(passes_fragments_as_they_are),
		cmocka_unit_test(refuses_partial_fragments),
		cmocka_unit_test(lets_no_replay_in),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
