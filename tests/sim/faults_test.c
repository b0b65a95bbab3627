/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What no wire can do to a node: memory that is not there, and a peer whose program does not keep
 * to the protocol. The linker sends the calls that fail or lie through this file (--wrap).
 */
#include <stdlib.h>

#include "mesh.h"
#include "quic/link.h"

/* ---- memory of nodes and shards, not of the mesh around them ---- */

static bool inside;        /* a call of a node or a shard */
static uint64_t countdown; /* to the allocation that fails; 0: none does */
static double chance;      /* that any other one does */
static uint64_t n_failed;
static struct mesh *source; /* of chance; NULL: memory is there */

static bool fails(void)
{
	if (!inside || source == nullptr)
		return false;
	bool failed = (countdown > 0 && --countdown == 0) || mesh_chance(source, chance);

	n_failed += failed;
	return failed;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *data, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *data, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
	return fails() ? nullptr : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? nullptr : __real_calloc(n, size);
}

void *__wrap_realloc(void *data, size_t size)
{
	return fails() ? nullptr : __real_realloc(data, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return fails() ? nullptr : __real_aligned_alloc(alignment, size);
}

void __real_qe_shard_run(struct qe_shard *shard, qe_time now);
void __real_qe_shard_udp_input(struct qe_shard *shard, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len, size_t segment_size, qe_time now);
void __wrap_qe_shard_run(struct qe_shard *shard, qe_time now);
void __wrap_qe_shard_udp_input(struct qe_shard *shard, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len, size_t segment_size, qe_time now);

void __wrap_qe_shard_run(struct qe_shard *shard, qe_time now)
{
	inside = true;
	__real_qe_shard_run(shard, now);
	inside = false;
}

void __wrap_qe_shard_udp_input(struct qe_shard *shard, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len, size_t segment_size, qe_time now)
{
	inside = true;
	__real_qe_shard_udp_input(shard, path, ecn, data, len, segment_size, now);
	inside = false;
}

enum qe_error __real_qe_node_reconfigure(
	struct qe_node *node, const struct qe_node_settings *settings, qe_time now);
enum qe_error __real_qe_node_set_policy(
	struct qe_node *node, struct qe_policy *policy, qe_time now);
void __real_qe_node_run(struct qe_node *node, qe_time now);
enum qe_error __wrap_qe_node_reconfigure(
	struct qe_node *node, const struct qe_node_settings *settings, qe_time now);
enum qe_error __wrap_qe_node_set_policy(
	struct qe_node *node, struct qe_policy *policy, qe_time now);
void __wrap_qe_node_run(struct qe_node *node, qe_time now);

enum qe_error __wrap_qe_node_reconfigure(
	struct qe_node *node, const struct qe_node_settings *settings, qe_time now)
{
	inside = true;
	enum qe_error error = __real_qe_node_reconfigure(node, settings, now);
	inside = false;
	return error;
}

enum qe_error __wrap_qe_node_set_policy(struct qe_node *node, struct qe_policy *policy, qe_time now)
{
	inside = true;
	enum qe_error error = __real_qe_node_set_policy(node, policy, now);
	inside = false;
	return error;
}

void __wrap_qe_node_run(struct qe_node *node, qe_time now)
{
	inside = true;
	__real_qe_node_run(node, now);
	inside = false;
}

/* What the shard gives back is the mesh's again. */
void __real_mesh_transmit(
	struct mesh_host *host, const struct qe_path *path, uint8_t ecn, struct qe_bytes datagram);
void __real_mesh_tun_write(
	void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len);
void __wrap_mesh_transmit(
	struct mesh_host *host, const struct qe_path *path, uint8_t ecn, struct qe_bytes datagram);
void __wrap_mesh_tun_write(
	void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len);

void __wrap_mesh_transmit(
	struct mesh_host *host, const struct qe_path *path, uint8_t ecn, struct qe_bytes datagram)
{
	inside = false;
	__real_mesh_transmit(host, path, ecn, datagram);
	inside = true;
}

void __wrap_mesh_tun_write(
	void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	inside = false;
	__real_mesh_tun_write(ctx, offload, data, len);
	inside = true;
}

/* ---- a peer that says nothing on the control stream ---- */

static bool mute; /* whoever dialled */

enum qe_error __real_qe_link_control(struct qe_link *link, struct qe_bytes message);
enum qe_error __wrap_qe_link_control(struct qe_link *link, struct qe_bytes message);

enum qe_error __wrap_qe_link_control(struct qe_link *link, struct qe_bytes message)
{
	return mute && qe_link_is_dialled(link) ? QE_ERR_BLOCKED
						: __real_qe_link_control(link, message);
}

/* ---- tests ---- */

static struct mesh_pair start_pair(uint64_t seed, enum mesh_how b)
{
	struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, b);

	pair.a->rotate = pair.b->rotate = 4 * QE_SECOND;
	mesh_pair_start(&pair);
	return pair;
}

