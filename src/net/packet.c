/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "net/packet.h"

#include <string.h>

#include "net/checksum.h"

#define EXTENSIONS_MAX 8

enum : uint8_t {
	IPV6_HOP_BY_HOP = 0,
	IPV6_ROUTING = 43,
	IPV6_FRAGMENT = 44,
	IPV6_AUTHENTICATION = 51,
	IPV6_DESTINATION = 60,
};

enum : uint8_t { IPV4_END = 0, IPV4_NOP = 1, IPV4_LOOSE_ROUTE = 131, IPV4_STRICT_ROUTE = 137 };
enum : uint8_t { TCP_OPTION_END = 0, TCP_OPTION_NOP = 1, TCP_OPTION_MSS = 2 };

static enum qe_error parse_tcp(struct qe_packet *packet, const uint8_t *tcp, size_t left)
{
	unsigned header_len;

	if (left < 20)
		return QE_ERR_SYNTAX;
	header_len = (tcp[12] >> 4) * 4u;
	if (header_len < 20 || header_len > left)
		return QE_ERR_SYNTAX;
	packet->tcp_flags = tcp[13];
	packet->payload = (uint16_t)(packet->transport + header_len);
	return QE_OK;
}

static enum qe_error parse_transport(struct qe_packet *packet, const uint8_t *bytes)
{
	const uint8_t *transport = bytes + packet->transport;
	size_t left = packet->len - packet->transport;

	packet->payload = packet->transport;
	if (packet->fragment || (packet->protocol != QE_IP_TCP && packet->protocol != QE_IP_UDP))
		return QE_OK;
	if (packet->protocol == QE_IP_TCP)
		QE_TRY(parse_tcp(packet, transport, left));
	else if (left < 8)
		return QE_ERR_SYNTAX;
	else
		packet->payload += 8;
	packet->source_port = qe_load_u16(transport);
	packet->destination_port = qe_load_u16(transport + 2);
	return QE_OK;
}

/* A source route makes a packet go elsewhere than its header says (RFC 7126, section 4.3). Options
 * whose lengths do not fit could hide one. */
static enum qe_error check_options(const uint8_t *at, const uint8_t *end)
{
	while (at < end && *at != IPV4_END) {
		if (*at == IPV4_NOP) {
			at++;
			continue;
		}
		if (*at == IPV4_LOOSE_ROUTE || *at == IPV4_STRICT_ROUTE || end - at < 2 ||
			at[1] < 2 || at[1] > end - at)
			return QE_ERR_SYNTAX;
		at += at[1];
	}
	return QE_OK;
}

/* In place, over zeros: see qe_packet_parse. */
static void set_ipv4(struct qe_addr *addr, const uint8_t *bytes)
{
	addr->family = QE_FAMILY_IPV4;
	memcpy(addr->bytes, bytes, 4);
}

static enum qe_error parse_ipv4(struct qe_packet *packet, const uint8_t *bytes)
{
	unsigned header_len = (bytes[0] & 0xf) * 4u, fragment;

	if (packet->len < 20 || header_len < 20 || header_len > packet->len ||
		qe_load_u16(bytes + 2) != packet->len)
		return QE_ERR_SYNTAX;
	QE_TRY(check_options(bytes + 20, bytes + header_len));
	fragment = qe_load_u16(bytes + 6);
	packet->traffic_class = bytes[1];
	packet->dont_fragment = fragment & 0x4000;
	packet->fragment = fragment & 0x3fff;
	packet->hop_limit = bytes[8];
	packet->protocol = bytes[9];
	set_ipv4(&packet->source, bytes + 12);
	set_ipv4(&packet->destination, bytes + 16);
	packet->options = header_len > 20;
	packet->transport = (uint16_t)header_len;
	return QE_OK;
}

/* One extension header, at packet->transport; moves behind it. */
static enum qe_error parse_extension(struct qe_packet *packet, const uint8_t *bytes)
{
	const uint8_t *extension = bytes + packet->transport;
	size_t left = packet->len - packet->transport, len;

