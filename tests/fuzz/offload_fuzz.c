/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Splitting and merging against a plain reference: what goes in comes out, byte by byte, and in
 * order within each flow. Input: steps, each of which makes
 *
 *   a super-packet as a TUN read gives it   -> segmenter -> coalescer -> reference
 *   a packet of a flow, more or less sane   ->              coalescer -> reference
 *   any bytes at all                        ->              coalescer -> reference
 *
 * The reference does with a super-packet what Linux does with one that is written to a TUN
 * interface, the dumb way. It and what builds the input share no code with src/net. Where packets
 * were merged, and only there, these may differ:
 *
 *   - the identification of IPv4 packets with DF that all have the same one: virtio-net has no
 *     words for "keep it", and it means nothing in them (RFC 6864);
 *   - 0xffff in the checksum of IPv4 or TCP, which may become 0: both say the same (RFC 1624).
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/coalesce.h"
#include "net/segment.h"
#include "offload_reference.h"

constexpr size_t segments_max = 200; /* of one super-packet; enough for 64 and wrapping ids */

static struct packets sent; /* with complete checksums, but for those that never had a right one */
static struct qe_coalescer *coalescer;

/* ---- what comes out ---- */

/* What Linux asks of what is written to a TUN interface (virtio_net_hdr_to_skb, __udp_gso_segment),
 * of any version that knows the offload. */
static void check_offload(const struct qe_offload *offload, const uint8_t *bytes, size_t len)
{
	struct view view = look(bytes);
	size_t payload_len = len - view.payload;

	if (offload->needs_csum) {
		assert(view.has_checksum && offload->csum_start == view.transport);
		assert(offload->csum_start + offload->csum_offset == view.checksum);
		assert(get16(bytes + view.checksum) == pseudo_sum(bytes, len, &view));
		assert(!offload->csum_valid && offload->hdr_len == view.payload);
	}
	if (offload->gso == QE_GSO_NONE)
		return;
	assert(offload->needs_csum && len <= 65535 && !view.fragment);
	assert(offload->gso_size > 0 && offload->gso_size < payload_len);
	assert((offload->gso == QE_GSO_UDP) == (view.protocol == udp));
	assert(offload->gso == QE_GSO_UDP || (offload->gso == QE_GSO_TCP4) == view.ipv4);
	assert(view.protocol == tcp || payload_len <= 64u * offload->gso_size);
	assert(view.ipv4 ? bytes[0] == 0x45 : view.transport == 40);
}

/* Fragments have no ports to show: they may be of any flow between their addresses. */
static bool may_be_of_one_flow(const struct packet *a, const struct packet *b)
{
	struct view view = look(a->bytes), other = look(b->bytes);

	if (view.ipv4 != other.ipv4 || view.protocol != other.protocol ||
		memcmp(a->bytes + view.addrs, b->bytes + other.addrs, view.addrs_len) != 0)
		return false;
	return view.fragment || other.fragment || !view.has_checksum ||
	       get32(a->bytes + view.transport) == get32(b->bytes + other.transport);
}

/* The first that may be of this packet's flow, and has not come out yet. */
static struct packet *expected(const struct packet *packet)
{
	while (sent.n_done < sent.n && sent.list[sent.n_done].seen)
		sent.n_done++;
	for (size_t i = sent.n_done; i < sent.n; i++)
		if (!sent.list[i].seen && may_be_of_one_flow(&sent.list[i], packet))
			return &sent.list[i];
	assert(!"a packet that was never sent");
}

static void level_zeros(uint8_t *checksum)
{
	if (get16(checksum) == 0xffff)
		put16(checksum, 0);
}

/* Takes away what may differ; first: what the first of the merged packets was sent as. */
static void level(struct packet *packet, const struct packet *original, const struct packet *first)
{
	struct view view = look(packet->bytes);

	if (view.protocol == tcp) {
		level_zeros(packet->bytes + view.checksum);
		level_zeros(original->bytes + view.checksum);
	}
	if (!view.ipv4)
		return;
	if (packet->bytes[6] & 0x40 && get16(original->bytes + 4) == get16(first->bytes + 4)) {
		put16(packet->bytes + 4, get16(original->bytes + 4));
		complete_ipv4(packet->bytes);
	}
	level_zeros(packet->bytes + 10);
	level_zeros(original->bytes + 10);
}

