/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A changed configuration without a restart: links of peers that stay are not touched. */
#pragma once

#include <jansson.h>

#include "daemon/audit.h"
#include "daemon/endpoints.h"
#include "daemon/events.h"
#include "daemon/policy.h"
#include "daemon/router.h"
#include "daemon/verdicts.h"
#include "daemon/vpn.h"

/* What a configuration is loaded from, and what is told of it; nothing is owned. */
struct qe_reload_parts {
	const struct qe_config_inputs *inputs;
	struct qe_key *key;
	struct qe_log *log;
	struct qe_directory *directory;
	struct qe_node *node;
	struct qe_workers *workers;
	struct qe_endpoints *endpoints;
	struct qe_event_log *event_log;
	struct qe_audit *audit; /* may be NULL */
	struct qe_policy_keeper *policy;
	struct qe_verdicts *verdicts;
	struct qe_router *router;
	struct qe_vpn *vpn;
	unsigned n_workers;
};

/* Loads the configuration as at the start; unless something is wrong with it, it takes the place of
 * the one in effect. Both outcomes are logged. The result of the method "reload": see docs/rpc.md;
 * NULL without memory. */
json_t *qe_reload(const struct qe_reload_parts *parts);
/* The same for the policy file alone, which the configuration in effect names: the result of
 * "policy.reload". */
json_t *qe_reload_policy(const struct qe_reload_parts *parts);
/* The same configuration and policy once more, but for who may be an exit: see qe_configured_init.
 */
enum qe_error qe_reload_exit(const struct qe_reload_parts *parts, const struct qe_node_id *exit);
