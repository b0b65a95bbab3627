/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Every segment is compared, byte by byte, with a packet built from scratch. */
#include "net/segment.h"
#include "net_packets.h"

#define ROUNDS 1500

static uint8_t bytes[PACKET_MAX], expected[PACKET_MAX], payload[PACKET_MAX];

static struct qe_offload offload_of(const struct spec *spec, uint16_t gso_size)
{
	return (struct qe_offload){
		.gso = gso_size == 0          ? QE_GSO_NONE
		       : spec->protocol == 17 ? QE_GSO_UDP
		       : spec->version == 4   ? QE_GSO_TCP4
					      : QE_GSO_TCP6,
		.needs_csum = spec->checksum == CHECKSUM_PARTIAL,
		.gso_size = gso_size,
		.hdr_len = (uint16_t)random_u64(),
		.csum_start = (uint16_t)spec_transport(spec),
		.csum_offset = spec->protocol == 6 ? 16 : 6,
	};
}

static enum qe_error start(struct qe_segmenter *segmenter, const struct spec *spec,
	const struct qe_offload *offload, size_t max_len)
{
	struct qe_packet packet;
	size_t len = build(bytes, spec);

	assert_int_equal(qe_packet_parse(&packet, (struct qe_bytes){bytes, len}), QE_OK);
	return qe_segmenter_init(segmenter, bytes, &packet, offload, (uint32_t)max_len);
}

static struct spec random_super(void)
{
	struct spec spec = random_spec(random_below(2) ? 4 : 6, random_below(3) ? 6 : 17);
	size_t most;

	spec.checksum = CHECKSUM_PARTIAL;
	if (spec.protocol == 6) {
		spec.flags = (uint8_t)random_u64();
		add_tcp_options(&spec);
	}
	if (random_below(4) == 0)
		add_ip_options(&spec);
	most = 65535 - spec_header_len(&spec);
	spec.payload = payload;
	spec.payload_len = random_below(2) ? random_below(most + 1) : random_below(5000);
	return spec;
}

/* The segment whose payload starts at offset. */
static struct spec segment_of(const struct spec *super, size_t offset, size_t size)
{
	struct spec spec = *super;
	bool last = offset + size >= super->payload_len;

	spec.payload += offset;
	spec.payload_len = last ? super->payload_len - offset : size;
	spec.sequence += (uint32_t)offset;
	spec.id = (uint16_t)(spec.id + offset / size);
	if (spec.protocol == 6 && offset > 0)
		spec.flags &= 0x7f;
	if (spec.protocol == 6 && !last)
		spec.flags &= 0xf6;
	return spec;
}

static void segments_are_as_built_from_scratch(void **state)
{
	(void)state;
	random_fill(payload, sizeof(payload));
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct spec super = random_super();
		size_t gso_size = 1 + random_below(random_below(8) ? 1500 : 60), size = gso_size;
		size_t header_len = spec_header_len(&super), offset = 0;
		size_t max_len = header_len + 1 + random_below(1500);
		struct qe_offload offload = offload_of(&super, (uint16_t)gso_size);
		struct qe_segmenter segmenter;
		struct qe_bytes segment;
		bool too_big = super.protocol == 17 && header_len + size > max_len &&
			       header_len + super.payload_len > max_len;

		if (super.payload_len > 20000 && gso_size < 100)
			continue;
		assert_int_equal(start(&segmenter, &super, &offload, max_len),
			too_big ? QE_ERR_TOO_BIG : QE_OK);
		if (too_big)
			continue;
		if (header_len + size > max_len)
			size = max_len - header_len;
		assert_true(segmenter.partial);
		do {
			struct spec spec = segment_of(&super, offset, size);
			size_t len = build(expected, &spec);

			assert_int_equal(qe_segmenter_peek(&segmenter), len);
			assert_true(qe_segmenter_next(&segmenter, &segment));
			assert_int_equal(segment.len, len);
			assert_memory_equal(segment.data, expected, len);
			offset += size;
		} while (offset < super.payload_len);
		assert_int_equal(qe_segmenter_peek(&segmenter), 0);
		assert_false(qe_segmenter_next(&segmenter, &segment));
	}
}

static void single_packets_pass(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct spec spec = random_super();
		struct qe_offload offload;
		struct qe_segmenter segmenter;
		struct qe_bytes packet;
		size_t len;

		spec.checksum = random_below(2) ? CHECKSUM_PARTIAL : CHECKSUM_COMPLETE;
		offload = offload_of(&spec, 0);
		len = build(expected, &spec);
		assert_int_equal(start(&segmenter, &spec, &offload, len - 1), QE_ERR_TOO_BIG);
		assert_int_equal(start(&segmenter, &spec, &offload, len), QE_OK);
		assert_int_equal(segmenter.partial, spec.checksum == CHECKSUM_PARTIAL);
		assert_int_equal(qe_segmenter_peek(&segmenter), len);
		assert_true(qe_segmenter_next(&segmenter, &packet));
		assert_int_equal(packet.len, len);
		assert_memory_equal(packet.data, expected, len);
		assert_false(qe_segmenter_next(&segmenter, &packet));
		assert_int_equal(qe_segmenter_peek(&segmenter), 0);
	}
}

