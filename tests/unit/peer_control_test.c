/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Control messages: what is written is read, what is new is passed over, and what is wrong is
 * refused, byte for byte. */
#include <string.h>

#include "peer/control.h"
#include "plain_cbor.h"

#define ROUNDS 20000

static bool has_cookie(enum qe_control_type type)
{
	return type == QE_CONTROL_PING || type == QE_CONTROL_PONG;
}

static struct qe_control random_message(void)
{
	struct qe_control message = {
		.type = (enum qe_control_type)(QE_CONTROL_HELLO + random_below(4))};

	if (has_cookie(message.type))
		message.cookie = random_number();
	if (message.type == QE_CONTROL_HELLO)
		message.instance = random_number();
	if (message.type == QE_CONTROL_PONG)
		message.large = random_number();
	return message;
}

static void assert_same(const struct qe_control *a, const struct qe_control *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->cookie, b->cookie);
	assert_int_equal(a->instance, b->instance);
	assert_int_equal(a->large, b->large);
}

static enum qe_error decode(struct qe_control *ret_message, const struct cbor *from)
{
	/* Exactly as long as the message, so that a sanitizer sees each byte read beyond it. */
	uint8_t *bytes = malloc(from->len + 1);

	memcpy(bytes + 1, from->bytes, from->len);
	enum qe_error error = qe_control_decode(
		ret_message, (struct qe_bytes){bytes + 1, from->len});

	free(bytes);
	return error;
}

static struct cbor encode(const struct qe_control *message)
{
	struct cbor cbor = {};
	uint8_t bytes[QE_CONTROL_SIZE];

	cbor.len = qe_control_encode(bytes, message);
	assert_in_range(cbor.len, 1, QE_CONTROL_SIZE);
	memcpy(cbor.bytes, bytes, cbor.len);
	return cbor;
}

/* ---- tests ---- */

static void writes_the_shortest_form(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct qe_control message = random_message();
		struct cbor cbor = encode(&message), expected = {};
		unsigned more = message.type == QE_CONTROL_PONG ? 2
								: message.type != QE_CONTROL_RETIRE;

		put_head(&expected, 5, 2 + more);
		put_pair(&expected, 0, 1);
		put_pair(&expected, 1, message.type);
		if (has_cookie(message.type))
			put_pair(&expected, 2, message.cookie);
		if (message.type == QE_CONTROL_HELLO)
			put_pair(&expected, 3, message.instance);
		if (message.type == QE_CONTROL_PONG)
			put_pair(&expected, 4, message.large);
		assert_int_equal(cbor.len, expected.len);
		assert_memory_equal(cbor.bytes, expected.bytes, expected.len);
	}
}

static void reads_what_it_writes(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct qe_control message = random_message(), back = {.cookie = 99};
		struct cbor cbor = encode(&message);

		assert_int_equal(decode(&back, &cbor), QE_OK);
		assert_same(&message, &back);
	}
}

/* Everything at once: another order, unknown keys with whatever in them, a newer version. */
static struct cbor newer_form(const struct qe_control *message)
{
	struct cbor cbor = {};
	size_t unknown = random_below(6);
	uint64_t known[5] = {1 + random_below(3), message->type, message->cookie, message->instance,
		message->large};
	unsigned first = (unsigned)random_below(5);

	put_head(&cbor, 5, 5 + unknown);
	for (unsigned i = 0; i < 5; i++) {
		unsigned key = (first + i) % 5;

		put_pair(&cbor, key, known[key]);
		for (; unknown > 0 && (i == 4 || random_below(2)); unknown--) {
			put_uint(&cbor, 5 + random_number() % (UINT64_MAX - 5));
			put_random_item(&cbor, 3);
		}
	}
	return cbor;
}

static void passes_over_what_is_new(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct qe_control message = random_message(), back = {};
		struct cbor cbor = newer_form(&message);

		assert_int_equal(decode(&back, &cbor), QE_OK);
		assert_same(&message, &back);
	}
}

static void an_unknown_type_is_no_error(void **)
{
	static const uint64_t types[] = {0, 6, 23, 24, 255, 256, 257, 65536, 65537, UINT64_MAX};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct qe_control message = {.type = QE_CONTROL_PING};
		struct cbor cbor = {};

		put_head(&cbor, 5, 2);
		put_pair(&cbor, 0, 1);
		put_pair(&cbor, 1, types[i]);
		assert_int_equal(decode(&message, &cbor), QE_OK);
		assert_int_equal(message.type, QE_CONTROL_UNKNOWN);
	}
}

