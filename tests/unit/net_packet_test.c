/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Parsing, checksums, hop limit and MSS. */
#include "net/checksum.h"
#include "net_packets.h"

#define ROUNDS 5000

static uint8_t bytes[PACKET_MAX], payload[PACKET_MAX];

static struct spec random_packet(void)
{
	static const unsigned protocols[] = {6, 17, 1, 58, 50, 6, 17};
	struct spec spec = random_spec(random_below(2) ? 4 : 6, protocols[random_below(7)]);

	if (random_below(3) == 0)
		add_ip_options(&spec);
	if (spec.protocol == 6) {
		spec.flags = (uint8_t)random_u64();
		add_tcp_options(&spec);
	}
	random_fill(payload, 64);
	spec.payload = payload;
	spec.payload_len = random_below(64);
	return spec;
}

static struct qe_packet parse(const struct spec *spec)
{
	struct qe_packet packet = {};
	size_t len = build(bytes, spec);

	assert_int_equal(qe_packet_parse(&packet, (struct qe_bytes){bytes, len}), QE_OK);
	return packet;
}

static void parse_gives_what_was_built(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct spec spec = random_packet();
		struct qe_packet packet = parse(&spec);
		bool ports = spec.protocol == 6 || spec.protocol == 17;

		assert_int_equal(packet.version, spec.version);
		assert_int_equal(packet.protocol, spec.protocol);
		assert_int_equal(packet.hop_limit, spec.hop_limit);
		assert_int_equal(packet.traffic_class, spec.traffic_class);
		assert_int_equal(packet.dont_fragment, spec.dont_fragment);
		assert_int_equal(packet.options, spec.n_ip_options > 0);
		assert_int_equal(packet.transport, spec_transport(&spec));
		assert_int_equal(packet.payload, spec_header_len(&spec));
		assert_int_equal(packet.len, spec_len(&spec));
		assert_int_equal(packet.source_port, ports ? spec.source_port : 0);
		assert_int_equal(packet.destination_port, ports ? spec.destination_port : 0);
		assert_int_equal(packet.tcp_flags, spec.protocol == 6 ? spec.flags : 0);
		assert_false(packet.fragment);
		assert_int_equal(qe_addr_bits(&packet.source), spec.version == 4 ? 32 : 128);
		assert_memory_equal(packet.source.bytes, spec.source, 16);
		assert_memory_equal(packet.destination.bytes, spec.destination, 16);
	}
}

/* In a buffer of its exact size, so that the sanitizers see a read beyond it. */
static enum qe_error parse_exactly(struct qe_packet *packet, const uint8_t *from, size_t len)
{
	uint8_t *exact = malloc(len > 0 ? len : 1);
	enum qe_error error;

	memcpy(exact, from, len);
	error = qe_packet_parse(packet, (struct qe_bytes){exact, len});
	free(exact);
	return error;
}

static void other_lengths_are_refused(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct spec spec = random_packet();
		size_t len = build(bytes, &spec);
		struct qe_packet packet;

		assert_int_equal(parse_exactly(&packet, bytes, random_below(len)), QE_ERR_SYNTAX);
		assert_int_equal(
			parse_exactly(&packet, bytes, len + 1 + random_below(9)), QE_ERR_SYNTAX);
	}
	assert_int_equal(
		qe_packet_parse(&(struct qe_packet){}, (struct qe_bytes){}), QE_ERR_SYNTAX);
}

static void padding_is_trimmed(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct spec spec = random_packet();
		size_t len = build(bytes, &spec), padding = random_below(64),
		       cut = random_below(len);

		assert_int_equal(qe_packet_trim((struct qe_bytes){bytes, len + padding}).len, len);
		assert_int_equal(qe_packet_trim((struct qe_bytes){bytes, cut}).len, cut);
	}
	assert_int_equal(qe_packet_trim((struct qe_bytes){}).len, 0);
}

static void mutations_stay_in_bounds(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS * 10; round++) {
		struct spec spec = random_packet();
		size_t len = build(bytes, &spec);
		struct qe_packet packet;

		for (size_t n = 1 + random_below(4); n > 0; n--)
			bytes[random_below(len < 80 ? len : 80)] =
				random_below(2) ? (uint8_t)random_u64() : (uint8_t)random_below(64);
		if (parse_exactly(&packet, bytes, len) != QE_OK)
			continue;
		assert_true(packet.transport >= 20 && packet.transport <= packet.payload);
		assert_true(packet.payload <= len && packet.len == len);
	}
}

