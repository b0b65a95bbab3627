/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "net/icmp.h"
#include "net_packets.h"

#define ROUNDS 5000

static uint8_t bytes[PACKET_MAX], payload[PACKET_MAX];

static const struct qe_addr node4 = {QE_FAMILY_IPV4, {100, 64, 0, 1}};
static const struct qe_addr node6 = {QE_FAMILY_IPV6, {0xfd, [15] = 1}};

static struct qe_packet parse(const struct spec *spec)
{
	struct qe_packet packet = {};
	size_t len = build(bytes, spec);

	assert_int_equal(qe_packet_parse(&packet, (struct qe_bytes){bytes, len}), QE_OK);
	return packet;
}

static void icmp_errors_are_right(void **state)
{
	static const struct {
		enum qe_icmp_error error;
		uint8_t ipv4[2], ipv6[2];
	} rows[] = {
		{QE_ICMP_PACKET_TOO_BIG, {3, 4}, {2, 0}},
		{QE_ICMP_TIME_EXCEEDED, {11, 0}, {3, 0}},
		{QE_ICMP_NO_ROUTE, {3, 0}, {1, 0}},
		{QE_ICMP_ADMIN_PROHIBITED, {3, 13}, {1, 1}},
	};
	uint8_t answer[QE_ICMP_MAX];

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct spec spec = random_spec(random_below(2) ? 4 : 6, 17), outer;
		bool ipv4 = spec.version == 4;
		size_t row = random_below(4), most = ipv4 ? 576 : 1280, about_len, len;
		struct qe_packet about, parsed;

		spec.source[0] = 10;
		spec.destination[0] = 20;
		spec.payload = payload;
		spec.payload_len = random_below(2) ? random_below(60000) : random_below(700);
		about = parse(&spec);
		about_len = about.len;
		len = qe_icmp_error(answer, rows[row].error, ipv4 ? &node4 : &node6, 1234,
			(struct qe_bytes){bytes, about_len}, &about);

		outer = random_spec(spec.version, ipv4 ? 1 : 58);
		assert_int_equal(qe_packet_parse(&parsed, (struct qe_bytes){answer, len}), QE_OK);
		assert_int_equal(len, about_len + parsed.transport + 8 < most
					      ? about_len + parsed.transport + 8
					      : most);
		assert_int_equal(parsed.protocol, outer.protocol);
		assert_true(qe_addr_equal(&parsed.source, ipv4 ? &node4 : &node6));
		assert_true(qe_addr_equal(&parsed.destination, &about.source));
		assert_memory_equal(
			answer + parsed.transport, ipv4 ? rows[row].ipv4 : rows[row].ipv6, 2);
		assert_int_equal(answer[parsed.transport + 6] * 256 + answer[parsed.transport + 7],
			row == 0 ? 1234 : 0);
		assert_memory_equal(
			answer + parsed.transport + 8, bytes, len - parsed.transport - 8);

		memcpy(outer.source, parsed.source.bytes, 16);
		memcpy(outer.destination, parsed.destination.bytes, 16);
		outer.payload_len = len - parsed.transport;
		assert_int_equal(naive_sum(ipv4 ? 0 : pseudo_sum(&outer), answer + parsed.transport,
					 len - parsed.transport),
			0xffff);
		if (ipv4)
			assert_int_equal(naive_sum(0, answer, 20), 0xffff);
	}
}

static bool is_answered(const struct spec *spec)
{
	struct qe_packet packet = parse(spec);
	uint8_t answer[QE_ICMP_MAX];

	return qe_icmp_error(answer, QE_ICMP_NO_ROUTE, spec->version == 4 ? &node4 : &node6, 0,
		       (struct qe_bytes){bytes, packet.len}, &packet) > 0;
}

