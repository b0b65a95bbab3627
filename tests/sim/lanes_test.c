/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Nodes with several shards: with as many on both sides and with fewer on one, under rotation,
 * after a restart with another number of them, and where only one side can dial. */
#include "mesh.h"

#include <string.h>

#define FLOWS 12 /* each way */
#define WORKERS_MOST 4

static struct mesh_pair lanes_pair(uint64_t seed, unsigned a, unsigned b, enum mesh_how how_b)
{
	struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, how_b);
	pair.a->workers = a;
	pair.b->workers = b;
	pair.a->tun_limit = pair.b->tun_limit = 1000;
	pair.mesh->wire.delay = QE_MILLISECOND; /* what waits for a handshake is little */
	return pair;
}

static void start_flows(struct mesh_pair *pair, qe_time interval)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		mesh_flow_start(pair->a, pair->b, i % 2 ? MESH_UDP6 : MESH_UDP4, 200, interval);
		mesh_flow_start(pair->b, pair->a, i % 2 ? MESH_UDP4 : MESH_UDP6, 200, interval);
	}
}

static void stop_flows(struct mesh *mesh)
{
	for (size_t i = 0; i < mesh->n_flows; i++)
		mesh_flow_stop(mesh->flows[i]);
	mesh_run(mesh, QE_SECOND);
}

/* The workers that flows from this host (nullptr: from any) go through. */
static unsigned needed_shards(const struct mesh *mesh, const struct mesh_host *from, unsigned of)
{
	unsigned mask = 0;
	for (size_t i = 0; i < mesh->n_flows; i++) {
		uint8_t packet[100];
		size_t len = mesh_build(
			packet, &mesh->flows[i]->inner, (struct qe_bytes){packet, 0});
		if (!from || mesh->flows[i]->from == from)
			mask |= 1U << qe_packet_worker(packet, len, of);
	}
	return mask;
}

static unsigned used_shards(const struct mesh_host *host)
{
	unsigned mask = 0;
	for (unsigned i = 0; i < host->workers; i++) {
		struct qe_shard_counters counters;
		qe_shard_get_counters(host->shards[i], &counters);
		mask |= (unsigned)(counters.tx_packets > 100) << i;
	}
	return mask;
}

static unsigned count_links(const struct mesh_host *host)
{
	unsigned n = 0;
	for (unsigned i = 0; i < host->workers; i++) {
		struct qe_peer_status status = {};
		assert_int_equal(qe_shard_peer_status(host->shards[i], 0, &status), QE_OK);
		n += status.n_links;
	}
	return n;
}

static void check_flows(struct mesh *mesh, bool in_order)
{
	for (size_t i = 0; i < mesh->n_flows; i++) {
		mesh_flow_check_whole(mesh->flows[i]);
		mesh_check(mesh, !in_order || mesh->flows[i]->reordered == 0, "flow %zu: %llu", i,
			(unsigned long long)mesh->flows[i]->reordered);
	}
}

static unsigned lanes(const struct mesh_pair *pair)
{
	unsigned of = pair->a->workers;
	return (unsigned)__builtin_popcount(needed_shards(pair->mesh, nullptr, of) | 1);
}

static void check_shards(const struct mesh_pair *pair)
{
	const struct mesh_host *hosts[2] = {pair->a, pair->b};
	for (unsigned i = 0; i < 2; i++) {
		unsigned want = needed_shards(pair->mesh, hosts[i], hosts[i]->workers);
		mesh_check(pair->mesh, used_shards(hosts[i]) == want);
		mesh_check(pair->mesh,
			pair->a->workers != pair->b->workers ||
				count_links(hosts[i]) == lanes(pair),
			"%u links", count_links(hosts[i]));
	}
}

static void for_each_number(void (*check)(unsigned a, unsigned b, enum mesh_how how))
{
	for (unsigned a = 1; a <= WORKERS_MOST; a++)
		for (unsigned b = 1; b <= WORKERS_MOST; b++) {
			check(a, b, MESH_WAITS);
			check(a, b, MESH_DIALS);
		}
}

static void carry(unsigned a, unsigned b, enum mesh_how how)
{
	struct mesh_pair pair = lanes_pair(100 + 10 * a + b, a, b, how);
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	start_flows(&pair, 10 * QE_MILLISECOND);
	mesh_run(pair.mesh, 5 * QE_SECOND);
	stop_flows(pair.mesh);
	/* With another number on the other side, the first lane of several may be chosen while a
	 * flow is under way. */
	check_flows(pair.mesh, a == b);
	check_shards(&pair);
	mesh_free(pair.mesh);
}

