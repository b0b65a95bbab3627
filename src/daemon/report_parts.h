/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the reports have in common. */
#pragma once

#include <jansson.h>

#include "daemon/routes.h"
#include "daemon/worker.h"

json_t *qe_report_prefix(const struct qe_prefix *prefix);
json_t *qe_report_id(const struct qe_node_id *id);
json_t *qe_report_ms(qe_time duration); /* to the microsecond */
/* The link in use, or null. */
json_t *qe_report_link(const struct qe_worker_peer *peer, qe_time now);
const char *qe_report_host_route(enum qe_host_route_state state);
