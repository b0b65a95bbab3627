/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Methods and calls. A method is a row of a table. A call lives from its request to its one answer,
 * which may come later and from elsewhere: handlers do not block. A call whose caller has gone is
 * answered like any other, into nothing.
 */
#pragma once

#include "rpc/codec.h"

struct qe_rpc_call;

struct qe_rpc_method {
	const char *name;
	/* Must see to it that the call is answered once, now or later. params: an object, or NULL;
	 * only during the handler. */
	void (*handle)(void *ctx, struct qe_rpc_call *call, const json_t *params);
	const char *help; /* one sentence without a full stop */
};

struct qe_rpc_methods {
	const struct qe_rpc_method *rows;
	size_t n;
	void *ctx;
	const char *const *events; /* that a caller may subscribe to, then NULL; NULL: none */
};

/* Takes one line of an answer, with its newline, NULL where none is due: to a notification. */
typedef void qe_rpc_send(void *ctx, uint64_t caller, const char *line, size_t len);

/* Handles one line of a caller. */
void qe_rpc_dispatch(const struct qe_rpc_methods *methods, struct qe_bytes line, qe_rpc_send *send,
	void *send_ctx, uint64_t caller);

/* Both end the call. result is stolen; NULL stands for "no memory". */
void qe_rpc_answer(struct qe_rpc_call *call, json_t *result);
/* The message is for the user: English, no full stop. Parameters of the wrong type or range:
 * QE_RPC_INVALID_PARAMS. */
[[gnu::format(printf, 3, 4)]] void qe_rpc_fail(
	struct qe_rpc_call *call, int code, const char *format, ...);

/* Who dispatched the call: as given to qe_rpc_dispatch. */
void *qe_rpc_call_sender(const struct qe_rpc_call *call, uint64_t *ret_caller);

/* {"methods": [{"name", "help"}]}, for a method that lists them all. */
json_t *qe_rpc_methods_list(const struct qe_rpc_methods *methods);
