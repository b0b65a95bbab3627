/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Two workers in a network namespace of the test's own, linked over loopback:
 *
 *    qea (TUN) --- worker a --- 127.0.0.1 --- worker b --- qeb (TUN)
 *
 * Needs root; without it the tests are skipped.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/key.h"
#include "daemon/worker.h"
#include "isolated.h"
#include "net/addr.h"
#include "os/clock.h"
#include "os/sockaddr.h"

struct side {
	struct qe_key *key;
	struct qe_node *node;
	struct qe_tun *tun;
	struct qe_udp *udp;
	struct qe_loop *loop; /* the control thread's */
	struct qe_worker *worker;
};

static void wake(void *ctx)
{
	qe_loop_wake(ctx);
}

static void start_worker(struct side *side)
{
	assert_int_equal(qe_worker_new(&side->worker,
				 &(struct qe_worker_settings){
					 .node = side->node,
					 .of = 1,
					 .tun = side->tun,
					 .udp = side->udp,
					 .cpu = -1,
					 .notify = wake,
					 .ctx = side->loop,
				 }),
		QE_OK);
	assert_int_equal(qe_worker_start(side->worker, &side->worker), QE_OK);
}

static void open_side(struct side *side, const char *tun_name, const struct side *other)
{
	const struct qe_peer_settings peer = {.name = "other", .id = *qe_key_get_id(other->key)};
	const struct qe_node_settings settings = {
		.name = tun_name,
		.key = side->key,
		.mtu = 1400,
		.rotate = 300 * QE_SECOND,
		.peers = &peer,
		.n_peers = 1,
	};
	struct qe_endpoint listen = {};

	assert_int_equal(qe_addr_parse(&listen.addr, "127.0.0.1"), QE_OK);
	assert_int_equal(qe_node_new(&side->node, &settings), QE_OK);
	assert_int_equal(qe_tun_new(&side->tun, tun_name), QE_OK);
	assert_int_equal(qe_udp_new(&side->udp, &listen), QE_OK);
	assert_int_equal(qe_loop_new(&side->loop), QE_OK);
	start_worker(side);
}

static void open_both(struct side sides[static 2])
{
	for (int i = 0; i < 2; i++)
		assert_int_equal(qe_key_generate(&sides[i].key, QE_KEY_ED25519), QE_OK);
	open_side(&sides[0], "qea", &sides[1]);
	open_side(&sides[1], "qeb", &sides[0]);
}

static void close_side(struct side *side)
{
	qe_worker_free(side->worker);
	qe_loop_free(side->loop);
	qe_udp_free(side->udp);
	qe_tun_free(side->tun);
	qe_node_free(side->node);
	qe_key_free(side->key);
}

/* The next event of that type; others are passed over. */
static struct qe_worker_event wait_for(struct side *side, enum qe_event_type type)
{
	qe_time end = qe_clock_now() + 10 * QE_SECOND;
	struct qe_worker_event event;

	for (;;) {
		while (qe_worker_take_event(side->worker, &event)) {
			free(event.message);
			event.message = nullptr;
			event.event.message = nullptr;
			if (event.event.type == type)
				return event;
		}
		assert_true(qe_clock_now() < end);
		qe_loop_turn(side->loop, end);
	}
}

static struct qe_worker_query *new_query(size_t n)
{
	struct qe_worker_query *query = calloc(1, sizeof(*query) + n * sizeof(query->peers[0]));

	assert_non_null(query);
	query->n = n;
	return query;
}

