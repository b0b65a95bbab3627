/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Two nodes meet: over clean paths and bad ones, one dialling or both, at start or on demand. */
#include "mesh.h"

#include <string.h>

#include "crypto/aead.h"

static void check_status(const struct mesh_pair *pair, const struct mesh_host *host,
	const struct mesh_host *other, const char *cipher)
{
	struct qe_peer_status status = mesh_status(host, 0);
	bool dialled = host == pair->a;
	mesh_check(pair->mesh, status.state == QE_PEER_CONNECTED && status.n_links == 1);
	mesh_check(pair->mesh, qe_node_id_equal(&status.id, qe_key_get_id(other->key)));
	mesh_check(pair->mesh, status.link.dialled == dialled);
	mesh_check(pair->mesh, strcmp(status.link.key_exchange, "X25519MLKEM768") == 0, "%s",
		status.link.key_exchange);
	mesh_check(pair->mesh, strcmp(status.link.cipher, cipher) == 0, "%s", status.link.cipher);
	mesh_check(pair->mesh, status.link.path_mtu >= 1400, "%u", status.link.path_mtu);
	mesh_check(pair->mesh,
		status.link.rtt_min >= 20 * QE_MILLISECOND &&
			status.link.rtt_min <= 25 * QE_MILLISECOND,
		"%llu ns", (unsigned long long)status.link.rtt_min);
	mesh_check(pair->mesh,
		status.link.handshake >= 10 * QE_MILLISECOND &&
			status.link.handshake <= 200 * QE_MILLISECOND,
		"%llu ns", (unsigned long long)status.link.handshake);
	const struct qe_endpoint *remote = &status.link.path.remote;
	const struct qe_endpoint *is = &other->at[remote->addr.family == QE_FAMILY_IPV6];
	mesh_check(pair->mesh, qe_endpoint_equal(remote, is));
	mesh_check(pair->mesh, mesh_counters(host).handshakes == 1);
	mesh_check(pair->mesh, host->events[QE_EVENT_LINK_UP] == 1);
	mesh_check(pair->mesh, host->events[QE_EVENT_PEER_UP] == 1);
}

static void carry_all_kinds(struct mesh_pair *pair)
{
	struct mesh *mesh = pair->mesh;
	for (unsigned i = 0; i < 2; i++) {
		struct mesh_host *from = i ? pair->b : pair->a, *to = i ? pair->a : pair->b;
		mesh_flow_start(from, to, MESH_UDP4, 1400, 3 * QE_MILLISECOND);
		mesh_flow_start(from, to, MESH_UDP6, 100, 3 * QE_MILLISECOND);
		mesh_flow_start(from, to, MESH_TCP4, 1360, 10 * QE_MILLISECOND)->segments = 40;
		mesh_flow_start(from, to, MESH_TCP6, 1340, 10 * QE_MILLISECOND)->segments = 7;
		mesh_flow_start(from, to, MESH_UDP6, 1400, 10 * QE_MILLISECOND)->segments = 20;
	}
	mesh_run(mesh, 2 * QE_SECOND);
	for (size_t i = 0; i < mesh->n_flows; i++)
		mesh_flow_stop(mesh->flows[i]);
	mesh_run(mesh, QE_SECOND);
	for (size_t i = 0; i < mesh->n_flows; i++) {
		mesh_check(mesh, mesh->flows[i]->refused == 0);
		mesh_flow_check_whole(mesh->flows[i]);
	}
	mesh_check(mesh, pair->b->tun_writes < pair->b->tun_packets / 2, "nothing was coalesced");
}

static void over_a_clean_path(unsigned without, enum qe_cipher cipher, const char *name)
{
	struct mesh_pair pair = mesh_pair_new(1, MESH_DIALS, MESH_WAITS);
	pair.a->cipher = pair.b->cipher = cipher;
	pair.a->at[without == QE_FAMILY_IPV6] = (struct qe_endpoint){};
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	mesh_run(pair.mesh, 5 * QE_SECOND); /* path MTU discovery */
	check_status(&pair, pair.a, pair.b, name);
	check_status(&pair, pair.b, pair.a, name);
	carry_all_kinds(&pair);
	mesh_free(pair.mesh);
}

static void links_over_ipv4(void **)
{
	const char *best = qe_crypto_has_aes() ? "AES-256-GCM" : "CHACHA20-POLY1305";
	over_a_clean_path(QE_FAMILY_IPV6, QE_CIPHER_AUTO, best);
}

