/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "net/icmp.h"

#include <assert.h>
#include <string.h>

#include "net/checksum.h"

#define HOP_LIMIT 64
#define ICMPV4_MAX 576

struct type {
	uint8_t type, code;
};

static const struct type icmpv4_types[] = {
	[QE_ICMP_PACKET_TOO_BIG] = {3, 4},
	[QE_ICMP_TIME_EXCEEDED] = {11, 0},
	[QE_ICMP_NO_ROUTE] = {3, 0},
	[QE_ICMP_ADMIN_PROHIBITED] = {3, 13},
};

static const struct type icmpv6_types[] = {
	[QE_ICMP_PACKET_TOO_BIG] = {2, 0},
	[QE_ICMP_TIME_EXCEEDED] = {3, 0},
	[QE_ICMP_NO_ROUTE] = {1, 0},
	[QE_ICMP_ADMIN_PROHIBITED] = {1, 1},
};

static unsigned fragment_offset(struct qe_bytes bytes, const struct qe_packet *packet)
{
	if (!packet->fragment)
		return 0;
	if (packet->version == 4)
		return qe_load_u16(bytes.data + 6) & 0x1fff;
	/* The parser stops behind the fragment header. */
	return qe_load_u16(bytes.data + packet->transport - 6) >> 3;
}

