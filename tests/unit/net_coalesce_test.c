/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Two oracles. A slow model works on the fields that packets were built from and says which of them
 * belong together; each super-packet must be, byte for byte, what is built from those fields. And
 * what the segmenter splits, the coalescer must put together again.
 */
#include "net/coalesce.h"
#include "net/segment.h"
#include "net_packets.h"

#define OUTPUTS_MAX 4096
#define PACKETS 400

struct output {
	struct qe_offload offload;
	uint8_t *bytes;
	size_t len;
};

static struct output outputs[OUTPUTS_MAX];
static size_t n_outputs;
static uint8_t bytes[PACKET_MAX], payload[PACKET_MAX];

static void collect(void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	struct output *output = &outputs[n_outputs++];

	assert_ptr_equal(ctx, outputs);
	assert_true(n_outputs <= OUTPUTS_MAX && len > 0);
	*output = (struct output){*offload, malloc(len), len};
	memcpy(output->bytes, data, len);
}

static void forget_outputs(void)
{
	while (n_outputs > 0)
		free(outputs[--n_outputs].bytes);
}

static struct qe_coalescer *new_coalescer(bool udp)
{
	struct qe_coalescer *coalescer = nullptr;

	assert_int_equal(qe_coalescer_new(&coalescer, udp, collect, outputs), QE_OK);
	return coalescer;
}

static void add_bytes(struct qe_coalescer *coalescer, const uint8_t *from, size_t len, bool partial)
{
	/* In a buffer of its exact size, which is gone afterwards. */
	uint8_t *exact = malloc(len);
	struct qe_packet packet;

	memcpy(exact, from, len);
	assert_int_equal(qe_packet_parse(&packet, (struct qe_bytes){exact, len}), QE_OK);
	qe_coalescer_add(coalescer, (struct qe_bytes){exact, len}, &packet, partial);
	free(exact);
}

/* A partial checksum's field says nothing: the coalescer writes it. */
static void add(struct qe_coalescer *coalescer, const struct spec *spec)
{
	bool partial = spec->checksum == CHECKSUM_PARTIAL;
	size_t len = build(bytes, spec);

	if (partial && (spec->protocol == 6 || spec->protocol == 17))
		random_fill(bytes + spec_transport(spec) + (spec->protocol == 6 ? 16 : 6), 2);
	add_bytes(coalescer, bytes, len, partial);
}

/* ---- the model ---- */

/* Packets that were put together; of one packet, as a rule. */
struct group {
	struct spec whole;
	size_t n, size;
	bool ended, alone, fixed_id;
};

struct model {
	struct group groups[PACKETS];
	size_t n;
};

static bool may_merge(const struct spec *spec, bool udp)
{
	if (spec->n_ip_options > 0 || spec->payload_len == 0 || spec->checksum == CHECKSUM_WRONG ||
		spec->checksum == CHECKSUM_NONE)
		return false;
	if (spec->protocol == 17)
		return udp;
	/* ACK, and at most PSH, FIN and ECE. */
	return spec->protocol == 6 && spec->flags & 0x10 && !(spec->flags & 0xa6);
}

static bool ends(const struct spec *spec)
{
	return spec->protocol == 6 && spec->flags & 0x09;
}

static bool may_be_fixed(const struct group *group)
{
	return group->n == 1 || group->fixed_id;
}

static bool follows(const struct group *group, const struct spec *next)
{
	const struct spec *first = &group->whole;

	if (group->ended || group->alone || next->payload_len > group->size ||
		spec_len(first) + next->payload_len > 65535 ||
		next->traffic_class != first->traffic_class || next->hop_limit != first->hop_limit)
		return false;
	if (next->version == 6 && next->flow_label != first->flow_label)
		return false;
	if (next->version == 4 && next->dont_fragment != first->dont_fragment)
		return false;
	if (next->version == 4 && next->id != (uint16_t)(first->id + group->n) &&
		!(next->dont_fragment && next->id == first->id && may_be_fixed(group)))
		return false;
	if (next->version == 4 && group->n > 1 && group->fixed_id && next->id != first->id)
		return false;
	if (next->protocol == 17)
		return group->n < 64;
	return next->sequence == (uint32_t)(first->sequence + first->payload_len) &&
	       next->acknowledgement == first->acknowledgement && next->window == first->window &&
	       next->urgent == first->urgent && !((next->flags ^ first->flags) & 0x40) &&
	       next->n_tcp_options == first->n_tcp_options &&
	       memcmp(next->tcp_options, first->tcp_options, first->n_tcp_options) == 0;
}