static bool is_icmp_answered(unsigned version, uint8_t type)
{
	struct spec spec = random_spec(version, version == 4 ? 1 : 58);
	uint8_t icmp[8] = {type};

	spec.source[0] = spec.destination[0] = 10;
	spec.payload = icmp;
	spec.payload_len = sizeof(icmp);
	return is_answered(&spec);
}

static bool is_source_answered(unsigned version, const char *source)
{
	struct spec spec = random_spec(version, 17);
	struct qe_addr addr;

	assert_int_equal(qe_addr_parse(&addr, source), QE_OK);
	memcpy(spec.source, addr.bytes, 16);
	spec.destination[0] = 10;
	return is_answered(&spec);
}

static bool is_destination_answered(unsigned version, const char *destination)
{
	struct spec spec = random_spec(version, 17);
	struct qe_addr addr;

	assert_int_equal(qe_addr_parse(&addr, destination), QE_OK);
	memcpy(spec.destination, addr.bytes, 16);
	spec.source[0] = 10;
	return is_answered(&spec);
}

static void icmp_errors_know_when_to_be_silent(void **state)
{
	struct spec cut = random_spec(6, 58);

	(void)state;
	assert_true(is_icmp_answered(4, 8) && is_icmp_answered(4, 0));
	assert_false(is_icmp_answered(4, 3) || is_icmp_answered(4, 5) || is_icmp_answered(4, 11));
	assert_true(is_icmp_answered(6, 128) && is_icmp_answered(6, 129));
	assert_false(
		is_icmp_answered(6, 1) || is_icmp_answered(6, 127) || is_icmp_answered(6, 137));
	assert_true(is_source_answered(4, "192.0.2.1") && is_source_answered(6, "2001:db8::1"));
	assert_false(is_source_answered(4, "0.0.0.0") || is_source_answered(4, "127.0.0.1") ||
		     is_source_answered(4, "224.0.0.1") ||
		     is_source_answered(4, "255.255.255.255"));
	assert_false(is_source_answered(6, "::") || is_source_answered(6, "::1") ||
		     is_source_answered(6, "ff02::1"));
	assert_false(is_destination_answered(4, "239.1.1.1") ||
		     is_destination_answered(4, "255.255.255.255") ||
		     is_destination_answered(6, "ff02::1"));
	cut.source[0] = cut.destination[0] = 10;
	assert_false(is_answered(&cut));
}

static void only_first_fragments_are_answered(void **state)
{
	static const uint8_t first[16] = {17, 0, 0, 1}, later[16] = {17, 0, 0, 8};
	struct spec spec = random_spec(6, 44);
	uint8_t answer[QE_ICMP_MAX];
	struct qe_packet packet;

	(void)state;
	spec.source[0] = spec.destination[0] = 10;
	spec.payload_len = 16;
	spec.payload = first;
	assert_true(is_answered(&spec));
	spec.payload = later;
	assert_false(is_answered(&spec));

	spec = random_spec(4, 17);
	spec.source[0] = spec.destination[0] = 10;
	for (unsigned offset = 0; offset < 2; offset++) {
		packet = parse(&spec);
		put16(bytes + 6, 0x2000 + offset);
		assert_int_equal(
			qe_packet_parse(&packet, (struct qe_bytes){bytes, packet.len}), QE_OK);
		assert_int_equal(qe_icmp_error(answer, QE_ICMP_NO_ROUTE, &node4, 0,
					 (struct qe_bytes){bytes, packet.len}, &packet) > 0,
			offset == 0);
	}
}

/* ---- fragments ---- */

