/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Where peers are: names to addresses, as os/resolver.h has it. While VPN mode is on, the system's
 * resolver asks us, and we the gateway, which may be what is looked for: so the servers that this
 * host had before are asked first, beside the tunnel. What they do not know may stand in
 * /etc/hosts. Control thread.
 */
#pragma once

#include "daemon/naming.h"
#include "os/resolver.h"

struct qe_peer_names;

/* A thread of its own; wake: called on it when there is something to take. Nothing is owned. */
enum qe_error qe_peer_names_new(struct qe_peer_names **ret_names, struct qe_naming *naming,
	struct qe_helper *helper, void (*wake)(void *ctx), void *ctx);
struct qe_peer_names *qe_peer_names_free(struct qe_peer_names *names); /* NULL-safe */

enum qe_error qe_peer_names_ask(
	struct qe_peer_names *names, uint64_t cookie, const char *host, uint16_t port);
/* Gives naming what is its own. */
bool qe_peer_names_take(struct qe_peer_names *names, struct qe_resolved *ret_resolved);
