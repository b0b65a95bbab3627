/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Look-ups of names that the tunnel itself needs, with their sockets. The resolver's thread. */
#pragma once

#include "base/list.h"
#include "dns/lookup.h"
#include "os/loop.h"
#include "os/resolver.h"

struct qe_dns_lookups;

struct qe_dns_asked {
	uint64_t cookie;
	char host[QE_HOST_SIZE];
	uint16_t port;
	size_t n;
	struct qe_endpoint servers[QE_DNS_SERVERS_MAX];
	int sockets[QE_DNS_SERVERS_MAX]; /* of datagrams */
	struct qe_dns_lookup lookup;     /* begun */
};

enum qe_error qe_dns_lookups_new(struct qe_dns_lookups **ret_lookups, struct qe_loop *loop,
	void (*done)(void *ctx, const struct qe_resolved *resolved), void *ctx);
/* NULL-safe. What is under way ends without an answer. */
struct qe_dns_lookups *qe_dns_lookups_free(struct qe_dns_lookups *lookups);
/* Takes it, and calls done in the end, perhaps at once. */
void qe_dns_lookups_begin(struct qe_dns_lookups *lookups, struct qe_dns_asked *asked);
/* Closes the sockets too; NULL-safe. */
struct qe_dns_asked *qe_dns_asked_free(struct qe_dns_asked *asked);
