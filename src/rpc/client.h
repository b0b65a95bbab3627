/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* One call to a running daemon, or its events, blocking. */
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
/* The same for who cannot wait so long. */
enum qe_error qe_rpc_call_until(const char *socket_path, const char *method, json_t *params,
	qe_time until, json_t **ret_result, struct qe_rpc_error *ret_error);

struct qe_rpc_events;

/* Connects and subscribes to the events of that name; failures as of a call. */
enum qe_error qe_rpc_events_new(struct qe_rpc_events **ret_events, const char *socket_path,
	const char *event, struct qe_rpc_error *ret_error);
struct qe_rpc_events *qe_rpc_events_free(struct qe_rpc_events *events); /* NULL-safe */
/* The parameters of the next one, the caller's to json_decref. -ETIMEDOUT; QE_ERR_CLOSED: the
 * daemon has ended, or one has not read for too long. */
enum qe_error qe_rpc_events_next(struct qe_rpc_events *events, qe_time until, json_t **ret_params);
