/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Names of the places where peers are, to addresses: by the system (os/resolver.h); or beside the
 * tunnel, while VPN mode is on, when the system would ask our own resolver, which asks through a
 * tunnel that is not there yet. Then /etc/hosts is looked at, and whom this host asked before is
 * asked by sockets with our mark. Control thread.
 */
#pragma once

#include "daemon/naming.h"
#include "os/resolver.h"

struct qe_peer_names;

/* Nothing is owned. wake: called, on any thread, when there is something to take. */
enum qe_error qe_peer_names_new(struct qe_peer_names **ret_names, struct qe_naming *naming,
	struct qe_helper *helper, void (*wake)(void *ctx), void *ctx);
struct qe_peer_names *qe_peer_names_free(struct qe_peer_names *names); /* NULL-safe */

/* As qe_resolver_ask and qe_resolver_take; what was asked for naming goes there. */
enum qe_error qe_peer_names_ask(
	struct qe_peer_names *names, uint64_t cookie, const char *host, uint16_t port);
bool qe_peer_names_take(struct qe_peer_names *names, struct qe_resolved *ret_resolved);
