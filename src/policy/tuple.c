/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "policy/tuple.h"

constexpr unsigned EXTENSIONS_MAX = 8; /* as in qe_packet_parse */
constexpr unsigned TCP_LEN = 20;
constexpr unsigned UDP_LEN = 8;
constexpr unsigned ICMP_LEN = 8;

enum : uint8_t {
	IPV6_HOP_BY_HOP = 0,
	IPV6_ROUTING = 43,
	IPV6_FRAGMENT = 44,
	IPV6_AUTHENTICATION = 51,
	IPV6_DESTINATION = 60,
};

/* ---- transport headers ---- */

static bool is_icmp(uint8_t protocol, uint8_t family)
{
	return protocol == (family == QE_FAMILY_IPV4 ? QE_IP_ICMP : QE_IP_ICMPV6);
}

/* Redirects are none: they would change the receiver's routes. */
static bool is_error(uint8_t type, uint8_t family)
{
	if (family == QE_FAMILY_IPV6)
		return type >= 1 && type <= 4;
	return type == 3 || type == 4 || type == 11 || type == 12;
}

static enum flow_role echo_role(uint8_t type, uint8_t family)
{
	bool ipv4 = family == QE_FAMILY_IPV4;

	if (type == (ipv4 ? 8 : 128))
		return FLOW_REQUEST;
	return type == (ipv4 ? 0 : 129) ? FLOW_RESPONSE : FLOW_EITHER;
}

/* The key of a packet that ICMP's first 8 bytes are given of. False: it has no flow. */
static bool icmp_key(struct flow_key *ret_key, const struct qe_addr *source,
	const struct qe_addr *destination, uint8_t protocol, struct qe_reader icmp)
{
	enum flow_role role = echo_role(qe_read_u8(&icmp), source->family);
	uint16_t id;

	qe_read_skip(&icmp, 3);
	id = qe_read_u16(&icmp);
	if (role == FLOW_EITHER || icmp.error != QE_OK)
		return false;
	*ret_key = flow_key_make(source, destination, protocol, role, id, id);
	return true;
}

/* ---- extension headers ---- */

/* Moves the cursor behind the extension headers there; false: they do not fit, or there are too
 * many. *fragments gathers the offsets and flags of fragment headers. */
static bool skip_extensions(struct qe_reader *reader, uint8_t *protocol, uint16_t *fragments)
{
	for (unsigned n = 0; n < EXTENSIONS_MAX; n++) {
		uint8_t header = *protocol, next, len;
		uint16_t word;

		if (header != IPV6_HOP_BY_HOP && header != IPV6_ROUTING &&
			header != IPV6_FRAGMENT && header != IPV6_AUTHENTICATION &&
			header != IPV6_DESTINATION)
			return true;
		next = qe_read_u8(reader);
		len = qe_read_u8(reader);
		word = qe_read_u16(reader);
		if (header == IPV6_ROUTING && (word & 0xff) > 0)
			return false;
		if (header == IPV6_FRAGMENT) {
			qe_read_skip(reader, 4);
			*fragments |= word;
		} else if (header == IPV6_AUTHENTICATION) {
			qe_read_skip(reader, (len + 2u) * 4 - 4);
		} else {
			qe_read_skip(reader, (len + 1u) * 8 - 4);
		}
		if (reader->error != QE_OK)
			return false;
		*protocol = next;
	}
	return false;
}

/* ---- what ICMP errors quote ---- */

static bool quoted_transport(struct flow_key *ret_key, const struct qe_addr *source,
	const struct qe_addr *destination, uint8_t protocol, struct qe_reader *reader)
{
	uint16_t source_port, destination_port;

	if (is_icmp(protocol, source->family))
		return icmp_key(ret_key, source, destination, protocol, *reader);
	if (protocol != QE_IP_TCP && protocol != QE_IP_UDP) {
		*ret_key = flow_key_make(source, destination, protocol, FLOW_EITHER, 0, 0);
		return true;
	}
	source_port = qe_read_u16(reader);
	destination_port = qe_read_u16(reader);
	*ret_key = flow_key_make(
		source, destination, protocol, FLOW_EITHER, source_port, destination_port);
	return reader->error == QE_OK;
}

