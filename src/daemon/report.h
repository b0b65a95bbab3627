/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The daemon's state as JSON: the results of the methods. Pure; NULL without memory. The shapes are
 * in docs/rpc.md. */
#pragma once

#include <jansson.h>

#include "daemon/directory.h"
#include "daemon/routes.h"
#include "daemon/worker.h"

struct qe_report_facts {
	const struct qe_directory *directory;
	const struct qe_node_id *id;
	const char *crypto_provider;
	struct qe_endpoint listen;
	bool tun_segments_udp;
	struct qe_route_counts routes;
	const struct qe_host_routes *host_routes;
	uint64_t audit_lost; /* records that the audit log does not tell of yet */
	qe_time started;
};

/* The queries are about all slots, but that of a pong, which is about one. */
json_t *qe_report_status(const struct qe_report_facts *facts, const struct qe_worker_query *query);
json_t *qe_report_peers(const struct qe_directory *directory, const struct qe_worker_query *query);
/* The peer of an event, or somebody who is none: "node", its name here or null, "id", "remote". */
json_t *qe_report_event_peer(const struct qe_directory *directory, const struct qe_event *event);
json_t *qe_report_pong(
	const struct qe_directory *directory, const struct qe_worker_query *query, qe_time rtt);
