/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * JSON-RPC 2.0 (https://www.jsonrpc.org/specification) in lines: one message, one line of at most
 * 64 KiB. Batches are refused: who wants many answers sends many lines.
 */
#pragma once

#include <jansson.h>

#include "base/bytes.h"

#define QE_RPC_MESSAGE_MAX (64 * 1024)

/* The specification's own error codes. All others are values of enum qe_error as they are. */
enum qe_rpc_code : int {
	QE_RPC_PARSE_ERROR = -32700,
	QE_RPC_INVALID_REQUEST = -32600,
	QE_RPC_METHOD_NOT_FOUND = -32601,
	QE_RPC_INVALID_PARAMS = -32602,
};

struct qe_rpc_request {
	json_t *root;   /* owns all the others */
	json_t *id;     /* a string or an integer; NULL for a notification, which gets no answer */
	json_t *params; /* an object; NULL if there are none */
	const char *method;
};

/* QE_ERR_SYNTAX: *ret_refusal is then the message that says why, to be sent and json_decref'ed. */
enum qe_error qe_rpc_request_parse(
	struct qe_rpc_request *ret_request, struct qe_bytes line, json_t **ret_refusal);
void qe_rpc_request_done(struct qe_rpc_request *request);

/* Messages; NULL without memory. id may be NULL, which is written as null; result and params are
 * stolen. */
json_t *qe_rpc_request_new(const char *method, json_t *params);
json_t *qe_rpc_result_new(json_t *id, json_t *result);
json_t *qe_rpc_error_new(json_t *id, int code, const char *message);

/* One line, with its newline; to be freed. NULL without memory. */
char *qe_rpc_format(const json_t *message, size_t *ret_len);