/* Whatever the failures cost comes back, and nothing more than usual is left of them. */
static void check_recovers(struct mesh_pair *pair)
{
	struct mesh_flow *flow;

	source = nullptr;
	mesh_run(pair->mesh, 15 * QE_SECOND);
	flow = mesh_flow_start(pair->a, pair->b, MESH_UDP6, 500, 10 * QE_MILLISECOND);
	mesh_run(pair->mesh, QE_SECOND);
	mesh_flow_stop(flow);
	mesh_run(pair->mesh, QE_SECOND);
	mesh_flow_check_whole(flow);
	mesh_check(pair->mesh, mesh_status(pair->a, 0).n_links <= 2);
	mesh_check(pair->mesh, mesh_status(pair->b, 0).n_links <= 2);
	mesh_free(pair->mesh);
}

/* Each allocation of a handshake, one after the other. */
static void each_allocation_may_fail(void **)
{
	uint64_t n = 1;

	do {
		struct mesh_pair pair = start_pair(n, MESH_WAITS);

		source = pair.mesh;
		countdown = n++;
		n_failed = 0;
		mesh_run(pair.mesh, 100 * QE_MILLISECOND);
		check_recovers(&pair);
	} while (n_failed > 0);
	assert_true(n > 100);
}

/* Many at once, under traffic and while links are replaced. */
static void many_allocations_may_fail(void **)
{
	static const double chances[] = {1, 0.3, 0.1, 0.03, 0.01, 0.003};

	for (size_t i = 0; i < sizeof(chances) / sizeof(chances[0]); i++) {
		struct mesh_pair pair = start_pair(i, MESH_DIALS);

		mesh_flow_start(pair.a, pair.b, MESH_UDP4, 200, 20 * QE_MILLISECOND);
		mesh_flow_start(pair.b, pair.a, MESH_TCP6, 1000, 50 * QE_MILLISECOND);
		source = pair.mesh;
		chance = chances[i];
		n_failed = 0;
		mesh_run(pair.mesh, 10 * QE_SECOND);
		chance = 0;
		mesh_check(pair.mesh, n_failed > 0);
		check_recovers(&pair);
	}
}

/* Its links cannot be retired, and end all the same: none outlives 1.5 times its age by much. */
static void a_mute_peer_keeps_no_links(void **)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct mesh_pair pair = start_pair(seed, MESH_WAITS);

		mute = true;
		mesh_run(pair.mesh, 120 * QE_SECOND);
		mesh_check(pair.mesh, mesh_status(pair.b, 0).n_links <= 5);
		mesh_check(pair.mesh, pair.b->events[QE_EVENT_LINK_DOWN] > 20);
		mute = false;
		mesh_free(pair.mesh);
	}
}

/* The stream is the dialler's to open: what the other wants to say before that waits. */
static void pings_wait_for_the_control_stream(void **)
{
	struct mesh_pair pair = start_pair(1, MESH_WAITS);

	assert_int_equal(qe_shard_ping(pair.b->shard, 0, 7, pair.mesh->now), QE_OK);
	mesh_run(pair.mesh, 6 * QE_SECOND);
	mesh_check(pair.mesh, pair.b->events[QE_EVENT_PONG] == 1);
	mesh_check(pair.mesh, pair.b->events[QE_EVENT_PING_LOST] == 0);
	mesh_free(pair.mesh);
}

/* ---- changes ---- */

/* Fails at each allocation once, then succeeds; what failed has changed nothing. */
static void changes_without_memory(void **)
{
	struct mesh_pair pair = start_pair(9, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	struct mesh_host *other = mesh_host_add(mesh);
	uint64_t attempts = 0;
	enum qe_error error;

	mesh_check(mesh, mesh_pair_link(&pair, QE_SECOND));
	struct mesh_flow *flow = mesh_flow_start(
		pair.a, pair.b, MESH_UDP6, 500, 10 * QE_MILLISECOND);
	mesh_befriend(pair.a, other, MESH_WAITS);
	mesh_run(mesh, QE_SECOND);
	chance = 0;
	source = mesh;
	do {
		countdown = ++attempts;
		error = mesh_reconfigure(pair.a);
		mesh_check(mesh, (error == QE_OK) == (mesh_slot(pair.a, other) != SIZE_MAX));
		mesh_run(mesh, 30 * QE_MILLISECOND); /* what is left of countdown fails later */
	} while (error != QE_OK);
	do {
		const struct qe_policy_source nothing = {};
		struct qe_policy *policy;

		countdown = 0;
		assert_int_equal(
			qe_policy_compile(&policy, &nothing, nullptr, 0, 0, nullptr), QE_OK);
		countdown = ++attempts;
		error = qe_node_set_policy(pair.b->node, policy, mesh->now);
		if (error != QE_OK)
			qe_policy_free(policy);
		mesh_run(mesh, 30 * QE_MILLISECOND);
	} while (error != QE_OK);
	source = nullptr;
	mesh_check(mesh, attempts > 20, "%llu", (unsigned long long)attempts);
	pair.b->deadline = mesh->now;
	mesh_run(mesh, QE_SECOND);
	uint64_t before = flow->received;
	mesh_run(mesh, QE_SECOND);
	mesh_check(mesh, before > 100 && flow->received == before, "denied by the new policy");
	assert_int_equal(qe_node_set_policy(pair.b->node, nullptr, mesh->now), QE_OK);
	pair.b->deadline = mesh->now;
	check_recovers(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_may_fail),
		cmocka_unit_test(many_allocations_may_fail),
		cmocka_unit_test(a_mute_peer_keeps_no_links),
		cmocka_unit_test(pings_wait_for_the_control_stream),
		cmocka_unit_test(changes_without_memory),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
