/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A cable between two threads: what is written to one end comes out of the other, once and in
 * order. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "os/thread.h"
#include "os/tun.h"
#include "random.h"

#define PACKETS 200000

struct number {
	uint64_t value;
	uint8_t rest[1392];
};

static int watch(const struct qe_tun *end)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	assert_true(epoll >= 0);
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, qe_tun_fd(end), &event), 0);
	return epoll;
}

/* Fails when nobody rings the bell that was to be rung. */
static void wait_for(int epoll)
{
	struct epoll_event event;

	assert_int_equal(epoll_wait(epoll, &event, 1, 10000), 1);
}

static void write_all(void *ctx)
{
	struct qe_tun *end = ctx;
	struct number number = {};
	int epoll = watch(end);

	while (number.value < PACKETS) {
		const struct qe_offload offload = {.gso_size = (uint16_t)number.value};
		enum qe_error error = qe_tun_write(
			end, &offload, (const uint8_t *)&number, sizeof(number));

		if (error == QE_OK)
			number.value++;
		else
			wait_for(epoll);
	}
	close(epoll);
}

static void read_all(struct qe_tun *end)
{
	uint64_t expected = 0;
	int epoll = watch(end);

	while (expected < PACKETS) {
		struct qe_offload offload;
		struct number number;
		size_t len;

		if (qe_tun_read(end, (uint8_t *)&number, sizeof(number), &offload, &len) ==
			-EAGAIN) {
			wait_for(epoll);
			continue;
		}
		assert_int_equal(len, sizeof(number));
		assert_int_equal(number.value, expected);
		assert_int_equal(offload.gso_size, (uint16_t)expected);
		expected++;
	}
	close(epoll);
}

static void packets_come_in_order(void **)
{
	for (unsigned writer = 0; writer < 2; writer++) {
		struct qe_tun *ends[2];
		struct qe_thread *thread;

		assert_int_equal(qe_tun_new_cable(ends), QE_OK);
		assert_int_equal(qe_thread_new(&thread, "writer", write_all, ends[writer]), QE_OK);
		read_all(ends[1 - writer]);
		qe_thread_join(thread);
		qe_tun_free(ends[0]);
		qe_tun_free(ends[1]);
	}
}

/* Nobody reads: what is refused is counted, and what waits is freed with the ends. */
static void a_cable_is_bounded(void **)
{
	static uint8_t packet[65535];

	for (unsigned writer = 0; writer < 2; writer++) {
		struct qe_tun *ends[2];
		size_t n = 0;

		assert_int_equal(qe_tun_new_cable(ends), QE_OK);
		while (qe_tun_write(ends[writer], &(struct qe_offload){}, packet, sizeof(packet)) ==
			QE_OK)
			n++;
		assert_true(n > 0 && n <= 256);
		assert_int_equal(qe_tun_get_counters(ends[writer])->packets_lost, 1);
		qe_tun_free(ends[0]);
		qe_tun_free(ends[1]);
	}
}

/* What is longer than there is room for is cut, as with an interface. */
static void long_packets_are_cut(void **)
{
	uint8_t packet[100] = {1, 2, 3}, to[2];
	struct qe_offload offload;
	struct qe_tun *ends[2];
	size_t len;

	assert_int_equal(qe_tun_new_cable(ends), QE_OK);
	assert_int_equal(
		qe_tun_write(ends[0], &(struct qe_offload){}, packet, sizeof(packet)), QE_OK);
	assert_int_equal(qe_tun_read(ends[1], to, sizeof(to), &offload, &len), QE_OK);
	assert_int_equal(len, sizeof(to));
	assert_memory_equal(to, packet, sizeof(to));
	qe_tun_free(ends[0]);
	qe_tun_free(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_come_in_order),
		cmocka_unit_test(a_cable_is_bounded),
		cmocka_unit_test(long_packets_are_cut),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