/* Diagnostic notation in the comments, RFC 8949 section 8. */
static const struct {
	const char *bytes;
	size_t len;
} malformed[] = {
#define ROW(text) {text, sizeof(text) - 1}
	ROW(""), ROW("\xa0"),                            /* {} */
	ROW("\x80"),                                     /* [] */
	ROW("\x04"),                                     /* 4 */
	ROW("\xa1\x00\x01"),                             /* {0: 1}: no type */
	ROW("\xa1\x01\x04"),                             /* {1: 4}: no version */
	ROW("\xa2\x00\x00\x01\x04"),                     /* {0: 0, 1: 4}: version 0 */
	ROW("\xa2\x00\x20\x01\x04"),                     /* {0: -1, 1: 4} */
	ROW("\xa2\x00\x01\x01\x61\x04"),                 /* {0: 1, 1: "\x04"} */
	ROW("\xa2\x00\x01\x01\x23"),                     /* {0: 1, 1: -4} */
	ROW("\xa2\x00\x01\x01\xc0\x04"),                 /* {0: 1, 1: 0(4)}: a tag */
	ROW("\xa2\x00\x01\x01\xf9\x44\x00"),             /* {0: 1, 1: 4.0} */
	ROW("\xa2\x00\x01\x01\x81\x04"),                 /* {0: 1, 1: [4]} */
	ROW("\xa2\x00\x01\x01\x02"),                     /* {0: 1, 1: 2}: PING, no cookie */
	ROW("\xa2\x00\x01\x01\x01"),                     /* {0: 1, 1: 1}: HELLO, no instance */
	ROW("\xa3\x00\x01\x01\x03\x04\x05"),             /* {0: 1, 1: 3, 4: 5}: PONG, no cookie */
	ROW("\xa3\x00\x01\x01\x03\x02\x05"),             /* {0: 1, 1: 3, 2: 5}: PONG, no count */
	ROW("\xa3\x00\x01\x01\x02\x02\x41\x00"),         /* {0: 1, 1: 2, 2: h'00'} */
	ROW("\xa3\x00\x01\x01\x02\x02\xf6"),             /* {0: 1, 1: 2, 2: null} */
	ROW("\xa3\x00\x01\x01\x04\x01\x04"),             /* {0: 1, 1: 4, 1: 4} */
	ROW("\xa3\x00\x01\x00\x01\x01\x04"),             /* {0: 1, 0: 1, 1: 4} */
	ROW("\xa3\x00\x01\x01\x04\x18\x01\x04"),         /* the same key in a longer form */
	ROW("\xa4\x00\x01\x01\x02\x02\x05\x02\x06"),     /* {0: 1, 1: 2, 2: 5, 2: 6} */
	ROW("\xa2\x00\x01\x01\x04\x00"),                 /* a byte too many */
	ROW("\xa2\x00\x01\x01\x04\xa0"),                 /* a map too many */
	ROW("\xa3\x00\x01\x01\x04"),                     /* a pair too few */
	ROW("\xa3\x00\x01\x01\x04\x04"),                 /* a value too few */
	ROW("\xbf\x00\x01\x01\x04\xff"),                 /* {_ 0: 1, 1: 4} */
	ROW("\xa3\x00\x01\x01\x04\x04\x9f\xff"),         /* {0: 1, 1: 4, 4: [_ ]} */
	ROW("\xa3\x00\x01\x01\x04\x04\xbf\xff"),         /* {0: 1, 1: 4, 4: {_ }} */
	ROW("\xa3\x00\x01\x01\x04\x04\x5f\x41\x00\xff"), /* {0: 1, 1: 4, 4: (_ h'00')} */
	ROW("\xa3\x00\x01\x01\x04\x04\x7f\x61\x61\xff"), /* {0: 1, 1: 4, 4: (_ "a")} */
	ROW("\xa3\x00\x01\x01\x04\x04\x81\x9f\xff"),     /* {0: 1, 1: 4, 4: [[_ ]]} */
	ROW("\xa3\x00\x01\x01\x04\x04\xff"),             /* a break for a value */
	ROW("\xa3\x00\x01\x01\x04\x61\x61\x00"),         /* {0: 1, 1: 4, "a": 0} */
	ROW("\xa3\x00\x01\x01\x04\x20\x00"),             /* {0: 1, 1: 4, -1: 0} */
	ROW("\xa3\x00\x01\x01\x04\x04\x82\x00"),         /* an array with one item of two */
	ROW("\xa3\x00\x01\x01\x04\x04\xa1\x00"),         /* a map with a key alone */
	ROW("\xa3\x00\x01\x01\x04\x04\xc0"),             /* a tag of nothing */
	ROW("\xa3\x00\x01\x01\x04\x04\x42\x00"),         /* a string of one byte of two */
	ROW("\xa3\x00\x01\x01\x04\x04\x5b\xff\xff\xff\xff\xff\xff\xff\xff"),
	ROW("\xa3\x00\x01\x01\x04\x04\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
	ROW("\xa3\x00\x01\x01\x04\x04\xbb\x80\x00\x00\x00\x00\x00\x00\x00"),
	ROW("\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x00\x01\x01\x04"),
	ROW("\xa3\x00\x01\x01\x04\x04\x1c"), /* additional information 28 */
	ROW("\xa3\x00\x01\x01\x04\x04\xfc"), ROW("\xa3\x00\x01\x01\x04\x04\xf8"),
	ROW("\xa3\x00\x01\x01\x04\x04\xf8\x1f"), /* simple values below 32 have one byte */
#undef ROW
};

static void refuses_what_is_wrong(void **)
{
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		struct qe_control message = {.cookie = 77};
		struct cbor cbor = {.len = malformed[i].len};

		memcpy(cbor.bytes, malformed[i].bytes, malformed[i].len);
		if (decode(&message, &cbor) != QE_ERR_SYNTAX)
			fail_msg("row %zu was taken", i);
		assert_int_equal(message.cookie, 77);
	}
}