	if (left < 8)
		return QE_ERR_SYNTAX;
	switch (packet->protocol) {
	case IPV6_FRAGMENT:
		len = 8;
		/* Neither offset nor more: a packet of one piece (RFC 6946). */
		packet->fragment = qe_load_u16(extension + 2) & 0xfff9;
		break;
	case IPV6_AUTHENTICATION:
		len = (extension[1] + 2u) * 4;
		break;
	case IPV6_ROUTING:
		if (extension[3] > 0)
			return QE_ERR_SYNTAX;
		[[fallthrough]];
	default:
		len = (extension[1] + 1u) * 8;
	}
	if (len > left)
		return QE_ERR_SYNTAX;
	packet->options = true;
	packet->protocol = extension[0];
	packet->transport += (uint16_t)len;
	return QE_OK;
}

static bool is_extension(uint8_t protocol)
{
	return protocol == IPV6_HOP_BY_HOP || protocol == IPV6_ROUTING ||
	       protocol == IPV6_FRAGMENT || protocol == IPV6_AUTHENTICATION ||
	       protocol == IPV6_DESTINATION;
}

static enum qe_error parse_ipv6(struct qe_packet *packet, const uint8_t *bytes)
{
	if (packet->len < 40 || qe_load_u16(bytes + 4) != packet->len - 40)
		return QE_ERR_SYNTAX;
	packet->traffic_class = (uint8_t)(qe_load_u16(bytes) >> 4);
	packet->dont_fragment = true;
	packet->protocol = bytes[6];
	packet->hop_limit = bytes[7];
	packet->source = qe_addr_ipv6(bytes + 8);
	packet->destination = qe_addr_ipv6(bytes + 24);
	packet->transport = 40;
	for (unsigned n = 0; is_extension(packet->protocol) && !packet->fragment; n++) {
		if (n == EXTENSIONS_MAX)
			return QE_ERR_SYNTAX;
		QE_TRY(parse_extension(packet, bytes));
	}
	return QE_OK;
}

/* In place: a copy of what was written in small pieces a moment ago stalls, for as long as all the
 * rest takes. */
enum qe_error qe_packet_parse(struct qe_packet *packet, struct qe_bytes bytes)
{
	*packet = (struct qe_packet){.len = (uint32_t)bytes.len};
	if (bytes.len < 20 || bytes.len > 40 + UINT16_MAX)
		return QE_ERR_SYNTAX;
	packet->version = bytes.data[0] >> 4;
	if (packet->version == 4)
		QE_TRY(parse_ipv4(packet, bytes.data));
	else if (packet->version == 6)
		QE_TRY(parse_ipv6(packet, bytes.data));
	else
		return QE_ERR_SYNTAX;
	return parse_transport(packet, bytes.data);
}

struct qe_bytes qe_packet_trim(struct qe_bytes bytes)
{
	size_t len = bytes.len;

	if (bytes.len >= 20 && bytes.data[0] >> 4 == 4)
		len = qe_load_u16(bytes.data + 2);
	else if (bytes.len >= 40 && bytes.data[0] >> 4 == 6)
		len = 40u + qe_load_u16(bytes.data + 4);
	return (struct qe_bytes){bytes.data, len < bytes.len ? len : bytes.len};
}

/* Multiplying by a secret and folding the upper half in: who does not know the seed cannot choose
 * flows that meet. */