/* The payloads of a flow follow one another in memory, so that a group's is one piece. */
static void model_add(struct model *model, const struct spec *spec, bool udp)
{
	struct group *last = model->n > 0 ? &model->groups[model->n - 1] : nullptr;
	bool merge = may_merge(spec, udp);

	if (merge && last && follows(last, spec)) {
		last->whole.payload_len += spec->payload_len;
		last->whole.flags |= spec->flags;
		last->fixed_id |= spec->id == last->whole.id;
		last->n++;
		last->ended = ends(spec) || spec->payload_len < last->size;
		return;
	}
	model->groups[model->n++] = (struct group){
		.whole = *spec,
		.n = 1,
		.size = spec->payload_len,
		.alone = !merge || ends(spec),
	};
}

static void check_output(const struct output *output, const struct group *group)
{
	static uint8_t expected[PACKET_MAX];
	struct spec whole = group->whole;
	struct qe_offload offload = {};
	size_t len;

	if (group->n > 1)
		whole.checksum = CHECKSUM_PARTIAL;
	len = build(expected, &whole);
	assert_int_equal(output->len, len);
	assert_memory_equal(output->bytes, expected, len);
	if (whole.checksum == CHECKSUM_PARTIAL) {
		offload.needs_csum = true;
		offload.hdr_len = (uint16_t)spec_header_len(&whole);
		offload.csum_start = (uint16_t)spec_transport(&whole);
		offload.csum_offset = whole.protocol == 6 ? 16 : 6;
	} else {
		offload.csum_valid = !group->alone;
	}
	if (group->n > 1) {
		offload.gso_size = (uint16_t)group->size;
		offload.gso = whole.protocol == 17 ? QE_GSO_UDP
			      : whole.version == 4 ? QE_GSO_TCP4
						   : QE_GSO_TCP6;
	}
	assert_int_equal(output->offload.gso, offload.gso);
	assert_int_equal(output->offload.gso_size, offload.gso_size);
	assert_int_equal(output->offload.needs_csum, offload.needs_csum);
	assert_int_equal(output->offload.csum_valid, offload.csum_valid);
	assert_int_equal(output->offload.hdr_len, offload.hdr_len);
	assert_int_equal(output->offload.csum_start, offload.csum_start);
	assert_int_equal(output->offload.csum_offset, offload.csum_offset);
}

/* ---- random traffic ---- */

struct flow {
	struct spec next;
	size_t size, n_checked;
	bool counts; /* the IPv4 identification counts up */
	struct model model;
};

static void random_flow(struct flow *flow, size_t at)
{
	struct spec *spec = &flow->next;

	*spec = random_spec(random_below(2) ? 4 : 6, random_below(3) ? 6 : 17);
	spec->source_port = (unsigned)at;
	spec->payload = payload + random_below(1000);
	if (spec->protocol == 6)
		add_tcp_options(spec);
	flow->size = 1 + random_below(random_below(3) ? 1400 : 20000);
	flow->counts = random_below(4);
	flow->model.n = flow->n_checked = 0;
}

