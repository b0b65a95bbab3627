/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The methods of the control socket. */
#pragma once

#include "crypto/key.h"
#include "daemon/policy.h"
#include "daemon/pulse.h"
#include "daemon/routes.h"
#include "daemon/verdicts.h"
#include "daemon/vpn.h"
#include "daemon/workers.h"
#include "rpc/server.h"

struct qe_service;

/* What the methods speak of; nothing is owned. */
struct qe_service_settings {
	const struct qe_directory *directory;
	const struct qe_node *node;
	struct qe_loop *loop;
	struct qe_workers *workers;
	const struct qe_policy_keeper *policy;
	struct qe_endpoint listen; /* as bound */
	bool tun_segments_udp;
	const struct qe_host_routes *routes;
	const struct qe_verdicts *verdicts;
	struct qe_vpn *vpn;
	struct qe_pulse *pulse;
	const struct qe_naming *naming;
	struct qe_audit *audit; /* NULL: there is none */
	qe_time started;
	void (*stop)(void *ctx, bool hold); /* the method "stop"; see QE_GOODBYE_HOLD */
	json_t *(*reload)(void *ctx);       /* the method "reload": its result */
	json_t *(*reload_policy)(void *ctx);
	void *ctx;
};

enum qe_error qe_service_new(
	struct qe_service **ret_service, const struct qe_service_settings *settings);
/* Answers what was not answered yet; after qe_workers_stop, before the server is freed; NULL-safe.
 */
struct qe_service *qe_service_free(struct qe_service *service);
const struct qe_rpc_methods *qe_service_methods(const struct qe_service *service);

/* The workers have answered queries. */
void qe_service_take_queries(struct qe_service *service);
/* QE_EVENT_PONG or QE_EVENT_PING_LOST. */
void qe_service_take_pong(struct qe_service *service, const struct qe_event *event);
