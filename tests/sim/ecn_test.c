/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Congestion that routers mark instead of dropping (RFC 3168) reaches whoever can act on it: the
 * hosts inside (RFC 6040). */
#include "mesh.h"

#include <string.h>

static const uint8_t congested[4] = {0, QE_ECN_CE, QE_ECN_CE, QE_ECN_CE};

static struct mesh_pair linked(uint64_t seed)
{
	struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, MESH_WAITS);

	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, 2 * QE_SECOND));
	return pair;
}

static size_t build(struct mesh_pair *pair, uint8_t *to, bool v6, uint8_t traffic_class)
{
	static const uint8_t payload[200] = {1, 2, 3};
	struct mesh_inner inner = {.source = v6 ? pair->a->inner6 : pair->a->inner4,
		.destination = v6 ? pair->b->inner6 : pair->b->inner4,
		.protocol = QE_IP_UDP,
		.source_port = 1,
		.destination_port = 2,
		.traffic_class = traffic_class};

	size_t len = mesh_build(to, &inner, (struct qe_bytes){payload, sizeof(payload)});

	if (v6)
		qe_store_u16(to + 2, 0x1234); /* of the flow label */
	return len;
}

/* RFC 6040, figure 4; the outer field is the inner one, or what a router has made of it. */
static void check_one(struct mesh_pair *pair, bool v6, uint8_t inner, uint8_t outer)
{
	static const uint8_t expected[4][4] = {
		{0, 0, 0, 0xff}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
	uint8_t remark[4] = {outer, outer, outer, outer}, packet[1500], marked[1500];
	uint64_t drops = mesh_counters(pair->b).drops[QE_DROP_CONGESTION];
	uint64_t sent = pair->a->tx_ecn[inner];
	uint8_t result = expected[inner][outer], dscp = v6 ? 0xa0 : 0xb8;
	size_t len = build(pair, packet, v6, dscp | inner);

	build(pair, marked, v6, dscp | result);
	pair->mesh->wire.remark = remark;
	mesh_check(pair->mesh, mesh_inject(pair->a, nullptr, (struct qe_bytes){packet, len}));
	mesh_run(pair->mesh, 100 * QE_MILLISECOND);
	pair->mesh->wire.remark = nullptr;
	mesh_check(pair->mesh, pair->a->tx_ecn[inner] > sent, "copied out");
	drops = mesh_counters(pair->b).drops[QE_DROP_CONGESTION] - drops;
	mesh_check(pair->mesh, drops == (result == 0xff) && pair->b->n_inbox == 1 - drops,
		"%u in %u", inner, outer);
	if (pair->b->n_inbox > 0)
		mesh_check(pair->mesh,
			pair->b->inbox->len == len &&
				memcmp(pair->b->inbox->bytes, marked, len) == 0,
			"%u in %u", inner, outer);
	mesh_inbox_clear(pair->b);
}

static void combines_marks_as_rfc_6040_says(void **)
{
	struct mesh_pair pair = linked(61);

	for (unsigned i = 0; i < 32; i++)
		check_one(&pair, i / 16, i / 4 % 4, i % 4);
	mesh_free(pair.mesh);
}

/* Handshakes, probes, acknowledgements and control messages are nobody's packets; nor does a
 * router that marks them all make the link slower or break it. */
static void marks_nothing_of_its_own(void **)
{
	static const uint8_t all[4] = {QE_ECN_CE, QE_ECN_CE, QE_ECN_CE, QE_ECN_CE};
	struct mesh_pair pair = mesh_pair_new(62, MESH_DIALS, MESH_WAITS);

	pair.mesh->wire.remark = all;
	pair.a->rotate = 5 * QE_SECOND;
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, 2 * QE_SECOND));
	mesh_flow_start(pair.a, pair.b, MESH_UDP4, 100, 10 * QE_MILLISECOND);
	mesh_run(pair.mesh, 20 * QE_SECOND);
	mesh_check(pair.mesh, mesh_status(pair.a, 0).rotations >= 2);
	for (unsigned ecn = 1; ecn < 4; ecn++)
		mesh_check(pair.mesh, pair.a->tx_ecn[ecn] + pair.b->tx_ecn[ecn] == 0);
	mesh_check(pair.mesh, mesh_counters(pair.b).drops[QE_DROP_CONGESTION] > 0);
	mesh_free(pair.mesh);
}

/* Marks arrive in the middle of a bulk transfer: packets of one flow with and without them are
 * not merged, and nothing is lost or damaged. */
static void keeps_marked_and_unmarked_packets_apart(void **)
{
	struct mesh_pair pair = linked(63);
	struct mesh_flow *flow = mesh_flow_start(
		pair.a, pair.b, MESH_TCP6, 1300, 10 * QE_MILLISECOND);

	flow->segments = 20;
	flow->inner.traffic_class = QE_ECN_ECT0;
	for (unsigned i = 0; i < 200; i++) {
		pair.mesh->wire.remark = i % 2 ? congested : nullptr;
		mesh_run(pair.mesh, 7 * QE_MILLISECOND);
	}
	mesh_flow_stop(flow);
	mesh_run(pair.mesh, QE_SECOND);
	mesh_flow_check_whole(flow);
	mesh_check(pair.mesh, flow->marked > 0);
	mesh_free(pair.mesh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(combines_marks_as_rfc_6040_says),
		cmocka_unit_test(marks_nothing_of_its_own),
		cmocka_unit_test(keeps_marked_and_unmarked_packets_apart),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
