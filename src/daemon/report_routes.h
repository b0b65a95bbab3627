/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The node's routes as JSON. Pure; NULL without memory. The shapes are in docs/rpc.md. */
#pragma once

#include <jansson.h>

#include "daemon/directory.h"
#include "daemon/routes.h"
#include "daemon/worker.h"

struct qe_report_routes {
	const struct qe_node *node;
	const struct qe_node_id *id;
	const struct qe_directory *directory;
	const struct qe_host_routes *host_routes;
};

json_t *qe_report_routes(const struct qe_report_routes *about);
json_t *qe_report_rejected(const struct qe_report_routes *about);
/* The way to one address. query: about the peer that it leads to, if any. */
json_t *qe_report_route(const struct qe_report_routes *about, const struct qe_addr *addr,
	const struct qe_worker_query *query);
