/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Packets that should not be: from sources that are not the peer's, to destinations that are not
 * here, malformed, or damaged on the way. Each is counted where it is dropped; nothing ends. */
#include "mesh.h"

#include <string.h>

static struct mesh_pair linked_pair(uint64_t seed)
{
	struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, MESH_WAITS);
	pair.a->peers[0].subnets[pair.a->peers[0].n_subnets++] = mesh_prefix("192.168.7.0/24");
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	mesh_run(pair.mesh, QE_SECOND);
	return pair;
}

static void inject_udp(struct mesh_host *host, struct qe_addr source, struct qe_addr destination)
{
	static const uint8_t payload[100];
	uint8_t packet[256];
	struct mesh_inner inner = {.source = source,
		.destination = destination,
		.protocol = QE_IP_UDP,
		.source_port = 5,
		.destination_port = 6};
	size_t len = mesh_build(packet, &inner, (struct qe_bytes){payload, sizeof(payload)});
	mesh_check(host->mesh, mesh_inject(host, nullptr, (struct qe_bytes){packet, len}));
	mesh_run(host->mesh, 100 * QE_MILLISECOND);
}

static struct qe_addr addr(const char *text)
{
	struct qe_addr addr;
	assert_int_equal(qe_addr_parse(&addr, text), QE_OK);
	return addr;
}

static void drops_a_spoofed_source(void **)
{
	struct mesh_pair pair = linked_pair(31);
	inject_udp(pair.a, addr("100.64.77.77"), pair.b->inner4);
	inject_udp(pair.a, pair.b->inner4, pair.b->inner4);
	inject_udp(pair.a, addr("fd00::1"), pair.b->inner6);
	inject_udp(pair.a, pair.b->inner6, pair.b->inner6);
	mesh_check(pair.mesh, pair.b->n_inbox == 0);
	mesh_check(pair.mesh, mesh_counters(pair.b).drops[QE_DROP_SOURCE] == 4, "%llu",
		(unsigned long long)mesh_counters(pair.b).drops[QE_DROP_SOURCE]);
	inject_udp(pair.a, pair.a->inner4, pair.b->inner4);
	inject_udp(pair.a, pair.a->inner6, pair.b->inner6);
	mesh_check(pair.mesh, pair.b->n_inbox == 2);
	mesh_free(pair.mesh);
}

static void drops_what_is_not_local(void **)
{
	struct mesh_pair pair = linked_pair(32);
	pair.a->peers[0].default_gateway = true;
	assert_int_equal(mesh_reconfigure(pair.a), QE_OK);
	mesh_run(pair.mesh, QE_SECOND);
	inject_udp(pair.a, pair.a->inner4, addr("192.168.7.9"));
	mesh_check(pair.mesh, pair.b->n_inbox == 0);
	mesh_check(pair.mesh, mesh_counters(pair.b).drops[QE_DROP_NOT_LOCAL] == 1);
	mesh_free(pair.mesh);
}

static void drops_what_has_no_way(void **)
{
	struct mesh_pair pair = linked_pair(33);
	inject_udp(pair.a, pair.a->inner4, addr("172.16.0.1"));
	inject_udp(pair.a, pair.a->inner6, addr("2001:db8::1"));
	mesh_check(pair.mesh, mesh_counters(pair.a).drops[QE_DROP_NO_ROUTE] == 2);
	inject_udp(pair.a, pair.a->inner4, addr("224.0.0.251"));
	inject_udp(pair.a, pair.a->inner6, addr("ff02::fb"));
	inject_udp(pair.a, pair.a->inner6, addr("fe80::1"));
	mesh_check(pair.mesh, mesh_counters(pair.a).drops[QE_DROP_NOT_UNICAST] == 3);
	mesh_check(pair.mesh, pair.b->n_inbox == 0);
	mesh_free(pair.mesh);
}

static void drops_malformed_packets(void **)
{
	struct mesh_pair pair = linked_pair(34);
	struct mesh *mesh = pair.mesh;
	unsigned injected = 0;
	for (unsigned i = 0; i < 5000; i++) {
		uint8_t packet[1400], payload[1300] = {};
		struct mesh_inner inner = {.source = i % 2 ? pair.a->inner4 : pair.a->inner6,
			.destination = i % 2 ? pair.b->inner4 : pair.b->inner6,
			.protocol = i % 3 ? QE_IP_UDP : QE_IP_TCP};
		size_t len = mesh_build(packet, &inner,
			(struct qe_bytes){payload, mesh_random_below(mesh, sizeof(payload))});
		for (uint64_t n = 1 + mesh_random_below(mesh, 4); n > 0; n--)
			packet[mesh_random_below(mesh, len < 60 ? len : 60)] = (uint8_t)mesh_random(
				mesh);
		struct qe_offload offload = {.gso = (uint8_t)mesh_random_below(mesh, 4),
			.needs_csum = mesh_chance(mesh, 0.5),
			.gso_size = (uint16_t)mesh_random_below(mesh, 1500),
			.csum_start = (uint16_t)mesh_random_below(mesh, 64),
			.csum_offset = (uint16_t)mesh_random_below(mesh, 20)};
		if (mesh_chance(mesh, 0.2))
			len = mesh_random_below(mesh, len);
		struct qe_packet parsed;
		struct qe_bytes bytes = {packet, len};
		if (qe_packet_parse(&parsed, qe_packet_trim(bytes)) == QE_OK)
			continue; /* what is well-formed after all may be delivered */
		injected++;
		mesh_check(mesh, mesh_inject(pair.a, &offload, bytes));
		if (i % 8 == 0)
			mesh_run(mesh, QE_MILLISECOND);
	}
	mesh_run(mesh, QE_SECOND);
	mesh_check(mesh, injected > 100);
	mesh_check(mesh, mesh_counters(pair.a).drops[QE_DROP_TUN_MALFORMED] == injected);
	mesh_check(mesh, pair.b->n_inbox == 0 && mesh_linked(pair.a, 0));
	mesh_free(mesh);
}