static void check_output(void *, const struct qe_offload *offload, const uint8_t *bytes, size_t len)
{
	static struct packets out;
	const struct packet *first = nullptr;
	unsigned n_fixed = 0;

	check_offload(offload, bytes, len);
	reference_split(&out, bytes, len, offload);
	for (size_t i = 0; i < out.n; i++) {
		struct packet *packet = &out.list[i], *original = expected(packet);

		first = first ? first : original;
		n_fixed += get16(original->bytes + 4) == get16(first->bytes + 4);
		if (out.n > 1)
			level(packet, original, first);
		assert(packet->len == original->len);
		assert(memcmp(packet->bytes, original->bytes, packet->len) == 0);
		original->seen = true;
	}
	/* All the same or none. */
	assert(out.n == 1 || look(bytes).ipv4 == false || n_fixed == 1 || n_fixed == out.n);
	forget(&out);
}

/* ---- what goes in ---- */

/* The bytes are as they travel; the checksum of what is kept to compare with is complete. */
static void merge(struct qe_bytes bytes, bool partial)
{
	struct qe_packet parsed;
	struct packet *packet;

	if (sent.n == packets_max || qe_packet_parse(&parsed, bytes) != QE_OK)
		return;
	packet = add(&sent, bytes.data, bytes.len);
	assert(look(packet->bytes).transport == parsed.transport);
	assert(look(packet->bytes).payload == parsed.payload);
	partial = partial && look(packet->bytes).has_checksum;
	if (partial)
		complete(packet->bytes, packet->len);
	qe_coalescer_add(coalescer, bytes, &parsed, partial);
}

/* Flows in which most packets go on where the one before has ended, and one in the making. */
struct draft {
	struct flow {
		uint32_t sequence;
		uint16_t id, size; /* of the next; of payloads */
	} flows[16];
	uint8_t bytes[packet_max];
	size_t len;
};

static uint8_t mostly(uint8_t usual, struct qe_reader *reader)
{
	return qe_read_u8(reader) < 0xf0 ? usual : qe_read_u8(reader);
}

static void append(struct draft *draft, const void *bytes, size_t len)
{
	memcpy(draft->bytes + draft->len, bytes, len);
	draft->len += len;
}

/* The identification counts up, stays, or jumps. */
static void draft_ipv4(
	struct draft *draft, struct qe_reader *reader, unsigned protocol, struct flow *flow)
{
	uint8_t header[60] = {0}, options = mostly(0, reader) % 11, how = qe_read_u8(reader);

	flow->id = how < 0xf0 ? flow->id + (how >> 1 & 1) : qe_read_u16(reader);
	header[0] = (uint8_t)(0x45 + options);
	header[1] = mostly(0, reader);
	put16(header + 4, flow->id);
	put16(header + 6, how & 1 ? 0 : 0x4000);
	header[8] = mostly(64, reader);
	header[9] = (uint8_t)protocol;
	memcpy(header + 12, "\x0a\0\0\x01\x0a\0\0\x02", 8);
	memset(header + 20, 1, 4u * options);
	append(draft, header, 20 + 4u * options);
}

static void draft_ipv6(struct draft *draft, struct qe_reader *reader, unsigned protocol)
{
	static const uint8_t types[] = {0, 43, 60, 44, 51};
	uint8_t header[40] = {0}, extension[8 * 64], n = mostly(0, reader) % 4;
	uint8_t *next = draft->bytes + 6;

	put32(header, 0x60000000u | mostly(0, reader) * 0x00111111u);
	header[7] = mostly(64, reader);
	header[8] = header[24] = 0xfd;
	header[23] = 1;
	append(draft, header, sizeof(header));
	for (; n > 0; n--) {
		uint8_t type = types[qe_read_u8(reader) % sizeof(types)];
		size_t len = 8;

		memset(extension, 0, sizeof(extension));
		if (type != 44 && type != 51)
			len = 8u * (1 + (extension[1] = qe_read_u8(reader) % 64));
		*next = type;
		next = draft->bytes + draft->len;
		append(draft, extension, len);
	}
	*next = (uint8_t)protocol;
}

static void draft_tcp(
	struct draft *draft, struct qe_reader *reader, uint8_t port, uint32_t sequence)
{
	uint8_t header[60] = {0, port, 0, 80}, options = mostly(3, reader) % 11;

