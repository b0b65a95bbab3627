/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Many peers: what they cost while nothing happens, and that nothing of them is left behind. */
#include "mesh.h"

#include <malloc.h>

#define IDLE_PEERS 1000
#define LINKED_PEERS 100

static size_t memory(void)
{
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

/* A host that knows n others, which are not started. */
static struct mesh_host *add_hub(struct mesh *mesh, size_t n, enum mesh_how how)
{
	struct mesh_host *hub = mesh_host_add(mesh);
	for (size_t i = 0; i < n; i++) {
		struct mesh_host *spoke = mesh_host_add(mesh);
		mesh_befriend(hub, spoke, how);
		mesh_befriend(spoke, hub, MESH_DIALS);
	}
	return hub;
}

static void a_thousand_peers_cost_little(void **)
{
	struct mesh *mesh = mesh_new(61);
	struct mesh_host *alone = mesh_host_add(mesh);
	struct mesh_host *hub = add_hub(mesh, IDLE_PEERS, MESH_KNOWS);
	size_t before = memory();
	mesh_start(alone);
	size_t one = memory() - before;
	before = memory();
	mesh_start(hub);
	mesh_run(mesh, 60 * QE_SECOND);
	size_t all = memory() - before;
	size_t each = all > one ? (all - one) / IDLE_PEERS : 0;
	print_message("a shard: %zu KiB; each idle peer: %zu bytes\n", one / 1024, each);
	mesh_check(mesh, each < 8192);
	mesh_check(mesh, hub->tx_datagrams == 0);
	mesh_free(mesh);
}

static void a_hundred_peers_link(void **)
{
	struct mesh *mesh = mesh_new(62);
	struct mesh_host *hub = add_hub(mesh, LINKED_PEERS, MESH_WAITS);
	mesh_start(hub);
	size_t spokes = memory();
	for (size_t i = 0; i < LINKED_PEERS; i++)
		mesh_start(hub->peers[i].host);
	spokes = memory() - spokes;
	size_t before = memory();
	mesh_run(mesh, 5 * QE_SECOND);
	for (size_t i = 0; i < LINKED_PEERS; i++)
		mesh_check(mesh, mesh_linked(hub, i) && mesh_linked(hub->peers[i].host, 0));
	/* Under load some dial again before the first answer has come. */
	mesh_check(mesh, mesh_counters(hub).handshakes <= LINKED_PEERS * 3 / 2, "%llu",
		(unsigned long long)mesh_counters(hub).handshakes);
	print_message("each link, both ends: %zu KiB\n", (memory() - before) / LINKED_PEERS / 1024);
	mesh_check(mesh, memory() - before < (size_t)LINKED_PEERS * 1024 * 1024);

	/* All speak with the hub, and it goes in the middle of it. */
	for (size_t i = 0; i < LINKED_PEERS; i++) {
		mesh_flow_start(hub->peers[i].host, hub, MESH_UDP4, 500, 20 * QE_MILLISECOND);
		mesh_flow_start(hub, hub->peers[i].host, MESH_UDP6, 500, 20 * QE_MILLISECOND)
			->limit = 20;
		mesh_run(mesh, QE_MILLISECOND / 4);
	}
	mesh_run(mesh, 2 * QE_SECOND);
	for (size_t i = 1; i < mesh->n_flows; i += 2)
		mesh_flow_check_whole(mesh->flows[i]);
	mesh_kill(hub);
	mesh_run(mesh, QE_SECOND);
	mesh_start(hub);
	mesh_run(mesh, 3 * QE_SECOND);
	size_t back = 0;
	for (size_t i = 0; i < LINKED_PEERS; i++)
		back += mesh_linked(hub, i);
	mesh_check(mesh, back == LINKED_PEERS, "%zu are back after 3 s", back);
	mesh_free(mesh);
}

/* A link that carries nothing wakes its owners for keepalives and rotation, and for nothing else.
 */
static void an_idle_link_rests(void **)
{
	struct mesh_pair pair = mesh_pair_new(63, MESH_DIALS, MESH_DIALS);
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	mesh_run(pair.mesh, 10 * QE_SECOND);
	uint64_t runs = pair.a->runs + pair.b->runs, sent = pair.a->tx_bytes + pair.b->tx_bytes;
	mesh_run(pair.mesh, 3000 * QE_SECOND);
	runs = pair.a->runs + pair.b->runs - runs;
	sent = pair.a->tx_bytes + pair.b->tx_bytes - sent;
	print_message("an idle link, both ends: %.1f runs and %.0f bytes a minute\n",
		(double)runs / 50, (double)sent / 50);
	mesh_check(pair.mesh, runs / 50 < 60);
	mesh_check(pair.mesh, sent / 50 < 8000);
	mesh_free(pair.mesh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thousand_peers_cost_little),
		cmocka_unit_test(a_hundred_peers_link),
		cmocka_unit_test(an_idle_link_rests),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
