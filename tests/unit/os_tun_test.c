/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The TUN interface and netlink, in a network namespace of the test's own:
 *
 *    UDP socket --- kernel --- TUN interface (10.9.0.1/24, fd00:9::1/64) --- this test
 *
 * Needs root; without it there is nothing to test, and the tests are skipped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>

#include "net/addr.h"
#include "net/packet.h"
#include "os/netlink.h"
#include "os/tun.h"
#include "os/udp.h"
#include "random.h"

static bool isolated;

static int isolate(void **state)
{
	isolated = unshare(CLONE_NEWNET) == 0;
	return random_setup(state);
}

static struct qe_addr addr_of(const char *text)
{
	struct qe_addr addr;

	assert_int_equal(qe_addr_parse(&addr, text), QE_OK);
	return addr;
}

static struct qe_prefix prefix_of(const char *text)
{
	struct qe_prefix prefix;

	assert_int_equal(qe_prefix_parse(&prefix, text), QE_OK);
	return prefix;
}

struct lab {
	struct qe_netlink *netlink;
	struct qe_tun *tun;
	unsigned index;
};

static struct lab open_lab(void)
{
	struct lab lab = {};
	struct qe_addr ipv4 = addr_of("10.9.0.1"), ipv6 = addr_of("fd00:9::1");

	assert_int_equal(qe_netlink_new(&lab.netlink), QE_OK);
	assert_int_equal(qe_tun_new(&lab.tun, "qetest0"), QE_OK);
	assert_int_equal(qe_netlink_interface(lab.netlink, "qetest0", &lab.index), QE_OK);
	assert_int_equal(qe_netlink_up(lab.netlink, lab.index, 1400, 64), QE_OK);
	assert_int_equal(qe_netlink_add_addr(lab.netlink, lab.index, &ipv4, 24), QE_OK);
	assert_int_equal(qe_netlink_add_addr(lab.netlink, lab.index, &ipv6, 64), QE_OK);
	return lab;
}

static void close_lab(struct lab *lab)
{
	unsigned index;

	qe_tun_free(lab->tun);
	assert_int_equal(qe_netlink_interface(lab->netlink, "qetest0", &index), -ENODEV);
	qe_netlink_free(lab->netlink);
}

/* The kernel delivers at once, or a moment later when the machine is busy. */
static bool is_readable(int fd, int patience_ms)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};

	return poll(&readable, 1, patience_ms) == 1;
}

/* The next packet to a destination; what the kernel sends on its own is passed over. */
static struct qe_packet read_packet(const struct lab *lab, uint8_t bytes[static 65536],
	struct qe_offload *ret_offload, const struct qe_addr *destination)
{
	struct qe_packet packet;
	size_t len;

	do {
		assert_true(is_readable(qe_tun_fd(lab->tun), 5000));
		assert_int_equal(qe_tun_read(lab->tun, bytes, 65536, ret_offload, &len), QE_OK);
		assert_int_equal(qe_packet_parse(&packet, (struct qe_bytes){bytes, len}), QE_OK);
	} while (!qe_addr_equal(&packet.destination, destination));
	return packet;
}

static struct qe_udp *open_udp(const char *at)
{
	struct qe_endpoint listen = {.addr = addr_of(at)};
	struct qe_udp *udp = nullptr;

	assert_int_equal(qe_udp_new(&udp, &listen), QE_OK);
	return udp;
}

/* A train leaves the kernel as one super-packet where it knows USO, else as packets. Mirrored, with
 * addresses and ports exchanged, it comes back to the socket as it was sent; or, as the result
 * says, not in time. */
static bool mirror(const struct lab *lab, const char *own, const char *other, int patience_ms)
{
	static uint8_t bytes[65536];
	uint8_t sent[5 * 1000 + 300], swap[16];
	struct qe_udp *udp = open_udp(own);
	struct qe_path path = {.remote = {.addr = addr_of(other), .port = 7}};
	struct qe_udp_train train;
	struct qe_offload offload;
	size_t come = 0;

	random_fill(sent, sizeof(sent));
	qe_udp_send(udp, &path, 0, sent, sizeof(sent), 1000);
	while (come < sizeof(sent)) {
		struct qe_packet packet = read_packet(lab, bytes, &offload, &path.remote.addr);
		size_t size = packet.version == 4 ? 4 : 16, at = packet.version == 4 ? 12 : 8;

		assert_int_equal(packet.destination_port, 7);
		assert_int_equal(offload.gso == QE_GSO_UDP, packet.len > 1400);
		memcpy(swap, bytes + at, size);
		memcpy(bytes + at, bytes + at + size, size);
		memcpy(bytes + at + size, swap, size);
		memcpy(swap, bytes + packet.transport, 2);
		memcpy(bytes + packet.transport, bytes + packet.transport + 2, 2);
		memcpy(bytes + packet.transport + 2, swap, 2);
		assert_int_equal(qe_tun_write(lab->tun, &offload, bytes, packet.len), QE_OK);
		come += packet.len - packet.payload;
	}
	for (come = 0; come < sizeof(sent); come += train.len) {
		if (!is_readable(qe_udp_fd(udp), patience_ms))
			break;
		assert_int_equal(qe_udp_receive(udp, &train), QE_OK);
		assert_memory_equal(train.data, sent + come, train.len);
		assert_true(qe_addr_equal(&train.path.remote.addr, &path.remote.addr));
	}
	qe_udp_free(udp);
	return come == sizeof(sent);
}