	put32(header + 4, sequence);
	put32(header + 8, mostly(1, reader));
	header[12] = (uint8_t)((5 + options) * 16 + mostly(0, reader) % 16);
	header[13] = mostly(0x10, reader);
	put16(header + 14, mostly(100, reader));
	put16(header + 18, header[13] & 0x20 ? qe_read_u8(reader) : 0);
	memset(header + 20, 1, 4u * options);
	if (options >= 3) /* a timestamp, a little later at times */
		memcpy(header + 22, "\x08\x0a\0\0\0\x07\0\0\0\x05", 10);
	if (options >= 3)
		header[27] = mostly(7, reader);
	append(draft, header, 20 + 4u * options);
}

/* Of any content, which depends on its place in the stream. */
[[clang::no_sanitize("coverage")]] static void draft_payload(
	struct draft *draft, size_t len, uint32_t from)
{
	size_t room = 65535 - draft->len;

	len = len < room ? len : room;
	for (size_t i = 0; i < len; i++)
		draft->bytes[draft->len + i] = (uint8_t)((from + i) * 2654435761u >> 13);
	draft->len += len;
}

static void finish(struct draft *draft, unsigned protocol, size_t transport)
{
	if (protocol == udp)
		put16(draft->bytes + transport + 4, draft->len - transport);
	if (draft->bytes[0] / 16 == 4) {
		put16(draft->bytes + 2, draft->len);
		complete_ipv4(draft->bytes);
	} else {
		put16(draft->bytes + 4, draft->len - 40);
	}
	complete(draft->bytes, draft->len);
}

/* kind: 1 for IPv6, 2 for UDP, 4 and 8 for the flow. */
static void draft_packet(
	struct draft *draft, struct qe_reader *reader, uint8_t kind, size_t payload_len)
{
	struct flow *flow = &draft->flows[kind];
	unsigned protocol = kind & 2 ? udp : tcp;
	uint8_t port = kind / 4;
	size_t transport;

	draft->len = 0;
	if (kind & 1)
		draft_ipv6(draft, reader, protocol);
	else
		draft_ipv4(draft, reader, protocol, flow);
	transport = draft->len;
	if (protocol == tcp)
		draft_tcp(draft, reader, port, flow->sequence);
	else
		append(draft, (uint8_t[]){0, port, 0, 53, 0, 0, 0, 0}, 8);
	draft_payload(draft, payload_len, flow->sequence);
	finish(draft, protocol, transport);
	flow->sequence += (uint32_t)payload_len;
}

/* ---- from the kernel ---- */

static struct qe_offload offload_of(const uint8_t *bytes, size_t gso_size)
{
	struct view view = look(bytes);

	return (struct qe_offload){
		.gso = view.protocol == udp ? QE_GSO_UDP
		       : view.ipv4          ? QE_GSO_TCP4
					    : QE_GSO_TCP6,
		.needs_csum = true,
		.gso_size = (uint16_t)gso_size,
		.csum_start = (uint16_t)view.transport,
		.csum_offset = (uint16_t)(view.checksum - view.transport),
	};
}

/* Each segment against the reference's; to the coalescer it goes as it is or completed. */
static void check_segments(struct qe_segmenter *segmenter, struct packets *expect, uint8_t choice)
{
	struct qe_bytes segment;

	for (size_t i = 0; i < expect->n; i++) {
		uint8_t *copy;

		assert(qe_segmenter_peek(segmenter) == expect->list[i].len);
		assert(qe_segmenter_next(segmenter, &segment));
		assert(segment.len == expect->list[i].len);
		copy = malloc(segment.len);
		memcpy(copy, segment.data, segment.len);
		if (segmenter->partial)
			complete(copy, segment.len);
		assert(memcmp(copy, expect->list[i].bytes, segment.len) == 0);
		if (segmenter->partial) {
			make_partial(copy, segment.len);
			assert(memcmp(copy, segment.data, segment.len) == 0);
		}
		if (choice >> i % 8 & 1)
			merge(segment, segmenter->partial);
		else
			merge((struct qe_bytes){expect->list[i].bytes, segment.len}, false);
		free(copy);
	}
	assert(!qe_segmenter_next(segmenter, &segment) && qe_segmenter_peek(segmenter) == 0);
}

