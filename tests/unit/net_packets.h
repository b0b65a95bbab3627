/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Packets written field by field, the dumb way: the oracle for what src/net makes of packets. It
 * shares no code with src/net; checksums are added up word by word.
 */
#pragma once

#include <string.h>

#include "random.h"

#define PACKET_MAX 70000

enum checksum_kind { CHECKSUM_COMPLETE, CHECKSUM_PARTIAL, CHECKSUM_WRONG, CHECKSUM_NONE };

struct spec {
	unsigned version, protocol; /* TCP or UDP; others get no transport header */
	uint8_t source[16], destination[16];
	unsigned source_port, destination_port;
	uint8_t traffic_class, hop_limit;
	uint32_t flow_label;
	uint16_t id;
	bool dont_fragment;
	uint32_t sequence, acknowledgement;
	uint8_t flags;
	uint16_t window, urgent;
	uint8_t tcp_options[40];
	unsigned n_tcp_options; /* bytes, a multiple of 4 */
	uint8_t ip_options[40];
	unsigned n_ip_options; /* bytes, a multiple of 4; for IPv6 8: destination options */
	const uint8_t *payload;
	size_t payload_len;
	enum checksum_kind checksum;
};

static inline void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value / 256);
	at[1] = (uint8_t)(value % 256);
}

static inline void put32(uint8_t *at, uint32_t value)
{
	put16(at, value / 65536);
	put16(at + 2, value % 65536);
}

/* RFC 1071 by the letter. */
static inline uint32_t naive_sum(uint32_t sum, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		sum += i % 2 ? bytes[i] : bytes[i] * 256u;
		if (sum > 0xffff)
			sum = sum - 0x10000 + 1;
	}
	return sum;
}

static inline size_t spec_transport(const struct spec *spec)
{
	return (spec->version == 4 ? 20 : 40) + spec->n_ip_options;
}

static inline size_t spec_header_len(const struct spec *spec)
{
	size_t transport = spec_transport(spec);

	if (spec->protocol == 6)
		return transport + 20 + spec->n_tcp_options;
	return transport + (spec->protocol == 17 ? 8 : 0);
}

static inline size_t spec_len(const struct spec *spec)
{
	return spec_header_len(spec) + spec->payload_len;
}

static inline uint32_t pseudo_sum(const struct spec *spec)
{
	size_t addr_len = spec->version == 4 ? 4 : 16;
	uint8_t words[4] = {};
	uint32_t sum = naive_sum(0, spec->source, addr_len);

	sum = naive_sum(sum, spec->destination, addr_len);
	put16(words, (unsigned)(spec_len(spec) - spec_transport(spec)));
	put16(words + 2, spec->protocol);
	return naive_sum(sum, words, 4);
}

static inline void build_ipv4(uint8_t *to, const struct spec *spec)
{
	to[0] = (uint8_t)(0x40 + 5 + spec->n_ip_options / 4);
	to[1] = spec->traffic_class;
	put16(to + 2, (unsigned)spec_len(spec));
	put16(to + 4, spec->id);
	put16(to + 6, spec->dont_fragment ? 0x4000 : 0);
	to[8] = spec->hop_limit;
	to[9] = (uint8_t)spec->protocol;
	put16(to + 10, 0);
	memcpy(to + 12, spec->source, 4);
	memcpy(to + 16, spec->destination, 4);
	memcpy(to + 20, spec->ip_options, spec->n_ip_options);
	put16(to + 10, 0xffff - naive_sum(0, to, spec_transport(spec)));
}

static inline void build_ipv6(uint8_t *to, const struct spec *spec)
{
	put32(to, 6u << 28 | (uint32_t)spec->traffic_class << 20 | spec->flow_label);
	put16(to + 4, (unsigned)(spec_len(spec) - 40));
	to[6] = (uint8_t)spec->protocol;
	to[7] = spec->hop_limit;
	memcpy(to + 8, spec->source, 16);
	memcpy(to + 24, spec->destination, 16);
	if (spec->n_ip_options == 0)
		return;
	to[6] = 60;
	to[40] = (uint8_t)spec->protocol;
	to[41] = 0;
	memcpy(to + 42, "\x01\x04\0\0\0\0", 6);
}

static inline size_t build_transport(uint8_t *to, const struct spec *spec)
{
	if (spec->protocol != 6 && spec->protocol != 17)
		return 0;
	put16(to, spec->source_port);
	put16(to + 2, spec->destination_port);
	if (spec->protocol == 17) {
		put16(to + 4, (unsigned)(8 + spec->payload_len));
		put16(to + 6, 0);
		return 6;
	}
	put32(to + 4, spec->sequence);
	put32(to + 8, spec->acknowledgement);
	to[12] = (uint8_t)((5 + spec->n_tcp_options / 4) * 16);
	to[13] = spec->flags;
	put16(to + 14, spec->window);
	put16(to + 16, 0);
	put16(to + 18, spec->urgent);
	memcpy(to + 20, spec->tcp_options, spec->n_tcp_options);
	return 16;
}

/* Returns the packet's length. */
static inline size_t build(uint8_t *to, const struct spec *spec)
{
	uint8_t *transport = to + spec_transport(spec);
	size_t field, len = spec_len(spec);
	uint32_t sum;

	if (spec->version == 4)
		build_ipv4(to, spec);
	else
		build_ipv6(to, spec);
	field = build_transport(transport, spec);
	if (spec->payload_len > 0)
		memcpy(to + spec_header_len(spec), spec->payload, spec->payload_len);
	if (field == 0 || spec->checksum == CHECKSUM_NONE)
		return len;
	sum = pseudo_sum(spec);
	if (spec->checksum != CHECKSUM_PARTIAL) {
		sum = 0xffff - naive_sum(sum, transport, len - spec_transport(spec));
		if (sum == 0 && spec->protocol == 17)
			sum = 0xffff;
		if (spec->checksum == CHECKSUM_WRONG)
			sum = sum == 0x0110 ? 0x0111 : sum ^ 0x0110; /* and never 0: none */
	}
	put16(transport + field, sum);
	return len;
}

/* A packet of a random flow: header fields at random, neither options nor payload. */
static inline struct spec random_spec(unsigned version, unsigned protocol)
{
	struct spec spec = {
		.version = version,
		.protocol = protocol,
		.source_port = (unsigned)random_below(65536),
		.destination_port = (unsigned)random_below(65536),
		.traffic_class = (uint8_t)random_u64(),
		.hop_limit = (uint8_t)(1 + random_below(255)),
		.flow_label = (uint32_t)random_below(1 << 20),
		.id = (uint16_t)random_u64(),
		.dont_fragment = version == 6 || random_below(2),
		.sequence = (uint32_t)random_u64(),
		.acknowledgement = (uint32_t)random_u64(),
		.flags = protocol == 6 ? 0x10 : 0,
		.window = (uint16_t)random_u64(),
	};

	random_fill(spec.source, version == 4 ? 4 : 16);
	random_fill(spec.destination, version == 4 ? 4 : 16);
	return spec;
}

/* No-operations and a timestamp; what is in it does not matter to anything but its equality. */
static inline void add_tcp_options(struct spec *spec)
{
	spec->n_tcp_options = 4 * (unsigned)random_below(11);
	random_fill(spec->tcp_options, spec->n_tcp_options);
}

static inline void add_ip_options(struct spec *spec)
{
	spec->n_ip_options = spec->version == 4 ? 4 * (1 + (unsigned)random_below(10)) : 8;
	memset(spec->ip_options, 1, sizeof(spec->ip_options));
}
