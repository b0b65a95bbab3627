/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Addresses change under a link: hosts that move, and NAT boxes that forget. The link lives on or
 * traffic is back within 3 seconds. */
#include "mesh.h"

#define BACK_WITHIN (3 * QE_SECOND)

struct traffic {
	struct mesh_flow *there, *back;
};

static struct traffic start_traffic(struct mesh_pair *pair, qe_time interval)
{
	struct traffic traffic = {
		.there = mesh_flow_start(pair->a, pair->b, MESH_UDP4, 300, interval)};
	mesh_run(pair->mesh, 200 * QE_MILLISECOND);
	traffic.back = mesh_flow_start(pair->b, pair->a, MESH_UDP6, 300, interval);
	return traffic;
}

static void check_gaps(struct traffic *traffic, const char *name)
{
	struct mesh *mesh = traffic->there->from->mesh;
	for (unsigned i = 0; i < 2; i++) {
		struct mesh_flow *flow = i ? traffic->back : traffic->there;
		qe_time gap = qe_time_max(flow->longest_gap, mesh->now - flow->last_received);
		mesh_check(mesh, gap <= BACK_WITHIN, "%s: %s silent for %.2f s", name,
			i ? "back" : "there", (double)gap / QE_SECOND);
		mesh_check(mesh, !flow->duplicates && !flow->damaged);
	}
}

struct move {
	const char *name;
	enum mesh_how a, b;
	bool of_b, told, link_lives;
};

static void move_one(const struct move *move, uint64_t seed)
{
	struct mesh_pair pair = mesh_pair_new(seed, move->a, move->b);
	struct mesh *mesh = pair.mesh;
	mesh_pair_start(&pair);
	struct traffic traffic = start_traffic(&pair, 20 * QE_MILLISECOND);
	mesh_check(mesh, mesh_pair_link(&pair, QE_SECOND));
	mesh_run(mesh, 3 * QE_SECOND);
	for (unsigned i = 0; i < 3; i++) {
		mesh_run(mesh, mesh_random_below(mesh, QE_SECOND));
		mesh_move(move->of_b ? pair.b : pair.a, move->told);
		mesh_run(mesh, 8 * QE_SECOND);
		check_gaps(&traffic, move->name);
	}
	if (move->link_lives) {
		mesh_check(mesh, mesh_counters(pair.a).handshakes == 1, "%s", move->name);
		mesh_check(mesh, pair.b->events[QE_EVENT_PEER_MOVED] >= 3, "%s", move->name);
	}
	mesh_free(mesh);
}

static void traffic_follows_a_host(void **)
{
	static const struct move moves[] = {
		{"dialling side, told", MESH_DIALS, MESH_WAITS, false, true, true},
		{"dialling side, not told", MESH_DIALS, MESH_WAITS, false, false, false},
		{"waiting side, told", MESH_DIALS, MESH_WAITS, true, true, false},
		{"waiting side, told, knows", MESH_DIALS, MESH_KNOWS, true, true, false},
		{"both dial, told", MESH_DIALS, MESH_DIALS, true, true, false},
	};
	for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++)
		for (uint64_t seed = 1; seed <= 3; seed++)
			move_one(&moves[i], 100 * i + seed);
}

/* ---- NAT ---- */

static struct mesh_pair natted_pair(uint64_t seed, bool of_b, qe_time timeout)
{
	struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, MESH_WAITS);
	mesh_nat_add(of_b ? pair.b : pair.a, timeout, of_b);
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, 2 * QE_SECOND));
	mesh_run(pair.mesh, 3 * QE_SECOND);
	return pair;
}

static void rebind(bool of_b, uint64_t seed)
{
	struct mesh_pair pair = natted_pair(seed, of_b, 30 * QE_SECOND);
	struct traffic traffic = start_traffic(&pair, 20 * QE_MILLISECOND);
	for (unsigned i = 0; i < 5; i++) {
		mesh_run(pair.mesh, 3 * QE_SECOND + mesh_random_below(pair.mesh, QE_SECOND));
		mesh_nat_rebind((of_b ? pair.b : pair.a)->nat);
	}
	mesh_run(pair.mesh, 5 * QE_SECOND);
	check_gaps(&traffic, of_b ? "waiting side behind NAT" : "dialling side behind NAT");
	if (!of_b)
		mesh_check(pair.mesh, mesh_counters(pair.a).handshakes == 1);
	mesh_free(pair.mesh);
}

static void lives_through_a_rebinding(void **)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		rebind(false, seed);
		rebind(true, seed);
	}
}

/* Packets so seldom that the box has forgotten the last one each time. */
static void lives_with_a_forgetful_box(bool of_b, uint64_t seed)
{
	struct mesh_pair pair = natted_pair(seed, of_b, 2 * QE_SECOND);
	struct mesh *mesh = pair.mesh;
	struct traffic traffic = start_traffic(&pair, 5 * QE_SECOND);
	mesh_run(mesh, 100 * QE_SECOND);
	mesh_flow_stop(traffic.there);
	mesh_flow_stop(traffic.back);
	mesh_run(mesh, 3 * QE_SECOND);
	mesh_check(mesh, mesh_nat_mappings((of_b ? pair.b : pair.a)->nat) >= 5);
	mesh_check(mesh, mesh_flow_lost(traffic.there) <= 1, "%llu of %llu lost there",
		(unsigned long long)mesh_flow_lost(traffic.there),
		(unsigned long long)traffic.there->sent);
	mesh_check(mesh, mesh_flow_lost(traffic.back) <= 1, "%llu of %llu lost back",
		(unsigned long long)mesh_flow_lost(traffic.back),
		(unsigned long long)traffic.back->sent);

	/* The server speaks first after a silence: heard as soon as the other side keeps alive. */
	mesh_run(mesh, 20 * QE_SECOND);
	struct traffic again = start_traffic(&pair, 100 * QE_MILLISECOND);
	mesh_run(mesh, 10 * QE_SECOND);
	check_gaps(&again, "after a silence");
	mesh_free(mesh);
}

static void lives_with_a_mapping_timeout_of_2_s(void **)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		lives_with_a_forgetful_box(false, seed);
		lives_with_a_forgetful_box(true, seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traffic_follows_a_host),
		cmocka_unit_test(lives_through_a_rebinding),
		cmocka_unit_test(lives_with_a_mapping_timeout_of_2_s),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
