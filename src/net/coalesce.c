/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A slot holds what has come of one flow and may still grow: the first packet, and behind it the
 * payloads of those that followed. Only packets that could begin or continue a super-packet enter
 * a slot; all others are written at once, after the slot of their own flow. The header of a
 * super-packet is made right when it is written, once for all of its packets.
 */
#include "net/coalesce.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/checksum.h"

#define SUPER_MAX UINT16_MAX
#define UDP_DATAGRAMS_MAX 64 /* what Linux takes in one (UDP_MAX_SEGMENTS) */
#define CACHE_LINE 64
#define BUFFER_SIZE (UINT16_MAX + 1 + CACHE_LINE) /* the largest packet has 40 + 65,535 bytes */

enum : uint8_t { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_ACK = 0x10, TCP_ECE = 0x40 };

struct slot {
	uint8_t *bytes;
	struct qe_packet packet; /* the first one's; len: of all so far, 0 when the slot is free */
	uint64_t began;          /* the order in which slots were taken */
	uint32_t size;           /* of the first one's payload, and all others' but the last */
	uint32_t n;              /* packets */
	bool partial;            /* the first one's checksum */
	bool fixed_id;           /* the others have the first one's IPv4 identification */
};

struct qe_coalescer {
	qe_coalesced *write;
	void *ctx;
	bool udp;
	uint64_t n_begun;
	struct slot *recent; /* where the last packet went: with bulk traffic, the next one too */
	struct slot slots[QE_COALESCE_FLOWS];
	uint8_t *scratch; /* for a packet that is not kept, but whose checksum must be written */
	uint8_t *buffers;
};

enum qe_error qe_coalescer_new(
	struct qe_coalescer **ret_coalescer, bool udp, qe_coalesced *write, void *ctx)
{
	struct qe_coalescer *coalescer = malloc(sizeof(*coalescer));

	if (!coalescer)
		return (enum qe_error) - ENOMEM;
	*coalescer = (struct qe_coalescer){.write = write, .ctx = ctx, .udp = udp};
	coalescer->buffers = aligned_alloc(
		CACHE_LINE, (QE_COALESCE_FLOWS + 1) * (size_t)BUFFER_SIZE);
	if (!coalescer->buffers) {
		free(coalescer);
		return (enum qe_error) - ENOMEM;
	}
	for (size_t i = 0; i < QE_COALESCE_FLOWS; i++)
		coalescer->slots[i].bytes = coalescer->buffers + i * BUFFER_SIZE;
	coalescer->scratch = coalescer->buffers + QE_COALESCE_FLOWS * (size_t)BUFFER_SIZE;
	coalescer->recent = &coalescer->slots[0];
	*ret_coalescer = coalescer;
	return QE_OK;
}

struct qe_coalescer *qe_coalescer_free(struct qe_coalescer *coalescer)
{
	if (coalescer)
		free(coalescer->buffers);
	free(coalescer);
	return nullptr;
}

/* ---- writing ---- */

static struct qe_offload checksum_offload(const struct qe_packet *packet)
{
	return (struct qe_offload){
		.needs_csum = true,
		.hdr_len = packet->payload,
		.csum_start = packet->transport,
		.csum_offset = packet->protocol == QE_IP_TCP ? 16 : 6,
	};
}

static enum qe_gso gso_of(const struct qe_packet *packet)
{
	if (packet->protocol == QE_IP_UDP)
		return QE_GSO_UDP;
	return packet->version == 4 ? QE_GSO_TCP4 : QE_GSO_TCP6;
}

/* The lengths of the whole. What else the packets had in common stands as in the first one. */
static void write_lengths(uint8_t *bytes, const struct qe_packet *packet)
{
	if (packet->version == 4) {
		qe_store_u16(bytes + 2, (uint16_t)packet->len);
		qe_checksum_ipv4_header(bytes);
	} else {
		qe_store_u16(bytes + 4, (uint16_t)(packet->len - 40));
	}
	if (packet->protocol == QE_IP_UDP)
		qe_store_u16(
			bytes + packet->transport + 4, (uint16_t)(packet->len - packet->transport));
}

static void write_slot(struct qe_coalescer *coalescer, struct slot *slot)
{
	struct qe_packet *packet = &slot->packet;
	struct qe_offload offload = {.csum_valid = true};

	if (slot->n > 1) {
		write_lengths(slot->bytes, packet);
		offload = checksum_offload(packet);
		offload.gso = (uint8_t)gso_of(packet);
		offload.gso_size = (uint16_t)slot->size;
	} else if (slot->partial) {
		offload = checksum_offload(packet);
	}
	if (offload.needs_csum)
		qe_checksum_transport_partial(slot->bytes, packet);
	coalescer->write(coalescer->ctx, &offload, slot->bytes, packet->len);
	packet->len = 0;
}