static bool quoted_ipv4(struct flow_key *ret_key, struct qe_addr *ret_source, struct qe_bytes quote)
{
	struct qe_reader reader = qe_reader_init(quote);
	struct qe_addr source, destination;
	uint8_t first = qe_read_u8(&reader), protocol;
	unsigned header_len = (first & 0xf) * 4u;
	uint8_t raw[4];
	uint16_t fragment;

	qe_read_skip(&reader, 5);
	fragment = qe_read_u16(&reader);
	qe_read_skip(&reader, 1);
	protocol = qe_read_u8(&reader);
	qe_read_skip(&reader, 2);
	qe_read_copy(&reader, raw, sizeof(raw));
	source = qe_addr_ipv4(raw);
	qe_read_copy(&reader, raw, sizeof(raw));
	destination = qe_addr_ipv4(raw);
	if (first >> 4 != 4 || header_len < 20 || fragment & 0x1fff)
		return false;
	qe_read_skip(&reader, header_len - 20);
	if (reader.error != QE_OK)
		return false;
	*ret_source = source;
	return quoted_transport(ret_key, &source, &destination, protocol, &reader);
}

static bool quoted_ipv6(struct flow_key *ret_key, struct qe_addr *ret_source, struct qe_bytes quote)
{
	struct qe_reader reader = qe_reader_init(quote);
	struct qe_addr source, destination;
	uint8_t first = qe_read_u8(&reader), protocol;
	uint16_t fragment = 0;
	uint8_t raw[16];

	qe_read_skip(&reader, 5);
	protocol = qe_read_u8(&reader);
	qe_read_skip(&reader, 1);
	qe_read_copy(&reader, raw, sizeof(raw));
	source = qe_addr_ipv6(raw);
	qe_read_copy(&reader, raw, sizeof(raw));
	destination = qe_addr_ipv6(raw);
	if (first >> 4 != 6 || !skip_extensions(&reader, &protocol, &fragment) || fragment & 0xfff8)
		return false;
	*ret_source = source;
	return quoted_transport(ret_key, &source, &destination, protocol, &reader);
}

/* An error goes back to who sent what it quotes. */
static bool quoted_key(
	struct flow_key *ret_key, const struct qe_packet *packet, struct qe_reader icmp)
{
	struct qe_addr source;
	struct flow_key key;
	struct qe_bytes quote;

	qe_read_skip(&icmp, ICMP_LEN);
	quote = qe_read_bytes(&icmp, qe_reader_left(&icmp));
	if (packet->version == 4 ? !quoted_ipv4(&key, &source, quote)
				 : !quoted_ipv6(&key, &source, quote))
		return false;
	if (!qe_addr_equal(&source, &packet->destination))
		return false;
	*ret_key = key;
	return true;
}

/* ---- packets ---- */

static struct qe_bytes behind(struct qe_bytes bytes, size_t offset)
{
	return (struct qe_bytes){bytes.data + offset, bytes.len - offset};
}

static void set_key(struct tuple *tuple, const struct qe_packet *packet)
{
	tuple->kind = TUPLE_FLOW;
	tuple->key = flow_key_make(&packet->source, &packet->destination, tuple->protocol,
		FLOW_EITHER, tuple->source_port, tuple->destination_port);
}

static void read_icmp(struct tuple *tuple, const struct qe_packet *packet, struct qe_reader icmp)
{
	struct qe_reader type = icmp;

	set_key(tuple, packet);
	tuple->kind = TUPLE_LONE;
	if (icmp_key(&tuple->key, &packet->source, &packet->destination, tuple->protocol, icmp))
		tuple->kind = TUPLE_FLOW;
	else if (!tuple->first_fragment && is_error(qe_read_u8(&type), packet->source.family) &&
		 quoted_key(&tuple->key, packet, icmp))
		tuple->kind = TUPLE_ERROR;
}

