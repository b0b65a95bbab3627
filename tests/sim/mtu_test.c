/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Paths that carry less than the TUN interface gives: the sender is told, IPv4 that may be
 * fragmented is, and TCP is made to fit. */
#include "mesh.h"

#include <string.h>

#include "net/checksum.h"

static struct mesh_pair narrow_pair(uint64_t seed, size_t mtu)
{
	struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, MESH_WAITS);
	pair.mesh->wire.mtu = mtu;
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, 2 * QE_SECOND));
	mesh_run(pair.mesh, 10 * QE_SECOND); /* path MTU discovery */
	unsigned found = mesh_status(pair.a, 0).link.path_mtu;
	mesh_check(pair.mesh, found <= mtu - 22 && found + 64 >= mtu, "%u of %zu", found, mtu);
	return pair;
}

/* A UDP packet of len bytes, patterned. */
static void inject(struct mesh_pair *pair, bool v6, bool dont_fragment, size_t len)
{
	uint8_t packet[1500], payload[1500];
	struct mesh_inner inner = {.source = v6 ? pair->a->inner6 : pair->a->inner4,
		.destination = v6 ? pair->b->inner6 : pair->b->inner4,
		.protocol = QE_IP_UDP,
		.source_port = 1,
		.destination_port = 2,
		.dont_fragment = dont_fragment};
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	size_t n = mesh_build(packet, &inner, (struct qe_bytes){payload, len - (v6 ? 48 : 28)});
	assert_int_equal(n, len);
	mesh_check(pair->mesh, mesh_inject(pair->a, nullptr, (struct qe_bytes){packet, n}));
	mesh_run(pair->mesh, 100 * QE_MILLISECOND);
}

static void check_told(struct mesh_pair *pair, bool v6, unsigned mtu)
{
	struct mesh_packet *answer = pair->a->inbox;
	mesh_check(pair->mesh, pair->a->n_inbox == 1 && pair->b->n_inbox == 0);
	const uint8_t *icmp = answer->bytes + (v6 ? 40 : 20);
	if (v6) {
		mesh_check(pair->mesh, answer->bytes[6] == QE_IP_ICMPV6);
		mesh_check(pair->mesh, icmp[0] == 2 && icmp[1] == 0);
		mesh_check(pair->mesh, qe_load_u32(icmp + 4) == mtu, "%u, not %u",
			qe_load_u32(icmp + 4), mtu);
		mesh_check(pair->mesh, memcmp(answer->bytes + 24, pair->a->inner6.bytes, 16) == 0);
	} else {
		mesh_check(pair->mesh, answer->bytes[9] == QE_IP_ICMP);
		mesh_check(pair->mesh, icmp[0] == 3 && icmp[1] == 4);
		mesh_check(pair->mesh, qe_load_u16(icmp + 6) == mtu, "%u, not %u",
			qe_load_u16(icmp + 6), mtu);
		mesh_check(pair->mesh, memcmp(answer->bytes + 16, pair->a->inner4.bytes, 4) == 0);
	}
	mesh_check(pair->mesh, mesh_counters(pair->a).drops[QE_DROP_TOO_BIG] > 0);
	mesh_inbox_clear(pair->a);
}

static void tells_the_sender(size_t path, bool v6)
{
	struct mesh_pair pair = narrow_pair(41, path);
	unsigned mtu = mesh_status(pair.a, 0).link.path_mtu;
	inject(&pair, v6, true, mtu + 1);
	check_told(&pair, v6, mtu);
	inject(&pair, v6, true, 1400);
	check_told(&pair, v6, mtu);
	inject(&pair, v6, true, mtu);
	mesh_check(pair.mesh, pair.b->n_inbox == 1 && pair.b->inbox->len == mtu);
	mesh_check(pair.mesh, pair.a->n_inbox == 0);
	mesh_free(pair.mesh);
}

static void tells_the_sender_what_fits(void **)
{
	tells_the_sender(1280, false);
	tells_the_sender(1380, false);
	tells_the_sender(1380, true);
}