static void refuses_half_a_message(void **)
{
	for (unsigned round = 0; round < ROUNDS / 10; round++) {
		struct qe_control message = random_message();
		struct cbor cbor = newer_form(&message);
		size_t whole = cbor.len;

		for (cbor.len = 0; cbor.len < whole; cbor.len++)
			assert_int_equal(decode(&message, &cbor), QE_ERR_SYNTAX);
	}
}

static struct cbor many_pairs(size_t n)
{
	struct cbor cbor = {};

	put_head(&cbor, 5, n);
	put_pair(&cbor, 0, 1);
	put_pair(&cbor, 1, QE_CONTROL_RETIRE);
	for (size_t i = 2; i < n; i++)
		put_pair(&cbor, i + 2, 0);
	return cbor;
}

static void bounds_the_pairs(void **)
{
	struct qe_control message;
	struct cbor many = many_pairs(32), too_many = many_pairs(33);

	assert_int_equal(decode(&message, &many), QE_OK);
	assert_int_equal(decode(&message, &too_many), QE_ERR_SYNTAX);
}

static void bears_deep_nesting(void **)
{
	static const uint8_t openers[] = {0x81, 0xc1};
	struct qe_control message;

	for (size_t i = 0; i < 2; i++) {
		struct cbor cbor = {};

		put_head(&cbor, 5, 3);
		put_pair(&cbor, 0, 1);
		put_pair(&cbor, 1, QE_CONTROL_RETIRE);
		put_uint(&cbor, 5);
		while (cbor.len < 1023)
			put_byte(&cbor, openers[i]);
		assert_int_equal(decode(&message, &cbor), QE_ERR_SYNTAX);
		put_byte(&cbor, 0);
		assert_int_equal(decode(&message, &cbor), QE_OK);
		assert_int_equal(message.type, QE_CONTROL_RETIRE);
	}
}

/* Whatever is read as a known message means the same when it is written again. */
static void bears_noise(void **)
{
	unsigned taken = 0;

	for (unsigned round = 0; round < 10 * ROUNDS; round++) {
		struct qe_control message = random_message(), again;
		struct cbor cbor = random_below(2) ? newer_form(&message) : encode(&message);

		for (size_t n = random_below(4); n > 0; n--)
			cbor.bytes[random_below(cbor.len)] = (uint8_t)random_u64();
		if (random_below(8) == 0)
			random_fill(cbor.bytes, cbor.len = random_below(64));
		if (decode(&message, &cbor) != QE_OK || message.type == QE_CONTROL_UNKNOWN)
			continue;
		taken++;
		cbor = encode(&message);
		assert_int_equal(decode(&again, &cbor), QE_OK);
		assert_int_equal(message.type, again.type);
		if (has_cookie(message.type))
			assert_int_equal(message.cookie, again.cookie);
		if (message.type == QE_CONTROL_HELLO)
			assert_int_equal(message.instance, again.instance);
	}
	assert_in_range(taken, ROUNDS, 9 * ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_the_shortest_form),
		cmocka_unit_test(reads_what_it_writes),
		cmocka_unit_test(passes_over_what_is_new),
		cmocka_unit_test(an_unknown_type_is_no_error),
		cmocka_unit_test(refuses_what_is_wrong),
		cmocka_unit_test(refuses_half_a_message),
		cmocka_unit_test(bounds_the_pairs),
		cmocka_unit_test(bears_deep_nesting),
		cmocka_unit_test(bears_noise),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