/* Offload fields that contradict a well-formed packet are the kernel's word against the packet's:
 * whatever becomes of it, nothing breaks. */
static void bears_false_offloads(void **)
{
	struct mesh_pair pair = linked_pair(35);
	struct mesh *mesh = pair.mesh;
	static uint8_t packet[65536], payload[65536];
	for (unsigned i = 0; i < 2000; i++) {
		struct mesh_inner inner = {.source = i % 2 ? pair.a->inner4 : pair.a->inner6,
			.destination = i % 2 ? pair.b->inner4 : pair.b->inner6,
			.protocol = i % 3 ? QE_IP_UDP : QE_IP_TCP};
		size_t len = mesh_build(packet, &inner,
			(struct qe_bytes){payload, mesh_random_below(mesh, i % 5 ? 1300 : 60000)});
		struct qe_offload offload = {.gso = (uint8_t)mesh_random_below(mesh, 6),
			.gso_size = (uint16_t)mesh_random_below(mesh, 3000),
			.hdr_len = (uint16_t)mesh_random(mesh),
			.csum_start = (uint16_t)mesh_random_below(mesh, 100),
			.csum_offset = (uint16_t)mesh_random(mesh)};
		mesh_inject(pair.a, &offload, (struct qe_bytes){packet, len});
		mesh_run(mesh, 5 * QE_MILLISECOND);
	}
	mesh_run(mesh, QE_SECOND);
	mesh_check(mesh, mesh_linked(pair.a, 0) && mesh_counters(pair.a).handshakes == 1);
	mesh_free(mesh);
}

static void bears_damaged_datagrams(double corruption, uint64_t seed)
{
	struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	mesh->wire.corruption = corruption;
	mesh_pair_start(&pair);
	mesh_check(mesh, mesh_pair_link(&pair, 30 * QE_SECOND));
	struct mesh_flow *there = mesh_flow_start(
		pair.a, pair.b, MESH_UDP4, 800, 2 * QE_MILLISECOND);
	struct mesh_flow *back = mesh_flow_start(
		pair.b, pair.a, MESH_UDP6, 800, 2 * QE_MILLISECOND);
	mesh_run(mesh, 10 * QE_SECOND);
	for (unsigned i = 0; i < 2; i++) {
		struct mesh_flow *flow = i ? back : there;
		mesh_check(mesh, !flow->damaged && !flow->duplicates);
		mesh_check(mesh,
			(double)flow->received >
				(double)flow->sent * (1 - corruption) * (1 - corruption),
			"%llu of %llu", (unsigned long long)flow->received,
			(unsigned long long)flow->sent);
	}
	mesh_check(mesh, pair.a->events[QE_EVENT_PEER_DOWN] == 0, "%s", pair.a->reason);
	mesh_check(mesh, pair.b->events[QE_EVENT_PEER_DOWN] == 0, "%s", pair.b->reason);
	mesh_free(mesh);
}

static void links_live_through_damage(void **)
{
	for (uint64_t seed = 1; seed <= 10; seed++)
		bears_damaged_datagrams(seed <= 7 ? 0.01 : 0.2, seed);
}

/* A member who ends each link as soon as it is up is dialled again, but not in a loop: a handshake
 * costs this side more than it costs him. */
static void dials_no_faster_than_a_member_hangs_up(void **)
{
	struct mesh_pair pair = mesh_pair_new(36, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	mesh->wire.delay = QE_MILLISECOND;
	mesh_pair_start(&pair);
	mesh_flow_start(pair.a, pair.b, MESH_UDP4, 800, 20 * QE_MILLISECOND);
	for (unsigned ms = 0; ms < 10000; ms++) {
		mesh_run(mesh, QE_MILLISECOND);
		if (mesh_linked(pair.b, 0))
			qe_shard_close(pair.b->shard, mesh->now);
	}
	uint64_t handshakes = mesh_counters(pair.a).handshakes;
	mesh_check(mesh, handshakes >= 3 && handshakes <= 12, "%llu in 10 s",
		(unsigned long long)handshakes);
	mesh_free(mesh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drops_a_spoofed_source),
		cmocka_unit_test(drops_what_is_not_local),
		cmocka_unit_test(drops_what_has_no_way),
		cmocka_unit_test(drops_malformed_packets),
		cmocka_unit_test(bears_false_offloads),
		cmocka_unit_test(links_live_through_damage),
		cmocka_unit_test(dials_no_faster_than_a_member_hangs_up),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