/* Errors, and redirects; and what is cut off before its type, which might be one. */
static bool is_icmp_error(struct qe_bytes bytes, const struct qe_packet *packet)
{
	uint8_t type;

	if (packet->protocol != (packet->version == 4 ? QE_IP_ICMP : QE_IP_ICMPV6))
		return false;
	if (packet->transport >= bytes.len)
		return true;
	type = bytes.data[packet->transport];
	if (packet->version == 6)
		return type < 128 || type == 137;
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static bool is_host(const struct qe_addr *addr)
{
	if (addr->family == QE_FAMILY_IPV4 && (addr->bytes[0] == 0 || addr->bytes[0] >= 224))
		return false;
	return !qe_addr_is_unspecified(addr) && !qe_addr_is_multicast(addr) &&
	       !qe_addr_is_loopback(addr);
}

static bool may_answer(struct qe_bytes about, const struct qe_packet *packet)
{
	return is_host(&packet->source) && !qe_addr_is_multicast(&packet->destination) &&
	       !qe_addr_is_broadcast(&packet->destination) && fragment_offset(about, packet) == 0 &&
	       !is_icmp_error(about, packet);
}

static struct qe_bytes cut(struct qe_bytes bytes, size_t max)
{
	return (struct qe_bytes){bytes.data, bytes.len < max ? bytes.len : max};
}

static size_t icmpv4_error(uint8_t *to, struct type type, const struct qe_addr *from, uint16_t mtu,
	struct qe_bytes about, const struct qe_packet *packet)
{
	struct qe_bytes quoted = cut(about, ICMPV4_MAX - 20 - 8);
	struct qe_writer writer = qe_writer_init(to, QE_ICMP_MAX);
	uint64_t sum;

	qe_write_u16(&writer, 0x45c0); /* internetwork control: RFC 1812 4.3.2.5 */
	qe_write_u16(&writer, (uint16_t)(20 + 8 + quoted.len));
	qe_write_u32(&writer, 0x00004000); /* no identification, DF */
	qe_write_u8(&writer, HOP_LIMIT);
	qe_write_u8(&writer, QE_IP_ICMP);
	qe_write_u16(&writer, 0);
	qe_write_bytes(&writer, (struct qe_bytes){from->bytes, 4});
	qe_write_bytes(&writer, (struct qe_bytes){packet->source.bytes, 4});
	qe_checksum_ipv4_header(to);

	qe_write_u8(&writer, type.type);
	qe_write_u8(&writer, type.code);
	qe_write_u32(&writer, 0); /* checksum; unused */
	qe_write_u16(&writer, mtu);
	qe_write_bytes(&writer, quoted);
	sum = qe_checksum_add(0, (struct qe_bytes){to + 20, qe_writer_len(&writer) - 20});
	qe_store_u16(to + 20 + 2, (uint16_t)~qe_checksum_fold(sum));
	return qe_writer_len(&writer);
}

static size_t icmpv6_error(uint8_t *to, struct type type, const struct qe_addr *from, uint16_t mtu,
	struct qe_bytes about, const struct qe_packet *packet)
{
	struct qe_bytes quoted = cut(about, QE_ICMP_MAX - 40 - 8);
	uint16_t icmp_len = (uint16_t)(8 + quoted.len);
	struct qe_packet pseudo = {
		.protocol = QE_IP_ICMPV6,
		.source = *from,
		.destination = packet->source,
	};
	struct qe_writer writer = qe_writer_init(to, QE_ICMP_MAX);
	uint64_t sum;

	qe_write_u32(&writer, UINT32_C(6) << 28);
	qe_write_u16(&writer, icmp_len);
	qe_write_u8(&writer, QE_IP_ICMPV6);
	qe_write_u8(&writer, HOP_LIMIT);
	qe_write_bytes(&writer, (struct qe_bytes){from->bytes, 16});
	qe_write_bytes(&writer, (struct qe_bytes){packet->source.bytes, 16});

	qe_write_u8(&writer, type.type);
	qe_write_u8(&writer, type.code);
	qe_write_u16(&writer, 0); /* checksum */
	qe_write_u32(&writer, mtu);
	qe_write_bytes(&writer, quoted);
	sum = qe_checksum_add(
		qe_checksum_pseudo(&pseudo, icmp_len), (struct qe_bytes){to + 40, icmp_len});
	qe_store_u16(to + 40 + 2, (uint16_t)~qe_checksum_fold(sum));
	return qe_writer_len(&writer);
}

size_t qe_icmp_error(uint8_t to[static QE_ICMP_MAX], enum qe_icmp_error error,
	const struct qe_addr *from, uint16_t mtu, struct qe_bytes about,
	const struct qe_packet *packet)
{
	assert(from->family == packet->source.family);
	if (!may_answer(about, packet))
		return 0;
	if (error != QE_ICMP_PACKET_TOO_BIG)
		mtu = 0;
	if (packet->version == 4)
		return icmpv4_error(to, icmpv4_types[error], from, mtu, about, packet);
	return icmpv6_error(to, icmpv6_types[error], from, mtu, about, packet);
}

/* Options that are not to be copied into the further fragments give way to no-operation, so that
 * all headers are equally long. */
static void blank_options(uint8_t *at, const uint8_t *end)
{
	while (at < end && at[0] != 0) {
		size_t len = 1;

		if (at[0] != 1) {
			if (end - at < 2 || at[1] < 2 || at[1] > end - at)
				return;
			len = at[1];
		}
		if (!(at[0] & 0x80))
			memset(at, 1, len);
		at += len;
	}
}

size_t qe_ipv4_fragment(uint8_t *to, size_t capacity, unsigned index, uint16_t mtu,
	struct qe_bytes bytes, const struct qe_packet *packet)
{
	const uint16_t more = 0x2000, offset_mask = 0x1fff;
	size_t header_len = packet->transport, data_len = bytes.len - header_len;
	size_t piece, at, len, offset;
	uint16_t field = qe_load_u16(bytes.data + 6);

	assert(packet->version == 4 && !packet->dont_fragment);
	if (mtu < header_len + 8)
		return 0;
	piece = bytes.len <= mtu ? data_len : (mtu - header_len) / 8 * 8;
	at = index * piece;
	if (index > 0 && at >= data_len)
		return 0;
	len = data_len - at < piece ? data_len - at : piece;
	/* A fragment may be fragmented again: its own offset counts. */
	offset = (field & offset_mask) + at / 8;
	if (offset > offset_mask)
		return 0;
	if (at + len < data_len)
		field |= more;
	assert(capacity >= header_len + len);
	memcpy(to, bytes.data, header_len);
	memcpy(to + header_len, bytes.data + header_len + at, len);
	qe_store_u16(to + 2, (uint16_t)(header_len + len));
	qe_store_u16(to + 6, (uint16_t)((field & ~offset_mask) | offset));
	if (offset > 0)
		blank_options(to + 20, to + header_len);
	qe_checksum_ipv4_header(to);
	return header_len + len;
}
