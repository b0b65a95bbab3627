/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Codec and dispatch: lines in, lines out. */
#include <string.h>

#include "random.h"
#include "rpc/method.h"

static struct qe_rpc_call *kept; /* a call that is answered later */

static void echo(void *, struct qe_rpc_call *call, const json_t *params)
{
	qe_rpc_answer(call, params ? json_deep_copy(params) : json_object());
}

static void refuse(void *, struct qe_rpc_call *call, const json_t *)
{
	qe_rpc_fail(call, QE_ERR_NOT_FOUND, "there is no %s", "such thing");
}

static void keep(void *, struct qe_rpc_call *call, const json_t *)
{
	kept = call;
}

static const struct qe_rpc_method rows[] = {
	{"echo", echo, "Gives back its parameters"},
	{"refuse", refuse, "Fails"},
	{"keep", keep, "Answers later"},
};
static const struct qe_rpc_methods methods = {rows, 3, nullptr};

struct sent {
	char line[4096];
	unsigned n;
	uint64_t caller;
};

static void take(void *ctx, uint64_t caller, const char *line, size_t len)
{
	struct sent *sent = ctx;

	sent->n++;
	sent->caller = caller;
	assert_true(len < sizeof(sent->line));
	if (line)
		memcpy(sent->line, line, len);
	sent->line[len] = '\0';
}

static struct sent send_line(const char *line, size_t len)
{
	struct sent sent = {};

	qe_rpc_dispatch(&methods, (struct qe_bytes){(const uint8_t *)line, len}, take, &sent, 42);
	assert_true(sent.n == 0 || sent.caller == 42);
	return sent;
}

static void test_table(void **)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"a\":[1,2]}}",
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":[1,2]}}\n"},
		{"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"echo\"}",
			"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{}}\n"},
		{"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"refuse\"}",
			"{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-1008,\"message\":"
			"\"there is no such thing\"}}\n"},
		{"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"nope\"}",
			"{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32601,\"message\":"
			"\"there is no method \\\"nope\\\"\"}}\n"},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}", ""},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"nope\"}", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sent sent = send_line(cases[i].in, strlen(cases[i].in));

		assert_int_equal(sent.n, 1);
		assert_string_equal(sent.line, cases[i].out);
	}
}

static void test_refusals(void **)
{
	static const struct {
		const char *in, *code;
	} cases[] = {
		{"", "-32700"},
		{"{", "-32700"},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"echo\"}", "-32700"},
		{"[]", "-32600"},
		{"7", "-32600"},
		{"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}]", "-32600"},
		{"{}", "-32600"},
		{"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"echo\"}", "-32600"},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", "-32600"},
		{"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"echo\"}", "-32600"},
		{"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"echo\"}", "-32600"},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[1]}", "-32600"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sent sent = send_line(cases[i].in, strlen(cases[i].in));

		assert_int_equal(sent.n, 1);
		assert_non_null(strstr(sent.line, cases[i].code));
	}
}

/* jansson bounds the depth; a stack of brackets must not become one of frames. */
static void test_depth(void **)
{
	static char line[QE_RPC_MESSAGE_MAX];
	struct sent sent;

	memset(line, '[', sizeof(line));
	sent = send_line(line, sizeof(line));
	assert_non_null(strstr(sent.line, "-32700"));
}

static void test_later(void **)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"keep\"}";
	struct sent sent = {};

	qe_rpc_dispatch(&methods, (struct qe_bytes){(const uint8_t *)line, sizeof(line) - 1}, take,
		&sent, 7);
	assert_int_equal(sent.n, 0);
	qe_rpc_answer(kept, nullptr);
	assert_int_equal(sent.n, 1);
	assert_int_equal(sent.caller, 7);
	assert_non_null(strstr(sent.line, "out of memory"));
}

static void test_list(void **)
{
	json_t *list = qe_rpc_methods_list(&methods);

	assert_int_equal(json_array_size(json_object_get(list, "methods")), 3);
	json_decref(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
