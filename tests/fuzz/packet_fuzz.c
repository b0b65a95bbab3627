/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Any bytes as an IP packet, through all that is done with one. Input: ten bytes that say how, then
 * the packet. Beyond memory errors, what comes out must be packets again and not too long.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/checksum.h"
#include "net/coalesce.h"
#include "net/icmp.h"
#include "net/segment.h"

struct choices {
	struct qe_offload offload;
	uint16_t mtu;
	bool partial;
};

static void check_output(
	void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	struct qe_packet packet;

	(void)ctx;
	assert(qe_packet_parse(&packet, (struct qe_bytes){data, len}) == QE_OK);
	assert(!offload->needs_csum || offload->csum_start == packet.transport);
	assert(offload->gso == QE_GSO_NONE ||
		(offload->needs_csum && offload->gso_size > 0 &&
			offload->gso_size < packet.len - packet.payload));
}

static struct choices read_choices(struct qe_reader *reader)
{
	struct choices choices;
	uint8_t flags = qe_read_u8(reader);

	choices.offload = (struct qe_offload){
		.gso = flags & 7,
		.needs_csum = flags & 8,
		.gso_size = qe_read_u16(reader),
		.csum_start = qe_read_u8(reader),
		.csum_offset = qe_read_u8(reader),
	};
	choices.mtu = qe_read_u16(reader);
	choices.partial = flags & 16;
	qe_read_skip(reader, 3);
	return choices;
}

static void answer(struct qe_bytes bytes, const struct qe_packet *packet, uint16_t mtu)
{
	static const struct qe_addr from[] = {{QE_FAMILY_IPV4, {10}}, {QE_FAMILY_IPV6, {0xfd}}};
	uint8_t to[QE_ICMP_MAX];
	struct qe_packet parsed;
	size_t len = qe_icmp_error(
		to, QE_ICMP_PACKET_TOO_BIG, &from[packet->version == 6], mtu, bytes, packet);

	assert(len == 0 || qe_packet_parse(&parsed, (struct qe_bytes){to, len}) == QE_OK);
}

static void fragment(struct qe_bytes bytes, const struct qe_packet *packet, uint16_t mtu)
{
	static uint8_t to[UINT16_MAX];
	size_t len;

	if (packet->version == 6 || packet->dont_fragment)
		return;
	for (unsigned i = 0; (len = qe_ipv4_fragment(to, sizeof(to), i, mtu, bytes, packet)) > 0;
		i++) {
		struct qe_packet parsed;
		enum qe_error error = qe_packet_parse(&parsed, (struct qe_bytes){to, len});

		/* A single piece may be a whole packet; no other is looked into. */
		assert(len <= mtu && error == QE_OK);
	}
}

static void edit(const struct qe_bytes *bytes, const struct qe_packet *packet, bool partial)
{
	uint8_t *copy = malloc(bytes->len);

	memcpy(copy, bytes->data, bytes->len);
	qe_packet_clamp_mss(copy, packet, partial, QE_MTU_MIN);
	if (packet->hop_limit > 1)
		qe_packet_decrement_hop_limit(copy);
	if (!packet->fragment && (packet->protocol == QE_IP_TCP || packet->protocol == QE_IP_UDP)) {
		qe_checksum_transport_complete(copy, packet);
		assert(qe_checksum_transport_valid(copy, packet));
	}
	free(copy);
}

static void split(struct qe_coalescer *coalescer, const struct qe_bytes *bytes,
	const struct qe_packet *packet, const struct choices *choices)
{
	uint8_t *copy = malloc(bytes->len);
	struct qe_segmenter segmenter;
	struct qe_bytes segment;

	memcpy(copy, bytes->data, bytes->len);
	if (qe_segmenter_init(&segmenter, copy, packet, &choices->offload, choices->mtu) != QE_OK) {
		free(copy);
		return;
	}
	for (uint32_t len; (len = qe_segmenter_peek(&segmenter)) > 0;) {
		struct qe_packet parsed;

		assert(qe_segmenter_next(&segmenter, &segment));
		assert(segment.len == len && len <= choices->mtu);
		if (qe_packet_parse(&parsed, segment) == QE_OK)
			qe_coalescer_add(coalescer, segment, &parsed, segmenter.partial);
		else
			assert(segmenter.single);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct qe_coalescer *coalescer;
	struct qe_reader reader = qe_reader_init((struct qe_bytes){data, len});
	struct choices choices = read_choices(&reader);
	struct qe_bytes bytes = qe_read_bytes(&reader, qe_reader_left(&reader));
	struct qe_packet packet;

	if (!coalescer && qe_coalescer_new(&coalescer, true, check_output, nullptr) != QE_OK)
		abort();
	if (!bytes.data || qe_packet_parse(&packet, bytes) != QE_OK)
		return 0;
	qe_packet_flow(&packet, len);
	answer(bytes, &packet, choices.mtu);
	fragment(bytes, &packet, choices.mtu);
	edit(&bytes, &packet, choices.partial);
	split(coalescer, &bytes, &packet, &choices);
	qe_coalescer_add(coalescer, bytes, &packet, choices.partial);
	qe_coalescer_flush(coalescer);
	return 0;
}
