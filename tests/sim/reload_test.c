/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A node whose peers change while it works: links that did not change carry on, slots mean one peer
 * at a time, and what a shard may still see is not taken from it. */
#include "mesh.h"

#include <string.h>

#include "node/node.h"

/* a knows b and c, which dial it; d and e are there. */
struct world {
	struct mesh *mesh;
	struct mesh_host *a, *b, *c, *d, *e;
};

static struct world world_new(uint64_t seed, unsigned workers)
{
	struct world world = {.mesh = mesh_new(seed)};
	struct mesh_host **hosts[] = {&world.a, &world.b, &world.c, &world.d, &world.e};
	for (size_t i = 0; i < 5; i++)
		*hosts[i] = mesh_host_add(world.mesh);
	world.a->workers = workers;
	mesh_befriend(world.a, world.b, MESH_WAITS);
	mesh_befriend(world.a, world.c, MESH_WAITS);
	mesh_start(world.a);
	for (size_t i = 1; i < 5; i++) {
		mesh_befriend(*hosts[i], world.a, MESH_DIALS);
		if (i < 3)
			mesh_start(*hosts[i]);
		mesh_run(world.mesh, QE_SECOND);
	}
	mesh_run(world.mesh, 5 * QE_SECOND);
	mesh_check(world.mesh, mesh_linked(world.a, 0) && mesh_linked(world.a, 1));
	return world;
}

static struct mesh_flow *flow(struct mesh_host *from, struct mesh_host *to, enum mesh_kind kind)
{
	return mesh_flow_start(from, to, kind, 400, 5 * QE_MILLISECOND);
}

/* ---- peers come and go ---- */

static void others_are_not_touched(unsigned workers)
{
	struct world w = world_new(10 + workers, workers);
	struct mesh_flow *flows[] = {flow(w.a, w.b, MESH_UDP4), flow(w.b, w.a, MESH_UDP6),
		flow(w.a, w.b, MESH_TCP6), flow(w.b, w.a, MESH_TCP4)};
	mesh_run(w.mesh, QE_SECOND);
	for (unsigned i = 0; i < 5; i++) {
		mesh_befriend(w.a, w.d, MESH_WAITS);
		assert_int_equal(mesh_reconfigure(w.a), QE_OK);
		mesh_start(w.d);
		struct mesh_flow *to_new = flow(w.d, w.a, MESH_UDP4);
		mesh_run(w.mesh, QE_SECOND);
		mesh_check(w.mesh, to_new->received > 0);
		mesh_unfriend(w.a, w.d);
		assert_int_equal(mesh_reconfigure(w.a), QE_OK);
		mesh_run(w.mesh, QE_SECOND);
		mesh_check(w.mesh, w.d->events[QE_EVENT_PEER_DOWN] == i + 1);
		mesh_check(w.mesh, !mesh_linked(w.d, 0));
		mesh_flow_stop(to_new);
		mesh_kill(w.d);
	}
	mesh_check(w.mesh, mesh_counters(w.a).drops[QE_DROP_STRANGER] > 0);
	for (size_t i = 0; i < 4; i++)
		mesh_flow_stop(flows[i]);
	mesh_run(w.mesh, QE_SECOND);
	for (size_t i = 0; i < 4; i++)
		mesh_flow_check_whole(flows[i]);
	mesh_check(w.mesh, w.b->events[QE_EVENT_LINK_DOWN] == 0);
	mesh_free(w.mesh);
}

static void peers_come_and_go(void **)
{
	others_are_not_touched(1);
	others_are_not_touched(3);
}

/* What waits for a removed peer is dropped, and what comes later has no route. */
static void packets_for_a_removed_peer(void **)
{
	struct world w = world_new(20, 1);
	mesh_close(w.c);
	mesh_run(w.mesh, 100 * QE_MILLISECOND);
	struct mesh_flow *to_c = flow(w.a, w.c, MESH_UDP6);
	mesh_run(w.mesh, QE_SECOND);
	mesh_check(w.mesh, mesh_counters(w.a).queued_packets > 0);
	mesh_unfriend(w.a, w.c);
	assert_int_equal(mesh_reconfigure(w.a), QE_OK);
	mesh_run(w.mesh, QE_SECOND);
	struct qe_shard_counters counters = mesh_counters(w.a);
	mesh_check(w.mesh, counters.queued_packets == 0);
	mesh_check(w.mesh, counters.drops[QE_DROP_CLOSED] > 0);
	mesh_check(w.mesh, counters.drops[QE_DROP_NO_ROUTE] > 0);
	mesh_check(w.mesh, to_c->received == 0);
	mesh_check_books(w.a);
	mesh_free(w.mesh);
}