static void test_mirror(void **)
{
	struct lab lab;

	if (!isolated)
		skip();
	lab = open_lab();
	/* A new IPv6 address delivers only when a worker of the kernel's has come round to it. */
	for (int i = 0; i < 250 && !mirror(&lab, "fd00:9::1", "fd00:9::2", 20); i++)
		;
	for (int i = 0; i < 50; i++) {
		assert_true(mirror(&lab, "10.9.0.1", "10.9.0.2", 5000));
		assert_true(mirror(&lab, "fd00:9::1", "fd00:9::2", 5000));
	}
	close_lab(&lab);
}

/* An interface that is down takes nothing: all that was in the super-packet is lost. */
static void test_counts_packets(void **)
{
	const struct qe_offload train = {.gso = QE_GSO_TCP4,
		.needs_csum = true,
		.gso_size = 1000,
		.hdr_len = 40,
		.csum_start = 20,
		.csum_offset = 16};
	const struct qe_tun_counters *counters;
	struct qe_tun *tun = nullptr;
	uint8_t bytes[40 + 4 * 1000 + 1] = {0x45};

	if (!isolated)
		skip();
	assert_int_equal(qe_tun_new(&tun, "qetest0"), QE_OK);
	counters = qe_tun_get_counters(tun);
	assert_int_equal(qe_tun_write(tun, &train, bytes, sizeof(bytes)), -EIO);
	assert_int_equal(counters->packets_lost, 5);
	assert_int_equal(qe_tun_write(tun, &(struct qe_offload){}, bytes, 40), -EIO);
	assert_int_equal(counters->packets_lost, 6);
	assert_int_equal(counters->writes, 0);
	qe_tun_free(tun);
}

static void test_name_in_use(void **)
{
	struct qe_tun *second = nullptr;
	struct lab lab;

	if (!isolated)
		skip();
	lab = open_lab();
	assert_int_equal(qe_tun_new(&second, "qetest0"), -EBUSY);
	assert_int_equal(qe_tun_new(&second, "a-name-that-is-too-long"), QE_ERR_RANGE);
	close_lab(&lab);
}

struct wanted {
	const char *prefix;
	bool is_route;
	unsigned seen;
};

static struct wanted wanted[] = {
	{"10.9.0.0/24", false, 0},
	{"fd00:9::/64", false, 0},
	{"192.168.77.0/24", true, 0},
	{"fd00:77::/48", true, 0},
};

static void look_for(void *, const struct qe_host_entry *entry)
{
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		struct qe_prefix prefix = prefix_of(wanted[i].prefix);

		if (wanted[i].is_route != entry->is_route ||
			qe_prefix_compare(&prefix, &entry->prefix) != 0)
			continue;
		assert_string_equal(entry->interface, "qetest0");
		wanted[i].seen++;
	}
}

static void test_addresses_and_routes(void **)
{
	struct qe_netlink_monitor *monitor = nullptr;
	struct qe_prefix ipv4 = prefix_of("192.168.77.0/24"), ipv6 = prefix_of("fd00:77::/48");
	struct lab lab;

	if (!isolated)
		skip();
	lab = open_lab();
	assert_int_equal(qe_netlink_monitor_new(&monitor), QE_OK);
	qe_netlink_monitor_drain(monitor); /* what the set-up has left */
	assert_int_equal(qe_netlink_add_route(lab.netlink, lab.index, &ipv4), QE_OK);
	assert_true(qe_netlink_monitor_drain(monitor));
	assert_int_equal(qe_netlink_add_route(lab.netlink, lab.index, &ipv6), QE_OK);
	assert_int_equal(qe_netlink_add_route(lab.netlink, lab.index, &ipv4), -EEXIST);
	assert_int_equal(qe_netlink_add_addr(lab.netlink, lab.index, &ipv4.addr, 32), QE_OK);
	assert_int_equal(qe_netlink_add_addr(lab.netlink, lab.index, &ipv4.addr, 32), -EEXIST);
	assert_int_equal(qe_netlink_visit(lab.netlink, look_for, nullptr), QE_OK);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_int_equal(wanted[i].seen, 1);
	qe_netlink_monitor_free(monitor);
	close_lab(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mirror),
		cmocka_unit_test(test_counts_packets),
		cmocka_unit_test(test_name_in_use),
		cmocka_unit_test(test_addresses_and_routes),
	};

	return cmocka_run_group_tests(tests, isolate, nullptr);
}