/* next header, length in the header's own unit; then the transport's. */
static const struct chain {
	const char *what;
	uint8_t headers[80];
	unsigned len;
	uint8_t first;
	enum qe_error error;
	uint8_t protocol;
	unsigned transport;
	bool fragment;
} chains[] = {
	{.what = "hop-by-hop", {17, 0}, 8 + 8, 0, QE_OK, 17, 48},
	{.what = "hop-by-hop of 16", {17, 1}, 16 + 8, 0, QE_OK, 17, 56},
	{.what = "too long", {17, 2}, 16, 0, QE_ERR_SYNTAX},
	{.what = "cut off", {17}, 7, 0, QE_ERR_SYNTAX},
	{.what = "nothing behind", {17, 0}, 8, 60, QE_ERR_SYNTAX},
	{.what = "routing, done", {17, 0, 4, 0}, 8 + 8, 43, QE_OK, 17, 48},
	{.what = "routing, bound further", {17, 0, 4, 1}, 8 + 8, 43, QE_ERR_SYNTAX},
	{.what = "authentication", {17, 1}, 12 + 8, 51, QE_OK, 17, 52},
	{.what = "first fragment", {17, 0, 0, 1}, 8 + 2, 44, QE_OK, 17, 48, true},
	{.what = "later fragment", {60, 0, 0, 8}, 8, 44, QE_OK, 60, 48, true},
	{.what = "fragment of one piece", {17, 0, 0, 6}, 8 + 8, 44, QE_OK, 17, 48},
	{.what = "no next header", {}, 0, 59, QE_OK, 59, 40},
	{.what = "encrypted", {}, 3, 50, QE_OK, 50, 40},
	{.what = "eight",
		{[0] = 60,
			[8] = 60,
			[16] = 60,
			[24] = 60,
			[32] = 60,
			[40] = 60,
			[48] = 60,
			[56] = 17},
		64 + 8,
		60,
		QE_OK,
		17,
		104},
	{.what = "nine",
		{[0] = 60,
			[8] = 60,
			[16] = 60,
			[24] = 60,
			[32] = 60,
			[40] = 60,
			[48] = 60,
			[56] = 60,
			[64] = 17},
		72 + 8,
		60,
		QE_ERR_SYNTAX},
};

static void extension_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
		const struct chain *chain = &chains[i];
		struct spec spec = random_spec(6, chain->first);
		struct qe_packet packet = {};

		spec.protocol = 59;
		spec.payload = chain->headers;
		spec.payload_len = chain->len;
		build(bytes, &spec);
		bytes[6] = chain->first;
		if (parse_exactly(&packet, bytes, 40 + chain->len) != chain->error)
			fail_msg("%s", chain->what);
		if (chain->error != QE_OK)
			continue;
		assert_int_equal(packet.protocol, chain->protocol);
		assert_int_equal(packet.transport, chain->transport);
		assert_int_equal(packet.fragment, chain->fragment);
	}
}

static void ipv4_fragments_show_no_ports(void **state)
{
	static const uint16_t fields[] = {0x2000, 0x0001, 0x1fff, 0x3fff, 0x6000};
	struct spec spec = random_spec(4, 6);
	size_t len = build(bytes, &spec);

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct qe_packet packet;

		put16(bytes + 6, fields[i]);
		assert_int_equal(parse_exactly(&packet, bytes, len), QE_OK);
		assert_true(packet.fragment);
		assert_int_equal(packet.source_port | packet.destination_port, 0);
		assert_int_equal(packet.payload, packet.transport);
	}
}