/* What breaks a run of packets: any field may change, once in a while for one packet only. */
static void disturb(struct spec *spec)
{
	switch (random_below(20)) {
	case 0:
		spec->sequence++;
		break;
	case 1:
		spec->acknowledgement += 100;
		break;
	case 2:
		spec->window++;
		break;
	case 3:
		spec->hop_limit++;
		break;
	case 4:
		spec->traffic_class ^= 1;
		break;
	case 5:
		spec->id += 3;
		break;
	case 6:
		spec->flow_label ^= 1;
		break;
	case 7:
		spec->dont_fragment = spec->version == 6 || !spec->dont_fragment;
		break;
	case 8:
		spec->tcp_options[0]++;
		break;
	case 9:
		spec->n_tcp_options = spec->protocol == 6 ? spec->n_tcp_options ^ 4 : 0;
		spec->n_tcp_options = spec->n_tcp_options > 40 ? 40 : spec->n_tcp_options;
		break;
	case 10:
		spec->urgent++;
		break;
	case 11:
		add_ip_options(spec);
		break;
	case 12:
		spec->payload_len = 0;
		break;
	case 13:
		spec->checksum = CHECKSUM_WRONG;
		break;
	case 14:
		spec->checksum = spec->protocol == 17 ? CHECKSUM_NONE : CHECKSUM_COMPLETE;
		break;
	case 15:
		spec->payload_len += 1 + random_below(100);
		break;
	default:
		if (spec->protocol == 6)
			spec->flags ^= (uint8_t)(1u << random_below(8));
	}
}

static struct spec next_packet(struct flow *flow)
{
	struct spec *next = &flow->next, spec;

	next->payload_len = random_below(20) ? flow->size : random_below(flow->size + 1);
	next->checksum = random_below(2) ? CHECKSUM_PARTIAL : CHECKSUM_COMPLETE;
	spec = *next;
	if (random_below(8) == 0)
		disturb(random_below(4) ? &spec : next);
	if (spec.protocol == 6 && random_below(15) == 0)
		spec.flags |= 0x08;
	next->payload += spec.payload_len;
	next->sequence += (uint32_t)spec.payload_len;
	next->id += flow->counts;
	if (next->payload + 25000 > payload + sizeof(payload))
		next->payload = payload;
	/* Only a permanent change may come through `next`. */
	next->checksum = CHECKSUM_COMPLETE;
	next->n_ip_options = 0;
	return spec;
}

static void check_all_outputs(struct flow *flows, size_t n_flows)
{
	for (size_t i = 0; i < n_outputs; i++) {
		size_t transport = outputs[i].bytes[0] >> 4 == 6
					   ? (outputs[i].bytes[6] == 60 ? 48 : 40)
					   : (outputs[i].bytes[0] & 15u) * 4;
		const uint8_t *port = outputs[i].bytes + transport;
		struct flow *flow = &flows[port[0] * 256u + port[1]];

		assert_in_range(flow - flows, 0, n_flows - 1);
		assert_true(flow->n_checked < flow->model.n);
		check_output(&outputs[i], &flow->model.groups[flow->n_checked++]);
	}
	for (size_t i = 0; i < n_flows; i++)
		assert_int_equal(flows[i].n_checked, flows[i].model.n);
}

static void random_traffic_agrees_with_model(void **state)
{
	static struct flow flows[QE_COALESCE_FLOWS];

	(void)state;
	random_fill(payload, sizeof(payload));
	for (unsigned round = 0; round < 60; round++) {
		size_t n_flows = 1 + random_below(QE_COALESCE_FLOWS), current = 0;
		bool udp = random_below(4);
		struct qe_coalescer *coalescer = new_coalescer(udp);

		for (size_t i = 0; i < n_flows; i++)
			random_flow(&flows[i], i);
		for (unsigned i = 0; i < PACKETS; i++) {
			struct flow *flow = &flows[current];
			const uint8_t *before = flow->next.payload;
			struct spec spec = next_packet(flow);

			add(coalescer, &spec);
			model_add(&flow->model, &spec, udp);
			/* The payloads would no longer be one piece. */
			if (flow->next.payload < before) {
				qe_coalescer_flush(coalescer);
				for (size_t j = 0; j < n_flows; j++)
					if (flows[j].model.n > 0)
						flows[j].model.groups[flows[j].model.n - 1].ended =
							true;
			}
			if (random_below(4) == 0)
				current = random_below(n_flows);
		}
		qe_coalescer_flush(coalescer);
		check_all_outputs(flows, n_flows);
		forget_outputs();
		qe_coalescer_free(coalescer);
	}
}

/* ---- round trip ---- */