static uint64_t mix(uint64_t hash, const void *word, uint64_t secret)
{
	__extension__ typedef unsigned __int128 uint128;
	uint64_t value;
	uint128 product;

	memcpy(&value, word, sizeof(value));
	product = (uint128)(hash ^ value) * secret;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t qe_packet_flow(const struct qe_packet *packet, uint64_t seed)
{
	const uint8_t *source = packet->source.bytes, *destination = packet->destination.bytes;
	uint64_t secret = (seed ^ UINT64_C(0xa0761d6478bd642f)) | 1;
	uint64_t transport = (uint64_t)packet->protocol << 32 |
			     (uint64_t)packet->source_port << 16 | packet->destination_port;
	uint64_t hash = mix(seed, &transport, secret);

	hash = mix(hash, source, secret);
	hash = mix(hash, destination, secret);
	if (packet->version == 6) {
		hash = mix(hash, source + 8, secret);
		hash = mix(hash, destination + 8, secret);
	}
	return mix(hash, &seed, UINT64_C(0xe7037ed1a0b428db));
}

/* RFC 1624: the checksum of data in which one word has changed. */
static uint16_t updated_checksum(uint16_t checksum, uint16_t before, uint16_t after)
{
	return (uint16_t)~qe_checksum_fold(
		(uint64_t)(uint16_t)~checksum + (uint16_t)~before + after);
}

bool qe_ecn_decapsulate(enum qe_ecn *ret_ecn, enum qe_ecn inner, enum qe_ecn outer)
{
	static const uint8_t result[4][4] = {
		/* outer: Not-ECT, ECT(1), ECT(0), CE */
		[QE_ECN_NOT_ECT] = {QE_ECN_NOT_ECT, QE_ECN_NOT_ECT, QE_ECN_NOT_ECT},
		[QE_ECN_ECT1] = {QE_ECN_ECT1, QE_ECN_ECT1, QE_ECN_ECT1, QE_ECN_CE},
		[QE_ECN_ECT0] = {QE_ECN_ECT0, QE_ECN_ECT1, QE_ECN_ECT0, QE_ECN_CE},
		[QE_ECN_CE] = {QE_ECN_CE, QE_ECN_CE, QE_ECN_CE, QE_ECN_CE},
	};

	if (inner == QE_ECN_NOT_ECT && outer == QE_ECN_CE)
		return false;
	*ret_ecn = (enum qe_ecn)result[inner][outer];
	return true;
}

void qe_packet_set_ecn(uint8_t *bytes, struct qe_packet *packet, enum qe_ecn ecn)
{
	uint16_t before = qe_load_u16(bytes);

	packet->traffic_class = (uint8_t)((packet->traffic_class & ~3) | ecn);
	if (packet->version == 6) {
		qe_store_u16(bytes, (uint16_t)((before & ~0x30) | ecn << 4));
		return;
	}
	bytes[1] = packet->traffic_class;
	qe_store_u16(
		bytes + 10, updated_checksum(qe_load_u16(bytes + 10), before, qe_load_u16(bytes)));
}

void qe_packet_decrement_hop_limit(uint8_t *packet)
{
	uint16_t before = qe_load_u16(packet + 8);

	if (packet[0] >> 4 == 6) {
		packet[7]--;
		return;
	}
	packet[8]--;
	qe_store_u16(packet + 10,
		updated_checksum(qe_load_u16(packet + 10), before, qe_load_u16(packet + 8)));
}

/* The value of the MSS option in a TCP header, or NULL. */
static uint8_t *find_mss(uint8_t *at, const uint8_t *end)
{
	while (at < end && *at != TCP_OPTION_END) {
		if (*at == TCP_OPTION_NOP) {
			at++;
			continue;
		}
		if (end - at < 2 || at[1] < 2 || at[1] > end - at)
			return nullptr;
		if (at[0] == TCP_OPTION_MSS && at[1] == 4)
			return at + 2;
		at += at[1];
	}
	return nullptr;
}

static uint16_t swapped(uint16_t word)
{
	return (uint16_t)(word << 8 | word >> 8);
}

bool qe_packet_clamp_mss(uint8_t *bytes, const struct qe_packet *packet, bool partial, uint16_t mtu)
{
	unsigned headers = packet->version == 4 ? 20 + 20 : 40 + 20;
	uint8_t *tcp = bytes + packet->transport, *mss;
	uint16_t before, after = (uint16_t)(mtu - headers);
	bool odd;

	if (!qe_packet_is_syn(packet) || mtu <= headers)
		return false;
	mss = find_mss(tcp + 20, bytes + packet->payload);
	if (!mss || qe_load_u16(mss) <= after)
		return false;
	before = qe_load_u16(mss);
	qe_store_u16(mss, after);
	odd = (mss - tcp) % 2;
	if (!partial)
		qe_store_u16(tcp + 16,
			updated_checksum(qe_load_u16(tcp + 16), odd ? swapped(before) : before,
				odd ? swapped(after) : after));
	return true;
}