/* What the kernel vouches for is sent partial; a datagram without a checksum stays without, and
 * what is not TCP or UDP, or longer than it says, as it is. */
static void vouched_checksums_become_partial(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		static const unsigned protocols[] = {6, 17, 1};
		struct spec spec = random_spec(random_below(2) ? 4 : 6, protocols[random_below(3)]);
		struct qe_offload offload = {.csum_valid = true};
		bool padded = random_below(2) && spec.protocol == 17;
		struct qe_segmenter segmenter;
		struct qe_packet packet;
		struct qe_bytes out;
		size_t len;

		spec.payload = payload;
		spec.payload_len = random_below(1400);
		if (spec.protocol == 17 && random_below(3) == 0)
			spec.checksum = CHECKSUM_NONE;
		len = build(bytes, &spec);
		if (padded)
			bytes[spec_transport(&spec) + 5] ^= 1;
		memcpy(expected, bytes, len);
		assert_int_equal(qe_packet_parse(&packet, (struct qe_bytes){bytes, len}), QE_OK);
		assert_int_equal(
			qe_segmenter_init(&segmenter, bytes, &packet, &offload, 1500), QE_OK);
		assert_int_equal(segmenter.partial,
			spec.protocol != 1 && !padded && spec.checksum == CHECKSUM_COMPLETE);
		if (segmenter.partial) {
			spec.checksum = CHECKSUM_PARTIAL;
			build(expected, &spec);
		}
		assert_true(qe_segmenter_next(&segmenter, &out));
		assert_int_equal(out.len, len);
		assert_memory_equal(out.data, expected, len);
	}
}

/* A checksum that is not the outer transport's, here that of a datagram inside a GRE-like packet.
 */
static void foreign_checksums_are_completed(void **state)
{
	struct spec inner = random_spec(4, 17), outer = random_spec(6, 47);
	struct qe_offload offload = {.needs_csum = true, .csum_start = 40 + 20, .csum_offset = 6};
	static uint8_t inside[2000];
	struct qe_segmenter segmenter;
	struct qe_bytes packet;
	size_t len;

	(void)state;
	random_fill(payload, 101);
	inner.payload = payload;
	inner.payload_len = 101;
	inner.checksum = CHECKSUM_COMPLETE;
	outer.payload = inside;
	outer.payload_len = build(inside, &inner);
	len = build(expected, &outer);
	inner.checksum = CHECKSUM_PARTIAL;
	build(inside, &inner);
	assert_int_equal(start(&segmenter, &outer, &offload, 1400), QE_OK);
	assert_false(segmenter.partial);
	assert_true(qe_segmenter_next(&segmenter, &packet));
	assert_int_equal(packet.len, len);
	assert_memory_equal(packet.data, expected, len);

	offload.csum_start = (uint16_t)(len - 7);
	assert_int_equal(start(&segmenter, &outer, &offload, 1400), QE_ERR_SYNTAX);
	offload.csum_start = offload.csum_offset = UINT16_MAX;
	assert_int_equal(start(&segmenter, &outer, &offload, 1400), QE_ERR_SYNTAX);
}

static void contradictions_are_refused(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct spec super = random_super();
		struct qe_offload offload = offload_of(&super, 1000);
		struct qe_segmenter segmenter;
		size_t max_len = 1400;

		switch (random_below(7)) {
		case 0:
			offload.csum_start += (uint16_t)(1 + random_below(UINT16_MAX));
			break;
		case 1:
			offload.csum_offset += (uint16_t)(1 + random_below(UINT16_MAX));
			break;
		case 2:
			offload.needs_csum = false;
			break;
		case 3:
			offload.gso_size = 0;
			break;
		case 4:
			offload.gso = offload.gso % 3 + 1;
			break;
		case 5:
			offload.gso = 4 + (uint8_t)random_below(252);
			break;
		case 6:
			max_len = random_below(spec_header_len(&super) + 1);
		}
		assert_int_equal(start(&segmenter, &super, &offload, max_len),
			max_len == 1400 ? QE_ERR_SYNTAX : QE_ERR_TOO_BIG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_are_as_built_from_scratch),
		cmocka_unit_test(single_packets_pass),
		cmocka_unit_test(vouched_checksums_become_partial),
		cmocka_unit_test(foreign_checksums_are_completed),
		cmocka_unit_test(contradictions_are_refused),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
