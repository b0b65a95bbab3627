/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Only what Linux would merge: each rule of inet_gro_receive, ipv6_gro_receive, tcp_gro_receive,
 * udp_gro_receive_segment and skb_gro_receive (6.18) is a row. Three packets of a flow follow one
 * another, one thing about some of them is changed, and the row says how they come out: "3" in one
 * piece, "12" the first alone. Where ours are more pieces, they may only be cuts more.
 */
#include "net/coalesce.h"
#include "net_packets.h"

enum : uint8_t { FIRST = 1, SECOND = 2, THIRD = 4, ALL = 7 };
enum kind { TCP4, TCP6, UDP4, UDP6 };
enum header { IP, TRANSPORT };
enum damage { NONE, NO_CHECKSUM, WRONG_CHECKSUM, WRONG_IP_CHECKSUM, PARTIAL };

struct rule {
	const char *about;
	enum kind kind;
	uint8_t who; /* which of the three are changed */
	enum header header;
	uint8_t at, flip; /* bits of one byte of the header; checksums are right again then */
	enum damage damage;
	bool options; /* IPv4 options, or an IPv6 extension header */
	const char *kernel, *ours;
	uint8_t ids[3], sizes[3]; /* 0, 0, 0: counting up; 100 */
};

static const struct rule rules[] = {
	/* inet_gro_receive, inet_gro_flush */
	{"nothing", TCP4, .kernel = "3"},
	{"type of service", TCP4, SECOND, IP, 1, 0x01, .kernel = "111"},
	{"time to live", TCP4, SECOND, IP, 8, 0x01, .kernel = "111"},
	{"don't fragment, of one", TCP4, SECOND, IP, 6, 0x40, .kernel = "111"},
	{"don't fragment, of none", TCP4, ALL, IP, 6, 0x40, .kernel = "3"},
	{"reserved flag", TCP4, ALL, IP, 6, 0x80, .kernel = "111"},
	{"more fragments", TCP4, ALL, IP, 6, 0x20, .kernel = "111"},
	{"fragment offset", TCP4, ALL, IP, 7, 0x01, .kernel = "111"},
	{"IPv4 options", TCP4, ALL, .options = true, .kernel = "111"},
	{"header checksum", TCP4, SECOND, .damage = WRONG_IP_CHECKSUM, .kernel = "111"},
	{"id: fixed", TCP4, .kernel = "3", .ids = {7, 7, 7}},
	{"id: fixed, UDP", UDP4, .kernel = "3", .ids = {7, 7, 7}},
	{"id: fixed, may be fragmented", TCP4, ALL, IP, 6, 0x40, .kernel = "3", .ours = "111",
		.ids = {7, 7, 7}},
	{"id: counts up", UDP4, .kernel = "3", .ids = {7, 8, 9}},
	{"id: jumps", TCP4, .kernel = "12", .ids = {7, 9, 10}},
	{"id: counts down", TCP4, .kernel = "111", .ids = {9, 8, 7}},
	{"id: fixed, then counts up", TCP4, .kernel = "21", .ids = {7, 7, 8}},
	{"id: counts up, then fixed", TCP4, .kernel = "21", .ids = {7, 8, 8}},
	{"address", TCP4, SECOND, IP, 15, 0x01, .kernel = "111"},
	/* ipv6_gro_receive, ipv6_gro_flush */
	{"nothing", TCP6, .kernel = "3"},
	{"traffic class", TCP6, SECOND, IP, 1, 0x10, .kernel = "111"},
	{"flow label", TCP6, SECOND, IP, 3, 0x01, .kernel = "111"},
	{"hop limit", TCP6, SECOND, IP, 7, 0x01, .kernel = "111"},
	{"extension header", TCP6, ALL, .options = true, .kernel = "3", .ours = "111"},
	{"address", TCP6, SECOND, IP, 23, 0x01, .kernel = "111"},
	/* tcp_gro_receive */
	{"port", TCP4, SECOND, TRANSPORT, 1, 0x01, .kernel = "111"},
	{"a gap", TCP4, SECOND, TRANSPORT, 6, 0x80, .kernel = "111"},
	{"an overlap", TCP4, SECOND, TRANSPORT, 7, 0x01, .kernel = "111"},
	{"acknowledgement", TCP4, SECOND, TRANSPORT, 11, 0x01, .kernel = "111"},
	{"reserved bits, of one", TCP4, SECOND, TRANSPORT, 12, 0x01, .kernel = "111"},
	{"reserved bits, of all", TCP4, ALL, TRANSPORT, 12, 0x01, .kernel = "3"},
	{"FIN, last", TCP4, THIRD, TRANSPORT, 13, 0x01, .kernel = "3"},
	{"FIN, in the middle", TCP4, SECOND, TRANSPORT, 13, 0x01, .kernel = "21"},
	{"SYN", TCP4, ALL, TRANSPORT, 13, 0x02, .kernel = "111"},
	{"RST", TCP4, ALL, TRANSPORT, 13, 0x04, .kernel = "111"},
	{"PSH, first", TCP4, FIRST, TRANSPORT, 13, 0x08, .kernel = "12"},
	{"PSH, in the middle", TCP6, SECOND, TRANSPORT, 13, 0x08, .kernel = "21"},
	{"PSH, last", TCP6, THIRD, TRANSPORT, 13, 0x08, .kernel = "3"},
	{"no ACK", TCP4, ALL, TRANSPORT, 13, 0x10, .kernel = "3", .ours = "111"},
	{"URG", TCP4, ALL, TRANSPORT, 13, 0x20, .kernel = "111"},
	{"ECE, of one", TCP4, SECOND, TRANSPORT, 13, 0x40, .kernel = "111"},
	{"ECE, of all", TCP4, ALL, TRANSPORT, 13, 0x40, .kernel = "3"},
	{"CWR, first", TCP4, FIRST, TRANSPORT, 13, 0x80, .kernel = "3", .ours = "12"},
	{"CWR, in the middle", TCP4, SECOND, TRANSPORT, 13, 0x80, .kernel = "12", .ours = "111"},
	{"CWR, of all", TCP4, ALL, TRANSPORT, 13, 0x80, .kernel = "111"},
	{"window", TCP4, SECOND, TRANSPORT, 15, 0x01, .kernel = "111"},
	{"urgent pointer", TCP4, SECOND, TRANSPORT, 19, 0x01, .kernel = "3", .ours = "111"},
	{"an option", TCP4, SECOND, TRANSPORT, 20, 0x02, .kernel = "111"},
	{"time stamp", TCP6, SECOND, TRANSPORT, 31, 0x01, .kernel = "111"},
	{"checksum", TCP4, SECOND, .damage = WRONG_CHECKSUM, .kernel = "111"},
	{"checksum", TCP6, SECOND, .damage = WRONG_CHECKSUM, .kernel = "111"},
	{"partial checksum, of one", TCP4, SECOND, .damage = PARTIAL, .kernel = "3"},
	{"partial checksum, of all", TCP6, ALL, .damage = PARTIAL, .kernel = "3"},
	{"shorter", TCP4, .kernel = "21", .sizes = {100, 99, 100}},
	{"longer", TCP4, .kernel = "12", .sizes = {100, 101, 100}},
	{"nothing but an acknowledgement", TCP4, .kernel = "111", .sizes = {100, 0, 100}},
	/* udp_gro_receive_segment */
	{"nothing", UDP4, .kernel = "3"},
	{"nothing", UDP6, .kernel = "3"},
	{"type of service", UDP4, SECOND, IP, 1, 0x01, .kernel = "111"},
	{"time to live", UDP4, SECOND, IP, 8, 0x01, .kernel = "111"},
	{"don't fragment", UDP4, SECOND, IP, 6, 0x40, .kernel = "111"},
	{"id: jumps", UDP4, .kernel = "12", .ids = {7, 9, 10}},
	{"traffic class", UDP6, SECOND, IP, 1, 0x10, .kernel = "111"},
	{"port", UDP4, SECOND, TRANSPORT, 3, 0x01, .kernel = "21", .ids = {7, 99, 8}},
	{"length", UDP4, SECOND, TRANSPORT, 5, 0x01, .kernel = "111"},
	{"length", UDP6, ALL, TRANSPORT, 5, 0x01, .kernel = "111"},
	{"no checksum", UDP4, ALL, .damage = NO_CHECKSUM, .kernel = "111"},
	{"no checksum, of one", UDP4, SECOND, .damage = NO_CHECKSUM, .kernel = "111"},
	{"no checksum", UDP6, SECOND, .damage = NO_CHECKSUM, .kernel = "111"},
	{"checksum", UDP4, SECOND, .damage = WRONG_CHECKSUM, .kernel = "111"},
	{"checksum", UDP6, SECOND, .damage = WRONG_CHECKSUM, .kernel = "111"},
	{"partial checksum, of one", UDP4, SECOND, .damage = PARTIAL, .kernel = "3"},
	{"shorter", UDP4, .kernel = "21", .sizes = {100, 99, 100}},
	{"longer", UDP6, .kernel = "12", .sizes = {100, 101, 100}},
	{"empty", UDP4, .kernel = "111", .sizes = {100, 0, 100}},
};

