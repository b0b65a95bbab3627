/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/codec.h"

static const char version[] = "2.0";

/* What is wrong with a request that is JSON, or NULL. */
static const char *find_fault(const json_t *root)
{
	const json_t *member;

	if (json_is_array(root))
		return "batches are not supported: send one request in a line";
	if (!json_is_object(root))
		return "a request is an object";
	member = json_object_get(root, "jsonrpc");
	if (!json_is_string(member) || strcmp(json_string_value(member), version) != 0)
		return "\"jsonrpc\" must be \"2.0\"";
	if (!json_is_string(json_object_get(root, "method")))
		return "\"method\" must be a string";
	member = json_object_get(root, "id");
	if (member && !json_is_string(member) && !json_is_integer(member))
		return "\"id\" must be a string or an integer";
	member = json_object_get(root, "params");
	if (member && !json_is_object(member))
		return "\"params\" must be an object";
	return nullptr;
}

/* The id of a bad request is told back if it is one, so that the sender finds its mistake. */
static json_t *usable_id(const json_t *root)
{
	json_t *id = json_object_get(root, "id");

	return json_is_string(id) || json_is_integer(id) ? id : nullptr;
}

static json_t *refuse_syntax(const json_error_t *error)
{
	char message[256];

	snprintf(message, sizeof(message), "not JSON: %s", error->text);
	return qe_rpc_error_new(nullptr, QE_RPC_PARSE_ERROR, message);
}

enum qe_error qe_rpc_request_parse(
	struct qe_rpc_request *ret_request, struct qe_bytes line, json_t **ret_refusal)
{
	json_error_t error;
	json_t *root = json_loadb((const char *)line.data, line.len,
		JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	const char *fault;

	if (!root) {
		*ret_refusal = refuse_syntax(&error);
		return QE_ERR_SYNTAX;
	}
	fault = find_fault(root);
	if (fault) {
		*ret_refusal = qe_rpc_error_new(usable_id(root), QE_RPC_INVALID_REQUEST, fault);
		json_decref(root);
		return QE_ERR_SYNTAX;
	}
	*ret_request = (struct qe_rpc_request){
		.root = root,
		.id = json_object_get(root, "id"),
		.params = json_object_get(root, "params"),
		.method = json_string_value(json_object_get(root, "method")),
	};
	return QE_OK;
}

void qe_rpc_request_done(struct qe_rpc_request *request)
{
	json_decref(request->root);
	*request = (struct qe_rpc_request){};
}

/* One call is one connection, so that the id need not tell calls apart. */
json_t *qe_rpc_request_new(const char *method, json_t *params)
{
	return json_pack("{s:s, s:i, s:s, s:o*}", "jsonrpc", version, "id", 1, "method", method,
		"params", params);
}

json_t *qe_rpc_result_new(json_t *id, json_t *result)
{
	return json_pack("{s:s, s:O?, s:o}", "jsonrpc", version, "id", id, "result", result);
}

json_t *qe_rpc_error_new(json_t *id, int code, const char *message)
{
	return json_pack("{s:s, s:O?, s:{s:i, s:s}}", "jsonrpc", version, "id", id, "error", "code",
		code, "message", message);
}

/* Of real numbers, nine digits: to the microsecond, without what binary fractions add. */
#define FORMAT (JSON_COMPACT | JSON_REAL_PRECISION(9))

char *qe_rpc_format(const json_t *message, size_t *ret_len)
{
	size_t len = json_dumpb(message, nullptr, 0, FORMAT);
	char *line = len > 0 ? malloc(len + 1) : nullptr;

	if (!line)
		return nullptr;
	json_dumpb(message, line, len, FORMAT);
	line[len] = '\n';
	*ret_len = len + 1;
	return line;
}
