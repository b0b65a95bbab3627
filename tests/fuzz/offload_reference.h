/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What splitting and merging are compared with: a look at a packet and a splitter of super-packets
 * that are written for plainness, byte by byte, and share no code with src/net.
 */
#pragma once

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "quicether.h"

constexpr size_t packet_max = 40 + 65535;
constexpr size_t packets_max = 1024;
constexpr unsigned tcp = 6;
constexpr unsigned udp = 17;
constexpr uint8_t fin = 0x01;
constexpr uint8_t psh = 0x08;
constexpr uint8_t cwr = 0x80;

struct packet {
	uint8_t *bytes;
	size_t len;
	bool seen;
};

struct packets {
	struct packet list[packets_max];
	size_t n, n_done; /* the first so many are seen */
};

static inline unsigned get16(const uint8_t *at)
{
	return at[0] * 256u + at[1];
}

static inline void put16(uint8_t *at, size_t value)
{
	at[0] = (uint8_t)(value / 256);
	at[1] = (uint8_t)value;
}

static inline uint32_t get32(const uint8_t *at)
{
	return get16(at) * 65536u + get16(at + 2);
}

static inline void put32(uint8_t *at, uint32_t value)
{
	put16(at, value / 65536);
	put16(at + 2, value % 65536);
}

static inline struct packet *add(struct packets *packets, const uint8_t *bytes, size_t len)
{
	struct packet *packet = &packets->list[packets->n++];

	assert(packets->n <= packets_max);
	*packet = (struct packet){malloc(len), len, false};
	memcpy(packet->bytes, bytes, len);
	return packet;
}

static inline void forget(struct packets *packets)
{
	while (packets->n > 0)
		free(packets->list[--packets->n].bytes);
	packets->n_done = 0;
}

/* ---- a second look at a packet ---- */

struct view {
	unsigned protocol;
	bool ipv4, fragment, has_checksum;
	size_t addrs, addrs_len; /* both of them */
	size_t transport, checksum, payload;
};

static inline void look_behind_extensions(struct view *view, const uint8_t *bytes)
{
	for (;;) {
		const uint8_t *extension = bytes + view->transport;

		if (view->protocol == 44) {
			view->fragment = get16(extension + 2) & 0xfff9;
			view->transport += 8;
		} else if (view->protocol == 51) {
			view->transport += (extension[1] + 2u) * 4;
		} else if (view->protocol == 0 || view->protocol == 43 || view->protocol == 60) {
			view->transport += (extension[1] + 1u) * 8;
		} else {
			return;
		}
		view->protocol = extension[0];
		if (view->fragment)
			return;
	}
}

/* Of a packet that qe_packet_parse has taken. */
static inline struct view look(const uint8_t *bytes)
{
	struct view view = {.ipv4 = bytes[0] / 16 == 4};

	if (view.ipv4) {
		view.addrs = 12;
		view.addrs_len = 8;
		view.transport = bytes[0] % 16 * 4u;
		view.protocol = bytes[9];
		view.fragment = get16(bytes + 6) & 0x3fff;
	} else {
		view.addrs = 8;
		view.addrs_len = 32;
		view.transport = 40;
		view.protocol = bytes[6];
		look_behind_extensions(&view, bytes);
	}
	view.has_checksum = !view.fragment && (view.protocol == tcp || view.protocol == udp);
	view.checksum = view.transport + (view.protocol == tcp ? 16 : 6);
	view.payload = view.transport;
	if (view.has_checksum)
		view.payload += view.protocol == tcp ? bytes[view.transport + 12] / 16 * 4u : 8;
	return view;
}

/* RFC 1071 by the letter. Not watched by the fuzzer, which would take most of the time for it. */
[[clang::no_sanitize("coverage")]] static inline uint32_t sum(
	uint32_t so_far, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		so_far += i % 2 ? bytes[i] : bytes[i] * 256u;
	while (so_far > 0xffff)
		so_far = so_far / 65536 + so_far % 65536;
	return so_far;
}

static inline uint32_t pseudo_sum(const uint8_t *bytes, size_t len, const struct view *view)
{
	uint8_t words[4] = {0, 0, 0, (uint8_t)view->protocol};

	put16(words, len - view->transport);
	return sum(sum(0, words, 4), bytes + view->addrs, view->addrs_len);
}

static inline void complete_ipv4(uint8_t *bytes)
{
	put16(bytes + 10, 0);
	put16(bytes + 10, 0xffff - sum(0, bytes, bytes[0] % 16 * 4u));
}

static inline void complete(uint8_t *bytes, size_t len)
{
	struct view view = look(bytes);
	uint32_t checksum;

	if (!view.has_checksum)
		return;
	put16(bytes + view.checksum, 0);
	checksum = 0xffff -
		   sum(pseudo_sum(bytes, len, &view), bytes + view.transport, len - view.transport);
	put16(bytes + view.checksum, checksum == 0 && view.protocol == udp ? 0xffff : checksum);
}

static inline void make_partial(uint8_t *bytes, size_t len)
{
	struct view view = look(bytes);

	put16(bytes + view.checksum, pseudo_sum(bytes, len, &view));
}

/* ---- the reference ---- */

static inline void split_at(struct packets *to, const uint8_t *super, size_t super_len, size_t at,
	size_t size, unsigned index)
{
	struct view view = look(super);
	bool first = index == 0, last = at + size >= super_len;
	size_t payload_len = last ? super_len - at : size, len = view.payload + payload_len;
	uint8_t *bytes = malloc(len), *transport = bytes + view.transport;

	memcpy(bytes, super, view.payload);
	memcpy(bytes + view.payload, super + at, payload_len);
	if (view.protocol == tcp) {
		put32(transport + 4, get32(transport + 4) + (uint32_t)(at - view.payload));
		transport[13] &= first ? 0xff : (uint8_t)~cwr;
		transport[13] &= last ? 0xff : (uint8_t)~(fin | psh);
	} else {
		put16(transport + 4, 8 + payload_len);
	}
	if (view.ipv4) {
		put16(bytes + 2, len);
		put16(bytes + 4, get16(bytes + 4) + index);
		complete_ipv4(bytes);
	} else {
		put16(bytes + 4, len - 40);
	}
	complete(bytes, len);
	add(to, bytes, len);
	free(bytes);
}

/* What would be on the wire if a card segmented and checksummed. */
static inline void reference_split(
	struct packets *to, const uint8_t *bytes, size_t len, const struct qe_offload *offload)
{
	struct view view = look(bytes);
	unsigned index = 0;

	if (offload->gso == QE_GSO_NONE) {
		struct packet *packet = add(to, bytes, len);

		if (offload->needs_csum)
			complete(packet->bytes, len);
		return;
	}
	for (size_t at = view.payload; at < len; at += offload->gso_size)
		split_at(to, bytes, len, at, offload->gso_size, index++);
}
