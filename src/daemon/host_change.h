/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What a configuration asks of the host's network while the daemon runs. */
#pragma once

#include "config/config.h"
#include "daemon/routes.h"

/* Refers to the configuration. */
struct qe_host_routes_settings qe_host_routes_settings_of(const struct qe_config *config);
/* The prefixes of all peers. */
enum qe_error qe_host_routes_want(
	struct qe_host_routes *routes, const struct qe_config *config, bool wanted);

/* From what the one configuration asks for to what the next does: the interface's addresses,
 * routes, forwarding and NAT. What cannot be done is logged. */
void qe_host_change(struct qe_helper *helper, struct qe_host_routes *routes,
	const struct qe_config *before, const struct qe_config *next, const struct qe_log *log);
