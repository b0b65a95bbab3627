/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "proxy/complaint.h"

#include <errno.h>

constexpr size_t icmp_header = 8;

struct meaning {
	uint8_t protocol, type, code;
	enum qe_error error;
};

static const struct meaning meanings[] = {
	{QE_IP_ICMP, 3, 0, -ENETUNREACH},
	{QE_IP_ICMP, 3, 1, -EHOSTUNREACH},
	{QE_IP_ICMP, 3, 2, -ECONNREFUSED},
	{QE_IP_ICMP, 3, 3, -ECONNREFUSED},
	{QE_IP_ICMP, 3, 5, -EHOSTUNREACH},
	{QE_IP_ICMP, 3, 6, -ENETUNREACH},
	{QE_IP_ICMP, 3, 7, -EHOSTUNREACH},
	{QE_IP_ICMP, 3, 9, -EACCES},
	{QE_IP_ICMP, 3, 10, -EACCES},
	{QE_IP_ICMP, 3, 11, -ENETUNREACH},
	{QE_IP_ICMP, 3, 12, -EHOSTUNREACH},
	{QE_IP_ICMP, 3, 13, -EACCES},
	{QE_IP_ICMP, 11, 0, -EHOSTUNREACH},
	{QE_IP_ICMPV6, 1, 0, -ENETUNREACH},
	{QE_IP_ICMPV6, 1, 1, -EACCES},
	{QE_IP_ICMPV6, 1, 2, -EHOSTUNREACH},
	{QE_IP_ICMPV6, 1, 3, -EHOSTUNREACH},
	{QE_IP_ICMPV6, 1, 4, -ECONNREFUSED},
	{QE_IP_ICMPV6, 1, 5, -EACCES},
	{QE_IP_ICMPV6, 1, 6, -EACCES},
	{QE_IP_ICMPV6, 3, 0, -EHOSTUNREACH},
};

static enum qe_error find_meaning(uint8_t protocol, uint8_t type, uint8_t code)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		const struct meaning *meaning = &meanings[i];

		if (meaning->protocol == protocol && meaning->type == type && meaning->code == code)
			return meaning->error;
	}
	return QE_OK;
}

static void read_ipv4(struct qe_complaint *complaint, struct qe_reader *reader, uint8_t first)
{
	uint8_t bytes[4];
	const size_t header = (first & 15u) * 4u;

	qe_read_skip(reader, 8);
	complaint->protocol = qe_read_u8(reader);
	qe_read_skip(reader, 2);
	qe_read_copy(reader, bytes, 4);
	complaint->source = qe_addr_ipv4(bytes);
	qe_read_copy(reader, bytes, 4);
	complaint->destination = qe_addr_ipv4(bytes);
	qe_read_skip(reader, header > 20 ? header - 20 : 0);
}

static void read_ipv6(struct qe_complaint *complaint, struct qe_reader *reader)
{
	uint8_t bytes[16];

	qe_read_skip(reader, 5);
	complaint->protocol = qe_read_u8(reader);
	qe_read_skip(reader, 1);
	qe_read_copy(reader, bytes, 16);
	complaint->source = qe_addr_ipv6(bytes);
	qe_read_copy(reader, bytes, 16);
	complaint->destination = qe_addr_ipv6(bytes);
}

/* The packet that is quoted. */
static bool read_quoted(struct qe_complaint *complaint, struct qe_reader *reader, uint8_t version)
{
	const uint8_t first = qe_read_u8(reader);

	if (first >> 4 != version)
		return false;
	if (version == 4)
		read_ipv4(complaint, reader, first);
	else
		read_ipv6(complaint, reader);
	complaint->source_port = qe_read_u16(reader);
	complaint->destination_port = qe_read_u16(reader);
	complaint->sequence = qe_read_u32(reader);
	return reader->error == QE_OK &&
	       (complaint->protocol == QE_IP_TCP || complaint->protocol == QE_IP_UDP);
}

bool qe_complaint_read(
	struct qe_complaint *ret_complaint, const struct qe_packet *packet, struct qe_bytes bytes)
{
	struct qe_complaint complaint = {};
	struct qe_reader reader = qe_reader_init(
		(struct qe_bytes){bytes.data + packet->transport, bytes.len - packet->transport});
	const uint8_t type = qe_read_u8(&reader), code = qe_read_u8(&reader);

	complaint.error = find_meaning(packet->protocol, type, code);
	qe_read_skip(&reader, icmp_header - 2);
	if (complaint.error == QE_OK || !read_quoted(&complaint, &reader, packet->version))
		return false;
	*ret_complaint = complaint;
	return true;
}
