/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A bottleneck: it is filled, the queue in front of it stays short, the TUN device feels it, and
 * another peer behind a fast path does not. */
#include "mesh.h"

#define RATE UINT64_C(100000000)
#define QUEUE 500000 /* 40 ms at that rate */

/* a reaches b over the bottleneck and, if there is one, c over a fast path. */
static struct mesh_pair bottleneck_pair(uint64_t seed, struct mesh_host **ret_c)
{
	struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, MESH_WAITS);
	struct mesh_wire wire = pair.mesh->wire;
	wire.rate = RATE;
	wire.queue = QUEUE;
	mesh_lay_both(pair.mesh, pair.a, pair.b, &wire);
	if (ret_c) {
		*ret_c = mesh_host_add(pair.mesh);
		mesh_befriend(pair.a, *ret_c, MESH_DIALS);
		mesh_befriend(*ret_c, pair.a, MESH_WAITS);
		mesh_start(*ret_c);
	}
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	mesh_run(pair.mesh, 5 * QE_SECOND);
	return pair;
}

static struct mesh_flow *start_greedy(struct mesh_pair *pair)
{
	struct mesh_flow *flow = mesh_flow_start(pair->a, pair->b, MESH_UDP4, 1400, 0);
	flow->segments = 40;
	flow->room = 2;
	return flow;
}

static double mbit_per_s(const struct mesh_flow *flow, uint64_t before, qe_time duration)
{
	return (double)(flow->received - before) * (double)flow->size * 8 /
	       ((double)duration / QE_SECOND) / 1e6;
}

static void fills_a_bottleneck(void **)
{
	struct mesh_pair pair = bottleneck_pair(51, nullptr);
	struct mesh *mesh = pair.mesh;
	struct mesh_flow *flow = start_greedy(&pair);
	mesh_run(mesh, QE_SECOND);
	uint64_t before = flow->received;
	flow->longest_delay = 0;
	mesh_run(mesh, 8 * QE_SECOND);
	double rate = mbit_per_s(flow, before, 8 * QE_SECOND);
	double delay = (double)flow->longest_delay / QE_MILLISECOND;
	double mean = (double)flow->total_delay / (double)flow->received / QE_MILLISECOND;
	mesh_flow_stop(flow);
	mesh_run(mesh, QE_SECOND);
	double lost = (double)mesh_flow_lost(flow) / (double)flow->sent * 100;
	print_message("100 Mbit/s bottleneck: %.1f Mbit/s, %.2f %% lost, delay %.1f ms on average, "
		      "%.1f ms at most, TUN blocked %llu times\n",
		rate, lost, mean, delay, (unsigned long long)pair.a->tun_refused);
	mesh_check(mesh, rate >= 90);
	mesh_check(mesh, pair.a->tun_refused > 0, "no back-pressure");
	mesh_check(mesh, lost < 3);
	mesh_check(mesh, delay < 150);
	mesh_check(mesh, mesh_counters(pair.a).handshakes == 1);
	mesh_check(mesh, !flow->duplicates && !flow->damaged);
	mesh_free(mesh);
}

static void does_not_starve_another_peer(void **)
{
	struct mesh_host *c;
	struct mesh_pair pair = bottleneck_pair(52, &c);
	struct mesh *mesh = pair.mesh;
	struct mesh_flow *blocked = start_greedy(&pair);
	mesh_run(mesh, QE_SECOND);
	uint64_t before = blocked->received;
	struct mesh_flow *other = mesh_flow_start(pair.a, c, MESH_UDP6, 1400, QE_MILLISECOND);
	mesh_run(mesh, 4 * QE_SECOND);
	double rate = mbit_per_s(other, 0, 4 * QE_SECOND);
	double delay = (double)other->longest_delay / QE_MILLISECOND;
	print_message("beside it, over another path: %.1f of 11.2 Mbit/s, delay %.1f ms at most; "
		      "the bottleneck %.1f Mbit/s\n",
		rate, delay, mbit_per_s(blocked, before, 4 * QE_SECOND));
	mesh_check(mesh, rate >= 10);
	mesh_check(mesh, delay < 60); /* of the first */
	mesh_check(mesh, mbit_per_s(blocked, before, 4 * QE_SECOND) >= 75);
	mesh_free(mesh);
}

/* However the bulk comes, and however much of it waits in the TUN's queue. */
static void others_wait_two_milliseconds_at_most(void **)
{
	static const unsigned segments[] = {1, 8, 40};

	for (unsigned i = 0; i < 6; i++) {
		struct mesh_host *c;
		struct mesh_pair pair = bottleneck_pair(58 + i, &c);
		struct mesh *mesh = pair.mesh;
		struct mesh_flow *alone = mesh_flow_start(
			pair.a, c, MESH_UDP6, 100, 100 * QE_MILLISECOND);
		mesh_run(mesh, 2 * QE_SECOND);
		mesh_flow_stop(alone);
		struct mesh_flow *bulk = start_greedy(&pair);

		bulk->segments = segments[i % 3];
		bulk->room = i < 3 ? 2 : 60;
		struct mesh_flow *pings = mesh_flow_start(
			pair.a, c, MESH_UDP6, 100, 100 * QE_MILLISECOND);
		mesh_run(mesh, QE_SECOND); /* the first one shows that there are two peers */
		pings->longest_delay = 0;
		uint64_t before = bulk->received;
		mesh_run(mesh, 5 * QE_SECOND);
		double delay = ((double)pings->longest_delay - (double)alone->longest_delay) /
			       QE_MILLISECOND;
		double rate = mbit_per_s(bulk, before, 5 * QE_SECOND);
		print_message("%zu of %u segments in the queue: %.2f ms added, the bottleneck %.1f "
			      "Mbit/s\n",
			bulk->room, bulk->segments, delay, rate);
		mesh_check(mesh, delay <= 2);
		mesh_check(mesh, rate >= 75);
		mesh_check(mesh, pings->received + 2 >= pings->sent);
		mesh_free(mesh);
	}
}

