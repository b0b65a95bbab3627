/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Trains of random datagrams over loopback against the plain list of what was sent. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "net/addr.h"
#include "os/udp.h"
#include "random.h"

#define TRAIN_MAX 20000

static struct qe_udp *open_udp(const char *at)
{
	struct qe_endpoint listen = {};
	struct qe_udp *udp = nullptr;

	assert_int_equal(qe_addr_parse(&listen.addr, at), QE_OK);
	assert_int_equal(qe_udp_new(&udp, &listen), QE_OK);
	return udp;
}

/* What came, datagram by datagram: lengths and all bytes one after the other. */
struct received {
	uint8_t bytes[2 * TRAIN_MAX];
	size_t len, n_datagrams;
};

static void take_train(struct received *received, const struct qe_udp_train *train)
{
	assert_true(received->len + train->len <= sizeof(received->bytes));
	assert_true(train->segment_size > 0 && train->segment_size <= train->len);
	memcpy(received->bytes + received->len, train->data, train->len);
	received->len += train->len;
	received->n_datagrams += (train->len + train->segment_size - 1) / train->segment_size;
}

/* Loopback delivers at once, or a moment later when the machine is busy. */
static void receive_train(struct qe_udp *udp, struct qe_udp_train *ret_train)
{
	struct pollfd readable = {.fd = qe_udp_fd(udp), .events = POLLIN};

	assert_int_equal(poll(&readable, 1, 5000), 1);
	assert_int_equal(qe_udp_receive(udp, ret_train), QE_OK);
}

static void receive_all(struct received *received, struct qe_udp *udp, size_t len,
	struct qe_path *ret_path, uint8_t *ret_ecn)
{
	struct qe_udp_train train;

	*received = (struct received){};
	while (received->len < len) {
		receive_train(udp, &train);
		take_train(received, &train);
		*ret_path = train.path;
		*ret_ecn = train.ecn;
	}
	assert_int_equal(qe_udp_receive(udp, &train), -EAGAIN);
}

static void check_round(struct qe_udp *from, struct qe_udp *to, const char *address)
{
	static uint8_t sent[TRAIN_MAX];
	static struct received received;
	size_t segment = 1 + random_below(1400), n = 1 + random_below(TRAIN_MAX / 1400);
	size_t len = segment * (n - 1) + 1 + random_below(segment);
	uint8_t ecn = (uint8_t)random_below(4), ecn_seen = 0;
	struct qe_path path = {}, seen = {};

	assert_int_equal(qe_addr_parse(&path.remote.addr, address), QE_OK);
	path.remote.port = qe_udp_local(to).port;
	random_fill(sent, len);
	qe_udp_send(from, &path, ecn, sent, len, segment);
	receive_all(&received, to, len, &seen, &ecn_seen);
	assert_int_equal(received.len, len);
	assert_memory_equal(received.bytes, sent, len);
	assert_int_equal(received.n_datagrams, n);
	assert_int_equal(ecn_seen, ecn);
	assert_true(qe_addr_equal(&seen.local.addr, &path.remote.addr));
	assert_int_equal(seen.local.port, path.remote.port);
	assert_true(qe_addr_equal(&seen.remote.addr, &path.remote.addr));
	assert_int_equal(seen.remote.port, qe_udp_local(from).port);
}

static void check_pair(const char *at, const char *address)
{
	struct qe_udp *from = open_udp(at), *to = open_udp(at);

	for (int i = 0; i < 200; i++)
		check_round(from, to, address);
	qe_udp_free(from);
	qe_udp_free(to);
}

static void test_ipv4(void **)
{
	check_pair("127.0.0.1", "127.0.0.1");
}

static void test_ipv6(void **)
{
	check_pair("::1", "::1");
}

static void test_both_families_on_one_socket(void **)
{
	check_pair("::", "::1");
	check_pair("::", "127.0.0.1");
}