static void sums_agree_with_words(void **state)
{
	(void)state;
	random_fill(payload, sizeof(payload));
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t at = random_below(100), len = random_below(random_below(8) ? 100 : 60000);
		uint32_t sum = (uint32_t)random_below(0x10000), naive;

		naive = naive_sum(sum, payload + at, len);
		assert_int_equal(qe_checksum_fold(qe_checksum_add(
					 sum, (struct qe_bytes){payload + at, len})) %
					 0xffff,
			naive % 0xffff);
	}
	memset(payload, 0xff, sizeof(payload));
	assert_int_equal(
		qe_checksum_fold(qe_checksum_add(0, (struct qe_bytes){payload, sizeof(payload)})),
		0xffff);
	assert_int_equal(qe_checksum_fold(UINT64_MAX), 0xffff);
	assert_int_equal(qe_checksum_fold(0), 0);
}

static void transport_checksums(void **state)
{
	static uint8_t expected[PACKET_MAX];

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct spec spec = random_packet();
		struct qe_packet packet;
		size_t len;

		spec.protocol = random_below(2) ? 6 : 17;
		packet = parse(&spec);
		assert_true(qe_checksum_transport_valid(bytes, &packet));

		len = build(expected, &spec);
		random_fill(bytes + packet.transport + (spec.protocol == 6 ? 16 : 6), 2);
		qe_checksum_transport_complete(bytes, &packet);
		assert_memory_equal(bytes, expected, len);

		spec.checksum = CHECKSUM_PARTIAL;
		build(expected, &spec);
		qe_checksum_transport_partial(bytes, &packet);
		assert_memory_equal(bytes, expected, len);

		spec.checksum = CHECKSUM_WRONG;
		packet = parse(&spec);
		assert_false(qe_checksum_transport_valid(bytes, &packet));

		spec.checksum = CHECKSUM_NONE;
		packet = parse(&spec);
		if (spec.protocol == 17)
			assert_int_equal(
				qe_checksum_transport_valid(bytes, &packet), spec.version == 4);
	}
}

/* A datagram whose checksum comes out as 0, which would say that it has none, carries 0xffff. */
static void zero_is_no_udp_checksum(void **state)
{
	struct spec spec = random_spec(6, 17);
	struct qe_packet packet;
	uint8_t word[2] = {};

	(void)state;
	spec.payload = word;
	spec.payload_len = 2;
	packet = parse(&spec);
	memcpy(word, bytes + 40 + 6, 2);
	packet = parse(&spec);
	qe_checksum_transport_complete(bytes, &packet);
	assert_memory_equal(bytes + 40 + 6, "\xff\xff", 2);
	assert_true(qe_checksum_transport_valid(bytes, &packet));
}

static void flows_are_told_apart(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct spec spec = random_packet();
		struct qe_packet packet = parse(&spec), other = packet;
		uint64_t seed = random_u64(), flow = qe_packet_flow(&packet, seed);
		size_t addr_len = spec.version == 4 ? 4 : 16;

		other.len++;
		other.hop_limit++;
		other.tcp_flags++;
		assert_int_equal(qe_packet_flow(&other, seed), flow);
		assert_int_not_equal(qe_packet_flow(&packet, seed + 1), flow);
		switch (random_below(5)) {
		case 0:
			other.protocol ^= (uint8_t)(1u << random_below(8));
			break;
		case 1:
			other.source_port ^= (uint16_t)(1u << random_below(16));
			break;
		case 2:
			other.destination_port ^= (uint16_t)(1u << random_below(16));
			break;
		case 3:
			other.source.bytes[random_below(addr_len)] ^= 1;
			break;
		case 4:
			other.destination.bytes[random_below(addr_len)] ^= 0x80;
		}
		assert_int_not_equal(qe_packet_flow(&other, seed), flow);
	}
}

/* RFC 6040, figure 4, row by row. */
static void marks_combine_as_rfc_6040_says(void **state)
{
	static const char rows[4][5] = {"000-", "1113", "2123", "3333"};
	(void)state;

	for (unsigned inner = 0; inner < 4; inner++) {
		for (unsigned outer = 0; outer < 4; outer++) {
			enum qe_ecn ecn = QE_ECN_NOT_ECT;
			bool kept = qe_ecn_decapsulate(
				&ecn, (enum qe_ecn)inner, (enum qe_ecn)outer);

			assert_int_equal(kept ? '0' + (int)ecn : '-', rows[inner][outer]);
		}
	}
}

