/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Those who are not peers: refused if they know whom they call, not answered if they do not, and
 * never able to make a node keep state for them or shout at others. */
#include "mesh.h"

#include <malloc.h>
#include <string.h>

#include "quic/cid.h"

#define FLOOD 10000
#define STRANGERS 60
#define HANDSHAKES 200
#define GROWTH_MAX (8 << 20)

static void refuses_an_unknown_key(void **)
{
	struct mesh *mesh = mesh_new(21);
	struct mesh_host *a = mesh_host_add(mesh), *b = mesh_host_add(mesh);
	struct mesh_host *friend = mesh_host_add(mesh);
	mesh_befriend(a, b, MESH_DIALS);
	mesh_befriend(b, friend, MESH_WAITS);
	mesh_start(a);
	mesh_start(b);
	mesh_run(mesh, 30 * QE_SECOND);
	mesh_check(mesh, !mesh_linked(a, 0) && a->events[QE_EVENT_PEER_UP] == 0);
	mesh_check(mesh, a->events[QE_EVENT_DIAL_FAILED] > 0);
	mesh_check(mesh, b->events[QE_EVENT_STRANGER] > 0);
	mesh_check(mesh, b->events[QE_EVENT_STRANGER] <= 31, "more than one a second");
	mesh_check(mesh, qe_node_id_equal(&b->last.id, qe_key_get_id(a->key)));
	struct qe_shard_counters counters = mesh_counters(b);
	mesh_check(mesh, counters.handshakes == 0 && counters.drops[QE_DROP_STRANGER] > 0);
	mesh_free(mesh);
}

static void refuses_another_key_than_expected(void **)
{
	struct mesh *mesh = mesh_new(22);
	struct mesh_host *a = mesh_host_add(mesh), *b = mesh_host_add(mesh);
	struct mesh_host *other = mesh_host_add(mesh);
	mesh_befriend(a, b, MESH_DIALS)->id = *qe_key_get_id(other->key);
	mesh_befriend(b, a, MESH_WAITS);
	mesh_start(a);
	mesh_start(b);
	mesh_run(mesh, 30 * QE_SECOND);
	mesh_check(mesh, !mesh_linked(a, 0) && a->events[QE_EVENT_DIAL_FAILED] > 0);
	mesh_check(mesh, mesh_counters(a).handshakes == 0 && mesh_counters(b).handshakes == 0);
	mesh_check(mesh, mesh_counters(b).drops[QE_DROP_NO_KNOCK] > 0);
	mesh_check(mesh, b->tx_datagrams == 0, "answered a caller who does not know its NodeId");
	mesh_free(mesh);
}

/* A node whose key was taken by somebody who sits at the right address but holds another one: the
 * caller knocks for the NodeId it knows, gets no answer and tells nothing about itself. */
static void tells_nothing_to_an_impostor(void **)
{
	struct mesh *mesh = mesh_new(23);
	struct mesh_host *a = mesh_host_add(mesh), *b = mesh_host_add(mesh);
	struct mesh_host *impostor = mesh_host_add(mesh);
	mesh_befriend(a, b, MESH_DIALS);
	mesh_befriend(impostor, a, MESH_WAITS);
	impostor->at[0] = b->at[0];
	impostor->at[1] = b->at[1];
	b->at[0] = b->at[1] = (struct qe_endpoint){};
	/* The caller is told b's address, at which the impostor sits. */
	mesh_start(impostor);
	struct qe_endpoint at[2] = {impostor->at[0], impostor->at[1]};
	mesh_start(a);
	assert_int_equal(qe_shard_set_endpoints(a->shard, 0, at, 2, mesh->now), QE_OK);
	a->deadline = mesh->now;
	mesh_run(mesh, 30 * QE_SECOND);
	mesh_check(mesh, a->tx_datagrams > 0 && impostor->tx_datagrams == 0);
	mesh_check(mesh, !mesh_linked(a, 0) && !mesh_linked(impostor, 0));
	mesh_free(mesh);
}

/* ---- floods ---- */

static struct qe_endpoint anybody(struct mesh *mesh)
{
	uint8_t v4[4] = {198, 51, (uint8_t)mesh_random(mesh), (uint8_t)mesh_random(mesh)};
	return (struct qe_endpoint){.addr = qe_addr_ipv4(v4),
		.port = (uint16_t)(1024 + mesh_random_below(mesh, 60000))};
}

static void make_noise(struct mesh *mesh, uint8_t *to, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)mesh_random(mesh);
	switch (mesh_random_below(mesh, 4)) {
	case 0: /* the shape of an Initial of version 1 */
		memcpy(to, (uint8_t[]){0xc3, 0, 0, 0, 1, 8}, 6);
		break;
	case 1: /* the shape of a short header for worker 0 */
		to[0] = 0x40 | (to[0] & 0x3f);
		to[1] = 0;
		break;
	case 2: /* an unknown version */
		to[0] |= 0xc0;
		break;
	case 3:
		break;
	}
}

