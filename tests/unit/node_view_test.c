/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Shards work on threads of their own while peers, routes and rules come and go; for the
 * sanitizers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/time.h"
#include "crypto/key.h"
#include "node/node.h"

#define WORKERS 2
#define PEERS 40
#define CHANGES_MIN 400
#define SEEN_MIN 10000

struct worker {
	struct qe_node *node;
	pthread_t thread;
	uint8_t number;
	atomic_bool stop;
	atomic_ullong seen; /* peers, over all runs */
};

static void udp_send(void *, const struct qe_path *, uint8_t, const uint8_t *, size_t, size_t)
{
}

static void tun_write(void *, const struct qe_offload *, const uint8_t *, size_t)
{
}

static void on_event(void *, const struct qe_event *)
{
}

/* Made and freed on its own thread too, now and then. */
static void *work(void *ctx)
{
	struct worker *worker = ctx;
	const struct qe_sink sink = {
		.ctx = worker, .udp_send = udp_send, .tun_write = tun_write, .event = on_event};
	const struct qe_endpoint nowhere = {
		.addr = {.family = QE_FAMILY_IPV4, .bytes = {192, 0, 2, 1}}, .port = 7844};
	qe_time now = QE_SECOND;

	while (!atomic_load(&worker->stop)) {
		struct qe_shard *shard;

		assert_int_equal(
			qe_shard_new(&shard, worker->node, worker->number, &sink, now), QE_OK);
		for (unsigned i = 0; i < 200 && !atomic_load(&worker->stop); i++) {
			struct qe_peer_status status;

			now += QE_MILLISECOND;
			if (i % 8 == 0)
				(void)!qe_shard_set_endpoints(shard, i % PEERS, &nowhere, 1, now);
			qe_shard_run(shard, now);
			for (size_t peer = 0; peer < PEERS; peer++)
				worker->seen += qe_shard_peer_status(shard, peer, &status) ==
							QE_OK &&
						status.name[0] == 'p';
		}
		qe_shard_free(shard);
	}
	return nullptr;
}

/* The peers of the even slots are up. */
static void change_routes(struct qe_node *node, qe_time now)
{
	for (size_t slot = 0; slot < PEERS; slot++) {
		const struct directory_slot *peer = directory_get(
			node->views.list->directory, slot);

		if (peer != nullptr)
			qe_node_take_event(node,
				&(struct qe_event){
					.type = slot % 2 ? QE_EVENT_PEER_DOWN : QE_EVENT_PEER_UP,
					.peer = slot,
					.id = peer->id},
				now);
	}
}

static void change_rules(struct qe_node *node, qe_time now)
{
	const struct qe_policy_source nothing = {};
	struct qe_policy *policy;

	assert_int_equal(qe_policy_compile(&policy, &nothing, nullptr, 0, 0, nullptr), QE_OK);
	assert_int_equal(qe_node_set_policy(node, policy, now), QE_OK);
}

static void peers_change_under_working_shards(void **)
{
	struct qe_peer_settings peers[PEERS] = {}, some[PEERS];
	struct qe_node_settings settings = {
		.mtu = 1400, .rotate = 300 * QE_SECOND, .peers = some, .workers = WORKERS};
	struct worker workers[WORKERS] = {};
	struct qe_node *node;
	uint32_t random = 1;

	assert_int_equal(qe_key_generate(&settings.key, QE_KEY_ED25519), QE_OK);
	for (unsigned i = 0; i < PEERS; i++)
		peers[i] = (struct qe_peer_settings){.name = "peer",
			.default_gateway = true,
			.dial = true,
			.id = {.bytes = {(uint8_t)(1 + i)}}};
	assert_int_equal(qe_node_new(&node, &settings), QE_OK);
	for (uint8_t i = 0; i < WORKERS; i++) {
		workers[i].node = node;
		workers[i].number = i;
		assert_int_equal(pthread_create(&workers[i].thread, nullptr, work, &workers[i]), 0);
	}
	for (unsigned i = 1; i <= CHANGES_MIN || atomic_load(&workers[0].seen) < SEEN_MIN ||
			     atomic_load(&workers[1].seen) < SEEN_MIN;
		i++) {
		settings.n_peers = 0;
		for (unsigned j = 0; j < PEERS; j++) {
			random = random * 1664525 + 1013904223;
			if (random >> 31)
				some[settings.n_peers++] = peers[j];
		}
		assert_int_equal(qe_node_reconfigure(node, &settings, i * QE_SECOND), QE_OK);
		change_routes(node, i * QE_SECOND);
		change_rules(node, i * QE_SECOND);
		qe_node_run(node, i * QE_SECOND);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		atomic_store(&workers[i].stop, true);
		pthread_join(workers[i].thread, nullptr);
	}
	qe_node_run(node, UINT32_MAX * QE_SECOND);
	assert_null(node->views.list->older);
	qe_node_free(node);
	qe_key_free(settings.key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peers_change_under_working_shards),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
