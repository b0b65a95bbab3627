/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* One call to a running daemon, blocking. */
#pragma once

#include <jansson.h>

#include "base/time.h"

/* How long an answer may take; a method with a timeout of its own stays well below. */
#define QE_RPC_CALL_TIMEOUT (60 * QE_SECOND)

struct qe_rpc_error {
	int code;          /* as in the answer; 0 when there was none */
	char message[512]; /* English, no full stop, for the user */
};

/* Connects, calls, waits, disconnects. params: an object or NULL; not stolen. *ret_result is the
 * caller's to json_decref.
 *
 * On every failure *ret_error says why. Returned is
 *   -ECONNREFUSED      no daemon listens there
 *   -EACCES            the caller may not talk to it
 *   -ETIMEDOUT         no answer in time
 *   QE_ERR_PROTOCOL    what answers is no daemon of ours, or it broke off
 *   the daemon's own   when it answered with an error: QE_ERR_NOT_FOUND, QE_ERR_AMBIGUOUS, ...;
 *                      QE_ERR_UNSUPPORTED for a method that it does not have */
enum qe_error qe_rpc_call(const char *socket_path, const char *method, json_t *params,
	json_t **ret_result, struct qe_rpc_error *ret_error);
