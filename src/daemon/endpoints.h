/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Where the configured peers might be reached: the endpoints of the configuration, with their names
 * resolved, at first and again with back-off while a peer is down. Control thread.
 */
#pragma once

#include "daemon/directory.h"
#include "daemon/log.h"
#include "daemon/workers.h"
#include "os/resolver.h"

struct qe_endpoints;

/* Who resolves their names, as qe_resolver_ask does. */
struct qe_endpoints_source {
	enum qe_error (*ask)(void *ctx, uint64_t cookie, const char *host, uint16_t port);
	void *ctx;
};

/* Nothing is owned. Tells the workers of every peer that has endpoints as soon as it can. */
enum qe_error qe_endpoints_new(struct qe_endpoints **ret_endpoints,
	const struct qe_directory *directory, const struct qe_log *log, struct qe_loop *loop,
	const struct qe_endpoints_source *source, struct qe_workers *workers, qe_time now);
struct qe_endpoints *qe_endpoints_free(struct qe_endpoints *endpoints); /* NULL-safe */

/* Room for all slots that the directory has room for. */
enum qe_error qe_endpoints_reserve(struct qe_endpoints *endpoints);
/* The directory has the next configuration, and the one before is still there. Peers whose
 * endpoints are the same are not touched. On -ENOMEM some of the others have none. */
enum qe_error qe_endpoints_change(struct qe_endpoints *endpoints, qe_time now);

void qe_endpoints_resolved(
	struct qe_endpoints *endpoints, const struct qe_resolved *answer, qe_time now);
/* Where the peer may be reached, as far as it is known. */
size_t qe_endpoints_known(const struct qe_endpoints *endpoints, size_t peer,
	struct qe_endpoint to[QE_PEER_ENDPOINTS_MAX]);
/* Names that are not resolved yet, or of peers that are down, are asked for at once. */
void qe_endpoints_network_changed(struct qe_endpoints *endpoints, qe_time now);
void qe_endpoints_peer_up(struct qe_endpoints *endpoints, size_t peer);
void qe_endpoints_peer_down(struct qe_endpoints *endpoints, size_t peer, qe_time now);
