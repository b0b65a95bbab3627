/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A program that has connected to the proxy: what it asks for, the stream that it gets, and the
 * bytes between the two. */
#pragma once

#include "base/list.h"
#include "proxy/names.h"
#include "proxy/users.h"

#define QE_CLIENTS_MAX 256

enum qe_client_protocol : uint8_t { QE_CLIENT_SOCKS, QE_CLIENT_HTTP };

/* What clients have in common. */
struct qe_clients {
	struct qe_loop *loop;
	struct qe_stack *stack;
	struct qe_names *names;
	const struct qe_users *users; /* NULL: whoever comes is let in */
	/* Whether there is a way there, and if not, why not; -EAGAIN: it is not known yet. */
	enum qe_error (*check)(void *ctx, const struct qe_addr *addr);
	/* Whether the peer that the way leads to is connected. */
	bool (*is_up)(void *ctx, const struct qe_addr *addr);
	void (*left)(void *ctx); /* there is room for one more */
	void *ctx;
	struct qe_list list;
	size_t n;
	/* Since the start. */
	uint64_t accepted, connected, failed;
	uint64_t bytes_up, bytes_down;
	uint8_t scratch[65536];
};

void qe_clients_init(struct qe_clients *clients);
void qe_clients_done(struct qe_clients *clients); /* ends them all */

/* Takes the socket, also when it fails. */
enum qe_error qe_client_new(
	struct qe_clients *clients, enum qe_client_protocol protocol, int fd, qe_time now);
