/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Names to addresses, in a thread of its own: getaddrinfo blocks. It ends by the process's will,
 * not by the name server's: a lookup under way when the resolver is freed is left to itself.
 */
#pragma once

#include "quicether.h"

#define QE_RESOLVER_QUEUE 64
#define QE_RESOLVED_MAX QE_PEER_ENDPOINTS_MAX
#define QE_HOST_SIZE 256

struct qe_resolver;

/* wake: called on the resolver's thread when there is an answer to take. */
enum qe_error qe_resolver_new(
	struct qe_resolver **ret_resolver, void (*wake)(void *ctx), void *ctx);
struct qe_resolver *qe_resolver_free(struct qe_resolver *resolver); /* NULL-safe */

/* host: a name or a literal address, "fe80::1%eth0" too. QE_ERR_FULL: ask again later. */
enum qe_error qe_resolver_ask(
	struct qe_resolver *resolver, uint64_t cookie, const char *host, uint16_t port);

struct qe_resolved {
	uint64_t cookie;
	char host[QE_HOST_SIZE];
	struct qe_endpoint endpoints[QE_RESOLVED_MAX]; /* in the system's order of preference */
	size_t n;
	char error[96]; /* English, no full stop, when n is 0 */
};

bool qe_resolver_take(struct qe_resolver *resolver, struct qe_resolved *ret_resolved);
