/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Sends UDP datagrams under false source addresses, as fast as told and no more than told.
 *
 *   flood FILE SOURCE DESTINATION PORT COUNT RATE [NODE_ID]
 *
 * FILE holds the payloads, each behind its length (two bytes, big-endian); they are sent in turn.
 * SOURCE is ADDRESS:PORT, or ADDRESS/LENGTH for another address of that prefix and another port
 * each time. RATE is in datagrams per second; 0: as many as go. With a NODE_ID each payload is a
 * first packet whose connection ID is made a knock at that node, a new one each time. Prints how
 * many were sent, and in how many us. IPv4 only; root only.
 */
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../tool.h"
#include "crypto/node_id.h"
#include "crypto/random.h"
#include "quic/cid.h"

constexpr unsigned group_max = 64;
constexpr size_t payload_max = 1472;
constexpr size_t knock_at = 6;
constexpr unsigned long count_max = 2'000'000;
constexpr uint64_t duration_max = 60 * second;
constexpr uint64_t tick = 500'000;

static uint32_t chance(void)
{
	static uint64_t x;

	while (x == 0)
		x = qe_random_u64();
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 32);
}

/* ---- what is sent ---- */

struct source {
	uint32_t address; /* host byte order */
	uint32_t free;    /* bits that may be anything */
	uint16_t port;    /* 0: any */
};

static struct source parse_source(char *text)
{
	struct source source = {};
	struct in_addr address;
	char *rest = strpbrk(text, "/:");
	char kind = rest ? *rest : '\0';

	if (rest)
		*rest++ = '\0';
	if (!rest || inet_aton(text, &address) != 1) {
		fprintf(stderr, "flood: %s: not ADDRESS:PORT or ADDRESS/LENGTH\n", text);
		exit(2);
	}
	source.address = ntohl(address.s_addr);
	if (kind == ':')
		source.port = (uint16_t)number(rest, 0, UINT16_MAX);
	else
		source.free = (uint32_t)((UINT64_C(1) << (32 - number(rest, 0, 32))) - 1);
	return source;
}

struct payloads {
	uint8_t *bytes, *at;
	size_t len;
};

static struct payloads read_payloads(const char *path)
{
	struct payloads payloads = {};
	FILE *file = fopen(path, "rb");

	must(file && fseek(file, 0, SEEK_END) == 0, path);
	payloads.len = (size_t)ftell(file);
	rewind(file);
	payloads.bytes = payloads.at = malloc(payloads.len + 1);
	must(payloads.bytes && fread(payloads.bytes, 1, payloads.len, file) == payloads.len, path);
	fclose(file);
	return payloads;
}

static struct qe_bytes next_payload(struct payloads *payloads)
{
	const uint8_t *end = payloads->bytes + payloads->len;

	if (payloads->at == end)
		payloads->at = payloads->bytes;
	if (end - payloads->at < 2 || qe_load_u16(payloads->at) > end - payloads->at - 2 ||
		qe_load_u16(payloads->at) > payload_max) {
		fprintf(stderr, "flood: a payload is too long\n");
		exit(1);
	}
	struct qe_bytes payload = {payloads->at + 2, qe_load_u16(payloads->at)};

	payloads->at += 2 + payload.len;
	return payload;
}

struct datagram {
	struct iphdr ip;
	struct udphdr udp;
	uint8_t payload[payload_max];
};

struct flood {
	struct source source;
	struct sockaddr_in to;
	struct payloads payloads;
	const struct qe_node_id *knock_at;
	struct datagram datagrams[group_max];
	struct iovec parts[group_max];
	struct mmsghdr messages[group_max];
};

static void flood_init(struct flood *flood)
{
	for (unsigned i = 0; i < group_max; i++) {
		flood->parts[i].iov_base = &flood->datagrams[i];
		flood->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &flood->to,
			.msg_namelen = sizeof(flood->to),
			.msg_iov = &flood->parts[i],
			.msg_iovlen = 1,
		};
	}
}

/* The kernel fills in the length, the identification and the checksum of the IP header; UDP over
 * IPv4 does without one. */
static void make_datagram(struct flood *flood, unsigned i)
{
	struct datagram *datagram = &flood->datagrams[i];
	struct qe_bytes payload = next_payload(&flood->payloads);
	uint32_t address = flood->source.address | (chance() & flood->source.free);
	uint16_t port = flood->source.port ? flood->source.port : (uint16_t)(chance() | 1024);

	datagram->ip = (struct iphdr){.version = 4,
		.ihl = 5,
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.saddr = htonl(address),
		.daddr = flood->to.sin_addr.s_addr};
	datagram->udp = (struct udphdr){.source = htons(port),
		.dest = flood->to.sin_port,
		.len = htons((uint16_t)(sizeof(struct udphdr) + payload.len))};
	memcpy(datagram->payload, payload.data, payload.len);
	if (flood->knock_at && payload.len >= knock_at + QE_KNOCK_SIZE)
		must(qe_knock_make(datagram->payload + knock_at, 0, flood->knock_at) == QE_OK,
			"knock");
	flood->parts[i].iov_len = sizeof(datagram->ip) + sizeof(datagram->udp) + payload.len;
}

/* ---- how fast ---- */

static void send_group(struct flood *flood, int fd, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		make_datagram(flood, i);
	for (unsigned sent = 0; sent < n;) {
		int more = sendmmsg(fd, flood->messages + sent, n - sent, 0);

		must(more > 0, "sendmmsg");
		sent += (unsigned)more;
	}
}

static uint64_t due(uint64_t elapsed, unsigned long rate, unsigned long count)
{
	uint64_t by_now = rate > 0 ? elapsed * rate / second + 1 : count;

	return by_now < count ? by_now : count;
}

static void run(struct flood *flood, int fd, unsigned long count, unsigned long rate)
{
	const struct timespec pause = {.tv_nsec = tick};
	uint64_t start = now(), sent = 0;

	while (sent < count && now() - start < duration_max) {
		uint64_t missing = due(now() - start, rate, count) - sent;
		unsigned n = missing < group_max ? (unsigned)missing : group_max;

		if (n == 0)
			nanosleep(&pause, nullptr);
		else
			send_group(flood, fd, n);
		sent += n;
	}
	printf("%lu %lu\n", sent, (now() - start) / 1000);
}

int main(int argc, char **argv)
{
	static struct flood flood;
	struct qe_node_id id;

	if (argc < 7 || argc > 8 || (argc == 8 && qe_node_id_parse(&id, argv[7]) != QE_OK)) {
		fprintf(stderr, "usage: flood FILE SOURCE DESTINATION PORT COUNT RATE [NODE_ID]\n");
		return 2;
	}
	flood_init(&flood);
	flood.payloads = read_payloads(argv[1]);
	flood.source = parse_source(argv[2]);
	flood.to.sin_family = AF_INET;
	must(inet_aton(argv[3], &flood.to.sin_addr) == 1, argv[3]);
	flood.to.sin_port = htons((uint16_t)number(argv[4], 0, UINT16_MAX));
	flood.knock_at = argc == 8 ? &id : nullptr;
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);

	must(fd >= 0, "socket");
	run(&flood, fd, number(argv[5], 0, count_max), number(argv[6], 0, count_max));
	close(fd);
	free(flood.payloads.bytes);
	return 0;
}