/* IPv6 hosts take a link of 1,280 bytes for granted, and believe nobody who says less. */
static void carries_1280_bytes_of_ipv6(void **)
{
	struct mesh_pair pair = narrow_pair(47, 1232); /* an underlay of 1,280 bytes */
	unsigned mtu = mesh_status(pair.a, 0).link.path_mtu;

	mesh_check(pair.mesh, mtu < QE_MTU_MIN);
	for (unsigned len = mtu - 1; len <= QE_MTU_MIN; len++) {
		inject(&pair, true, true, len);
		mesh_check(pair.mesh, pair.a->n_inbox == 0);
		mesh_check(pair.mesh, pair.b->n_inbox == 1 && pair.b->inbox->len == len, "%u", len);
		for (unsigned i = 48; i < len; i++)
			mesh_check(pair.mesh, pair.b->inbox->bytes[i] == (uint8_t)((i - 48) * 7));
		mesh_inbox_clear(pair.b);
	}
	inject(&pair, true, true, QE_MTU_MIN + 1);
	check_told(&pair, true, QE_MTU_MIN);
	mesh_free(pair.mesh);
}

/* The window is full all the time; what is cut waits with what is left of it. */
static void pieces_wait_for_room(void **)
{
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct mesh_pair pair = narrow_pair(48 + v6, 1232);
		struct mesh_wire slow = pair.mesh->wire;

		slow.rate = 20'000'000;
		slow.queue = 1 << 20;
		mesh_lay_both(pair.mesh, pair.a, pair.b, &slow);
		struct mesh_flow *flow = mesh_flow_start(
			pair.a, pair.b, v6 ? MESH_UDP6 : MESH_UDP4, QE_MTU_MIN, 0);
		flow->room = 20;
		flow->inner.dont_fragment = false;
		mesh_run(pair.mesh, 5 * QE_SECOND);
		mesh_flow_stop(flow);
		mesh_run(pair.mesh, 2 * QE_SECOND);
		mesh_check(pair.mesh, pair.a->tun_refused > 0);
		mesh_check(pair.mesh, mesh_counters(pair.a).drops[QE_DROP_QUEUE_FULL] == 0);
		if (v6)
			mesh_flow_check_whole(flow);
		else
			mesh_check(pair.mesh, pair.b->n_inbox == 2 * flow->sent, "%zu of %llu",
				pair.b->n_inbox, (unsigned long long)flow->sent);
		mesh_free(pair.mesh);
	}
}

static void fragments_ipv4_that_may_be(void **)
{
	struct mesh_pair pair = narrow_pair(42, 1280);
	inject(&pair, false, false, 1400);
	mesh_check(pair.mesh, pair.a->n_inbox == 0);
	mesh_check(pair.mesh, pair.b->n_inbox == 2, "%zu fragments", pair.b->n_inbox);
	uint8_t whole[1500];
	size_t len = 0;
	for (struct mesh_packet *p = pair.b->inbox; p; p = p->next) {
		size_t at = (qe_load_u16(p->bytes + 6) & 0x1fff) * 8;
		mesh_check(pair.mesh, at == len);
		mesh_check(pair.mesh, !!(p->bytes[6] & 0x20) == !!p->next, "more fragments");
		memcpy(whole + len, p->bytes + 20, p->len - 20);
		len += p->len - 20;
	}
	mesh_check(pair.mesh, len == 1380);
	for (size_t i = 8; i < len; i++)
		mesh_check(pair.mesh, whole[i] == (uint8_t)((i - 8) * 7));
	mesh_free(pair.mesh);
}

static void makes_tcp_segments_fit(void **)
{
	struct mesh_pair pair = narrow_pair(43, 1280);
	struct mesh *mesh = pair.mesh;
	mesh_flow_start(pair.a, pair.b, MESH_TCP4, 1360, 10 * QE_MILLISECOND)->segments = 20;
	mesh_flow_start(pair.b, pair.a, MESH_TCP6, 1340, 10 * QE_MILLISECOND)->segments = 20;
	mesh_run(mesh, QE_SECOND);
	mesh_flow_stop(mesh->flows[0]);
	mesh_flow_stop(mesh->flows[1]);
	mesh_run(mesh, QE_SECOND);
	mesh_flow_check_whole(mesh->flows[0]);
	mesh_flow_check_whole(mesh->flows[1]);
	mesh_free(mesh);
}

