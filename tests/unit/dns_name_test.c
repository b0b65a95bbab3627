/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Names against their text, which strings are enough to compare. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "dns/name.h"
#include "plain_dns.h"
#include "random.h"

struct text {
	char text[300];
};

/* Few letters, so that suffixes meet; both spellings. */
static struct text random_text(void)
{
	struct text name = {};
	size_t n = random_below(5);

	for (size_t i = 0; i < n; i++) {
		size_t len = 1 + random_below(3);

		for (size_t j = 0; j < len; j++)
			strncat(name.text, &"aAbB-_0"[random_below(7)], 1);
		strcat(name.text, ".");
	}
	if (n == 0)
		strcpy(name.text, ".");
	return name;
}

static struct qe_dns_name parse(const char *text)
{
	struct qe_dns_name name;

	assert_int_equal(qe_dns_name_parse(&name, text), QE_OK);
	return name;
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	if (strcmp(suffix, ".") == 0)
		return true;
	return len >= n && strcasecmp(name + len - n, suffix) == 0 &&
	       (len == n || name[len - n - 1] == '.');
}

static unsigned count_labels(const char *text)
{
	unsigned n = 0;

	for (; *text != '\0'; text++)
		n += *text == '.';
	return n;
}

static void test_random(void **)
{
	for (int i = 0; i < 20000; i++) {
		struct text a = random_text(), b = random_text();
		struct qe_dns_name name = parse(a.text), other = parse(b.text), again;
		struct plain_message wire = {};

		plain_name(&wire, a.text);
		assert_int_equal(
			qe_dns_name_from_wire(&again, (struct qe_bytes){wire.data, wire.len}),
			QE_OK);
		assert_true(qe_dns_name_equal(&name, &again));
		assert_int_equal(qe_dns_name_equal(&name, &other), !strcasecmp(a.text, b.text));
		assert_int_equal(
			qe_dns_name_compare(&name, &other) == 0, qe_dns_name_equal(&name, &other));
		assert_int_equal(qe_dns_name_is_under(&name, &other), ends_with(a.text, b.text));
		assert_int_equal(qe_dns_name_labels(&name),
			strcmp(a.text, ".") == 0 ? 0 : count_labels(a.text));
		if (strcmp(a.text, ".") != 0)
			a.text[strlen(a.text) - 1] = '\0';
		again = parse(a.text);
		assert_true(qe_dns_name_equal(&name, &again));
	}
}

static void test_wrong_text(void **)
{
	static const char *const wrong[] = {
		"", "..", "a..b", ".a", "a b", "a/b", "\xc3\xa4", "a\\.b", "*.a"};
	char text[300] = {};
	struct qe_dns_name name;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(qe_dns_name_parse(&name, wrong[i]), QE_ERR_SYNTAX);
	memset(text, 'a', 63);
	assert_int_equal(qe_dns_name_parse(&name, text), QE_OK);
	text[63] = 'a';
	assert_int_equal(qe_dns_name_parse(&name, text), QE_ERR_RANGE);
	for (size_t i = 0; i < 254; i++)
		text[i] = i % 2 ? '.' : 'a';
	text[253] = '\0';
	assert_int_equal(qe_dns_name_parse(&name, text), QE_OK);
	assert_int_equal(name.len, 255);
	strcpy(text + 253, ".a");
	assert_int_equal(qe_dns_name_parse(&name, text), QE_ERR_RANGE);
}

/* Any bytes: right is only what ends with the root, and where it ends. */
static void test_wrong_wire(void **)
{
	for (int i = 0; i < 50000; i++) {
		uint8_t wire[300];
		size_t len = random_below(i % 2 ? 8 : 300), at = 0;
		struct qe_dns_name name;
		bool good = false;

		for (size_t j = 0; j < len; j++)
			wire[j] = (uint8_t)random_below(i % 3 ? 4 : 256);
		while (at < len && wire[at] != 0 && wire[at] < 64)
			at += 1u + wire[at];
		good = len <= 255 && at < len && wire[at] == 0 && at == len - 1;
		assert_int_equal(
			qe_dns_name_from_wire(&name, (struct qe_bytes){wire, len}) == QE_OK, good);
	}
}

static struct qe_addr random_addr(void)
{
	struct qe_addr addr = {.family = random_below(2) ? QE_FAMILY_IPV4 : QE_FAMILY_IPV6};

	random_fill(addr.bytes, addr.family == QE_FAMILY_IPV4 ? 4 : 16);
	return addr;
}

static void test_reverse(void **)
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < 5000; i++) {
		struct qe_addr addr = random_addr();
		struct qe_dns_name name, expected;
		struct qe_prefix prefix;
		char text[100], *at = text;

		if (addr.family == QE_FAMILY_IPV4) {
			sprintf(text, "%d.%d.%d.%d.in-addr.arpa", addr.bytes[3], addr.bytes[2],
				addr.bytes[1], addr.bytes[0]);
		} else {
			for (int j = 15; j >= 0; j--) {
				*at++ = hex[addr.bytes[j] & 15];
				*at++ = '.';
				*at++ = hex[addr.bytes[j] >> 4];
				*at++ = '.';
			}
			strcpy(at, "ip6.arpa");
		}
		expected = parse(text);
		qe_dns_name_reverse(&name, &addr);
		assert_true(qe_dns_name_equal(&name, &expected));
		assert_true(qe_dns_name_prefix(&name, &prefix));
		assert_int_equal(prefix.length, qe_addr_bits(&addr));
		assert_true(qe_addr_equal(&prefix.addr, &addr));
	}
}

static void test_prefixes(void **)
{
	static const struct {
		const char *name, *prefix;
	} rows[] = {
		{"in-addr.arpa", "0.0.0.0/0"},
		{"100.IN-ADDR.arpa", "100.0.0.0/8"},
		{"64.100.in-addr.arpa", "100.64.0.0/16"},
		{"x.64.100.in-addr.arpa", "100.64.0.0/16"},
		{"1.x.64.100.in-addr.arpa", "100.64.0.0/16"},
		{"b._dns-sd._udp.3.2.64.100.in-addr.arpa", "100.64.2.3/32"},
		{"256.64.100.in-addr.arpa", "100.64.0.0/16"},
		{"01.64.100.in-addr.arpa", "100.64.0.0/16"},
		{"4.3.2.1.in-addr.arpa", "1.2.3.4/32"},
		{"5.4.3.2.1.in-addr.arpa", "1.2.3.4/32"},
		{"d.f.ip6.arpa", "fd00::/8"},
		{"4.6.d.f.ip6.arpa", "fd64::/16"},
		{"6.d.f.ip6.arpa", "fd60::/12"},
		{"10.d.f.ip6.arpa", "fd00::/8"},
		{"0x.d.f.ip6.arpa", "fd00::/8"},
	};
	static const char *const others[] = {".", "arpa", "ip6.arpa.example", "xin-addr.arpa"};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct qe_dns_name name = parse(rows[i].name);
		struct qe_prefix prefix, expected;

		assert_int_equal(qe_prefix_parse(&expected, rows[i].prefix), QE_OK);
		assert_true(qe_dns_name_prefix(&name, &prefix));
		assert_int_equal(qe_prefix_compare(&prefix, &expected), 0);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct qe_dns_name name = parse(others[i]);
		struct qe_prefix prefix;

		assert_false(qe_dns_name_prefix(&name, &prefix));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_wrong_text),
		cmocka_unit_test(test_wrong_wire),
		cmocka_unit_test(test_reverse),
		cmocka_unit_test(test_prefixes),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