/* How long the transport's header is, with what a verdict needs of it read; 0: it is cut off. */
static size_t read_ports(struct tuple *tuple, struct qe_reader reader)
{
	bool tcp = tuple->protocol == QE_IP_TCP;
	size_t left = qe_reader_left(&reader), len = tcp ? TCP_LEN : UDP_LEN;

	if (left < len)
		return 0;
	tuple->has_ports = true;
	tuple->source_port = qe_read_u16(&reader);
	tuple->destination_port = qe_read_u16(&reader);
	if (!tcp)
		return len;
	qe_read_skip(&reader, 8);
	len = (qe_read_u8(&reader) >> 4) * 4u;
	tuple->tcp_flags = qe_read_u8(&reader);
	return len >= TCP_LEN && len <= left ? len : 0;
}

/* All headers must be in the first fragment (RFC 7112), and no later one may lie over them: else
 * what is judged would not be what is put together. */
static void read_first_fragment(
	struct tuple *tuple, const struct qe_packet *packet, struct qe_bytes bytes)
{
	struct qe_reader reader = qe_reader_init(behind(bytes, packet->transport));
	size_t begin = qe_reader_left(&reader), headers, transport = 0;
	uint16_t nested = 0;

	set_key(tuple, packet);
	tuple->kind = TUPLE_BAD;
	if (packet->version == 6 &&
		(!skip_extensions(&reader, &tuple->protocol, &nested) || nested))
		return;
	headers = begin - qe_reader_left(&reader);
	if (tuple->protocol == QE_IP_TCP || tuple->protocol == QE_IP_UDP) {
		transport = read_ports(tuple, reader);
		if (transport == 0)
			return;
	}
	headers = (headers + transport + 7) / 8;
	if (headers > UINT8_MAX)
		return;
	tuple->units = (uint16_t)headers;
	if (is_icmp(tuple->protocol, packet->source.family))
		read_icmp(tuple, packet, reader);
	else
		set_key(tuple, packet);
}

static void read_fragment(struct tuple *tuple, const struct qe_packet *packet,
	struct qe_bytes bytes, uint32_t subject)
{
	bool ipv4 = packet->version == 4;
	struct qe_reader reader = qe_reader_init(
		behind(bytes, ipv4 ? 4 : packet->transport - (size_t)6));
	uint32_t id = ipv4 ? qe_read_u16(&reader) : 0;
	uint16_t field = qe_read_u16(&reader);
	uint16_t units = ipv4 ? field & 0x1fff : field >> 3;

	if (!ipv4)
		id = qe_read_u32(&reader);
	tuple->fragments = flow_key_make_fragments(
		&packet->source, &packet->destination, ipv4 ? packet->protocol : 0, id, subject);
	if (units > 0) {
		tuple->kind = TUPLE_LATER;
		tuple->units = units;
		tuple->key = tuple->fragments;
		return;
	}
	tuple->first_fragment = true;
	read_first_fragment(tuple, packet, bytes);
}

void tuple_read(struct tuple *tuple, const struct qe_packet *packet, struct qe_bytes bytes,
	uint32_t subject)
{
	tuple->protocol = packet->protocol;
	tuple->first_fragment = false;
	tuple->has_ports = packet->protocol == QE_IP_TCP || packet->protocol == QE_IP_UDP;
	tuple->tcp_flags = packet->tcp_flags;
	tuple->source_port = packet->source_port;
	tuple->destination_port = packet->destination_port;
	if (packet->fragment) {
		tuple->has_ports = false;
		read_fragment(tuple, packet, bytes, subject);
	} else if (is_icmp(packet->protocol, packet->source.family)) {
		read_icmp(tuple, packet, qe_reader_init(behind(bytes, packet->transport)));
	} else {
		set_key(tuple, packet);
	}
}