static void links_over_ipv6(void **)
{
	over_a_clean_path(QE_FAMILY_IPV4, QE_CIPHER_AES_128_GCM, "AES-128-GCM");
}

static void links_with_each_cipher(void **)
{
	over_a_clean_path(QE_FAMILY_IPV4, QE_CIPHER_AES_256_GCM, "AES-256-GCM");
	over_a_clean_path(QE_FAMILY_IPV6, QE_CIPHER_CHACHA20_POLY1305, "ChaCha20-Poly1305");
}

static void answers_a_ping(void **)
{
	struct mesh_pair pair = mesh_pair_new(2, MESH_DIALS, MESH_WAITS);
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	for (unsigned i = 0; i < 2; i++) {
		struct mesh_host *host = i ? pair.b : pair.a;
		mesh_check(
			pair.mesh, qe_shard_ping(host->shard, 0, 77 + i, pair.mesh->now) == QE_OK);
		host->deadline = pair.mesh->now;
		mesh_run(pair.mesh, QE_SECOND);
		mesh_check(pair.mesh, host->events[QE_EVENT_PONG] == 1);
		mesh_check(pair.mesh, host->last.cookie == 77 + i);
		mesh_check(pair.mesh, host->last.rtt >= 20 * QE_MILLISECOND &&
					      host->last.rtt <= 40 * QE_MILLISECOND);
	}
	mesh_free(pair.mesh);
}

static void dials_on_demand(void **)
{
	struct mesh_pair pair = mesh_pair_new(3, MESH_KNOWS, MESH_WAITS);
	mesh_pair_start(&pair);
	mesh_run(pair.mesh, 10 * QE_SECOND);
	mesh_check(pair.mesh, pair.a->tx_datagrams == 0 && pair.b->tx_datagrams == 0);
	mesh_check(pair.mesh, mesh_status(pair.a, 0).state == QE_PEER_IDLE);

	struct mesh_flow *flow = mesh_flow_start(
		pair.a, pair.b, MESH_UDP4, 1400, 10 * QE_MILLISECOND);
	flow->limit = 5;
	mesh_run(pair.mesh, QE_SECOND);
	mesh_flow_check_whole(flow);
	mesh_check(pair.mesh, flow->longest_delay < 200 * QE_MILLISECOND);
	mesh_free(pair.mesh);
}

static void a_ping_dials(void **)
{
	struct mesh_pair pair = mesh_pair_new(4, MESH_KNOWS, MESH_WAITS);
	mesh_pair_start(&pair);
	mesh_run(pair.mesh, QE_SECOND);
	mesh_check(pair.mesh, qe_shard_ping(pair.a->shard, 0, 5, pair.mesh->now) == QE_OK);
	pair.a->deadline = pair.mesh->now;
	mesh_run(pair.mesh, QE_SECOND);
	mesh_check(pair.mesh, pair.a->events[QE_EVENT_PONG] == 1);
	mesh_free(pair.mesh);
}

static void links_with_each_key_type(void **)
{
	for (unsigned i = 0; i < 12; i++) {
		struct mesh_pair pair = mesh_pair_of_types(i, MESH_DIALS, MESH_WAITS,
			i & 1 ? QE_KEY_ML_DSA_65 : QE_KEY_ED25519,
			i & 2 ? QE_KEY_ML_DSA_65 : QE_KEY_ED25519);
		pair.mesh->wire.loss = i < 4 ? 0 : 0.2;
		mesh_pair_start(&pair);
		mesh_check(pair.mesh, mesh_pair_link(&pair, (i < 4 ? 1 : 30) * QE_SECOND));
		mesh_free(pair.mesh);
	}
}

static void needs_a_common_cipher(void **)
{
	struct mesh_pair pair = mesh_pair_new(5, MESH_DIALS, MESH_WAITS);
	pair.a->cipher = QE_CIPHER_CHACHA20_POLY1305;
	pair.b->cipher = QE_CIPHER_AES_256_GCM;
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, !mesh_pair_link(&pair, 10 * QE_SECOND));
	mesh_check(pair.mesh, pair.a->events[QE_EVENT_DIAL_FAILED] > 0);
	mesh_check(pair.mesh, mesh_counters(pair.b).handshake_failures > 0);
	mesh_free(pair.mesh);
}

