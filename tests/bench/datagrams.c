/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A stream of UDP datagrams at a steady rate, and a count of what comes of it.
 *
 *   datagrams receive ADDRESS PORT                     prints "ready", then how many came
 *   datagrams send ADDRESS PORT SIZE RATE MILLISECONDS prints how many it sent, in how many us
 *
 * The sender hands them to the kernel in small groups (sendmmsg), a group every 100 us, as a queue
 * of a TUN device is short. A sender that falls behind makes up for it in groups of at most twice
 * that size, and if it falls behind too far, sends less than it was told. The receiver ends once
 * nothing has come for a while.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../tool.h"

constexpr unsigned group_max = 64;
constexpr unsigned long size_max = 1472;
constexpr uint64_t tick = 100'000;
constexpr uint64_t arrears_max = 50 * tick;
constexpr int socket_buffer = 8 * 1024 * 1024;
constexpr int patience_ms = 150;
constexpr int first_patience_ms = 3000;

/* ---- a group of messages, all alike ---- */

struct group {
	struct mmsghdr messages[group_max];
	struct iovec parts[group_max];
	uint8_t bytes[size_max];
};

static void group_init(struct group *group, size_t size)
{
	for (unsigned i = 0; i < group_max; i++) {
		group->parts[i] = (struct iovec){group->bytes, size};
		group->messages[i].msg_hdr = (struct msghdr){
			.msg_iov = &group->parts[i], .msg_iovlen = 1};
	}
}

static socklen_t parse_address(
	struct sockaddr_storage *ret_at, const char *address, const char *port)
{
	in_port_t number_of_port = htons((uint16_t)number(port, 1, UINT16_MAX));
	struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = number_of_port};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = number_of_port};

	if (inet_pton(AF_INET, address, &ipv4.sin_addr) == 1) {
		memcpy(ret_at, &ipv4, sizeof(ipv4));
		return sizeof(ipv4);
	}
	if (inet_pton(AF_INET6, address, &ipv6.sin6_addr) != 1) {
		fprintf(stderr, "datagrams: %s: no address\n", address);
		exit(2);
	}
	memcpy(ret_at, &ipv6, sizeof(ipv6));
	return sizeof(ipv6);
}

static int open_socket(const char *address, const char *port, bool receives)
{
	struct sockaddr_storage at;
	socklen_t size = parse_address(&at, address, port);
	int fd = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	must(fd >= 0, "socket");
	must(setsockopt(fd, SOL_SOCKET, receives ? SO_RCVBUFFORCE : SO_SNDBUFFORCE, &socket_buffer,
		     sizeof(socket_buffer)) == 0,
		"setsockopt");
	if (receives)
		must(bind(fd, (struct sockaddr *)&at, size) == 0, "bind");
	else
		must(connect(fd, (struct sockaddr *)&at, size) == 0, "connect");
	return fd;
}

/* ---- receiving ---- */

static void be_patient(int fd, int ms)
{
	struct timeval time = {ms / 1000, ms % 1000 * 1000};

	must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) == 0, "setsockopt");
}

static int receive(const char *address, const char *port)
{
	static struct group group;
	int fd = open_socket(address, port, true);
	unsigned long count = 0;

	group_init(&group, size_max);
	be_patient(fd, first_patience_ms);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int n = recvmmsg(fd, group.messages, group_max, MSG_WAITFORONE, nullptr);

		if (n < 0)
			break;
		if (count == 0)
			be_patient(fd, patience_ms);
		count += (unsigned)n;
	}
	must(errno == EAGAIN, "recvmmsg");
	printf("%lu\n", count);
	return 0;
}

/* ---- sending ---- */

/* Returns how many the kernel took; ENOBUFS and a refusal by ICMP count as lost on the way. */
static unsigned long send_some(int fd, struct group *group, unsigned long n)
{
	unsigned long sent = 0;

	while (sent < n) {
		unsigned some = n - sent < group_max ? (unsigned)(n - sent) : group_max;
		int done = sendmmsg(fd, group->messages, some, 0);

		if (done < 0)
			must(errno == ENOBUFS || errno == ECONNREFUSED, "sendmmsg");
		sent += done < 0 ? 1 : (unsigned)done;
	}
	return sent;
}

static int send_all(char **words)
{
	static struct group group;
	int fd = open_socket(words[0], words[1], false);
	unsigned long rate = number(words[3], 1, 100'000'000), sent = 0;
	uint64_t duration = number(words[4], 1, 600'000) * 1'000'000, start, at, schedule;
	uint64_t most = 2 * rate * tick / second + 1;

	group_init(&group, number(words[2], 1, size_max));
	prctl(PR_SET_TIMERSLACK, 1);
	start = at = schedule = now();
	while (at - start < duration) {
		uint64_t due = (at - schedule) * rate / second;

		due = due < most ? due : most;
		sent += send_some(fd, &group, due);
		schedule += due * second / rate;
		sleep_until(at + tick);
		at = now();
		if (at - schedule > arrears_max)
			schedule = at - arrears_max;
	}
	printf("%lu %llu\n", sent, (unsigned long long)(at - start) / 1000);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "receive") == 0)
		return receive(argv[2], argv[3]);
	if (argc == 7 && strcmp(argv[1], "send") == 0)
		return send_all(argv + 2);
	fprintf(stderr, "usage: datagrams receive ADDRESS PORT\n"
			"       datagrams send ADDRESS PORT SIZE RATE MILLISECONDS\n");
	return 2;
}