/* ---- three packets ---- */

static struct spec flow_of(const struct rule *rule)
{
	static uint8_t payload[512];
	struct spec spec = random_spec(rule->kind == TCP4 || rule->kind == UDP4 ? 4 : 6,
		rule->kind == TCP4 || rule->kind == TCP6 ? 6 : 17);

	random_fill(payload, sizeof(payload));
	spec.dont_fragment = true;
	spec.id = spec.id % 60000; /* no wrap below: that is a matter of its own */
	spec.payload = payload;
	spec.n_tcp_options = spec.protocol == 6 ? 12 : 0;
	memcpy(spec.tcp_options, "\x01\x01\x08\x0a\0\0\0\x01\0\0\0\x02", 12);
	if (rule->options)
		add_ip_options(&spec);
	return spec;
}

static void place(struct spec *spec, const struct rule *rule, unsigned i)
{
	const uint8_t *ids = rule->ids;
	bool ids_given = ids[0] || ids[1] || ids[2], sizes_given = rule->sizes[0];

	spec->payload_len = sizes_given ? rule->sizes[i] : 100;
	spec->id = (uint16_t)(spec->id / 256 * 256 + (ids_given ? ids[i] : i));
}

/* The checksum that stands in a packet is made to fit what the packet has become. */
static void correct(uint8_t *bytes, const struct spec *spec)
{
	size_t at = spec_transport(spec), len = spec_len(spec);
	size_t field = at + (spec->protocol == 6 ? 16 : 6);
	uint8_t words[4] = {0, 0, 0, (uint8_t)spec->protocol};
	bool ipv4 = spec->version == 4;
	uint32_t sum;

	put16(words, (unsigned)(len - at));
	put16(bytes + field, 0);
	sum = naive_sum(naive_sum(0, words, 4), bytes + (ipv4 ? 12 : 8), ipv4 ? 8 : 32);
	sum = naive_sum(sum, bytes + at, len - at);
	put16(bytes + field, sum == 0xffff && spec->protocol == 17 ? 0xffff : 0xffff - sum);
	if (!ipv4)
		return;
	put16(bytes + 10, 0);
	put16(bytes + 10, 0xffff - naive_sum(0, bytes, at));
}