struct flood {
	uint64_t sent, bytes;
	size_t memory;
};

static struct flood begin_flood(void)
{
	return (struct flood){.memory = mallinfo2().uordblks};
}

static void end_flood(struct mesh *mesh, const struct flood *flood, const char *what)
{
	size_t now = mallinfo2().uordblks;
	mesh_check(mesh, mesh->nowhere_bytes <= 3 * flood->bytes, "%s: %llu bytes for %llu", what,
		(unsigned long long)mesh->nowhere_bytes, (unsigned long long)flood->bytes);
	mesh_check(mesh, now < flood->memory + GROWTH_MAX, "%s: %zu bytes more", what,
		now - flood->memory);
	print_message("%s: %llu datagrams, %llu bytes in, %llu datagrams, %llu bytes out, "
		      "memory %+zd\n",
		what, (unsigned long long)flood->sent, (unsigned long long)flood->bytes,
		(unsigned long long)mesh->nowhere_datagrams,
		(unsigned long long)mesh->nowhere_bytes, (ptrdiff_t)(now - flood->memory));
}

static void flood_with(struct mesh *mesh, const struct mesh_host *to, struct flood *flood,
	struct qe_bytes datagram)
{
	struct qe_endpoint from = anybody(mesh);
	mesh_spoof(mesh, &from, to, datagram);
	flood->sent++;
	flood->bytes += datagram.len;
	if (mesh_chance(mesh, 0.2))
		mesh_run(mesh, QE_MILLISECOND);
}

