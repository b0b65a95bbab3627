/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "net/segment.h"

#include <string.h>

#include "net/checksum.h"

enum : uint8_t { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_CWR = 0x80 };

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static unsigned checksum_offset(const struct qe_packet *packet)
{
	return packet->protocol == QE_IP_TCP ? 16 : 6;
}

/* Whether the checksum left to us is the transport's own, and not, say, that of a packet inside. */
static bool is_transport_offload(const struct qe_packet *packet, const struct qe_offload *offload)
{
	return offload->needs_csum && qe_packet_has_checksum(packet) &&
	       offload->csum_start == packet->transport &&
	       offload->csum_offset == checksum_offset(packet);
}

/* Whether the transport's checksum is complete, and the kernel has found it right: then the
 * receiver need not look again. A datagram without one must not come to have one, and one that is
 * shorter than its packet has another sum. */
static bool is_vouched(
	const uint8_t *bytes, const struct qe_packet *packet, const struct qe_offload *offload)
{
	const uint8_t *transport = bytes + packet->transport;

	if (!offload->csum_valid || offload->needs_csum || !qe_packet_has_checksum(packet))
		return false;
	return packet->protocol == QE_IP_TCP ||
	       (qe_load_u16(transport + 6) != 0 &&
		       qe_load_u16(transport + 4) == packet->len - packet->transport);
}

static bool matches_gso(const struct qe_packet *packet, enum qe_gso gso)
{
	switch (gso) {
	case QE_GSO_TCP4:
		return packet->version == 4 && packet->protocol == QE_IP_TCP;
	case QE_GSO_TCP6:
		return packet->version == 6 && packet->protocol == QE_IP_TCP;
	case QE_GSO_UDP:
		return packet->protocol == QE_IP_UDP;
	case QE_GSO_NONE:
		break;
	}
	return false;
}

/* Any checksum at any place, as virtio-net defines it: of the bytes from csum_start on, where the
 * field holds the sum of what is not among them. */
static enum qe_error complete_checksum(
	uint8_t *bytes, uint32_t len, const struct qe_offload *offload)
{
	uint32_t start = offload->csum_start, field = start + offload->csum_offset;
	uint16_t checksum;

	if (field + 2 > len)
		return QE_ERR_SYNTAX;
	checksum = (uint16_t)~qe_checksum_fold(
		qe_checksum_add(0, (struct qe_bytes){bytes + start, len - start}));
	qe_store_u16(bytes + field, checksum ? checksum : 0xffff);
	return QE_OK;
}

static enum qe_error init_single(
	struct qe_segmenter *segmenter, const struct qe_offload *offload, uint32_t max_len)
{
	const struct qe_packet *packet = &segmenter->packet;

	if (packet->len > max_len)
		return QE_ERR_TOO_BIG;
	segmenter->single = true;
	segmenter->payload_left = packet->len;
	segmenter->partial = is_transport_offload(packet, offload) ||
			     is_vouched(segmenter->bytes, packet, offload);
	if (segmenter->partial)
		qe_checksum_transport_partial(segmenter->bytes, packet);
	else if (offload->needs_csum)
		QE_TRY(complete_checksum(segmenter->bytes, packet->len, offload));
	return QE_OK;
}

static enum qe_error init_gso(
	struct qe_segmenter *segmenter, const struct qe_offload *offload, uint32_t max_len)
{
	const struct qe_packet *packet = &segmenter->packet;
	uint32_t payload_len = packet->len - packet->payload, size;

	if (!matches_gso(packet, offload->gso) || !is_transport_offload(packet, offload) ||
		offload->gso_size == 0 || packet->payload > sizeof(segmenter->header))
		return QE_ERR_SYNTAX;
	if (max_len <= packet->payload)
		return QE_ERR_TOO_BIG;
	size = min_u32(offload->gso_size, max_len - packet->payload);
	if (packet->protocol == QE_IP_UDP && size < min_u32(offload->gso_size, payload_len))
		return QE_ERR_TOO_BIG;
	if (payload_len <= size)
		return init_single(segmenter, offload, max_len);
	segmenter->size = (uint16_t)size;
	segmenter->payload_left = payload_len;
	segmenter->header_len = packet->payload;
	segmenter->at = packet->payload;
	segmenter->partial = true;
	memcpy(segmenter->header, segmenter->bytes, packet->payload);
	return QE_OK;
}

