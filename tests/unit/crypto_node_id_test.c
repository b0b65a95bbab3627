/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/node_id.h"
#include "crypto/random.h"

/* The public key of RFC 8410, section 10.1; the id was computed with Python's hashlib and base64.
 */
static const uint8_t spki[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21,
	0x00, 0x19, 0xbf, 0x44, 0x09, 0x69, 0x84, 0xcd, 0xfe, 0x85, 0x41, 0xba, 0xc1, 0x67, 0xdc,
	0x3b, 0x96, 0xc8, 0x50, 0x86, 0xaa, 0x30, 0xb6, 0xb6, 0xcb, 0x0c, 0x5c, 0x38, 0xad, 0x70,
	0x31, 0x66, 0xe1};
static const char spki_id[] = "uhurkycu4bh2zcm25hzhkezm3qd2lw6e";

static void id_of_a_known_key(void **test)
{
	struct qe_node_id id;
	char text[QE_NODE_ID_TEXT_SIZE];
	(void)test;
	assert_int_equal(qe_node_id_from_spki(&id, (struct qe_bytes){spki, sizeof(spki)}), QE_OK);
	qe_node_id_format(text, &id);
	assert_string_equal(text, spki_id);
}

static void text_comes_back(void **test)
{
	(void)test;
	for (size_t round = 0; round < 1000; round++) {
		struct qe_node_id id, parsed;
		char text[QE_NODE_ID_TEXT_SIZE];
		qe_random(&id, sizeof(id));
		qe_node_id_format(text, &id);
		assert_int_equal(strlen(text), 32);
		if (round % 2)
			for (char *at = text; *at; at++)
				*at = (char)toupper(*at);
		assert_int_equal(qe_node_id_parse(&parsed, text), QE_OK);
		assert_true(qe_node_id_equal(&id, &parsed));
		assert_int_equal(qe_node_id_compare(&id, &parsed), 0);
		parsed.bytes[round % QE_NODE_ID_SIZE] ^= (uint8_t)(1 + round % 255);
		assert_false(qe_node_id_equal(&id, &parsed));
		assert_true(qe_node_id_compare(&id, &parsed) != 0);
	}
}

static void bad_text_is_refused_and_writes_nothing(void **test)
{
	static const char *const bad[] = {"", "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ", "aaaaaaaaaaaaaaa-aaaaaaaaaaaaaaaa"};
	(void)test;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct qe_node_id id, before;
		memset(&id, 0x5a, sizeof(id));
		before = id;
		assert_true(qe_node_id_parse(&id, bad[i]) != QE_OK);
		assert_memory_equal(&id, &before, sizeof(id));
	}
}

static void prefixes(void **test)
{
	struct qe_node_id id;
	char text[64];
	(void)test;
	assert_int_equal(qe_node_id_parse(&id, spki_id), QE_OK);
	assert_false(qe_node_id_has_prefix(&id, ""));
	for (size_t len = 1; len <= 32; len++) {
		memcpy(text, spki_id, len);
		text[len] = '\0';
		assert_true(qe_node_id_has_prefix(&id, text));
		text[0] = (char)toupper(text[0]);
		assert_true(qe_node_id_has_prefix(&id, text));
		text[len - 1] = text[len - 1] == 'a' ? 'b' : 'a';
		assert_false(qe_node_id_has_prefix(&id, text));
	}
	strcpy(text, spki_id);
	strcat(text, "a");
	assert_false(qe_node_id_has_prefix(&id, text));
}

static void overlay_address(void **test)
{
	static const uint8_t expected[16] = {
		0xfd, 0x51, 0xe7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
	struct qe_node_id id;
	(void)test;
	for (size_t i = 0; i < sizeof(id.bytes); i++)
		id.bytes[i] = (uint8_t)(i + 1);
	struct qe_addr addr = qe_node_id_overlay_addr(&id);
	assert_int_equal(addr.family, QE_FAMILY_IPV6);
	assert_memory_equal(addr.bytes, expected, sizeof(expected));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(id_of_a_known_key),
		cmocka_unit_test(text_comes_back),
		cmocka_unit_test(bad_text_is_refused_and_writes_nothing),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(overlay_address),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