static void is_silent_to_noise(void **)
{
	struct mesh_pair pair = mesh_pair_new(24, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	mesh_pair_start(&pair);
	mesh_check(mesh, mesh_pair_link(&pair, QE_SECOND));
	struct flood flood = begin_flood();
	uint8_t noise[1472];
	for (unsigned i = 0; i < FLOOD; i++) {
		size_t len = 1 + mesh_random_below(mesh, sizeof(noise));
		make_noise(mesh, noise, sizeof(noise));
		flood_with(mesh, pair.b, &flood, (struct qe_bytes){noise, len});
	}
	mesh_run(mesh, QE_SECOND);
	end_flood(mesh, &flood, "noise");
	struct qe_shard_counters counters = mesh_counters(pair.b);
	uint64_t dropped = counters.drops[QE_DROP_UDP_MALFORMED] +
			   counters.drops[QE_DROP_UNKNOWN_CONNECTION] +
			   counters.drops[QE_DROP_NO_KNOCK];
	mesh_check(mesh, dropped >= FLOOD, "%llu counted", (unsigned long long)dropped);
	mesh_check(mesh, counters.handshakes == 1 && mesh_linked(pair.a, 0));
	/* Nothing but resets for what may belong to a link of an earlier life goes out. */
	mesh_check(mesh, mesh->nowhere_datagrams == counters.stateless_resets);
	mesh_free(mesh);
}

struct captured {
	const struct mesh_host *of;
	size_t n;
	size_t len[8];
	uint8_t bytes[8][MESH_DATAGRAM_MAX];
};

static void capture(void *ctx, const struct mesh_host *from, struct qe_bytes datagram)
{
	struct captured *captured = ctx;
	if (from != captured->of || captured->n == 8)
		return;
	captured->len[captured->n] = datagram.len;
	memcpy(captured->bytes[captured->n++], datagram.data, datagram.len);
}

/* The first packets of a link that lives fall to it; those of one that is gone begin a handshake
 * each, which nobody ever goes on with. */
static void bear_replays(bool link_is_gone)
{
	struct mesh_pair pair = mesh_pair_new(25, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	struct mesh_host *late = mesh_host_add(mesh);
	mesh_befriend(pair.b, late, MESH_WAITS);
	mesh_befriend(late, pair.b, MESH_DIALS);
	static struct captured captured;
	captured = (struct captured){.of = pair.a};
	mesh->tap = capture;
	mesh->tap_ctx = &captured;
	mesh_pair_start(&pair);
	mesh_check(mesh, mesh_pair_link(&pair, QE_SECOND));
	mesh_check(mesh, captured.n >= 2 && captured.len[1] >= 1200);
	mesh_run(mesh, 5 * QE_SECOND);
	if (link_is_gone) {
		mesh_close(pair.a);
		mesh_run(mesh, 5 * QE_SECOND);
	}

	struct flood flood = begin_flood();
	for (unsigned i = 0; i < FLOOD; i++) {
		size_t which = mesh_random_below(mesh, 2);
		flood_with(mesh, pair.b, &flood,
			(struct qe_bytes){captured.bytes[which], captured.len[which]});
	}
	/* A knock opens once, also when nothing is left of what it opened. */
	mesh_check(mesh, !link_is_gone || mesh->nowhere_bytes == 0, "answered");
	/* A peer gets through while it goes on. */
	mesh_start(late);
	for (unsigned i = 0; i < FLOOD / 10; i++) {
		flood_with(mesh, pair.b, &flood,
			(struct qe_bytes){captured.bytes[i % 2], captured.len[i % 2]});
		mesh_run(mesh, 2 * QE_MILLISECOND);
	}
	mesh_check(mesh, mesh_linked(late, 0));
	mesh_kill(late);
	mesh_run(mesh, 60 * QE_SECOND);
	end_flood(mesh, &flood, "replayed first packets");
	mesh_check(mesh, link_is_gone || mesh_linked(pair.a, 0));
	mesh_check(mesh, mesh_linked(pair.b, 0) == !link_is_gone);
	mesh_check(mesh, mesh_counters(pair.b).handshakes == 2);
	mesh_free(mesh);
}

static void bears_replayed_first_packets(void **)
{
	bear_replays(false);
	bear_replays(true);
}

/* First packets of many handshakes, each sent from an address that its sender does not have: what
 * the owner of that address gets is bounded by what was sent in its name. */
static void amplifies_little(void **)
{
	struct mesh *mesh = mesh_new(27);
	struct mesh_host *a = mesh_host_add(mesh), *b = mesh_host_add(mesh);
	mesh_befriend(a, b, MESH_DIALS);
	mesh_befriend(b, a, MESH_WAITS);
	mesh->wire.cut = true;
	mesh_start(b);
	static struct captured captured;
	mesh->tap = capture;
	mesh->tap_ctx = &captured;
	struct flood flood = begin_flood();
	for (unsigned i = 0; i < HANDSHAKES; i++) {
		captured = (struct captured){.of = a};
		mesh_start(a);
		mesh_run(mesh, QE_MILLISECOND);
		mesh_kill(a);
		mesh_check(mesh, captured.n == 2);
		struct qe_endpoint victim = anybody(mesh);
		uint64_t before = mesh->nowhere_bytes;
		for (unsigned j = 0; j < 2; j++)
			mesh_spoof(mesh, &victim, b,
				(struct qe_bytes){captured.bytes[j], captured.len[j]});
		flood.sent += 2;
		flood.bytes += captured.len[0] + captured.len[1];
		mesh_run(mesh, i % 40 == 0 ? 20 * QE_SECOND : 10 * QE_MILLISECOND);
		if (i % 40 == 0)
			mesh_check(mesh, mesh->nowhere_bytes > before, "not answered at all");
	}
	mesh_run(mesh, 60 * QE_SECOND);
	end_flood(mesh, &flood, "spoofed handshakes");
	mesh_check(mesh, mesh_counters(b).retries > 0);
	mesh_free(mesh);
}

/* More handshakes at once than a node takes on trust: addresses are validated first, and peers get
 * through all the same. */
static void validates_addresses_under_load(void **)
{
	struct mesh *mesh = mesh_new(26);
	struct mesh_host *b = mesh_host_add(mesh), *peers[10];
	for (unsigned i = 0; i < 10; i++) {
		peers[i] = mesh_host_add(mesh);
		mesh_befriend(peers[i], b, MESH_DIALS);
		mesh_befriend(b, peers[i], MESH_WAITS);
	}
	mesh_start(b);
	for (unsigned i = 0; i < STRANGERS; i++) {
		struct mesh_host *stranger = mesh_host_add(mesh);
		mesh_befriend(stranger, b, MESH_DIALS);
		mesh_start(stranger);
	}
	for (unsigned i = 0; i < 10; i++)
		mesh_start(peers[i]);
	mesh_run(mesh, 3 * QE_SECOND);
	for (unsigned i = 0; i < 10; i++)
		mesh_check(mesh, mesh_linked(peers[i], 0) && mesh_linked(b, i), "peer %u", i);
	mesh_check(mesh, mesh_counters(b).retries > 0);
	mesh_check(mesh, mesh_counters(b).handshakes == 10);
	mesh_check(mesh, mesh_counters(b).drops[QE_DROP_STRANGER] > 0);
	mesh_free(mesh);
}

/* An Initial of the right shape, with a knock and without contents. */
static size_t make_knocking(uint8_t *to, const struct mesh_host *host)
{
	const uint8_t head[] = {0xc3, 0, 0, 0, 1, QE_KNOCK_SIZE}, scid[QE_CID_SIZE] = {1, 2};
	struct qe_writer writer = qe_writer_init(to, 1200);
	uint8_t knock[QE_KNOCK_SIZE];
	assert_int_equal(qe_knock_make(knock, 0, qe_key_get_id(host->key)), QE_OK);
	memset(to, 0, 1200);
	qe_write_bytes(&writer, (struct qe_bytes){head, sizeof(head)});
	qe_write_bytes(&writer, (struct qe_bytes){knock, sizeof(knock)});
	qe_write_u8(&writer, sizeof(scid));
	qe_write_bytes(&writer, (struct qe_bytes){scid, sizeof(scid)});
	qe_write_u8(&writer, 0);
	qe_write_u16(&writer, (uint16_t)(0x4000 | (1200 - 2 - qe_writer_len(&writer))));
	return 1200;
}

/* First packets with knocks under false addresses, 20 in a millisecond: most get no Retry, and a
 * peer that dials meanwhile is among those that do, if not at once. */
static void bounds_retries_and_lets_a_peer_through(void **)
{
	struct mesh_pair pair = mesh_pair_new(28, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	uint8_t initial[1200];
	mesh_start(pair.b);
	struct flood flood = begin_flood();
	for (unsigned i = 0; i < 10000; i++) {
		struct qe_endpoint from = anybody(mesh);
		flood.sent++;
		flood.bytes += make_knocking(initial, pair.b);
		mesh_spoof(mesh, &from, pair.b, (struct qe_bytes){initial, sizeof(initial)});
		if (i % 20 == 0)
			mesh_run(mesh, QE_MILLISECOND);
		if (i == 1000)
			mesh_start(pair.a);
	}
	end_flood(mesh, &flood, "knocks");
	struct qe_shard_counters counters = mesh_counters(pair.b);
	mesh_check(mesh, counters.retries > 400 && counters.retries <= 1040, "%llu Retries",
		(unsigned long long)counters.retries);
	mesh_check(mesh, counters.drops[QE_DROP_HANDSHAKE_LIMIT] > 8000);
	for (unsigned i = 0; i < 200000 && !mesh_linked(pair.a, 0); i++) {
		struct qe_endpoint from = anybody(mesh);
		make_knocking(initial, pair.b);
		mesh_spoof(mesh, &from, pair.b, (struct qe_bytes){initial, sizeof(initial)});
		if (i % 5 == 0)
			mesh_run(mesh, QE_MILLISECOND);
	}
	mesh_check(mesh, mesh_linked(pair.a, 0), "no peer gets through");
	mesh_free(mesh);
}

static void knock_for(struct mesh *mesh, const struct mesh_host *to, unsigned ms)
{
	uint8_t initial[1200];
	for (unsigned i = 0; i < ms; i++) {
		struct qe_endpoint from = anybody(mesh);
		make_knocking(initial, to);
		mesh_spoof(mesh, &from, to, (struct qe_bytes){initial, sizeof(initial)});
		mesh_run(mesh, QE_MILLISECOND);
	}
}

/* Under load an address gets so many handshakes. What shows that it is the sender's own, the answer
 * to a Retry, takes none of them away when it is sent again by somebody who has seen it. */
static void takes_nothing_from_whom_it_replays(void **)
{
	struct mesh_pair pair = mesh_pair_new(29, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	static struct captured captured;
	captured = (struct captured){.of = pair.a};
	mesh->tap = capture;
	mesh->tap_ctx = &captured;
	mesh_start(pair.b);
	knock_for(mesh, pair.b, 300);
	mesh_start(pair.a);
	knock_for(mesh, pair.b, 200);
	mesh_check(mesh, mesh_linked(pair.b, 0) && captured.n >= 4);
	struct qe_endpoint victim = mesh_status(pair.b, 0).link.path.remote;
	mesh_close(pair.a);
	knock_for(mesh, pair.b, 100);
	mesh_check(mesh, !mesh_linked(pair.b, 0));
	for (unsigned i = 0; i < 20; i++)
		mesh_spoof(mesh, &victim, pair.b,
			(struct qe_bytes){captured.bytes[2], captured.len[2]});
	mesh_start(pair.a);
	knock_for(mesh, pair.b, 100);
	mesh_check(mesh, mesh_linked(pair.a, 0));
	mesh_free(mesh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_an_unknown_key),
		cmocka_unit_test(refuses_another_key_than_expected),
		cmocka_unit_test(tells_nothing_to_an_impostor),
		cmocka_unit_test(is_silent_to_noise),
		cmocka_unit_test(bears_replayed_first_packets),
		cmocka_unit_test(amplifies_little),
		cmocka_unit_test(validates_addresses_under_load),
		cmocka_unit_test(bounds_retries_and_lets_a_peer_through),
		cmocka_unit_test(takes_nothing_from_whom_it_replays),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
