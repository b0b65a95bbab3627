/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* One page asked for over plain HTTP, of whose answer only the head is read. On a loop; bounded in
 * time and bytes. */
#pragma once

#include "net/addr.h"
#include "net/http.h"
#include "os/loop.h"

struct qe_web_probe;

struct qe_web_request {
	struct qe_endpoint server;
	const char *host; /* for the server: a name or an address; without brackets */
	const char *path; /* "" is "/" */
};

/* fd: a TCP socket that is not connected and does not block; taken, also on failure. done is
 * called once, never from here: answer is NULL if there was none, and why then says the reason. The
 * probe may be freed in it. */
enum qe_error qe_web_probe_new(struct qe_web_probe **ret_probe, struct qe_loop *loop, int fd,
	const struct qe_web_request *request,
	void (*done)(void *ctx, const struct qe_http_answer *answer, const char *why), void *ctx);
struct qe_web_probe *qe_web_probe_free(struct qe_web_probe *probe); /* NULL-safe; at any time */
