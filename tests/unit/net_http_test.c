/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <string.h>

#include "net/http.h"
#include "random.h"

static enum qe_error parse(struct qe_http_answer *answer, const char *text, bool has_ended)
{
	return qe_http_parse(
		answer, (struct qe_bytes){(const uint8_t *)text, strlen(text)}, has_ended);
}

static void test_answers(void **)
{
	static const struct {
		const char *text;
		bool has_ended;
		int error;
		unsigned status;
		const char *location;
	} cases[] = {
		{"HTTP/1.1 204 No Content\r\n\r\n", false, QE_OK, 204, ""},
		{"HTTP/1.0 200\n\n<html>", false, QE_OK, 200, ""},
		{"HTTP/1.1 302 Found\r\nServer: x\r\nLOCATION: \t http://login/a b\x1b\r\nX: "
		 "y\r\n\r\n",
			false, QE_OK, 302, "http://login/ab"},
		{"HTTP/1.1 511 N\r\nLocation: http://cut", true, QE_OK, 511, ""},
		{"HTTP/1.1 204 No Content\r\nServer: x\r\n", false, -EAGAIN, 0, ""},
		{"HTTP/1.1 204 No", false, -EAGAIN, 0, ""},
		{"", false, -EAGAIN, 0, ""},
		{"", true, QE_ERR_SYNTAX, 0, ""},
		{"HTTP/1.1 204 No", true, QE_ERR_SYNTAX, 0, ""},
		{"HTTP/2 204 No\r\n\r\n", false, QE_ERR_SYNTAX, 0, ""},
		{"HTTP/1.1 2040 No\r\n\r\n", false, QE_ERR_SYNTAX, 0, ""},
		{"HTTP/1.1 099 No\r\n\r\n", false, QE_ERR_SYNTAX, 0, ""},
		{"HTTP/1.1 20x No\r\n\r\n", false, QE_ERR_SYNTAX, 0, ""},
		{"SSH-2.0-x\r\n", false, QE_ERR_SYNTAX, 0, ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qe_http_answer answer = {};

		assert_int_equal(parse(&answer, cases[i].text, cases[i].has_ended), cases[i].error);
		assert_int_equal(answer.status, cases[i].status);
		assert_string_equal(answer.location, cases[i].location);
	}
}

/* However it is cut, the outcome is that of the whole, or that there is more to come. */
static void test_pieces(void **)
{
	static const char text[] = "HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n";
	struct qe_http_answer answer;

	for (size_t len = 0; len < sizeof(text) - 1; len++)
		assert_int_equal(qe_http_parse(&answer,
					 (struct qe_bytes){(const uint8_t *)text, len}, false),
			-EAGAIN);
	assert_int_equal(parse(&answer, text, false), QE_OK);
}

static void test_any_bytes(void **)
{
	for (int round = 0; round < 20000; round++) {
		static const char parts[][12] = {
			"HTTP/1.1 ", "302", " x", "\r\n", "\n", "location:", "\xff", "http://a"};
		char text[200] = "";
		struct qe_http_answer answer = {};

		for (size_t n = random_below(12); n > 0; n--)
			strcat(text, parts[random_below(8)]);
		if (parse(&answer, text, random_below(2)) == QE_OK)
			assert_true(answer.status >= 100 && answer.status <= 999);
		for (const char *at = answer.location; *at; at++)
			assert_in_range(*at, '!', '~');
	}
}

static void test_long_location(void **)
{
	char text[2048] = "HTTP/1.1 302 Found\r\nLocation: http://";
	struct qe_http_answer answer;

	memset(text + strlen(text), 'x', 1000);
	strcat(text, "\r\n\r\n");
	assert_int_equal(parse(&answer, text, false), QE_OK);
	assert_int_equal(strlen(answer.location), sizeof(answer.location) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test_setup(test_any_bytes, random_setup),
		cmocka_unit_test(test_long_location),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
