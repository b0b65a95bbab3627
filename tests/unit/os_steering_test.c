/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The kernel's programs against the functions they stand for. Needs root; without it the tests are
 * skipped. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "isolated.h"
#include "net/addr.h"
#include "os/steering.h"
#include "os/udp.h"
#include "quicether.h"

constexpr unsigned rounds = 20000;
constexpr size_t ethernet_header = 14; /* the kernel's test run wants one, and takes it off */

/* ---- packets ---- */

static unsigned run_in_kernel(int program, const uint8_t *packet, size_t len)
{
	uint8_t frame[256] = {};
	union bpf_attr attributes;

	memcpy(frame + ethernet_header, packet, len);
	memset(&attributes, 0, sizeof(attributes));
	attributes.test.prog_fd = (uint32_t)program;
	attributes.test.data_in = (uintptr_t)frame;
	attributes.test.data_size_in = (uint32_t)(ethernet_header + len);
	assert_int_equal(syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attributes, sizeof(attributes)), 0);
	return attributes.test.retval;
}

/* Mostly what could be a packet, of any length. */
static size_t random_packet(uint8_t packet[static 120])
{
	static const uint8_t protocols[] = {6, 17, 1, 58, 132, 44, 0};
	size_t len = 1 + random_below(120);
	bool v4 = random_below(2);

	random_fill(packet, 120);
	if (random_below(10) > 0)
		packet[0] = v4 ? (uint8_t)(0x40 | random_below(16)) : 0x60;
	if (random_below(10) > 0)
		packet[v4 ? 9 : 6] = protocols[random_below(sizeof(protocols))];
	if (v4 && random_below(4) > 0) {
		packet[6] &= 0x40;
		packet[7] = 0;
	}
	return len;
}

static void the_kernel_steers_packets_alike(void **)
{
	int program;
	enum qe_error error = qe_steering_load(&program);

	if (!isolated || error == -EPERM)
		skip();
	assert_int_equal(error, QE_OK);
	for (unsigned i = 0; i < rounds; i++) {
		uint8_t packet[120];
		size_t len = random_packet(packet);

		/* The queue is the lower 16 bits modulo the number of queues. */
		assert_int_equal(
			run_in_kernel(program, packet, len), qe_packet_worker(packet, len, 65536));
	}
	close(program);
}

static void both_directions_go_together(void **)
{
	unsigned seen[4] = {};

	for (unsigned i = 0; i < rounds; i++) {
		uint8_t there[48], back[48];
		bool v4 = random_below(2);
		size_t at = v4 ? 12 : 8, size = v4 ? 4 : 16, ports = v4 ? 20 : 40;
		unsigned worker;

		random_fill(there, sizeof(there));
		there[0] = v4 ? 0x45 : 0x60;
		there[6] &= v4 ? 0x40 : 0xff;
		there[v4 ? 7 : 6] = v4 ? 0 : 17;
		there[9] = v4 ? 6 : there[9];
		memcpy(back, there, sizeof(back));
		memcpy(back + at, there + at + size, size);
		memcpy(back + at + size, there + at, size);
		memcpy(back + ports, there + ports + 2, 2);
		memcpy(back + ports + 2, there + ports, 2);
		worker = qe_packet_worker(there, sizeof(there), 4);
		assert_int_equal(worker, qe_packet_worker(back, sizeof(back), 4));
		seen[worker]++;
	}
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(seen[i], rounds / 4 - rounds / 20, rounds / 4 + rounds / 20);
}

/* ---- datagrams ---- */

static void check_group(unsigned n)
{
	struct qe_udp *group[QE_WORKERS_MAX], *sender;
	struct qe_endpoint listen = {};
	struct qe_path path = {};

	assert_int_equal(qe_addr_parse(&listen.addr, "127.0.0.1"), QE_OK);
	assert_int_equal(qe_udp_new(&sender, &listen), QE_OK);
	assert_int_equal(qe_udp_new_group(group, n, &listen), QE_OK);
	assert_false(qe_udp_get_counters(group[0])->steering_off);
	path.remote = qe_udp_local(group[0]);
	for (unsigned i = 0; i < 500; i++) {
		struct qe_udp_train train;
		uint8_t datagram[64];
		size_t len = 1 + random_below(sizeof(datagram));
		unsigned worker;

		random_fill(datagram, sizeof(datagram));
		worker = qe_datagram_worker(datagram, len, n);
		qe_udp_send(sender, &path, 0, datagram, len, len);
		assert_int_equal(qe_udp_receive(group[worker], &train), QE_OK);
		assert_int_equal(train.len, len);
		assert_memory_equal(train.data, datagram, len);
	}
	for (unsigned i = 0; i < n; i++)
		qe_udp_free(group[i]);
	qe_udp_free(sender);
}

static void the_kernel_steers_datagrams_alike(void **)
{
	if (!isolated)
		skip();
	for (unsigned n = 1; n <= QE_WORKERS_MAX; n++)
		check_group(n);
}

/* Neither a lone socket nor a group gets into the port of another. */
static void a_port_belongs_to_one_group(void **)
{
	struct qe_udp *group[2], *other[2];
	struct qe_endpoint listen = {};

	if (!isolated)
		skip();
	assert_int_equal(qe_addr_parse(&listen.addr, "127.0.0.1"), QE_OK);
	assert_int_equal(qe_udp_new_group(group, 2, &listen), QE_OK);
	listen = qe_udp_local(group[0]);
	assert_int_equal(qe_udp_new_group(other, 2, &listen), -EADDRINUSE);
	assert_int_equal(qe_udp_new(other, &listen), -EADDRINUSE);
	qe_udp_free(group[0]);
	qe_udp_free(group[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernel_steers_packets_alike),
		cmocka_unit_test(both_directions_go_together),
		cmocka_unit_test(the_kernel_steers_datagrams_alike),
		cmocka_unit_test(a_port_belongs_to_one_group),
	};

	return cmocka_run_group_tests(tests, isolate, nullptr);
}