static void write_alone(struct qe_coalescer *coalescer, struct qe_bytes bytes,
	const struct qe_packet *packet, bool partial)
{
	struct qe_offload offload = {};

	if (partial) {
		memcpy(coalescer->scratch, bytes.data, bytes.len);
		qe_checksum_transport_partial(coalescer->scratch, packet);
		offload = checksum_offload(packet);
		bytes.data = coalescer->scratch;
	}
	coalescer->write(coalescer->ctx, &offload, bytes.data, bytes.len);
}

/* ---- slots ---- */

static bool is_of_flow(const struct slot *slot, const struct qe_packet *packet)
{
	const struct qe_packet *own = &slot->packet;

	return own->len > 0 && own->protocol == packet->protocol &&
	       own->source_port == packet->source_port &&
	       own->destination_port == packet->destination_port &&
	       qe_addr_equal(&own->source, &packet->source) &&
	       qe_addr_equal(&own->destination, &packet->destination);
}

/* The slot that holds packets of this flow, or NULL. */
static struct slot *find_slot(struct qe_coalescer *coalescer, const struct qe_packet *packet)
{
	if (is_of_flow(coalescer->recent, packet))
		return coalescer->recent;
	for (size_t i = 0; i < QE_COALESCE_FLOWS; i++)
		if (is_of_flow(&coalescer->slots[i], packet))
			return &coalescer->slots[i];
	return nullptr;
}

/* The slot that was taken first of those in use, or NULL. */
static struct slot *oldest_slot(struct qe_coalescer *coalescer)
{
	struct slot *oldest = nullptr;

	for (size_t i = 0; i < QE_COALESCE_FLOWS; i++) {
		struct slot *slot = &coalescer->slots[i];

		if (slot->packet.len > 0 && (!oldest || slot->began < oldest->began))
			oldest = slot;
	}
	return oldest;
}

static struct slot *free_slot(struct qe_coalescer *coalescer)
{
	struct slot *oldest;

	for (size_t i = 0; i < QE_COALESCE_FLOWS; i++)
		if (coalescer->slots[i].packet.len == 0)
			return &coalescer->slots[i];
	oldest = oldest_slot(coalescer);
	write_slot(coalescer, oldest);
	return oldest;
}

/* A fragment shows no ports: it may belong to any slot of its protocol and addresses. */
static void write_slots_of_fragment(struct qe_coalescer *coalescer, const struct qe_packet *packet)
{
	for (size_t i = 0; i < QE_COALESCE_FLOWS; i++) {
		struct slot *slot = &coalescer->slots[i];
		struct qe_packet guess = *packet;

		guess.source_port = slot->packet.source_port;
		guess.destination_port = slot->packet.destination_port;
		if (is_of_flow(slot, &guess))
			write_slot(coalescer, slot);
	}
}

static void begin(struct qe_coalescer *coalescer, struct slot *slot, struct qe_bytes bytes,
	const struct qe_packet *packet, bool partial)
{
	memcpy(slot->bytes, bytes.data, bytes.len);
	slot->packet = *packet;
	slot->began = coalescer->n_begun++;
	slot->size = packet->len - packet->payload;
	slot->n = 1;
	slot->partial = partial;
	slot->fixed_id = false;
	coalescer->recent = slot;
}

/* ---- what may be merged ---- */

static bool is_tcp_data(const struct qe_packet *packet)
{
	/* CWR is not among them: a segment that carries it must stay the only one that does. */
	return (packet->tcp_flags & ~(TCP_FIN | TCP_PSH | TCP_ECE)) == TCP_ACK;
}

/* A datagram without a checksum would get one if it were merged. */
static bool is_plain_datagram(const uint8_t *bytes, const struct qe_packet *packet, bool partial)
{
	const uint8_t *udp = bytes + packet->transport;

	return qe_load_u16(udp + 4) == packet->len - packet->transport &&
	       (partial || qe_load_u16(udp + 6) != 0);
}

/* The checksum is right, and the reserved flag not set. */
static bool is_plain_ipv4(const uint8_t *bytes)
{
	return !(bytes[6] & 0x80) &&
	       qe_checksum_fold(qe_checksum_add(0, (struct qe_bytes){bytes, 20})) == 0xffff;
}

/* Whether it could be a part of a super-packet at all. What is damaged must not be: its checksum
 * would be made right. */