static void test_link_ping_and_query(void **)
{
	struct side sides[2] = {};
	struct qe_endpoint there;
	struct qe_worker_query *query, *answer;

	if (!isolated)
		skip();
	open_both(sides);
	there = qe_udp_local(sides[1].udp);
	assert_int_equal(qe_worker_set_endpoints(sides[0].worker, 0, &there, 1), QE_OK);
	assert_int_equal(qe_worker_ping(sides[0].worker, 0, 77), QE_OK);
	assert_int_equal(wait_for(&sides[0], QE_EVENT_PONG).event.cookie, 77);
	assert_int_equal(wait_for(&sides[1], QE_EVENT_PEER_UP).event.peer, 0);

	query = new_query(1);
	assert_int_equal(qe_worker_query(sides[0].worker, query), QE_OK);
	while (!(answer = qe_worker_take_query(sides[0].worker)))
		qe_loop_turn(sides[0].loop, QE_TIME_NEVER);
	assert_ptr_equal(answer, query);
	assert_int_equal(query->peers[0].status.state, QE_PEER_CONNECTED);
	assert_string_equal(query->peers[0].key_exchange, "X25519MLKEM768");
	assert_true(query->shard.tx_datagrams > 0);
	free(query);

	qe_worker_stop(sides[1].worker);
	assert_int_equal(wait_for(&sides[0], QE_EVENT_PEER_DOWN).event.peer, 0);
	close_side(&sides[0]);
	close_side(&sides[1]);
}

/* A peer that nobody knows the way to, and one that does not exist. */
static void test_ping_into_nothing(void **)
{
	struct side sides[2] = {};
	struct qe_worker_event event;

	if (!isolated)
		skip();
	open_both(sides);
	assert_int_equal(qe_worker_ping(sides[0].worker, 5, 1), QE_OK);
	event = wait_for(&sides[0], QE_EVENT_PING_LOST);
	assert_int_equal(event.event.cookie, 1);
	assert_true(event.reason[0]);
	close_side(&sides[0]);
	close_side(&sides[1]);
}

/* However many are under way when the worker stops, each comes back. */
static void test_queries_survive_a_stop(void **)
{
	struct side sides[2] = {};
	struct qe_worker_query *query;
	size_t asked = 0, answered = 0;

	if (!isolated)
		skip();
	open_both(sides);
	for (;; asked++) {
		query = new_query(0);
		if (qe_worker_query(sides[0].worker, query) != QE_OK)
			break;
	}
	free(query);
	assert_true(asked >= 64);
	qe_worker_stop(sides[0].worker);
	for (; (query = qe_worker_take_query(sides[0].worker)); answered++)
		free(query);
	assert_int_equal(answered, asked);
	close_side(&sides[0]);
	close_side(&sides[1]);
}

/* n empty datagrams, and one that is not. */
static void send_after_nothing(const struct qe_udp *udp, int n)
{
	struct qe_endpoint there = qe_udp_local(udp);
	struct sockaddr_storage to;
	socklen_t size = qe_sockaddr_from_endpoint(&to, &there, false);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	for (int i = 0; i <= n; i++)
		assert_int_equal(sendto(fd, "x", i == n, 0, (struct sockaddr *)&to, size), i == n);
	close(fd);
}

/* What stands in the queue behind many datagrams of no use is read at once, not with the next. */
static void test_reads_all_that_waits(void **)
{
	struct side sides[2] = {};
	struct side *side = &sides[0];
	qe_time end = qe_clock_now() + 5 * QE_SECOND;
	uint64_t read = 0;

	if (!isolated)
		skip();
	open_both(sides);
	qe_worker_free(side->worker);
	send_after_nothing(side->udp, 100);
	start_worker(side);
	while (read == 0) {
		struct qe_worker_query *query = new_query(0);

		assert_true(qe_clock_now() < end);
		assert_int_equal(qe_worker_query(side->worker, query), QE_OK);
		while (!qe_worker_take_query(side->worker))
			qe_loop_turn(side->loop, QE_TIME_NEVER);
		read = query->shard.rx_datagrams;
		free(query);
	}
	assert_int_equal(read, 1);
	close_side(&sides[0]);
	close_side(&sides[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_ping_and_query),
		cmocka_unit_test(test_ping_into_nothing),
		cmocka_unit_test(test_queries_survive_a_stop),
		cmocka_unit_test(test_reads_all_that_waits),
	};

	return cmocka_run_group_tests(tests, isolate, nullptr);
}