static void flows_pass_between_any_numbers(void **)
{
	for_each_number(carry);
}

static void rotate(unsigned a, unsigned b, enum mesh_how how)
{
	struct mesh_pair pair = lanes_pair(200 + 10 * a + b, a, b, how);
	pair.a->rotate = pair.b->rotate = QE_SECOND;
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	start_flows(&pair, 20 * QE_MILLISECOND);
	mesh_run(pair.mesh, 2 * QE_SECOND);
	for (size_t i = 0; i < pair.mesh->n_flows; i++)
		pair.mesh->flows[i]->reordered = 0;
	mesh_run(pair.mesh, 18 * QE_SECOND);
	stop_flows(pair.mesh);
	check_flows(pair.mesh, true);
	mesh_check(pair.mesh, mesh_counters(pair.a).handshakes > 15);
	mesh_free(pair.mesh);
}

static void rotation_loses_nothing(void **)
{
	for_each_number(rotate);
}

/* What was sent after the other side had come back and was heard of. */
static void restart(unsigned a, unsigned b, enum mesh_how how)
{
	struct mesh_pair pair = lanes_pair(300 + 10 * a + b, a, b, how);
	mesh_pair_start(&pair);
	start_flows(&pair, 10 * QE_MILLISECOND);
	for (unsigned i = 0; i < 6; i++) {
		mesh_run(pair.mesh, 2 * QE_SECOND);
		mesh_kill(pair.b);
		pair.b->workers = 1 + (b + i) % WORKERS_MOST;
		mesh_start(pair.b);
		mesh_run(pair.mesh, 4 * QE_SECOND);
		for (size_t j = 0; j < pair.mesh->n_flows; j++)
			mesh_check(pair.mesh,
				pair.mesh->flows[j]->last_received + 100 * QE_MILLISECOND >
					pair.mesh->now,
				"restart %u, flow %zu", i, j);
	}
	mesh_free(pair.mesh);
}

static void a_restart_may_change_the_number(void **)
{
	for_each_number(restart);
}

/* A host behind NAT is reached by what the other shards know of it, through the mapping that its
 * first link made. */
static void behind_nat(unsigned a, unsigned b, enum mesh_how how)
{
	struct mesh_pair pair = lanes_pair(400 + 10 * a + b, a, b, MESH_WAITS);
	pair.a->at[1] = (struct qe_endpoint){};
	mesh_nat_add(pair.a, 60 * QE_SECOND, false);
	if (how == MESH_WAITS)
		pair.b->rotate = 3 * QE_SECOND;
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	for (unsigned i = 0; i < FLOWS; i++)
		mesh_flow_start(pair.b, pair.a, MESH_UDP4, 200, 10 * QE_MILLISECOND);
	mesh_run(pair.mesh, 9 * QE_SECOND);
	stop_flows(pair.mesh);
	check_flows(pair.mesh, false);
	check_shards(&pair);
	mesh_free(pair.mesh);
}

static void one_side_behind_nat(void **)
{
	for_each_number(behind_nat);
}

/* A NAT box that forgets. What comes on one lane from elsewhere tells the other lanes where; but a
 * lane that was dialled from outside has to be found dead. */
static void a_rebinding_moves_all_lanes(void **)
{
	struct mesh_pair pair = lanes_pair(7, 4, 4, MESH_WAITS);
	pair.a->at[1] = (struct qe_endpoint){};
	struct mesh_nat *nat = mesh_nat_add(pair.a, 60 * QE_SECOND, false);
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	mesh_flow_start(pair.a, pair.b, MESH_UDP4, 200, 10 * QE_MILLISECOND);
	for (unsigned i = 0; i < FLOWS; i++)
		mesh_flow_start(pair.b, pair.a, MESH_UDP4, 200, 10 * QE_MILLISECOND);
	mesh_run(pair.mesh, QE_SECOND);
	mesh_nat_rebind(nat);
	mesh_run(pair.mesh, 4 * QE_SECOND);
	for (size_t i = 0; i < pair.mesh->n_flows; i++)
		mesh_check(pair.mesh,
			pair.mesh->flows[i]->last_received + 100 * QE_MILLISECOND > pair.mesh->now,
			"flow %zu", i);
	mesh_free(pair.mesh);
}

