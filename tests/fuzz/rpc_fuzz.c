/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* JSON-RPC: whatever comes in one line, at most one answer goes out, and it is one line of JSON-RPC
 * with the id of the request, if it had one. */
#include <stdlib.h>
#include <string.h>

#include "rpc/method.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

static unsigned answers;

static void check_answer(void *, uint64_t caller, const char *line, size_t len)
{
	json_t *root;

	require(caller == 1);
	answers++;
	if (!line)
		return;
	require(memchr(line, '\n', len) == line + len - 1);
	root = json_loadb(line, len, JSON_REJECT_DUPLICATES, nullptr);
	require(json_is_object(root) && json_object_get(root, "id"));
	require(!json_object_get(root, "result") != !json_object_get(root, "error"));
	json_decref(root);
}

static void echo(void *, struct qe_rpc_call *call, const json_t *params)
{
	qe_rpc_answer(call, params ? json_deep_copy(params) : json_object());
}

static void fail(void *, struct qe_rpc_call *call, const json_t *params)
{
	const char *text = json_string_value(json_object_get(params, "text"));

	qe_rpc_fail(call, QE_ERR_NOT_FOUND, "%.64s", text ? text : "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct qe_rpc_method rows[] = {
		{"echo", echo, "Gives back its parameters"},
		{"fail", fail, "Fails"},
	};
	static const struct qe_rpc_methods methods = {rows, 2, nullptr};

	answers = 0;
	qe_rpc_dispatch(&methods, (struct qe_bytes){data, size}, check_answer, nullptr, 1);
	require(answers == 1);
	return 0;
}
