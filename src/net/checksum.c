/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The sum is one of 16-bit words modulo 65,535, so that it may be taken over wider words (2^16 is
 * 1), in either byte order (swapping the bytes multiplies by 2^8), and be folded last.
 */
#include "net/checksum.h"

#include <string.h>

static uint64_t load_native_u32(const uint8_t *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

uint64_t qe_checksum_add(uint64_t sum, struct qe_bytes bytes)
{
	const uint8_t *at = bytes.data;
	size_t n_words = bytes.len / 4, left = bytes.len % 4;
	uint64_t native = 0;
	uint8_t last[4] = {};
	uint16_t folded;

	for (size_t i = 0; i < n_words; i++)
		native += load_native_u32(at + i * 4);
	for (size_t i = 0; i < left; i++)
		last[i] = at[n_words * 4 + i];
	folded = qe_checksum_fold(native + load_native_u32(last));
	memcpy(last, &folded, sizeof(folded));
	return sum + qe_load_u16(last);
}

uint16_t qe_checksum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

static uint64_t addr_sum(const struct qe_addr *addr)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < sizeof(addr->bytes); i += 4)
		sum += qe_load_u32(addr->bytes + i);
	return sum;
}

uint64_t qe_checksum_pseudo(const struct qe_packet *packet, uint32_t transport_len)
{
	return addr_sum(&packet->source) + addr_sum(&packet->destination) + packet->protocol +
	       transport_len;
}

static uint8_t *field_of(uint8_t *bytes, const struct qe_packet *packet)
{
	return bytes + packet->transport + (packet->protocol == QE_IP_TCP ? 16 : 6);
}

/* Over the pseudo-header and the transport's bytes, its checksum field included. */
static uint16_t transport_sum(const uint8_t *bytes, const struct qe_packet *packet)
{
	uint32_t len = packet->len - packet->transport;

	return qe_checksum_fold(qe_checksum_add(qe_checksum_pseudo(packet, len),
		(struct qe_bytes){bytes + packet->transport, len}));
}

bool qe_checksum_transport_valid(const uint8_t *bytes, const struct qe_packet *packet)
{
	if (packet->protocol == QE_IP_UDP && qe_load_u16(bytes + packet->transport + 6) == 0)
		return packet->version == 4;
	return transport_sum(bytes, packet) == 0xffff;
}

void qe_checksum_transport_complete(uint8_t *bytes, const struct qe_packet *packet)
{
	uint8_t *field = field_of(bytes, packet);
	uint16_t checksum;

	qe_store_u16(field, 0);
	checksum = (uint16_t)~transport_sum(bytes, packet);
	/* For UDP 0 means that there is none (RFC 768). */
	if (checksum == 0 && packet->protocol == QE_IP_UDP)
		checksum = 0xffff;
	qe_store_u16(field, checksum);
}

void qe_checksum_transport_partial(uint8_t *bytes, const struct qe_packet *packet)
{
	uint64_t sum = qe_checksum_pseudo(packet, packet->len - packet->transport);

	qe_store_u16(field_of(bytes, packet), qe_checksum_fold(sum));
}

void qe_checksum_ipv4_header(uint8_t *bytes)
{
	unsigned n_words = bytes[0] & 0xf;
	uint64_t sum = 0;

	qe_store_u16(bytes + 10, 0);
	for (unsigned i = 0; i < n_words; i++)
		sum += qe_load_u32(bytes + i * 4);
	qe_store_u16(bytes + 10, (uint16_t)~qe_checksum_fold(sum));
}