static void from_kernel(struct draft *draft, struct qe_reader *reader, uint8_t kind)
{
	static struct packets expect;
	uint8_t choice = qe_read_u8(reader);
	size_t gso_size = 1 + qe_read_u16(reader) % 9000, mtu = 68 + qe_read_u16(reader) % 9000;
	size_t payload_len = qe_read_u16(reader) % (gso_size * segments_max), room;
	struct qe_segmenter segmenter;
	struct qe_offload offload;
	struct qe_packet parsed;
	enum qe_error error;

	draft_packet(draft, reader, kind, payload_len);
	offload = offload_of(draft->bytes, gso_size);
	make_partial(draft->bytes, draft->len);
	if (qe_packet_parse(&parsed, (struct qe_bytes){draft->bytes, draft->len}) != QE_OK)
		return;
	error = qe_segmenter_init(&segmenter, draft->bytes, &parsed, &offload, (uint32_t)mtu);
	payload_len = draft->len - parsed.payload;
	room = mtu > parsed.payload ? mtu - parsed.payload : 0;
	assert((error == QE_OK) ==
		(room > 0 && (parsed.protocol == tcp || payload_len <= room || gso_size <= room)));
	if (error != QE_OK)
		return;
	offload.gso_size = (uint16_t)(gso_size < room ? gso_size : room);
	if (payload_len <= offload.gso_size)
		offload.gso = QE_GSO_NONE;
	if (payload_len > offload.gso_size * segments_max)
		return;
	reference_split(&expect, draft->bytes, draft->len, &offload);
	draft->flows[kind].id += (uint16_t)(expect.n - 1);
	check_segments(&segmenter, &expect, choice);
	forget(&expect);
}

/* ---- from a peer ---- */

/* Checksums are made right again, so that damage shows elsewhere; or taken away. */
static void mend(struct draft *draft, uint8_t how)
{
	struct qe_packet parsed;
	struct view view;

	if (qe_packet_parse(&parsed, (struct qe_bytes){draft->bytes, draft->len}) != QE_OK)
		return;
	view = look(draft->bytes);
	if (how & 2 && view.ipv4)
		complete_ipv4(draft->bytes);
	if (how & 2)
		complete(draft->bytes, draft->len);
	if (how & 8 && view.has_checksum)
		put16(draft->bytes + view.checksum, 0);
}

static void from_peer(struct draft *draft, struct qe_reader *reader, uint8_t kind)
{
	struct flow *flow = &draft->flows[kind];
	uint8_t how = qe_read_u8(reader), *exact;

	if (how & 0x80) /* shorter, or another size from now on */
		flow->size = how & 0x40 ? qe_read_u8(reader) : qe_read_u16(reader) % 2000;
	draft_packet(draft, reader, kind, how & 0x20 ? flow->size / 2 : flow->size);
	if (how & 1)
		draft->bytes[qe_read_u8(reader) % draft->len] ^= qe_read_u8(reader);
	mend(draft, how);
	exact = malloc(draft->len);
	memcpy(exact, draft->bytes, draft->len);
	merge((struct qe_bytes){exact, draft->len}, how & 4);
	free(exact);
}

static void any_bytes(struct qe_reader *reader)
{
	uint8_t how = qe_read_u8(reader);
	size_t left = qe_reader_left(reader), len = qe_read_u16(reader);
	struct qe_bytes bytes = qe_read_bytes(reader, len < left ? len : left);

	if (bytes.data)
		merge(bytes, how & 1);
}

static void step(struct draft *draft, struct qe_reader *reader)
{
	uint8_t what = qe_read_u8(reader), kind = what >> 4;

	switch (what % 8) {
	case 0:
	case 1:
		from_kernel(draft, reader, kind);
		break;
	case 2:
		any_bytes(reader);
		break;
	case 3:
		qe_coalescer_flush(coalescer);
		break;
	case 4:
		draft->flows[kind].sequence = qe_read_u32(reader);
		break;
	default:
		from_peer(draft, reader, kind);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct qe_reader reader = qe_reader_init((struct qe_bytes){data, len});
	static struct draft draft;
	static const struct flow usual = {.sequence = 0xfffff000, .size = 500};

	if (qe_coalescer_new(&coalescer, true, check_output, nullptr) != QE_OK)
		abort();
	for (size_t i = 0; i < 16; i++)
		draft.flows[i] = usual;
	while (qe_reader_left(&reader) > 0 && sent.n < packets_max)
		step(&draft, &reader);
	qe_coalescer_flush(coalescer);
	for (size_t i = 0; i < sent.n; i++)
		assert(sent.list[i].seen);
	forget(&sent);
	coalescer = qe_coalescer_free(coalescer);
	return 0;
}
