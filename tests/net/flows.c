/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * flows ADDRESS PEER PORT FLOWS RATE
 *
 * One end of so many UDP flows, each from and to a port of its own from PORT on, with RATE numbered
 * datagrams of many sizes a second over all of them; the other end is the same program. On SIGTERM
 * it sends no more, takes what comes for as long as something does, and says of each flow how many
 * it sent, how many came, how many of these came after a later one, and how many twice.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../tool.h"

constexpr unsigned flows_max = 256;
constexpr uint32_t numbers_max = 1 << 22;
constexpr int quiet_ms = 1000;
constexpr size_t smallest = 40;
constexpr size_t largest = 1300;
constexpr int receive_buffer = 8 << 20;
constexpr unsigned burst = 8; /* datagrams of one flow in a row */

struct flow {
	int fd;
	uint32_t sent, next, received, reordered, doubled;
	uint8_t *seen; /* a bit for each number */
};

static volatile sig_atomic_t stopping;

static void stop(int)
{
	stopping = 1;
}

static void open_flow(struct flow *flow, const char *address, const char *peer, uint16_t port)
{
	struct sockaddr_in from = {AF_INET, htons(port)}, to = from;

	must(inet_pton(AF_INET, address, &from.sin_addr) == 1, address);
	must(inet_pton(AF_INET, peer, &to.sin_addr) == 1, peer);
	flow->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	must(flow->fd >= 0, "socket");
	setsockopt(flow->fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof(receive_buffer));
	must(bind(flow->fd, (struct sockaddr *)&from, sizeof(from)) == 0, "bind");
	must(connect(flow->fd, (struct sockaddr *)&to, sizeof(to)) == 0, "connect");
	flow->seen = calloc(numbers_max / 8, 1);
	must(flow->seen != nullptr, "calloc");
}

static void send_burst(struct flow *flow)
{
	uint8_t datagram[largest] = {};

	for (unsigned i = 0; i < burst && flow->sent < numbers_max; i++) {
		size_t len = smallest + (size_t)rand() % (largest - smallest + 1);

		memcpy(datagram, &flow->sent, sizeof(flow->sent));
		if (send(flow->fd, datagram, len, 0) < 0)
			return;
		flow->sent++;
	}
}

static void take(struct flow *flow, uint32_t number)
{
	uint8_t bit = (uint8_t)(1u << number % 8);

	must(number < numbers_max, "number");
	flow->received++;
	if (flow->seen[number / 8] & bit)
		flow->doubled++;
	else if (number < flow->next)
		flow->reordered++;
	flow->seen[number / 8] |= bit;
	if (number >= flow->next)
		flow->next = number + 1;
}

static void receive_all(struct flow *flow)
{
	uint8_t datagram[largest];
	uint32_t number;

	/* An ICMP error may stand in between. */
	for (ssize_t n;
		(n = recv(flow->fd, datagram, sizeof(datagram), 0)) >= 0 || errno != EAGAIN;) {
		if (n < (ssize_t)smallest)
			continue;
		memcpy(&number, datagram, sizeof(number));
		take(flow, number);
	}
}

static void run(struct flow *flows, unsigned n, unsigned rate)
{
	struct pollfd ready[flows_max];
	const uint64_t began = now() / 1000;
	uint64_t bursts = 0;
	int events;

	for (unsigned i = 0; i < n; i++)
		ready[i] = (struct pollfd){flows[i].fd, POLLIN, 0};
	do {
		uint64_t due = (now() / 1000 - began) * rate / burst / 1000000;

		for (; !stopping && bursts < due; bursts++)
			send_burst(&flows[bursts % n]);
		events = poll(ready, n, stopping ? quiet_ms : 1);
		for (unsigned i = 0; i < n && events > 0; i++) {
			if (ready[i].revents)
				receive_all(&flows[i]);
		}
	} while (!stopping || events > 0);
}

int main(int argc, char **argv)
{
	static struct flow flows[flows_max];
	unsigned n = argc == 6 ? (unsigned)atoi(argv[4]) : 0;

	if (n < 1 || n > flows_max) {
		fprintf(stderr, "usage: flows ADDRESS PEER PORT FLOWS RATE\n");
		return 2;
	}
	signal(SIGTERM, stop);
	for (unsigned i = 0; i < n; i++)
		open_flow(&flows[i], argv[1], argv[2], (uint16_t)((unsigned)atoi(argv[3]) + i));
	printf("ready\n");
	fflush(stdout);
	run(flows, n, (unsigned)atoi(argv[5]));
	for (unsigned i = 0; i < n; i++)
		printf("%u %u %u %u\n", flows[i].sent, flows[i].received, flows[i].reordered,
			flows[i].doubled);
}
