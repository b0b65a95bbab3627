/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 *   pings ADDRESS COUNT MICROSECONDS    prints the round trip of each ping that is answered, in us
 *
 * One ping at a time, and between them this program sleeps: ping(1) at such a rate keeps a whole
 * core busy, which the tunnel then lacks. Needs net.ipv4.ping_group_range.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../tool.h"

constexpr unsigned long count_max = 100'000;
constexpr unsigned long interval_max = 1'000'000;
constexpr struct timeval patience = {.tv_sec = 1};

/* A request and its answer begin alike in both families; the kernel fills in the rest. */
struct echo {
	uint8_t type, code;
	uint16_t checksum, id, sequence;
	uint8_t payload[56];
};

/* A ping socket, connected; or -1. */
static int open_socket(const char *address)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
	bool is_ipv4 = inet_pton(AF_INET, address, &ipv4.sin_addr) == 1;
	int fd = is_ipv4 ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP)
			 : socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMPV6);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return -1;
	if (is_ipv4)
		return connect(fd, (struct sockaddr *)&ipv4, sizeof(ipv4)) < 0 ? -1 : fd;
	if (inet_pton(AF_INET6, address, &ipv6.sin6_addr) != 1) {
		errno = EINVAL;
		return -1;
	}
	return connect(fd, (struct sockaddr *)&ipv6, sizeof(ipv6)) < 0 ? -1 : fd;
}

/* The answer to this very request, whatever of earlier ones may still come. */
static bool is_answered(int fd, uint16_t sequence)
{
	struct echo answer;

	for (;;) {
		ssize_t n = recv(fd, &answer, sizeof(answer), 0);

		if (n < 0)
			return false;
		if ((size_t)n == sizeof(answer) && ntohs(answer.sequence) == sequence)
			return true;
	}
}

static void ping(int fd, bool is_ipv4, uint16_t sequence)
{
	struct echo request = {
		.type = is_ipv4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST,
		.sequence = htons(sequence),
	};
	uint64_t start = now();

	if (send(fd, &request, sizeof(request), 0) == sizeof(request) && is_answered(fd, sequence))
		printf("%.1f\n", (double)(now() - start) / 1000);
}

int main(int argc, char **argv)
{
	unsigned long count = argc == 4 ? number(argv[2], 1, count_max) : 0;
	unsigned long interval = argc == 4 ? number(argv[3], 1, interval_max) * 1000 : 0;

	if (count == 0 || interval == 0) {
		fprintf(stderr, "usage: pings ADDRESS COUNT MICROSECONDS\n");
		return 2;
	}
	int fd = open_socket(argv[1]);

	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	prctl(PR_SET_TIMERSLACK, 1);
	for (uint64_t i = 0, at = now(); i < count; i++) {
		sleep_until(at + i * interval);
		ping(fd, !strchr(argv[1], ':'), (uint16_t)i);
	}
	return 0;
}