static void segments_become_the_super_packet_again(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 400; round++) {
		struct spec super = random_spec(random_below(2) ? 4 : 6, random_below(2) ? 6 : 17);
		size_t size = 1 + random_below(3000), most = super.protocol == 17 ? 64 : 40;
		struct qe_coalescer *coalescer = new_coalescer(true);
		static uint8_t original[PACKET_MAX];
		struct qe_offload offload;
		struct qe_segmenter segmenter;
		struct qe_packet packet;
		struct qe_bytes segment;
		size_t len;

		super.checksum = CHECKSUM_PARTIAL;
		if (super.protocol == 6) {
			add_tcp_options(&super);
			super.flags |= (uint8_t)random_u64() & 0x49;
		}
		super.payload = payload;
		super.payload_len = size + 1 + random_below(size * (most - 1));
		if (spec_len(&super) > 65535)
			super.payload_len = 65535 - spec_header_len(&super);
		len = build(bytes, &super);
		memcpy(original, bytes, len);
		assert_int_equal(qe_packet_parse(&packet, (struct qe_bytes){bytes, len}), QE_OK);
		offload = (struct qe_offload){
			.gso = super.protocol == 17 ? QE_GSO_UDP
			       : super.version == 4 ? QE_GSO_TCP4
						    : QE_GSO_TCP6,
			.needs_csum = true,
			.gso_size = (uint16_t)size,
			.csum_start = packet.transport,
			.csum_offset = super.protocol == 6 ? 16 : 6,
		};
		assert_int_equal(
			qe_segmenter_init(&segmenter, bytes, &packet, &offload, 4000), QE_OK);
		while (qe_segmenter_next(&segmenter, &segment))
			add_bytes(coalescer, segment.data, segment.len, true);
		qe_coalescer_flush(coalescer);

		assert_int_equal(n_outputs, 1);
		assert_int_equal(outputs[0].len, len);
		assert_memory_equal(outputs[0].bytes, original, len);
		assert_int_equal(outputs[0].offload.gso, offload.gso);
		assert_int_equal(outputs[0].offload.gso_size, size);
		assert_true(outputs[0].offload.needs_csum);
		forget_outputs();
		qe_coalescer_free(coalescer);
	}
}

/* ---- order ---- */

static struct spec data_of(unsigned source_port, size_t len)
{
	struct spec spec = random_spec(4, 6);

	memset(spec.source, 10, 4);
	memset(spec.destination, 20, 4);
	spec.source_port = source_port;
	spec.destination_port = 443;
	spec.payload = payload;
	spec.payload_len = len;
	return spec;
}

static void the_oldest_makes_room(void **state)
{
	struct qe_coalescer *coalescer = new_coalescer(false);

	(void)state;
	for (unsigned i = 0; i < QE_COALESCE_FLOWS + 3; i++) {
		struct spec spec = data_of(1000 + i, 100);

		add(coalescer, &spec);
		assert_int_equal(n_outputs, i < QE_COALESCE_FLOWS ? 0 : i + 1 - QE_COALESCE_FLOWS);
	}
	qe_coalescer_flush(coalescer);
	assert_int_equal(n_outputs, QE_COALESCE_FLOWS + 3);
	for (unsigned i = 0; i < n_outputs; i++)
		assert_int_equal(outputs[i].bytes[20] * 256 + outputs[i].bytes[21], 1000 + i);
	qe_coalescer_flush(coalescer);
	assert_int_equal(n_outputs, QE_COALESCE_FLOWS + 3);
	forget_outputs();
	qe_coalescer_free(coalescer);
}

static void others_pass_but_fragments_wait(void **state)
{
	struct qe_coalescer *coalescer = new_coalescer(true);
	struct spec data = data_of(1, 100), other = data_of(2, 100), ping = data, fragment = data;

	(void)state;
	other.source[0]++;
	ping.protocol = 1;
	add(coalescer, &data);
	add(coalescer, &other);
	add(coalescer, &ping);
	assert_int_equal(n_outputs, 1);
	assert_int_equal(outputs[0].bytes[9], 1);

	/* The fragment may be of the first flow, but not of the second. */
	build(bytes, &fragment);
	bytes[6] = 0x20;
	add_bytes(coalescer, bytes, spec_len(&fragment), true);
	assert_int_equal(n_outputs, 3);
	assert_int_equal(outputs[1].bytes[21], 1);
	assert_int_equal(outputs[2].bytes[6], 0x20);
	assert_memory_equal(outputs[2].bytes, bytes, outputs[2].len);
	assert_false(outputs[2].offload.needs_csum);
	qe_coalescer_flush(coalescer);
	assert_int_equal(n_outputs, 4);
	forget_outputs();
	qe_coalescer_free(coalescer);
}

