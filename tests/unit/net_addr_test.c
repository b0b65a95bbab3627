/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Addresses and prefixes, with inet_pton, inet_ntop and bit-by-bit loops as oracles. */
#include <arpa/inet.h>
#include <string.h>

#include "net/addr.h"
#include "random.h"

#define ROUNDS 20000

/* Many zeros, as in real addresses. */
static struct qe_addr random_addr(void)
{
	struct qe_addr addr = {.family = random_below(2) ? QE_FAMILY_IPV4 : QE_FAMILY_IPV6};

	for (size_t i = 0; i < qe_addr_bits(&addr) / 8; i += 2) {
		if (random_below(2))
			random_fill(addr.bytes + i, 1 + random_below(2));
		if (random_below(8) == 0)
			addr.bytes[i] = addr.bytes[i + 1] = 0xff;
	}
	return addr;
}

static int system_family(const struct qe_addr *addr)
{
	return addr->family == QE_FAMILY_IPV4 ? AF_INET : AF_INET6;
}

/* inet_ntop also writes ::192.0.2.1, which RFC 4291 deprecates and RFC 5952 does not ask for. */
static bool is_ipv4_compatible(const struct qe_addr *addr)
{
	static const uint8_t zeros[12];

	return addr->family == QE_FAMILY_IPV6 && memcmp(addr->bytes, zeros, 12) == 0;
}

static void text_agrees_with_libc(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct qe_addr addr = random_addr(), back = {};
		char text[QE_ADDR_TEXT_SIZE], expected[INET6_ADDRSTRLEN];

		inet_ntop(system_family(&addr), addr.bytes, expected, sizeof(expected));
		qe_addr_format(text, &addr);
		if (!is_ipv4_compatible(&addr))
			assert_string_equal(text, expected);
		assert_int_equal(qe_addr_parse(&back, text), QE_OK);
		assert_true(qe_addr_equal(&addr, &back));
		assert_int_equal(qe_addr_parse(&back, expected), QE_OK);
		assert_true(qe_addr_equal(&addr, &back));
	}
}

static void check_parse_against_libc(const char *text)
{
	struct qe_addr addr = {.family = 99};
	uint8_t expected[16] = {};
	uint8_t family = inet_pton(AF_INET, text, expected) == 1    ? QE_FAMILY_IPV4
			 : inet_pton(AF_INET6, text, expected) == 1 ? QE_FAMILY_IPV6
								    : QE_FAMILY_NONE;
	enum qe_error error = qe_addr_parse(&addr, text);

	if ((error == QE_OK) != (family != QE_FAMILY_NONE))
		fail_msg("\"%s\": %d, family %d", text, error, family);
	if (error != QE_OK) {
		assert_int_equal(addr.family, 99);
		return;
	}
	assert_int_equal(addr.family, family);
	assert_memory_equal(addr.bytes, expected, family == QE_FAMILY_IPV4 ? 4 : 16);
}

static void parse_agrees_with_libc(void **state)
{
	static const char *const texts[] = {"", ":", "::", ":::", "::1",
		"1::", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9",
		"1:2:3:4::5:6:7:8", "1::2::3", "12345::", "::1.2.3.4", "::1.2.3.256",
		"1.2.3.4::", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "::ffff:1.2.3",
		"1.2.3.4", "1.2.3", "1.2.3.4.", "01.2.3.4", "1.2.3.4 ", "+1.2.3.4", "0.0.0.0",
		"256.0.0.0", "1..2.3", "1:", ":1", "::g", "fe80::1%1", "1:2",
		"::1:", "0:0:0:0:0:0:0:0", "::00001", "4294967297.0.0.1"};
	static const char alphabet[] = "0123456789abcdefABF::::....  %/g";

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check_parse_against_libc(texts[i]);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct qe_addr addr = random_addr();
		char text[QE_ADDR_TEXT_SIZE + 4];

		qe_addr_format(text, &addr);
		for (size_t n = random_below(4); n > 0; n--)
			text[random_below(strlen(text))] =
				alphabet[random_below(sizeof(alphabet) - 1)];
		check_parse_against_libc(text);
	}
}

static bool bit(const struct qe_addr *addr, unsigned i)
{
	return addr->bytes[i / 8] >> (7 - i % 8) & 1;
}

static bool naive_contains(const struct qe_prefix *prefix, const struct qe_addr *addr)
{
	if (prefix->addr.family != addr->family)
		return false;
	for (unsigned i = 0; i < prefix->length; i++)
		if (bit(&prefix->addr, i) != bit(addr, i))
			return false;
	return true;
}

/* Another address that shares a random number of leading bits. */
static struct qe_addr random_neighbour(struct qe_addr addr)
{
	unsigned bits = qe_addr_bits(&addr);