static bool is_mergeable(const struct qe_coalescer *coalescer, const uint8_t *bytes,
	const struct qe_packet *packet, bool partial)
{
	if (packet->fragment || packet->options || packet->len == packet->payload ||
		packet->len > SUPER_MAX)
		return false;
	if (packet->protocol == QE_IP_TCP) {
		if (!is_tcp_data(packet))
			return false;
	} else if (packet->protocol != QE_IP_UDP || !coalescer->udp ||
		   !is_plain_datagram(bytes, packet, partial)) {
		return false;
	}
	return (packet->version == 6 || is_plain_ipv4(bytes)) &&
	       (partial || qe_checksum_transport_valid(bytes, packet));
}

/* It counts up, as when a super-packet is split. With DF, where it means nothing (RFC 6864), it may
 * also stay what it is; that it comes to count up then is the one thing that merging changes. */
static bool continues_id(const struct slot *slot, const uint8_t *bytes)
{
	uint16_t step = (uint16_t)(qe_load_u16(bytes + 4) - qe_load_u16(slot->bytes + 4));

	if (slot->n == 1 && slot->packet.dont_fragment)
		return step <= 1;
	return step == (slot->fixed_id ? 0 : (uint16_t)slot->n);
}

/* Traffic class, DF, hop limit, flow label and identification. The rest of what stands in the
 * header belongs to the flow. */
static bool continues_ip(const struct slot *slot, const uint8_t *bytes)
{
	const uint8_t *first = slot->bytes;

	if (slot->packet.version == 6)
		return memcmp(bytes, first, 4) == 0 && bytes[7] == first[7];
	return bytes[1] == first[1] && memcmp(bytes + 6, first + 6, 3) == 0 &&
	       continues_id(slot, bytes);
}

/* Sequence, acknowledgement, header length, flags, window, urgent pointer and options. */
static bool continues_tcp(const struct slot *slot, const uint8_t *tcp)
{
	const struct qe_packet *packet = &slot->packet;
	const uint8_t *first = slot->bytes + packet->transport;
	uint32_t sequence = qe_load_u32(first + 4) + (packet->len - packet->payload);

	return qe_load_u32(tcp + 4) == sequence && memcmp(tcp + 8, first + 8, 5) == 0 &&
	       ((tcp[13] ^ first[13]) & TCP_ECE) == 0 && memcmp(tcp + 14, first + 14, 2) == 0 &&
	       memcmp(tcp + 18, first + 18, packet->payload - packet->transport - 18u) == 0;
}

static bool continues(const struct slot *slot, const uint8_t *bytes, const struct qe_packet *packet)
{
	uint32_t payload_len = packet->len - packet->payload;

	if (payload_len > slot->size || slot->packet.len + payload_len > SUPER_MAX ||
		!continues_ip(slot, bytes))
		return false;
	if (packet->protocol == QE_IP_TCP)
		return continues_tcp(slot, bytes + packet->transport);
	return slot->n < UDP_DATAGRAMS_MAX;
}

static bool ends_burst(const struct qe_packet *packet)
{
	return packet->tcp_flags & (TCP_PSH | TCP_FIN);
}

static void append(struct qe_coalescer *coalescer, struct slot *slot, const uint8_t *bytes,
	const struct qe_packet *packet)
{
	uint32_t payload_len = packet->len - packet->payload;

	memcpy(slot->bytes + slot->packet.len, bytes + packet->payload, payload_len);
	if (slot->n == 1)
		slot->fixed_id = memcmp(bytes + 4, slot->bytes + 4, 2) == 0;
	slot->packet.len += payload_len;
	slot->n++;
	coalescer->recent = slot;
	if (ends_burst(packet))
		slot->bytes[packet->transport + 13] |= packet->tcp_flags;
	if (ends_burst(packet) || payload_len < slot->size)
		write_slot(coalescer, slot);
}

void qe_coalescer_add(struct qe_coalescer *coalescer, struct qe_bytes bytes,
	const struct qe_packet *packet, bool partial)
{
	bool has_checksum = !packet->fragment &&
			    (packet->protocol == QE_IP_TCP || packet->protocol == QE_IP_UDP);
	struct slot *slot = find_slot(coalescer, packet);
	bool mergeable;

	partial = partial && has_checksum;
	mergeable = is_mergeable(coalescer, bytes.data, packet, partial);
	if (mergeable && slot && continues(slot, bytes.data, packet)) {
		append(coalescer, slot, bytes.data, packet);
		return;
	}
	if (slot)
		write_slot(coalescer, slot);
	if (packet->fragment)
		write_slots_of_fragment(coalescer, packet);
	if (mergeable && !ends_burst(packet))
		begin(coalescer, slot ? slot : free_slot(coalescer), bytes, packet, partial);
	else
		write_alone(coalescer, bytes, packet, partial);
}

void qe_coalescer_flush(struct qe_coalescer *coalescer)
{
	for (struct slot *slot; (slot = oldest_slot(coalescer));)
		write_slot(coalescer, slot);
}
