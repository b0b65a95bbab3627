/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The control socket's server: a bounded number of clients on the control thread's loop, none of
 * which can hold it up. A client that does not read its answers is dropped. */
#pragma once

#include "os/loop.h"
#include "os/unix_socket.h"
#include "rpc/method.h"

#define QE_RPC_CLIENTS_MAX 64
/* Of one client's answers that wait to be sent. Room for the longest: all peers of a large mesh. */
#define QE_RPC_OUTPUT_MAX (64 * 1024 * 1024)

struct qe_rpc_server;

/* loop, listener and methods are not owned and outlive the server; so do the calls, whose answers
 * must have been given before it is freed. */
enum qe_error qe_rpc_server_new(struct qe_rpc_server **ret_server, struct qe_loop *loop,
	struct qe_unix_listener *listener, const struct qe_rpc_methods *methods);
struct qe_rpc_server *qe_rpc_server_free(struct qe_rpc_server *server); /* NULL-safe */
/* From here on no request is taken, and so no method called; what was asked can still be answered.
 */
void qe_rpc_server_finish(struct qe_rpc_server *server);
/* Whether answers still wait to be sent. */
bool qe_rpc_server_is_busy(const struct qe_rpc_server *server);