	for (unsigned i = (unsigned)random_below(bits + 1); i < bits; i++)
		if (random_below(2))
			addr.bytes[i / 8] ^= (uint8_t)(1u << (7 - i % 8));
	return random_below(16) ? addr : random_addr();
}

static struct qe_prefix random_prefix(const struct qe_addr *addr)
{
	struct qe_prefix prefix = {
		.addr = *addr, .length = (uint8_t)random_below(qe_addr_bits(addr) + 1)};

	qe_prefix_mask(&prefix);
	return prefix;
}

static void prefixes_agree_with_bits(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct qe_addr addr = random_addr(), other = random_neighbour(addr);
		struct qe_prefix a = random_prefix(&addr), b = random_prefix(&other);
		bool a_in_b = b.length <= a.length && naive_contains(&b, &a.addr);
		bool b_in_a = a.length <= b.length && naive_contains(&a, &b.addr);

		for (unsigned i = 0; i < qe_addr_bits(&addr); i++)
			assert_int_equal(bit(&a.addr, i), i < a.length && bit(&addr, i));
		assert_true(qe_prefix_contains(&a, &addr));
		assert_int_equal(qe_prefix_contains(&a, &other), naive_contains(&a, &other));
		assert_int_equal(qe_prefix_covers(&b, &a), a_in_b);
		assert_int_equal(qe_prefix_covers(&a, &b), b_in_a);
		assert_int_equal(qe_prefix_overlaps(&a, &b), a_in_b || b_in_a);
		assert_int_equal(qe_prefix_compare(&a, &b) == 0, a_in_b && b_in_a);
		assert_int_equal(qe_prefix_compare(&a, &b) < 0, qe_prefix_compare(&b, &a) > 0);
	}
}

static void prefix_text(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct qe_addr addr = random_addr(), parsed_addr;
		struct qe_prefix prefix = random_prefix(&addr), back, host = qe_prefix_host(&addr);
		char text[QE_PREFIX_TEXT_SIZE], written[QE_PREFIX_TEXT_SIZE];
		bool host_bits = !qe_addr_equal(&prefix.addr, &addr);

		qe_prefix_format(text, &prefix);
		assert_int_equal(qe_prefix_parse(&back, text), QE_OK);
		assert_int_equal(qe_prefix_compare(&prefix, &back), 0);

		qe_addr_format(written, &addr);
		assert_int_equal(qe_prefix_parse(&back, written), QE_OK);
		assert_int_equal(qe_prefix_compare(&host, &back), 0);

		strcat(written, strchr(text, '/'));
		assert_int_equal(
			qe_prefix_parse(&back, written), host_bits ? QE_ERR_HOST_BITS : QE_OK);
		assert_int_equal(qe_prefix_compare(&prefix, &back), 0);
		assert_int_equal(qe_interface_addr_parse(&parsed_addr, &back, written), QE_OK);
		assert_int_equal(qe_prefix_compare(&prefix, &back), 0);
		assert_true(qe_addr_equal(&parsed_addr, &addr));
	}
}

static void bad_prefixes(void **state)
{
	static const struct {
		const char *text;
		enum qe_error error;
	} cases[] = {
		{"10.0.0.0/33", QE_ERR_RANGE},
		{"::/129", QE_ERR_RANGE},
		{"::/99999999999999999999", QE_ERR_RANGE},
		{"10.0.0.0/", QE_ERR_SYNTAX},
		{"10.0.0.0/08", QE_ERR_SYNTAX},
		{"10.0.0.0/-1", QE_ERR_SYNTAX},
		{"10.0.0.0/8/8", QE_ERR_SYNTAX},
		{"10.0.0.0/8 ", QE_ERR_SYNTAX},
		{"10.0.0/8", QE_ERR_SYNTAX},
		{"/8", QE_ERR_SYNTAX},
		{"", QE_ERR_SYNTAX},
		{"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8", QE_ERR_SYNTAX},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qe_prefix prefix = {.length = 77};

		assert_int_equal(qe_prefix_parse(&prefix, cases[i].text), cases[i].error);
		assert_int_equal(prefix.length, 77);
	}
}

