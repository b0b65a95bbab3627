/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* From a super-packet to packets and back, as between a TUN device and links with an MTU of 1,400:
 * parsing included. */
#include <stdlib.h>
#include <string.h>

#include "crypto/random.h"
#include "micro.h"
#include "net/checksum.h"
#include "net/coalesce.h"
#include "net/segment.h"

#include "../unit/net_packets.h"

constexpr size_t mtu = 1400;
constexpr size_t copies = 8; /* splitting writes over the super-packet: each is split once */
constexpr size_t packets_max = 64;
constexpr size_t runs = 15;

struct subject {
	const char *split, *merge, *merge_checked; /* measures */
	struct qe_offload offload;
	uint8_t *super, *copies[copies];
	size_t len;

	uint8_t (*packets)[mtu], (*checked)[mtu]; /* with partial checksums; with complete ones */
	size_t lens[packets_max], n;
	struct qe_coalescer *coalescer;
	size_t n_written;
};

/* ---- there ---- */

static size_t split(struct subject *subject, uint8_t *super, bool keep)
{
	struct qe_segmenter segmenter;
	struct qe_packet parsed;
	struct qe_bytes packet;
	size_t n = 0;

	micro_must(qe_packet_parse(&parsed, (struct qe_bytes){super, subject->len}) == QE_OK &&
			   qe_segmenter_init(&segmenter, super, &parsed, &subject->offload, mtu) ==
				   QE_OK,
		"a super-packet is refused");
	for (; qe_segmenter_next(&segmenter, &packet); n++) {
		if (!keep)
			continue;
		memcpy(subject->packets[n], packet.data, packet.len);
		subject->lens[n] = packet.len;
	}
	return n;
}

static double time_splitting(struct subject *subject)
{
	size_t n = 0;

	for (size_t i = 0; i < copies; i++)
		memcpy(subject->copies[i], subject->super, subject->len);
	qe_time start = micro_now();
	for (size_t i = 0; i < copies; i++)
		n += split(subject, subject->copies[i], false);
	qe_time end = micro_now();

	micro_must(n == copies * subject->n, "not all packets came out");
	return (double)(end - start) / (double)n;
}

/* ---- and back ---- */

static void count(void *ctx, const struct qe_offload *, const uint8_t *, size_t)
{
	((struct subject *)ctx)->n_written++;
}

static double time_merging(struct subject *subject, uint8_t (*packets)[mtu], bool partial)
{
	bool good = true;
	qe_time start = micro_now();

	subject->n_written = 0;
	for (size_t i = 0; i < copies; i++) {
		for (size_t j = 0; j < subject->n; j++) {
			struct qe_bytes bytes = {packets[j], subject->lens[j]};
			struct qe_packet packet;

			good &= qe_packet_parse(&packet, bytes) == QE_OK;
			qe_coalescer_add(subject->coalescer, bytes, &packet, partial);
		}
		qe_coalescer_flush(subject->coalescer);
	}
	qe_time end = micro_now();

	micro_must(good && subject->n_written == copies, "the packets did not become one");
	return (double)(end - start) / (double)(copies * subject->n);
}

static void round_of_packets(void *ctx)
{
	struct subject *subject = ctx;
	double splitting[runs], merging[runs], checked[runs];

	for (size_t i = 0; i < runs; i++) {
		splitting[i] = time_splitting(subject);
		merging[i] = time_merging(subject, subject->packets, true);
		checked[i] = time_merging(subject, subject->checked, false);
	}
	micro_tell("quicether", subject->split, "ns", micro_median(splitting, runs));
	micro_tell("quicether", subject->merge, "ns", micro_median(merging, runs));
	micro_tell("quicether", subject->merge_checked, "ns", micro_median(checked, runs));
}

static uint8_t *get(size_t size)
{
	uint8_t *bytes = malloc(size);

	micro_must(bytes != nullptr, "out of memory");
	return bytes;
}

static void make_packets(struct subject *subject)
{
	subject->packets = (uint8_t(*)[mtu])get(packets_max * mtu);
	subject->checked = (uint8_t(*)[mtu])get(packets_max * mtu);
	memcpy(subject->copies[0], subject->super, subject->len);
	subject->n = split(subject, subject->copies[0], true);
	memcpy(subject->checked, subject->packets, packets_max * mtu);
	for (size_t i = 0; i < subject->n; i++) {
		struct qe_packet packet;

		micro_must(qe_packet_parse(&packet, (struct qe_bytes){subject->checked[i],
							    subject->lens[i]}) == QE_OK,
			"a packet does not parse");
		qe_checksum_transport_complete(subject->checked[i], &packet);
	}
}

static void add(struct subject *subject, const struct spec *spec)
{
	subject->super = get(PACKET_MAX);
	subject->len = build(subject->super, spec);
	for (size_t i = 0; i < copies; i++)
		subject->copies[i] = get(PACKET_MAX);
	make_packets(subject);
	micro_must(
		qe_coalescer_new(&subject->coalescer, true, count, subject) == QE_OK, "no memory");
	micro_add(round_of_packets, subject);
}

void micro_add_packets(void)
{
	static struct subject tcp = {"split_tcp4", "coalesce_tcp4", "coalesce_tcp4_checked",
		{.gso = QE_GSO_TCP4,
			.needs_csum = true,
			.gso_size = mtu - 52,
			.csum_start = 20,
			.csum_offset = 16}};
	static struct subject udp = {"split_udp4", "coalesce_udp4", "coalesce_udp4_checked",
		{.gso = QE_GSO_UDP,
			.needs_csum = true,
			.gso_size = mtu - 28,
			.csum_start = 20,
			.csum_offset = 6}};
	static uint8_t payload[UINT16_MAX];
	struct spec spec = random_spec(4, QE_IP_TCP);

	qe_random(payload, sizeof(payload));
	spec.dont_fragment = true;
	spec.checksum = CHECKSUM_PARTIAL;
	spec.payload = payload;
	spec.n_tcp_options = 12; /* as of a timestamp */
	spec.payload_len = 48 * (mtu - 52);
	add(&tcp, &spec);
	spec.protocol = QE_IP_UDP;
	spec.n_tcp_options = 0;
	spec.payload_len = 47 * (mtu - 28);
	add(&udp, &spec);
}