static void setting_ecn_changes_nothing_else(void **state)
{
	static uint8_t expected[PACKET_MAX];

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct spec spec = random_packet();
		struct qe_packet packet = parse(&spec);
		enum qe_ecn ecn = (enum qe_ecn)random_below(4);
		size_t len;

		qe_packet_set_ecn(bytes, &packet, ecn);
		spec.traffic_class = (uint8_t)((spec.traffic_class & 0xfc) | ecn);
		assert_int_equal(packet.traffic_class, spec.traffic_class);
		len = build(expected, &spec);
		assert_memory_equal(bytes, expected, len);
	}
}

static void hop_limit_goes_down(void **state)
{
	static uint8_t expected[PACKET_MAX];

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct spec spec = random_packet();
		size_t len;

		spec.hop_limit = (uint8_t)(2 + random_below(254));
		build(bytes, &spec);
		spec.hop_limit--;
		len = build(expected, &spec);
		qe_packet_decrement_hop_limit(bytes);
		assert_memory_equal(bytes, expected, len);
	}
}

/* A SYN with an MSS option behind a few no-operations; mss 0: none. */
static struct spec syn_of(unsigned version, unsigned n_nops, unsigned mss)
{
	struct spec spec = random_spec(version, 6);

	spec.flags = 0x02 | (random_below(2) ? 0x10 : 0);
	spec.n_tcp_options = 12;
	memset(spec.tcp_options, 1, 12);
	if (mss > 0) {
		spec.tcp_options[n_nops] = 2;
		spec.tcp_options[n_nops + 1] = 4;
		put16(spec.tcp_options + n_nops + 2, mss);
	}
	return spec;
}

static void mss_is_clamped(void **state)
{
	static uint8_t expected[PACKET_MAX];

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned version = random_below(2) ? 4 : 6, n_nops = (unsigned)random_below(9);
		unsigned mtu = 1280 + (unsigned)random_below(300),
			 most = mtu - (version == 4 ? 40 : 60);
		unsigned mss = (unsigned)random_below(3000);
		struct spec spec = syn_of(version, n_nops, mss);
		bool partial = random_below(2), changes = mss > most;
		struct qe_packet packet;
		size_t len;

		spec.checksum = partial ? CHECKSUM_PARTIAL : CHECKSUM_COMPLETE;
		packet = parse(&spec);
		assert_int_equal(
			qe_packet_clamp_mss(bytes, &packet, partial, (uint16_t)mtu), changes);
		if (changes)
			put16(spec.tcp_options + n_nops + 2, most);
		len = build(expected, &spec);
		assert_memory_equal(bytes, expected, len);

		spec = syn_of(version, n_nops, 9000);
		spec.flags = 0x10;
		packet = parse(&spec);
		assert_false(qe_packet_clamp_mss(bytes, &packet, partial, 1280));
	}
}

static void broken_options_are_left_alone(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct spec spec = syn_of(4, 0, 0);
		struct qe_packet packet;
		uint8_t *exact;

		for (unsigned i = 0; i < 12; i++)
			spec.tcp_options[i] = (uint8_t)random_below(6);
		packet = parse(&spec);
		exact = malloc(packet.len);
		memcpy(exact, bytes, packet.len);
		if (qe_packet_clamp_mss(exact, &packet, false, 60))
			assert_true(qe_checksum_transport_valid(exact, &packet));
		else
			assert_memory_equal(exact, bytes, packet.len);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_gives_what_was_built),
		cmocka_unit_test(other_lengths_are_refused),
		cmocka_unit_test(padding_is_trimmed),
		cmocka_unit_test(mutations_stay_in_bounds),
		cmocka_unit_test(extension_headers),
		cmocka_unit_test(ipv4_fragments_show_no_ports),
		cmocka_unit_test(sums_agree_with_words),
		cmocka_unit_test(transport_checksums),
		cmocka_unit_test(zero_is_no_udp_checksum),
		cmocka_unit_test(flows_are_told_apart),
		cmocka_unit_test(hop_limit_goes_down),
		cmocka_unit_test(marks_combine_as_rfc_6040_says),
		cmocka_unit_test(setting_ecn_changes_nothing_else),
		cmocka_unit_test(mss_is_clamped),
		cmocka_unit_test(broken_options_are_left_alone),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