/* The other path is not slow but gone. */
static void is_not_stopped_by_a_dead_path(void **)
{
	struct mesh_host *c;
	struct mesh_pair pair = bottleneck_pair(55, &c);
	struct mesh *mesh = pair.mesh;
	start_greedy(&pair)->segments = 4;
	struct mesh_flow *other = mesh_flow_start(pair.a, c, MESH_UDP6, 1400, 2 * QE_MILLISECOND);
	mesh_run(mesh, QE_SECOND);
	mesh_lay(mesh, pair.a, pair.b)->cut = mesh_lay(mesh, pair.b, pair.a)->cut = true;
	uint64_t before = other->received;
	other->longest_delay = 0;
	mesh_run(mesh, 12 * QE_SECOND);
	double rate = mbit_per_s(other, before, 12 * QE_SECOND);
	double delay = (double)other->longest_delay / QE_MILLISECOND;
	print_message(
		"beside a dead path: %.2f of 5.60 Mbit/s, delay %.1f ms at most\n", rate, delay);
	mesh_check(mesh, rate >= 5.5);
	mesh_check(mesh, delay < 100);
	mesh_free(mesh);
}

/* One per cent of loss is not congestion. */
static void is_not_slowed_by_loss(void **)
{
	struct mesh_pair pair = bottleneck_pair(53, nullptr);
	struct mesh *mesh = pair.mesh;
	mesh_lay(mesh, pair.a, pair.b)->loss = 0.01;
	mesh_lay(mesh, pair.b, pair.a)->loss = 0.01;
	struct mesh_flow *flow = start_greedy(&pair);
	mesh_run(mesh, QE_SECOND);
	uint64_t before = flow->received;
	mesh_run(mesh, 5 * QE_SECOND);
	double rate = mbit_per_s(flow, before, 5 * QE_SECOND);
	print_message("with 1 %% loss: %.1f Mbit/s\n", rate);
	mesh_check(mesh, rate >= 85);
	mesh_check(mesh, mesh_counters(pair.a).handshakes == 1);
	mesh_free(mesh);
}

/* The path goes away under a full load: what waits is bounded, and flows again when it is back. */
static void survives_an_outage(void **)
{
	struct mesh_pair pair = bottleneck_pair(54, nullptr);
	struct mesh *mesh = pair.mesh;
	struct mesh_flow *flow = start_greedy(&pair);
	mesh_run(mesh, 2 * QE_SECOND);
	mesh_lay(mesh, pair.a, pair.b)->cut = mesh_lay(mesh, pair.b, pair.a)->cut = true;
	mesh_run(mesh, 4 * QE_SECOND);
	mesh_lay(mesh, pair.a, pair.b)->cut = mesh_lay(mesh, pair.b, pair.a)->cut = false;
	mesh_run(mesh, 5 * QE_SECOND);
	uint64_t before = flow->received;
	mesh_run(mesh, 2 * QE_SECOND);
	mesh_check(mesh, mbit_per_s(flow, before, 2 * QE_SECOND) >= 75, "%.1f Mbit/s",
		mbit_per_s(flow, before, 2 * QE_SECOND));
	mesh_free(mesh);
}

/* Packets for peers that cannot be reached, or do not answer, wait as well. They leave room for
 * those of a peer whose window is full for a moment. */
static void does_not_lose_its_queue_to_absent_peers(void **)
{
	struct mesh_pair pair = mesh_pair_new(56, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	struct mesh_wire wire = mesh->wire;
	struct mesh_host *absent[6];
	wire.rate = RATE;
	wire.queue = QUEUE;
	mesh_lay_both(mesh, pair.a, pair.b, &wire);
	for (unsigned i = 0; i < 6; i++) {
		absent[i] = mesh_host_add(mesh);
		mesh_befriend(pair.a, absent[i], MESH_KNOWS);
	}
	mesh_pair_start(&pair);
	mesh_check(mesh, mesh_pair_link(&pair, QE_SECOND));
	for (unsigned i = 0; i < 6; i++)
		mesh_flow_start(pair.a, absent[i], MESH_UDP4, 100, 20 * QE_MILLISECOND);
	mesh_run(mesh, 5 * QE_SECOND);
	struct mesh_flow *flow = start_greedy(&pair);
	mesh_run(mesh, QE_SECOND);
	uint64_t before = flow->received;
	mesh_run(mesh, 5 * QE_SECOND);
	double rate = mbit_per_s(flow, before, 5 * QE_SECOND);
	double lost = (double)(flow->sent - flow->received) / (double)flow->sent * 100;
	print_message(
		"beside six peers that are not there: %.1f Mbit/s, %.2f %% lost\n", rate, lost);
	mesh_check(mesh, rate >= 75);
	mesh_check(mesh, lost < 5);
	mesh_free(mesh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_a_bottleneck),
		cmocka_unit_test(does_not_starve_another_peer),
		cmocka_unit_test(others_wait_two_milliseconds_at_most),
		cmocka_unit_test(is_not_stopped_by_a_dead_path),
		cmocka_unit_test(is_not_slowed_by_loss),
		cmocka_unit_test(survives_an_outage),
		cmocka_unit_test(does_not_lose_its_queue_to_absent_peers),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