static void endpoints(void **state)
{
	static const char *const good[] = {
		"192.0.2.1:7844", "[2001:db8::1]:1", "[fe80::1%3]:65535"};
	static const struct {
		const char *text;
		enum qe_error error;
	} bad[] = {
		{"home.example.org:7844", QE_ERR_NOT_FOUND},
		{"localhost:1", QE_ERR_NOT_FOUND},
		{"192.0.2.1", QE_ERR_SYNTAX},
		{"192.0.2.1:", QE_ERR_SYNTAX},
		{"192.0.2.1:0", QE_ERR_RANGE},
		{"192.0.2.1:65536", QE_ERR_RANGE},
		{"192.0.2.1:+1", QE_ERR_SYNTAX},
		{"192.0.2.1:1x", QE_ERR_SYNTAX},
		{"192.0.2.256:1", QE_ERR_SYNTAX},
		{"2001:db8::1:7844", QE_ERR_SYNTAX},
		{"[2001:db8::1]", QE_ERR_SYNTAX},
		{"[2001:db8::1]7844", QE_ERR_SYNTAX},
		{"[2001:db8::1:7844", QE_ERR_SYNTAX},
		{"[2001:db8::1%3]:7844", QE_ERR_SYNTAX},
		{"[fe80::1%0]:7844", QE_ERR_RANGE},
		{"[fe80::1%eth0]:7844", QE_ERR_SYNTAX},
		{"[192.0.2.1]:7844", QE_ERR_SYNTAX},
		{"[]:7844", QE_ERR_SYNTAX},
		{":7844", QE_ERR_SYNTAX},
		{"a b:7844", QE_ERR_SYNTAX},
		{"", QE_ERR_SYNTAX},
	};
	struct qe_endpoint endpoint, other;
	char text[QE_ENDPOINT_TEXT_SIZE], host[8] = "?";
	uint16_t port = 9;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(qe_endpoint_parse(&endpoint, good[i]), QE_OK);
		qe_endpoint_format(text, &endpoint);
		assert_string_equal(text, good[i]);
		assert_int_equal(qe_endpoint_parse(&other, text), QE_OK);
		assert_true(qe_endpoint_equal(&endpoint, &other));
		other.port++;
		assert_false(qe_endpoint_equal(&endpoint, &other));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(qe_endpoint_parse(&endpoint, bad[i].text), bad[i].error);

	assert_int_equal(qe_endpoint_split(host, sizeof(host), &port, "12345678:80"), QE_ERR_RANGE);
	assert_string_equal(host, "?");
	assert_int_equal(port, 9);
	assert_int_equal(qe_endpoint_split(host, sizeof(host), &port, "1234567:80"), QE_OK);
	assert_string_equal(host, "1234567");
	assert_int_equal(port, 80);
}

static void kinds(void **state)
{
	static const struct {
		const char *text;
		bool multicast, broadcast, link_local, loopback, unspecified;
	} cases[] = {
		{"0.0.0.0", .unspecified = true},
		{"::", .unspecified = true},
		{"127.8.9.1", .loopback = true},
		{"::1", .loopback = true},
		{.text = "::2"},
		{"169.254.1.1", .link_local = true},
		{.text = "169.255.1.1"},
		{"fe80::1", .link_local = true},
		{"febf::1", .link_local = true},
		{.text = "fec0::1"},
		{"224.0.0.1", .multicast = true},
		{"239.255.255.255", .multicast = true},
		{.text = "240.0.0.1"},
		{.text = "223.255.255.255"},
		{"255.255.255.255", .broadcast = true},
		{.text = "255.255.255.254"},
		{"ffff:ffff::", .multicast = true},
		{"ff02::1", .multicast = true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qe_addr addr;

		assert_int_equal(qe_addr_parse(&addr, cases[i].text), QE_OK);
		assert_int_equal(qe_addr_is_multicast(&addr), cases[i].multicast);
		assert_int_equal(qe_addr_is_broadcast(&addr), cases[i].broadcast);
		assert_int_equal(qe_addr_is_link_local(&addr), cases[i].link_local);
		assert_int_equal(qe_addr_is_loopback(&addr), cases[i].loopback);
		assert_int_equal(qe_addr_is_unspecified(&addr), cases[i].unspecified);
	}
}

static void lan_ranges(void **)
{
	static const struct {
		const char *text;
		bool is_lan;
	} cases[] = {
		{"10.0.0.0/8", true},
		{"10.0.0.0/7", false},
		{"172.16.0.0/12", true},
		{"172.31.255.0/24", true},
		{"172.32.0.0/24", false},
		{"192.168.0.0/15", false},
		{"192.168.1.0/24", true},
		{"169.254.0.0/16", true},
		{"100.64.0.0/10", false},
		{"203.0.113.0/24", false},
		{"0.0.0.0/0", false},
		{"fd00::/8", true},
		{"fe80::/64", true},
		{"fec0::/10", false},
		{"2001:db8::/64", false},
		{"::/0", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qe_prefix prefix;

		assert_int_equal(qe_prefix_parse(&prefix, cases[i].text), QE_OK);
		assert_int_equal(qe_prefix_is_lan(&prefix), cases[i].is_lan);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_agrees_with_libc),
		cmocka_unit_test(parse_agrees_with_libc),
		cmocka_unit_test(prefixes_agree_with_bits),
		cmocka_unit_test(prefix_text),
		cmocka_unit_test(bad_prefixes),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(kinds),
		cmocka_unit_test(lan_ranges),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