static void test_answers_leave_from_the_address_that_was_asked(void **)
{
	struct qe_udp *server = open_udp("::"), *client = open_udp("0.0.0.0");
	struct qe_path there = {.remote.port = qe_udp_local(server).port}, back;
	struct qe_udp_train train;

	assert_int_equal(qe_addr_parse(&there.remote.addr, "127.0.0.9"), QE_OK);
	qe_udp_send(client, &there, 0, (const uint8_t *)"ask", 3, 3);
	receive_train(server, &train);
	back = train.path;
	qe_udp_send(server, &back, 0, (const uint8_t *)"answer", 6, 6);
	receive_train(client, &train);
	assert_true(qe_addr_equal(&train.path.remote.addr, &there.remote.addr));
	assert_int_equal(train.len, 6);
	qe_udp_free(client);
	qe_udp_free(server);
}

static void test_nothing_there(void **)
{
	struct qe_udp *udp = open_udp("127.0.0.1");
	struct qe_udp_train train;

	assert_int_equal(qe_udp_receive(udp, &train), -EAGAIN);
	qe_udp_free(udp);
}

static void test_port_in_use(void **)
{
	struct qe_udp *first = open_udp("::"), *second = nullptr;
	struct qe_endpoint listen = qe_udp_local(first);

	assert_int_equal(qe_udp_new(&second, &listen), -EADDRINUSE);
	assert_null(second);
	qe_udp_free(first);
}

static void test_address_of_nobody(void **)
{
	struct qe_endpoint listen = {.port = 0};
	struct qe_udp *udp = nullptr;

	assert_int_equal(qe_addr_parse(&listen.addr, "192.0.2.1"), QE_OK);
	assert_int_equal(qe_udp_new(&udp, &listen), -EADDRNOTAVAIL);
}

/* A source address that is not ours any more is counted, and is no reason to stop. */
static void test_lost_source_address(void **)
{
	struct qe_udp *udp = open_udp("0.0.0.0");
	struct qe_path path = {.remote.port = 9};

	assert_int_equal(qe_addr_parse(&path.remote.addr, "127.0.0.1"), QE_OK);
	assert_int_equal(qe_addr_parse(&path.local.addr, "192.0.2.1"), QE_OK);
	qe_udp_send(udp, &path, 0, (const uint8_t *)"x", 1, 1);
	assert_int_equal(qe_udp_get_counters(udp)->unreachable, 1);
	qe_udp_free(udp);
}

/* Each datagram of each train is counted once, whatever became of it. */
static void test_counts_datagrams(void **)
{
	static uint8_t bytes[TRAIN_MAX];
	struct qe_udp *udp = open_udp("0.0.0.0");
	const struct qe_udp_counters *counters = qe_udp_get_counters(udp);
	struct qe_path good = {.remote.port = 9}, bad, ipv6 = good;
	uint64_t sent = 0, lost = 0;

	assert_int_equal(qe_addr_parse(&good.remote.addr, "127.0.0.1"), QE_OK);
	assert_int_equal(qe_addr_parse(&ipv6.remote.addr, "::1"), QE_OK);
	bad = good;
	assert_int_equal(qe_addr_parse(&bad.local.addr, "192.0.2.1"), QE_OK);
	for (int i = 0; i < 300; i++) {
		const struct qe_path *paths[] = {&good, &bad, &ipv6};
		size_t way = random_below(3), segment = 1 + random_below(1400);
		size_t n = 1 + random_below(TRAIN_MAX / 1400);

		qe_udp_send(udp, paths[way], 0, bytes, segment * (n - 1) + 1, segment);
		*(way == 0 ? &sent : &lost) += n;
	}
	assert_int_equal(counters->sent, sent);
	assert_int_equal(counters->unreachable, lost);
	assert_int_equal(counters->no_buffer + counters->too_big + counters->failed, 0);
	qe_udp_free(udp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_both_families_on_one_socket),
		cmocka_unit_test(test_answers_leave_from_the_address_that_was_asked),
		cmocka_unit_test(test_nothing_there),
		cmocka_unit_test(test_port_in_use),
		cmocka_unit_test(test_address_of_nobody),
		cmocka_unit_test(test_lost_source_address),
		cmocka_unit_test(test_counts_datagrams),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