/* Lanes that carry nothing end, but the first; and come back. */
static void an_idle_lane_rests(void **)
{
	struct mesh_pair pair = lanes_pair(5, 4, 4, MESH_WAITS);
	pair.a->rotate = pair.b->rotate = 20 * QE_SECOND;
	mesh_pair_start(&pair);
	start_flows(&pair, 10 * QE_MILLISECOND);
	mesh_run(pair.mesh, QE_SECOND);
	mesh_check(pair.mesh, count_links(pair.a) == lanes(&pair), "%u", count_links(pair.a));
	mesh_run(pair.mesh, 59 * QE_SECOND);
	mesh_check(pair.mesh, count_links(pair.a) >= lanes(&pair), "%u", count_links(pair.a));
	stop_flows(pair.mesh);
	mesh_run(pair.mesh, 120 * QE_SECOND);
	mesh_check(pair.mesh, count_links(pair.a) == 1 && count_links(pair.b) == 1, "%u, %u",
		count_links(pair.a), count_links(pair.b));
	mesh_check(pair.mesh, mesh_linked(pair.a, 0));
	start_flows(&pair, 10 * QE_MILLISECOND);
	mesh_run(pair.mesh, QE_SECOND);
	mesh_check(pair.mesh, count_links(pair.a) == lanes(&pair), "%u", count_links(pair.a));
	stop_flows(pair.mesh);
	check_flows(pair.mesh, true);
	mesh_free(pair.mesh);
}

/* A lane whose link ends is dialled anew, and the others do not notice. */
static void a_lane_recovers(void **)
{
	struct mesh_pair pair = lanes_pair(6, 2, 2, MESH_WAITS);
	mesh_pair_start(&pair);
	start_flows(&pair, 10 * QE_MILLISECOND);
	mesh_run(pair.mesh, QE_SECOND);
	qe_shard_close(pair.b->shards[1], pair.mesh->now);
	mesh_run(pair.mesh, QE_SECOND);
	mesh_check(pair.mesh, count_links(pair.a) == 2 && count_links(pair.b) == 2);
	for (size_t i = 0; i < pair.mesh->n_flows; i++)
		mesh_check(pair.mesh,
			pair.mesh->flows[i]->last_received + 100 * QE_MILLISECOND > pair.mesh->now);
	mesh_check(pair.mesh, pair.a->events[QE_EVENT_PEER_DOWN] <= 1);
	mesh_free(pair.mesh);
}

struct initial {
	size_t len;
	uint8_t bytes[MESH_DATAGRAM_MAX];
};

static void keep_first(void *ctx, const struct mesh_host *, struct qe_bytes datagram)
{
	struct initial *initial = ctx;
	if (initial->len)
		return;
	initial->len = datagram.len;
	memcpy(initial->bytes, datagram.data, datagram.len);
}

/* What opened at one shard opens at no other, whatever a kernel that does not steer makes of it. */
static void a_knock_is_for_one_shard(void **)
{
	struct mesh_pair pair = lanes_pair(8, 1, 4, MESH_WAITS);
	struct initial initial = {};
	pair.mesh->tap = keep_first;
	pair.mesh->tap_ctx = &initial;
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	struct qe_path path = {.local = pair.b->at[0], .remote = pair.a->at[0]};
	for (unsigned i = 1; i < pair.b->workers; i++) {
		qe_shard_udp_input(pair.b->shards[i], &path, 0, initial.bytes, initial.len,
			initial.len, pair.mesh->now);
		pair.b->rx_datagrams++;
	}
	mesh_check(pair.mesh, mesh_counters(pair.b).drops[QE_DROP_NO_KNOCK] == 3);
	mesh_run(pair.mesh, QE_SECOND);
	mesh_check(pair.mesh, mesh_counters(pair.b).handshakes == 1);
	mesh_free(pair.mesh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_pass_between_any_numbers),
		cmocka_unit_test(rotation_loses_nothing),
		cmocka_unit_test(a_restart_may_change_the_number),
		cmocka_unit_test(one_side_behind_nat),
		cmocka_unit_test(a_rebinding_moves_all_lanes),
		cmocka_unit_test(an_idle_lane_rests),
		cmocka_unit_test(a_lane_recovers),
		cmocka_unit_test(a_knock_is_for_one_shard),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
