/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/method.h"

struct qe_rpc_call {
	json_t *id; /* NULL: a notification */
	qe_rpc_send *send;
	void *send_ctx;
	uint64_t caller;
};

static void send_message(qe_rpc_send *send, void *send_ctx, uint64_t caller, const json_t *message)
{
	size_t len = 0;
	char *line = message ? qe_rpc_format(message, &len) : nullptr;

	send(send_ctx, caller, line, len);
	free(line);
}

/* Steals the message. */
static void end_call(struct qe_rpc_call *call, json_t *message)
{
	send_message(call->send, call->send_ctx, call->caller, call->id ? message : nullptr);
	json_decref(message);
	json_decref(call->id);
	free(call);
}

void qe_rpc_answer(struct qe_rpc_call *call, json_t *result)
{
	end_call(call, result ? qe_rpc_result_new(call->id, result)
			      : qe_rpc_error_new(call->id, QE_ERR_INTERNAL, "out of memory"));
}

void qe_rpc_fail(struct qe_rpc_call *call, int code, const char *format, ...)
{
	char message[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	end_call(call, qe_rpc_error_new(call->id, code, message));
}

void *qe_rpc_call_sender(const struct qe_rpc_call *call, uint64_t *ret_caller)
{
	*ret_caller = call->caller;
	return call->send_ctx;
}

static const struct qe_rpc_method *find_method(
	const struct qe_rpc_methods *methods, const char *name)
{
	for (size_t i = 0; i < methods->n; i++) {
		if (strcmp(methods->rows[i].name, name) == 0)
			return &methods->rows[i];
	}
	return nullptr;
}

void qe_rpc_dispatch(const struct qe_rpc_methods *methods, struct qe_bytes line, qe_rpc_send *send,
	void *send_ctx, uint64_t caller)
{
	const struct qe_rpc_method *method;
	struct qe_rpc_request request;
	struct qe_rpc_call *call;
	json_t *refusal = nullptr;

	if (qe_rpc_request_parse(&request, line, &refusal) != QE_OK) {
		send_message(send, send_ctx, caller, refusal);
		json_decref(refusal);
		return;
	}
	call = malloc(sizeof(*call));
	if (!call) {
		send(send_ctx, caller, nullptr, 0);
		qe_rpc_request_done(&request);
		return;
	}
	*call = (struct qe_rpc_call){json_incref(request.id), send, send_ctx, caller};
	method = find_method(methods, request.method);
	if (method)
		method->handle(methods->ctx, call, request.params);
	else
		qe_rpc_fail(call, QE_RPC_METHOD_NOT_FOUND, "there is no method \"%.64s\"",
			request.method);
	qe_rpc_request_done(&request);
}

json_t *qe_rpc_methods_list(const struct qe_rpc_methods *methods)
{
	json_t *list = json_array();

	for (size_t i = 0; i < methods->n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "name", methods->rows[i].name,
						    "help", methods->rows[i].help));
	return json_pack("{s:o}", "methods", list);
}