static void fragments_make_the_whole(void **state)
{
	static uint8_t whole[PACKET_MAX], fragment[2000];

	(void)state;
	for (unsigned round = 0; round < 500; round++) {
		struct spec spec = random_spec(4, 17);
		unsigned field = (unsigned)random_below(2) * (0x2000 + (unsigned)random_below(90));
		unsigned header_len, mtu = 68 + (unsigned)random_below(1400), index = 0;
		struct qe_packet packet;
		size_t at = 0, len, data_len;

		spec.dont_fragment = false;
		if (random_below(2))
			add_ip_options(&spec);
		random_fill(payload, 3000);
		spec.payload = payload;
		spec.payload_len = random_below(3000);
		packet = parse(&spec);
		header_len = packet.transport;
		data_len = packet.len - header_len;
		put16(bytes + 6, field);
		put16(bytes + 10, 0);
		put16(bytes + 10, 0xffff - naive_sum(0, bytes, header_len));
		assert_int_equal(
			qe_packet_parse(&packet, (struct qe_bytes){bytes, packet.len}), QE_OK);
		while ((len = qe_ipv4_fragment(fragment, sizeof(fragment), index, (uint16_t)mtu,
				(struct qe_bytes){bytes, packet.len}, &packet)) > 0) {
			size_t piece = len - header_len;
			bool last = at + piece == data_len;

			assert_true(len <= mtu);
			assert_true(last || (piece % 8 == 0 && len + 8 > mtu));
			assert_int_equal(fragment[2] * 256u + fragment[3], len);
			assert_int_equal(fragment[6] * 256u + fragment[7],
				(field & 0x1fff) + at / 8 + (last ? field & 0x2000 : 0x2000));
			assert_int_equal(naive_sum(0, fragment, header_len), 0xffff);
			assert_memory_equal(fragment + 4, bytes + 4, 2);
			assert_memory_equal(fragment + 12, bytes + 12, 8);
			memcpy(whole + at, fragment + header_len, piece);
			at += piece;
			index++;
		}
		assert_int_equal(at, data_len);
		assert_memory_equal(whole, bytes + header_len, data_len);
	}
}

/* RFC 791 3.1: record route (7) stays in the first fragment, router alert (148) is copied.
 */
static void options_are_copied_as_they_say(void **state)
{
	static const uint8_t options[12] = {7, 3, 4, 148, 3, 4, 1, 7, 3, 4, 0, 9};
	static const uint8_t copied[12] = {1, 1, 1, 148, 3, 4, 1, 1, 1, 1, 0, 9};
	struct spec spec = random_spec(4, 17);
	struct qe_packet packet;
	uint8_t fragment[100];

	(void)state;
	spec.dont_fragment = false;
	spec.n_ip_options = 12;
	memcpy(spec.ip_options, options, 12);
	spec.payload = payload;
	spec.payload_len = 200;
	packet = parse(&spec);
	for (unsigned index = 0; index < 2; index++) {
		assert_true(qe_ipv4_fragment(fragment, sizeof(fragment), index, 100,
				    (struct qe_bytes){bytes, packet.len}, &packet) > 0);
		assert_memory_equal(fragment + 20, index == 0 ? options : copied, 12);
	}
}

static void impossible_fragments_are_not_made(void **state)
{
	struct spec spec = random_spec(4, 17);
	struct qe_packet packet;
	uint8_t fragment[100];

	(void)state;
	spec.dont_fragment = false;
	spec.payload = payload;
	spec.payload_len = 200;
	packet = parse(&spec);
	assert_int_equal(qe_ipv4_fragment(fragment, sizeof(fragment), 0, 27,
				 (struct qe_bytes){bytes, packet.len}, &packet),
		0);
	/* Its end would lie beyond what the offset can say. */
	put16(bytes + 6, 0x1fff);
	assert_int_equal(qe_ipv4_fragment(fragment, sizeof(fragment), 1, 100,
				 (struct qe_bytes){bytes, packet.len}, &packet),
		0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(icmp_errors_are_right),
		cmocka_unit_test(icmp_errors_know_when_to_be_silent),
		cmocka_unit_test(only_first_fragments_are_answered),
		cmocka_unit_test(fragments_make_the_whole),
		cmocka_unit_test(options_are_copied_as_they_say),
		cmocka_unit_test(impossible_fragments_are_not_made),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