/* The path becomes narrower under a link, behind the same addresses or with a move of one side. */
static void notices_a_narrower_path(void **)
{
	for (unsigned i = 0; i < 4; i++) {
		struct mesh_pair pair = narrow_pair(45 + i, 1440);
		struct mesh *mesh = pair.mesh;
		struct mesh_host *from = i % 2 ? pair.b : pair.a, *to = i % 2 ? pair.a : pair.b;
		struct mesh_flow *tcp = mesh_flow_start(
			from, to, MESH_TCP4, 1360, 20 * QE_MILLISECOND);
		tcp->segments = 4;
		struct mesh_flow *small = mesh_flow_start(
			to, from, MESH_UDP6, 300, 50 * QE_MILLISECOND);
		mesh_run(mesh, 2 * QE_SECOND);
		mesh->wire.mtu = 1300;
		if (i >= 2)
			mesh_move(pair.a, true);
		mesh_run(mesh, 4 * QE_SECOND);
		uint64_t before = tcp->received;
		mesh_run(mesh, 2 * QE_SECOND);
		mesh_check(mesh, tcp->received - before > 400000, "%llu bytes",
			(unsigned long long)(tcp->received - before));
		mesh_check(mesh, small->longest_gap < QE_SECOND);
		mesh_check(mesh, mesh_status(from, 0).link.path_mtu < 1300);
		mesh_check(mesh, mesh_counters(from).handshakes == 2);
		mesh_free(mesh);
	}
}

/* Of large packets a part is lost, now and then all for a while, and now and then few are sent. */
static void takes_loss_for_loss(void **)
{
	struct mesh_pair pair = narrow_pair(49, 1440);
	struct mesh *mesh = pair.mesh;
	struct mesh_flow *tcp = mesh_flow_start(
		pair.a, pair.b, MESH_TCP4, 1360, 20 * QE_MILLISECOND);

	tcp->segments = 20;
	for (unsigned i = 0; i < 20; i++) {
		mesh->wire.loss = 0.02 * i;
		mesh_run(mesh, QE_SECOND);
		mesh->wire.loss = 1;
		mesh_run(mesh, 200 * QE_MILLISECOND);
	}
	mesh_check(mesh, mesh_status(pair.a, 0).link.lost_packets > 1000);
	mesh_check(mesh, mesh_counters(pair.a).handshakes == 1);
	mesh_free(mesh);
}

static void inject_syn(struct mesh_host *from, const struct mesh_host *to, bool v6, uint16_t mss)
{
	uint8_t packet[100], option[4] = {2, 4};
	struct mesh_inner inner = {.source = v6 ? from->inner6 : from->inner4,
		.destination = v6 ? to->inner6 : to->inner4,
		.protocol = QE_IP_TCP,
		.source_port = 1,
		.destination_port = 2,
		.tcp_flags = 2};
	qe_store_u16(option + 2, mss);
	size_t len = mesh_build(packet, &inner, (struct qe_bytes){option, sizeof(option)});
	packet[(v6 ? 40 : 20) + 12] = 6 << 4; /* the payload was an option */
	struct qe_packet parsed;
	assert_int_equal(qe_packet_parse(&parsed, (struct qe_bytes){packet, len}), QE_OK);
	qe_checksum_transport_complete(packet, &parsed);
	mesh_check(from->mesh, mesh_inject(from, nullptr, (struct qe_bytes){packet, len}));
	mesh_run(from->mesh, 100 * QE_MILLISECOND);
}

static void clamps_the_mss(void **)
{
	struct mesh_pair pair = narrow_pair(44, 1300);
	for (unsigned i = 0; i < 4; i++) {
		bool v6 = i % 2, back = i / 2;
		struct mesh_host *from = back ? pair.b : pair.a, *to = back ? pair.a : pair.b;
		size_t header = v6 ? 60 : 40;
		unsigned fits = mesh_status(from, 0).link.path_mtu - (unsigned)header;
		inject_syn(from, to, v6, 1460);
		mesh_check(pair.mesh, to->n_inbox == 1 && to->inbox->len == header + 4);
		unsigned mss = qe_load_u16(to->inbox->bytes + header + 2);
		mesh_check(pair.mesh, mss == fits, "%u, not %u", mss, fits);
		mesh_inbox_clear(to);
		inject_syn(from, to, v6, 600);
		mesh_check(pair.mesh, qe_load_u16(to->inbox->bytes + header + 2) == 600);
		mesh_inbox_clear(to);
	}
	mesh_free(pair.mesh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_the_sender_what_fits),
		cmocka_unit_test(carries_1280_bytes_of_ipv6),
		cmocka_unit_test(pieces_wait_for_room),
		cmocka_unit_test(fragments_ipv4_that_may_be),
		cmocka_unit_test(makes_tcp_segments_fit),
		cmocka_unit_test(notices_a_narrower_path),
		cmocka_unit_test(takes_loss_for_loss),
		cmocka_unit_test(clamps_the_mss),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
