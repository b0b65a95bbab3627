/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A thousand rotations under traffic: each link replaced by one with a fresh handshake, and not one
 * datagram lost, doubled or damaged. */
#include "mesh.h"

#define ROTATIONS 1000
#define ROTATE (3 * QE_SECOND)
#define LINKS_AT_ONCE_MAX 3

static struct mesh_pair rotating_pair(uint64_t seed, enum mesh_how b)
{
	struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, b);
	pair.a->rotate = pair.b->rotate = ROTATE;
	pair.mesh->wire.jitter = 15 * QE_MILLISECOND;
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	return pair;
}

/* Runs, and sees to it that links do not pile up. */
static void run_watched(struct mesh_pair *pair, qe_time duration)
{
	for (qe_time ran = 0; ran < duration; ran += 50 * QE_MILLISECOND) {
		mesh_run(pair->mesh, 50 * QE_MILLISECOND);
		unsigned a = mesh_status(pair->a, 0).n_links, b = mesh_status(pair->b, 0).n_links;
		mesh_check(pair->mesh,
			a >= 1 && b >= 1 && a <= LINKS_AT_ONCE_MAX && b <= LINKS_AT_ONCE_MAX,
			"%u and %u links", a, b);
	}
}

static uint64_t rotations(const struct mesh_pair *pair)
{
	uint64_t a = mesh_status(pair->a, 0).rotations, b = mesh_status(pair->b, 0).rotations;
	return a > b ? a : b;
}

static void loses_nothing(void **)
{
	struct mesh_pair pair = rotating_pair(11, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	mesh_flow_start(pair.a, pair.b, MESH_UDP4, 200, 20 * QE_MILLISECOND);
	mesh_flow_start(pair.b, pair.a, MESH_UDP6, 200, 20 * QE_MILLISECOND);
	mesh_flow_start(pair.a, pair.b, MESH_TCP6, 1300, 100 * QE_MILLISECOND)->segments = 8;
	mesh_flow_start(pair.b, pair.a, MESH_UDP4, 1400, 100 * QE_MILLISECOND)->segments = 8;
	for (unsigned round = 0; rotations(&pair) < ROTATIONS; round++) {
		mesh_check(mesh, round < 2 * ROTATIONS, "%llu rotations",
			(unsigned long long)rotations(&pair));
		run_watched(&pair, ROTATE);
	}
	for (size_t i = 0; i < mesh->n_flows; i++)
		mesh_flow_stop(mesh->flows[i]);
	run_watched(&pair, 2 * QE_SECOND);

	for (size_t i = 0; i < mesh->n_flows; i++) {
		mesh_check(mesh, mesh->flows[i]->refused == 0);
		mesh_flow_check_whole(mesh->flows[i]);
	}
	mesh_check(mesh, mesh_counters(pair.a).handshakes > ROTATIONS);
	mesh_check(mesh, mesh_counters(pair.b).handshakes > ROTATIONS);
	mesh_check(mesh, pair.a->events[QE_EVENT_PEER_DOWN] == 0);
	mesh_check(mesh, pair.b->events[QE_EVENT_PEER_DOWN] == 0);
	mesh_check(mesh, pair.a->events[QE_EVENT_LINK_UP] <=
				 pair.a->events[QE_EVENT_LINK_DOWN] + LINKS_AT_ONCE_MAX);
	mesh_free(mesh);
}

static void loses_nothing_when_both_dial(void **)
{
	struct mesh_pair pair = rotating_pair(12, MESH_DIALS);
	run_watched(&pair, 2 * ROTATE);
	struct mesh_flow *there = mesh_flow_start(
		pair.a, pair.b, MESH_UDP4, 200, 20 * QE_MILLISECOND);
	struct mesh_flow *back = mesh_flow_start(
		pair.b, pair.a, MESH_UDP6, 200, 20 * QE_MILLISECOND);
	run_watched(&pair, 40 * ROTATE);
	mesh_flow_stop(there);
	mesh_flow_stop(back);
	run_watched(&pair, 2 * QE_SECOND);
	mesh_flow_check_whole(there);
	mesh_flow_check_whole(back);
	mesh_check(pair.mesh, rotations(&pair) >= 35);
	mesh_free(pair.mesh);
}

/* The next link does not come up, as the path has become too narrow for first packets: the old one
 * carries on for half its age again, and that is the end of it, whatever waits. */
static void an_old_link_sends_nothing(void **)
{
	struct mesh_pair pair = mesh_pair_new(13, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	pair.a->rotate = pair.b->rotate = 20 * QE_SECOND;
	mesh_pair_start(&pair);
	mesh_check(mesh, mesh_pair_link(&pair, QE_SECOND));
	struct mesh_flow *there = mesh_flow_start(
		pair.a, pair.b, MESH_UDP4, 200, 50 * QE_MILLISECOND);
	struct mesh_flow *back = mesh_flow_start(
		pair.b, pair.a, MESH_UDP4, 200, 50 * QE_MILLISECOND);
	mesh_run(mesh, 50 * QE_SECOND);
	mesh_check(mesh, rotations(&pair) >= 2 && there->received == there->next);
	size_t was = mesh->wire.mtu;
	mesh->wire.mtu = 1100;
	qe_time newest = mesh_status(pair.a, 0).link.established;
	mesh_run(mesh, newest + 29 * QE_SECOND - mesh->now);
	mesh_check(mesh, mesh->now - there->last_received < 100 * QE_MILLISECOND);
	mesh_check(mesh, mesh->now - back->last_received < 100 * QE_MILLISECOND);
	mesh_run(mesh, 2 * QE_SECOND);
	mesh_check(mesh, mesh->now - there->last_received > 900 * QE_MILLISECOND);
	mesh_check(mesh, mesh->now - back->last_received > 900 * QE_MILLISECOND);
	mesh->wire.mtu = was;
	mesh_run(mesh, 5 * QE_SECOND);
	mesh_check(mesh, mesh->now - there->last_received < 100 * QE_MILLISECOND);
	mesh_check(mesh, mesh->now - back->last_received < 100 * QE_MILLISECOND);
	mesh_free(mesh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loses_nothing),
		cmocka_unit_test(loses_nothing_when_both_dial),
		cmocka_unit_test(an_old_link_sends_nothing),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