/* Of several addresses only the last one is right. */
static void tries_every_endpoint(void **)
{
	struct mesh_pair pair = mesh_pair_new(6, MESH_WAITS, MESH_WAITS);
	mesh_pair_start(&pair);
	struct qe_endpoint at[4] = {pair.b->at[0], pair.b->at[1], pair.b->at[0], pair.b->at[0]};
	at[0].port++;
	at[1].port++;
	at[2].port += 2;
	assert_int_equal(qe_shard_set_endpoints(pair.a->shard, 0, at, 4, pair.mesh->now), QE_OK);
	pair.a->deadline = pair.mesh->now;
	mesh_flow_start(pair.a, pair.b, MESH_UDP4, 200, 100 * QE_MILLISECOND);
	mesh_check(pair.mesh, mesh_pair_link(&pair, 3 * QE_SECOND));
	mesh_free(pair.mesh);
}

static void links_under_loss(void **)
{
	qe_time worst = 0, total = 0;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, MESH_WAITS);
		struct mesh *mesh = pair.mesh;
		mesh->wire.loss = 0.3;
		mesh->wire.duplication = 0.1;
		mesh->wire.jitter = 20 * QE_MILLISECOND;
		mesh_pair_start(&pair);
		qe_time began = mesh->now;
		mesh_check(mesh, mesh_pair_link(&pair, 60 * QE_SECOND));
		worst = qe_time_max(worst, mesh->now - began);
		total += mesh->now - began;

		struct mesh_flow *there = mesh_flow_start(
			pair.a, pair.b, MESH_UDP4, 1000, 20 * QE_MILLISECOND);
		struct mesh_flow *back = mesh_flow_start(
			pair.b, pair.a, MESH_UDP6, 1000, 20 * QE_MILLISECOND);
		mesh_run(mesh, 4 * QE_SECOND);
		mesh_check(mesh, there->received > 60 && back->received > 60,
			"%llu and %llu of 200", (unsigned long long)there->received,
			(unsigned long long)back->received);
		mesh_check(mesh, !there->duplicates && !back->duplicates);
		mesh_check(mesh, !there->damaged && !back->damaged);
		mesh_free(mesh);
	}
	print_message("30 %% loss: linked after %.2f s on average, %.2f s at worst\n",
		(double)total / 50 / QE_SECOND, (double)worst / QE_SECOND);
}

static void both_dial_at_once(void **)
{
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, MESH_DIALS);
		struct mesh *mesh = pair.mesh;
		mesh_lay(mesh, pair.a, pair.b)->delay = mesh_random_below(
			mesh, 100 * QE_MILLISECOND);
		mesh_lay(mesh, pair.b, pair.a)->delay = mesh_random_below(
			mesh, 100 * QE_MILLISECOND);
		mesh_start(pair.a);
		mesh_run(mesh, mesh_random_below(mesh, 3) * 20 * QE_MILLISECOND);
		mesh_start(pair.b);
		struct mesh_flow *there = mesh_flow_start(
			pair.a, pair.b, MESH_UDP4, 500, 20 * QE_MILLISECOND);
		struct mesh_flow *back = mesh_flow_start(
			pair.b, pair.a, MESH_UDP6, 500, 20 * QE_MILLISECOND);
		mesh_run(mesh, 10 * QE_SECOND);
		mesh_flow_stop(there);
		mesh_flow_stop(back);
		mesh_run(mesh, QE_SECOND);
		mesh_check(mesh, mesh_status(pair.a, 0).n_links == 1);
		mesh_check(mesh, mesh_status(pair.b, 0).n_links == 1);
		mesh_check(mesh,
			mesh_status(pair.a, 0).link.dialled != mesh_status(pair.b, 0).link.dialled);
		mesh_flow_check_whole(there);
		mesh_flow_check_whole(back);
		mesh_free(mesh);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_over_ipv4),
		cmocka_unit_test(links_over_ipv6),
		cmocka_unit_test(links_with_each_cipher),
		cmocka_unit_test(answers_a_ping),
		cmocka_unit_test(dials_on_demand),
		cmocka_unit_test(a_ping_dials),
		cmocka_unit_test(links_with_each_key_type),
		cmocka_unit_test(needs_a_common_cipher),
		cmocka_unit_test(tries_every_endpoint),
		cmocka_unit_test(links_under_loss),
		cmocka_unit_test(both_dial_at_once),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
