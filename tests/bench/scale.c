/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * One node, the hub, and many peers that each dial it and then are idle, all in this process on the
 * simulated network of tests/sim:
 *
 *   peer_memory   what a peer takes on the hub that is known but has no link
 *   link_memory   what one end of an idle link takes more: all links come about while nothing else
 *                 changes, and both ends are alike
 *   handshakes    per second of the hub's processor time, while all peers dial at once
 *   idle_second   processor time of the hub for a second in which nothing is sent but keepalives;
 *                 the replacement of links every 300 s comes on top, a handshake each
 *
 * The memory is what malloc has given out. The time is that inside the hub's calls: the linker
 * puts the functions here in front of qe_shard_udp_input and qe_shard_run, and the network and the
 * other hosts are left out.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/clock.h"

#include "../sim/mesh.h"

constexpr unsigned step_ms = 50;
constexpr unsigned steps_max = 600'000 / step_ms;
constexpr unsigned settle_seconds = 10; /* until the path MTU is known */
constexpr unsigned idle_seconds = 60;
constexpr unsigned long peers_max = 50'000;

static struct {
	const struct qe_shard *shard; /* of the hub */
	qe_time spent;
} clocked;

void __wrap_qe_shard_udp_input(struct qe_shard *shard, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len, size_t segment_size, qe_time now);
void __real_qe_shard_udp_input(struct qe_shard *shard, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len, size_t segment_size, qe_time now);
void __wrap_qe_shard_run(struct qe_shard *shard, qe_time now);
void __real_qe_shard_run(struct qe_shard *shard, qe_time now);

static void count_time(const struct qe_shard *shard, qe_time start)
{
	if (shard == clocked.shard)
		clocked.spent += qe_clock_now() - start;
}

void __wrap_qe_shard_udp_input(struct qe_shard *shard, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len, size_t segment_size, qe_time now)
{
	qe_time start = qe_clock_now();

	__real_qe_shard_udp_input(shard, path, ecn, data, len, segment_size, now);
	count_time(shard, start);
}

void __wrap_qe_shard_run(struct qe_shard *shard, qe_time now)
{
	qe_time start = qe_clock_now();

	__real_qe_shard_run(shard, now);
	count_time(shard, start);
}

static double memory(void)
{
	struct mallinfo2 info = mallinfo2();

	return (double)(info.uordblks + info.hblkhd);
}

static void tell(unsigned long peers, const char *measure, const char *unit, double value)
{
	printf("scale\tquicether-%lu-peers\t%s\t%s\t%.6g\n", peers, measure, unit, value);
}

static struct mesh_host *add_hub(struct mesh *mesh, unsigned long peers)
{
	struct mesh_host *hub = mesh_host_add(mesh);

	for (unsigned long i = 0; i < peers; i++) {
		struct mesh_host *peer = mesh_host_add(mesh);

		mesh_befriend(hub, peer, MESH_WAITS);
		mesh_befriend(peer, hub, MESH_DIALS);
	}
	return hub;
}

static double memory_of_start(struct mesh_host *host)
{
	double before = memory();

	mesh_start(host);
	return memory() - before;
}

static void start(struct mesh_host *hub, unsigned long peers)
{
	struct mesh_host *alone = mesh_host_add(hub->mesh);
	double base = memory_of_start(alone), all = memory_of_start(hub);

	mesh_kill(alone);
	tell(peers, "peer_memory", "KiB", (all - base) / 1024 / (double)peers);
	clocked.shard = hub->shard;
	for (unsigned long i = 0; i < peers; i++)
		mesh_start(hub->peers[i].host);
}

static void link_all(struct mesh_host *hub, unsigned long peers)
{
	double before = memory();

	clocked.spent = 0;
	for (unsigned i = 0; hub->events[QE_EVENT_PEER_UP] < peers; i++) {
		mesh_check(hub->mesh, i < steps_max, "not all peers get a link");
		mesh_run(hub->mesh, step_ms * QE_MILLISECOND);
	}
	tell(peers, "handshakes", "1/s", (double)(peers * QE_SECOND) / (double)clocked.spent);
	mesh_run(hub->mesh, settle_seconds * QE_SECOND);
	tell(peers, "link_memory", "KiB", (memory() - before) / 1024 / 2 / (double)peers);
}

static void be_idle(struct mesh_host *hub, unsigned long peers)
{
	unsigned up = hub->events[QE_EVENT_LINK_UP];

	clocked.spent = 0;
	mesh_run(hub->mesh, idle_seconds * QE_SECOND);
	tell(peers, "idle_second", "ms", (double)clocked.spent / idle_seconds / QE_MILLISECOND);
	mesh_check(hub->mesh, hub->events[QE_EVENT_LINK_UP] == up, "not idle");
	mesh_check(hub->mesh, hub->events[QE_EVENT_PEER_DOWN] == 0, "not all links lived");
}

int main(int argc, char **argv)
{
	char *end = nullptr;
	unsigned long peers = argc == 2 ? strtoul(argv[1], &end, 10) : 0;

	if (!end || *end || peers == 0 || peers > peers_max) {
		fprintf(stderr, "usage: scale PEERS\n");
		return 2;
	}
	struct mesh *mesh = mesh_new(1);
	struct mesh_host *hub = add_hub(mesh, peers);

	start(hub, peers);
	link_all(hub, peers);
	be_idle(hub, peers);
	return 0;
}
