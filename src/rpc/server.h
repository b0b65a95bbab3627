/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The control socket's server: a bounded number of clients on the control thread's loop, none of
 * which can hold it up. A client that does not read its answers, or its events, is dropped. */
#pragma once

#include "os/loop.h"
#include "os/unix_socket.h"
#include "rpc/method.h"

#define QE_RPC_CLIENTS_MAX 64
/* Of one client's answers that wait to be sent. Room for the longest: all peers of a large mesh. */
#define QE_RPC_OUTPUT_MAX (64 * 1024 * 1024)
/* So many clients may subscribe to events, and so much may wait for one of them. */
#define QE_RPC_SUBSCRIBERS_MAX 32
#define QE_RPC_EVENTS_MAX (256 * 1024)

struct qe_rpc_server;

/* loop, listener and methods are not owned and outlive the server; so do the calls, whose answers
 * must have been given before it is freed. */
enum qe_error qe_rpc_server_new(struct qe_rpc_server **ret_server, struct qe_loop *loop,
	struct qe_unix_listener *listener, const struct qe_rpc_methods *methods);
struct qe_rpc_server *qe_rpc_server_free(struct qe_rpc_server *server); /* NULL-safe */

/* Events, by the names of methods' events. The caller of the call, which a server has dispatched,
 * gets them from here on: QE_ERR_NOT_FOUND, QE_ERR_FULL. */
enum qe_error qe_rpc_server_subscribe(const struct qe_rpc_call *call, const char *event);
/* Whether anybody would get it. server may be NULL: nobody. */
bool qe_rpc_server_is_heard(const struct qe_rpc_server *server, const char *event);
/* A notification "event" to all that have subscribed to it: "event", "time", and what is in
 * params, an object that is taken over. NULL, as of no memory: none is sent. */
void qe_rpc_server_notify(struct qe_rpc_server *server, const char *event, json_t *params);

/* From here on no request is taken, and so no method called; what was asked can still be answered.
 */
void qe_rpc_server_finish(struct qe_rpc_server *server);
/* Whether answers still wait to be sent. */
bool qe_rpc_server_is_busy(const struct qe_rpc_server *server);