/* In the middle of the handshake, when nothing but the key is known of it. */
static void a_peer_is_removed_in_its_handshake(void **)
{
	for (unsigned after = 0; after < 60; after += 4) {
		struct world w = world_new(30, 1);
		mesh_befriend(w.a, w.d, MESH_WAITS);
		assert_int_equal(mesh_reconfigure(w.a), QE_OK);
		mesh_start(w.d);
		mesh_run(w.mesh, after * QE_MILLISECOND);
		mesh_unfriend(w.a, w.d);
		assert_int_equal(mesh_reconfigure(w.a), QE_OK);
		mesh_run(w.mesh, QE_SECOND);
		mesh_check(w.mesh, !mesh_linked(w.d, 0));
		mesh_check(w.mesh,
			w.a->events[QE_EVENT_PEER_UP] == w.a->events[QE_EVENT_PEER_DOWN] + 2);
		mesh_free(w.mesh);
	}
}

/* ---- slots ---- */

static void slots_mean_one_peer(void **)
{
	struct world w = world_new(40, 2);
	mesh_unfriend(w.a, w.b);
	assert_int_equal(mesh_reconfigure(w.a), QE_OK);
	mesh_check(w.mesh, mesh_slot(w.a, w.b) == SIZE_MAX && mesh_slot(w.a, w.c) == 1);
	mesh_run(w.mesh, QE_SECOND);
	mesh_befriend(w.a, w.d, MESH_WAITS);
	assert_int_equal(mesh_reconfigure(w.a), QE_OK);
	mesh_check(w.mesh, mesh_slot(w.a, w.d) == 2, "too early for slot 0");
	mesh_run(w.mesh, 10 * QE_SECOND);
	mesh_start(w.e);
	mesh_befriend(w.a, w.e, MESH_WAITS);
	assert_int_equal(mesh_reconfigure(w.a), QE_OK);
	mesh_check(w.mesh, mesh_slot(w.a, w.e) == 0);
	mesh_run(w.mesh, 10 * QE_SECOND);
	struct qe_peer_status status = mesh_status(w.a, 0);
	mesh_check(w.mesh, mesh_linked(w.a, 0) && status.reconnects == 0);
	mesh_check(w.mesh, memcmp(&status.id, qe_key_get_id(w.e->key), sizeof(status.id)) == 0);
	mesh_free(w.mesh);
}

static void a_held_shard_keeps_slot_and_view(void **)
{
	struct world w = world_new(50, 2);
	const struct views *views = &w.a->node->views;
	mesh_sleep(w.a);
	mesh_unfriend(w.a, w.b);
	assert_int_equal(mesh_reconfigure(w.a), QE_OK);
	mesh_run(w.mesh, 20 * QE_SECOND);
	mesh_befriend(w.a, w.d, MESH_WAITS);
	assert_int_equal(mesh_reconfigure(w.a), QE_OK);
	mesh_check(w.mesh, mesh_slot(w.a, w.d) == 2, "a shard knows slot 0 as b");
	/* One of the two takes up the newest. */
	qe_shard_run(w.a->shards[1], w.mesh->now);
	qe_node_run(w.a->node, w.mesh->now);
	mesh_check(w.mesh, views->list->older->older != nullptr);
	mesh_check(w.mesh, views_acknowledged(views) == 1);
	mesh_check(w.mesh, qe_node_deadline(w.a->node) != QE_TIME_NEVER);
	qe_shard_run(w.a->shards[0], w.mesh->now);
	qe_node_run(w.a->node, w.mesh->now);
	mesh_check(w.mesh, views->list->older == nullptr);
	mesh_check(w.mesh, qe_node_deadline(w.a->node) == QE_TIME_NEVER);
	mesh_befriend(w.a, w.e, MESH_WAITS);
	assert_int_equal(mesh_reconfigure(w.a), QE_OK);
	mesh_check(w.mesh, mesh_slot(w.a, w.e) == 0);
	mesh_wake(w.a);
	mesh_run(w.mesh, QE_SECOND);
	mesh_free(w.mesh);
}