/* Its checksum is right, and would still be after a merge, which would thus hide the damage. */
static void damaged_ipv4_headers_stay_damaged(void **state)
{
	struct qe_coalescer *coalescer = new_coalescer(false);
	struct spec spec = data_of(1, 100);

	(void)state;
	spec.dont_fragment = true;
	add(coalescer, &spec);
	spec.sequence += 100;
	build(bytes, &spec);
	bytes[10] ^= 1;
	add_bytes(coalescer, bytes, spec_len(&spec), false);
	assert_int_equal(n_outputs, 2);
	assert_memory_equal(outputs[1].bytes, bytes, outputs[1].len);
	assert_false(outputs[1].offload.csum_valid);
	forget_outputs();
	qe_coalescer_free(coalescer);
}

/* A UDP length that is not the IP payload's: legal, but not to be merged. */
static void padded_datagrams_stay_alone(void **state)
{
	struct qe_coalescer *coalescer = new_coalescer(true);
	struct spec spec = random_spec(6, 17);

	(void)state;
	spec.payload = payload;
	spec.payload_len = 100;
	for (unsigned i = 0; i < 2; i++) {
		build(bytes, &spec);
		bytes[40 + 5]--;
		add_bytes(coalescer, bytes, spec_len(&spec), true);
		assert_int_equal(n_outputs, i + 1);
	}
	forget_outputs();
	assert_null(qe_coalescer_free(coalescer));
	assert_null(qe_coalescer_free(nullptr));
}

/* Adds n packets of one size that follow one another without a flaw. */
static void check_bulk(unsigned protocol, size_t size, size_t n, size_t n_groups)
{
	static struct flow flow;
	struct qe_coalescer *coalescer = new_coalescer(true);

	flow.next = random_spec(6, protocol);
	flow.next.source_port = 0;
	flow.next.payload = payload;
	flow.next.payload_len = size;
	flow.model.n = flow.n_checked = 0;
	for (size_t i = 0; i < n; i++) {
		add(coalescer, &flow.next);
		model_add(&flow.model, &flow.next, true);
		flow.next.payload += size;
		flow.next.sequence += (uint32_t)size;
	}
	qe_coalescer_flush(coalescer);
	assert_int_equal(n_outputs, n_groups);
	check_all_outputs(&flow, 1);
	forget_outputs();
	qe_coalescer_free(coalescer);
}

static void super_packets_have_limits(void **state)
{
	(void)state;
	check_bulk(6, 1400, 46, 1);
	check_bulk(6, 1400, 47, 2);
	check_bulk(6, 1, 1000, 1);
	check_bulk(17, 10, 64, 1);
	check_bulk(17, 10, 65, 2);
	check_bulk(17, 1400, 47, 2);
}

/* The longest packet of all: 40 bytes beyond what an IPv4 packet, or a super-packet, may have. */
static void the_longest_packet_passes(void **state)
{
	struct qe_coalescer *coalescer = new_coalescer(true);
	struct spec spec = random_spec(6, 6);

	(void)state;
	spec.payload = payload;
	spec.payload_len = 65535 - 20;
	spec.checksum = CHECKSUM_PARTIAL;
	add(coalescer, &spec);
	assert_int_equal(n_outputs, 1);
	check_output(&outputs[0], &(struct group){.whole = spec, .n = 1, .alone = true});
	forget_outputs();
	qe_coalescer_free(coalescer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_traffic_agrees_with_model),
		cmocka_unit_test(segments_become_the_super_packet_again),
		cmocka_unit_test(the_oldest_makes_room),
		cmocka_unit_test(others_pass_but_fragments_wait),
		cmocka_unit_test(damaged_ipv4_headers_stay_damaged),
		cmocka_unit_test(padded_datagrams_stay_alone),
		cmocka_unit_test(super_packets_have_limits),
		cmocka_unit_test(the_longest_packet_passes),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