enum qe_error qe_segmenter_init(struct qe_segmenter *segmenter, uint8_t *bytes,
	const struct qe_packet *packet, const struct qe_offload *offload, uint32_t max_len)
{
	/* The room for the header is left as it is: this runs for every packet. */
	segmenter->bytes = bytes;
	segmenter->packet = *packet;
	segmenter->index = 0;
	segmenter->single = false;
	if (offload->gso == QE_GSO_NONE)
		return init_single(segmenter, offload, max_len);
	return init_gso(segmenter, offload, max_len);
}

static void write_ip_header(struct qe_segmenter *segmenter, uint8_t *at, uint32_t len)
{
	if (segmenter->packet.version == 6) {
		qe_store_u16(at + 4, (uint16_t)(len - 40));
		return;
	}
	qe_store_u16(at + 2, (uint16_t)len);
	qe_store_u16(at + 4, (uint16_t)(qe_load_u16(at + 4) + segmenter->index));
	qe_checksum_ipv4_header(at);
}

/* offset: of the segment's payload in the whole. */
static void write_tcp_header(uint8_t *tcp, uint32_t offset, bool first, bool last)
{
	qe_store_u32(tcp + 4, qe_load_u32(tcp + 4) + offset);
	if (!first)
		tcp[13] &= (uint8_t)~TCP_CWR;
	if (!last)
		tcp[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
}

/* The header of the segment whose payload begins at segmenter->at, in front of it. */
static void write_header(struct qe_segmenter *segmenter, uint8_t *at, uint32_t payload_len)
{
	struct qe_packet *packet = &segmenter->packet;
	uint8_t *transport = at + packet->transport;

	memcpy(at, segmenter->header, segmenter->header_len);
	packet->len = segmenter->header_len + payload_len;
	write_ip_header(segmenter, at, packet->len);
	if (packet->protocol == QE_IP_TCP)
		write_tcp_header(transport, segmenter->at - segmenter->header_len,
			segmenter->index == 0, payload_len == segmenter->payload_left);
	else
		qe_store_u16(transport + 4, (uint16_t)(packet->len - packet->transport));
	qe_checksum_transport_partial(at, packet);
}

bool qe_segmenter_next(struct qe_segmenter *segmenter, struct qe_bytes *ret_packet)
{
	uint32_t len = qe_segmenter_peek(segmenter);
	uint8_t *at = segmenter->bytes;

	if (len == 0)
		return false;
	if (segmenter->single) {
		segmenter->payload_left = 0;
	} else {
		uint32_t payload_len = len - segmenter->header_len;

		at += segmenter->at - segmenter->header_len;
		write_header(segmenter, at, payload_len);
		segmenter->at += payload_len;
		segmenter->payload_left -= payload_len;
		segmenter->index++;
	}
	*ret_packet = (struct qe_bytes){at, len};
	return true;
}

uint32_t qe_segments(const struct qe_offload *offload, uint32_t header_len, uint32_t len)
{
	if (offload->gso == QE_GSO_NONE || offload->gso_size == 0 || len <= header_len)
		return 1;
	return (len - header_len + offload->gso_size - 1) / offload->gso_size;
}

uint32_t qe_segmenter_left(const struct qe_segmenter *segmenter)
{
	if (segmenter->single || segmenter->payload_left == 0)
		return segmenter->payload_left > 0;
	return (segmenter->payload_left + segmenter->size - 1) / segmenter->size;
}

uint32_t qe_segmenter_peek(const struct qe_segmenter *segmenter)
{
	if (segmenter->single || segmenter->payload_left == 0)
		return segmenter->payload_left;
	return segmenter->header_len + min_u32(segmenter->size, segmenter->payload_left);
}
