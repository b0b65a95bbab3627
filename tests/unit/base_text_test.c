/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <string.h>

#include "base/text.h"
#include "random.h"

static void builder_never_overruns(void **state)
{
	static const char all[] = "abc12-7xyz";

	(void)state;
	for (size_t size = 1; size < 16; size++) {
		char *to = malloc(size);
		struct qe_text text = qe_text_init(to, size);
		size_t len = size - 1 < strlen(all) ? size - 1 : strlen(all);

		qe_text_add(&text, "abc");
		qe_text_addf(&text, "%d%d", 12, -7);
		qe_text_add(&text, "xyz");
		assert_int_equal(text.len, len);
		assert_memory_equal(to, all, len);
		assert_int_equal(to[len], 0);
		assert_int_equal(text.truncated, len < strlen(all));
		free(to);
	}
}

/* RFC 4648, section 10, in lower case and without padding. */
static const char *const vectors[][2] = {
	{"", ""},
	{"f", "my"},
	{"fo", "mzxq"},
	{"foo", "mzxw6"},
	{"foob", "mzxw6yq"},
	{"fooba", "mzxw6ytb"},
	{"foobar", "mzxw6ytboi"},
};

static void base32_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const char *plain = vectors[i][0];
		size_t len = strlen(plain);
		char text[16];
		uint8_t bytes[8];

		qe_base32_encode(text, (struct qe_bytes){(const uint8_t *)plain, len});
		assert_string_equal(text, vectors[i][1]);
		assert_int_equal(qe_base32_decode(bytes, len, text), QE_OK);
		assert_memory_equal(bytes, plain, len);
	}
}

static void base32_round_trip(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		uint8_t bytes[24], back[24];
		char text[40];
		size_t len = random_below(sizeof(bytes) + 1), text_len = (len * 8 + 4) / 5, at;

		random_fill(bytes, len);
		qe_base32_encode(text, (struct qe_bytes){bytes, len});
		assert_int_equal(strlen(text), text_len);
		if (len > 0 && text[0] >= 'a')
			text[0] = (char)(text[0] - 'a' + 'A');
		assert_int_equal(qe_base32_decode(back, len, text), QE_OK);
		assert_memory_equal(bytes, back, len);
		assert_int_equal(qe_base32_decode(back, len + 1, text), QE_ERR_SYNTAX);
		if (len == 0)
			continue;
		assert_int_equal(qe_base32_decode(back, len - 1, text), QE_ERR_SYNTAX);
		at = random_below(text_len);
		text[at] = "018-= \x80_"[random_below(8)];
		assert_int_equal(qe_base32_decode(back, len, text), QE_ERR_SYNTAX);
	}
}

static void spare_bits_must_be_zero(void **state)
{
	uint8_t byte;

	(void)state;
	assert_int_equal(qe_base32_decode(&byte, 1, "my"), QE_OK);
	assert_int_equal(qe_base32_decode(&byte, 1, "mz"), QE_ERR_SYNTAX);
}

static void nearest_word(void **state)
{
	static const char *const words[] = {"listen", "tun_name", "tun_addr", "mtu", "log_level"};
	static const struct {
		const char *given, *nearest;
	} cases[] = {
		{"listen", "listen"},
		{"lisetn", "listen"},
		{"listne", "listen"},
		{"tunname", "tun_name"},
		{"tun_adr", "tun_addr"},
		{"mut", "mtu"},
		{"loglevel", "log_level"},
		{"xyzzy", NULL},
		{"mt", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *nearest = qe_text_nearest(cases[i].given, words, 5);

		if (cases[i].nearest)
			assert_string_equal(nearest, cases[i].nearest);
		else
			assert_null(nearest);
	}
	assert_null(qe_text_nearest(
		"a word of sixty-four letters and more is nobody's slip of the pen", words, 5));
}

static void printable(void **)
{
	char to[32];
	struct qe_text text = qe_text_init(to, sizeof(to));

	qe_text_add_printable(&text, "a \"b\"~\n\x1b[0m\x7f\xc3");
	assert_string_equal(to, "a \"b\"~\\x0a\\x1b[0m\\x7f\\xc3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(builder_never_overruns),
		cmocka_unit_test(base32_vectors),
		cmocka_unit_test(base32_round_trip),
		cmocka_unit_test(spare_bits_must_be_zero),
		cmocka_unit_test(nearest_word),
		cmocka_unit_test(printable),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