static void change(uint8_t *bytes, const struct spec *spec, const struct rule *rule)
{
	size_t field = spec_transport(spec) + (spec->protocol == 6 ? 16 : 6);

	bytes[rule->header == IP ? rule->at : spec_transport(spec) + rule->at] ^= rule->flip;
	correct(bytes, spec);
	switch (rule->damage) {
	case NONE:
		break;
	case NO_CHECKSUM:
		put16(bytes + field, 0);
		break;
	case WRONG_CHECKSUM:
		bytes[spec_len(spec) - 1] ^= 1;
		break;
	case WRONG_IP_CHECKSUM:
		bytes[10] ^= 1;
		break;
	case PARTIAL:
		random_fill(bytes + field, 2);
	}
}

/* ---- and what becomes of them ---- */

struct outcome {
	char pieces[4]; /* as in the table */
	size_t n;
	const struct rule *rule;
	size_t header_len;
};

/* The lengths of what was sent were equal, but where one came alone. */
static void note(void *ctx, const struct qe_offload *offload, const uint8_t *, size_t len)
{
	struct outcome *outcome = ctx;
	size_t n = 1, payload_len = len - outcome->header_len;

	if (offload->gso != QE_GSO_NONE)
		n = (payload_len + offload->gso_size - 1) / offload->gso_size;
	assert_in_range(n, 1, 3);
	assert_in_range(outcome->n, 0, 2);
	outcome->pieces[outcome->n++] = (char)('0' + n);
}

static void run(const struct rule *rule, struct outcome *outcome)
{
	struct spec spec = flow_of(rule);
	struct qe_coalescer *coalescer = nullptr;
	static uint8_t bytes[PACKET_MAX];

	*outcome = (struct outcome){.rule = rule, .header_len = spec_header_len(&spec)};
	assert_int_equal(qe_coalescer_new(&coalescer, true, note, outcome), QE_OK);
	for (unsigned i = 0; i < 3; i++) {
		bool changed = rule->who & 1u << i;
		struct qe_packet packet;
		size_t len;

		place(&spec, rule, i);
		len = build(bytes, &spec);
		if (changed)
			change(bytes, &spec, rule);
		assert_int_equal(qe_packet_parse(&packet, (struct qe_bytes){bytes, len}), QE_OK);
		qe_coalescer_add(coalescer, (struct qe_bytes){bytes, len}, &packet,
			changed && rule->damage == PARTIAL);
		spec.sequence += (uint32_t)spec.payload_len;
	}
	qe_coalescer_flush(coalescer);
	qe_coalescer_free(coalescer);
}

/* As bits: a piece begins with the n-th packet. */
static unsigned cuts(const char *pieces)
{
	unsigned at = 0, bits = 0;

	for (; *pieces; pieces++) {
		bits |= 1u << at;
		at += (unsigned)(*pieces - '0');
	}
	assert_int_equal(at, 3);
	return bits;
}

static void each_rule_is_kept(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *rule = &rules[i];
		const char *expected = rule->ours ? rule->ours : rule->kernel;
		struct outcome outcome;

		run(rule, &outcome);
		if (strcmp(outcome.pieces, expected) != 0)
			fail_msg("%s (row %zu): %s, not %s", rule->about, i, outcome.pieces,
				expected);
		assert_int_equal(cuts(rule->kernel) & ~cuts(expected), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_rule_is_kept)};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