/* A shard that comes and goes takes no part while it is not there. */
static void without_shards_nothing_is_held(void **)
{
	struct world w = world_new(60, 2);
	const struct views *views = &w.a->node->views;
	w.a->shards[1] = qe_shard_free(w.a->shards[1]);
	w.a->workers = 1;
	assert_int_equal(mesh_reconfigure(w.a), QE_OK);
	mesh_run(w.mesh, QE_SECOND);
	qe_node_run(w.a->node, w.mesh->now);
	mesh_check(w.mesh, views->list->older == nullptr);
	mesh_free(w.mesh);
}

/* ---- what else changes ---- */

static void what_is_wrong_changes_nothing(void **)
{
	struct world w = world_new(70, 1);
	struct mesh_flow *there = flow(w.a, w.b, MESH_UDP4);
	uint64_t generation = w.a->node->views.list->generation;
	mesh_befriend(w.a, w.d, MESH_WAITS);
	mesh_befriend(w.a, w.d, MESH_WAITS);
	assert_int_equal(mesh_reconfigure(w.a), QE_ERR_CONFLICT);
	mesh_unfriend(w.a, w.d);
	mesh_befriend(w.a, w.b, MESH_WAITS);
	assert_int_equal(mesh_reconfigure(w.a), QE_ERR_CONFLICT);
	w.a->n_peers--;
	mesh_befriend(w.a, w.a, MESH_WAITS);
	assert_int_equal(mesh_reconfigure(w.a), QE_ERR_CONFLICT);
	mesh_check(w.mesh, mesh_slot(w.a, w.d) == SIZE_MAX);
	mesh_check(w.mesh, w.a->node->views.list->generation == generation);
	mesh_run(w.mesh, QE_SECOND);
	mesh_flow_stop(there);
	mesh_run(w.mesh, QE_SECOND);
	mesh_flow_check_whole(there);
	mesh_free(w.mesh);
}

static void a_peer_is_dialled_from_now_on(void **)
{
	struct mesh_pair pair = mesh_pair_new(80, MESH_WAITS, MESH_WAITS);
	mesh_pair_start(&pair);
	mesh_run(pair.mesh, 5 * QE_SECOND);
	mesh_check(pair.mesh, !mesh_linked(pair.a, 0));
	pair.a->peers[0].dial = pair.a->peers[0].told = true;
	assert_int_equal(mesh_reconfigure(pair.a), QE_OK);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	/* And no more: the link that is there stays, but is not made again. */
	pair.a->peers[0].dial = false;
	assert_int_equal(mesh_reconfigure(pair.a), QE_OK);
	mesh_run(pair.mesh, 3 * QE_SECOND);
	mesh_check(pair.mesh, mesh_linked(pair.a, 0));
	mesh_kill(pair.b);
	mesh_run(pair.mesh, 60 * QE_SECOND);
	mesh_start(pair.b);
	mesh_run(pair.mesh, 60 * QE_SECOND);
	mesh_check(pair.mesh, !mesh_linked(pair.a, 0));
	mesh_free(pair.mesh);
}

/* An address is one peer's to send from, and then another's: what passed before is asked anew. */
static void an_address_moves(void **)
{
	static const uint8_t inside[4] = {192, 168, 7, 9};
	struct world w = world_new(90, 1);
	w.a->peers[0].subnets[0] = w.a->peers[1].subnets[0] = mesh_prefix("192.168.7.0/24");
	w.a->peers[0].n_subnets = 1;
	assert_int_equal(mesh_reconfigure(w.a), QE_OK);
	struct mesh_flow *there = flow(w.b, w.a, MESH_UDP4);
	there->inner.source = qe_addr_ipv4(inside);
	mesh_run(w.mesh, QE_SECOND);
	mesh_check(w.mesh, there->received > 150);
	w.a->peers[0].n_subnets = 0;
	w.a->peers[1].n_subnets = 1;
	assert_int_equal(mesh_reconfigure(w.a), QE_OK);
	uint64_t before = there->received;
	mesh_run(w.mesh, QE_SECOND);
	mesh_check(w.mesh, there->received == before);
	mesh_check(w.mesh, mesh_counters(w.a).drops[QE_DROP_SOURCE] > 150);
	mesh_free(w.mesh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peers_come_and_go),
		cmocka_unit_test(packets_for_a_removed_peer),
		cmocka_unit_test(a_peer_is_removed_in_its_handshake),
		cmocka_unit_test(slots_mean_one_peer),
		cmocka_unit_test(a_held_shard_keeps_slot_and_view),
		cmocka_unit_test(without_shards_nothing_is_held),
		cmocka_unit_test(what_is_wrong_changes_nothing),
		cmocka_unit_test(a_peer_is_dialled_from_now_on),
		cmocka_unit_test(an_address_moves),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
