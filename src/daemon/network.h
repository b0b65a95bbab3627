/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Watches the host's network, and tells all whom it concerns when the ways to other hosts have
 * changed, or may have while the machine was asleep. Control thread. */
#pragma once

#include "daemon/directory.h"
#include "daemon/endpoints.h"
#include "daemon/log.h"
#include "daemon/router.h"
#include "daemon/vpn.h"
#include "daemon/workers.h"
#include "os/loop.h"
#include "os/netlink.h"

struct qe_network;

/* What is there now is taken as known. Nothing is owned. */
enum qe_error qe_network_new(struct qe_network **ret_network, const struct qe_directory *directory,
	const struct qe_log *log, struct qe_loop *loop, struct qe_netlink *netlink,
	struct qe_router *router, struct qe_vpn *vpn);
struct qe_network *qe_network_free(struct qe_network *network); /* NULL-safe */
/* Whom to tell, too; before the loop is turned. */
void qe_network_set_workers(struct qe_network *network, struct qe_workers *workers);
void qe_network_set_endpoints(struct qe_network *network, struct qe_endpoints *endpoints);
void qe_network_set_naming(struct qe_network *network, struct qe_naming *naming);
