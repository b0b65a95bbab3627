/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the host does for others: it forwards, translates addresses, and lets nobody at what an exit
 * has beside it. Control thread. */
#pragma once

#include "config/config.h"
#include "os/helper.h"
#include "os/netlink.h"

struct qe_gateway;

/* Both must outlive it. */
enum qe_error qe_gateway_new(
	struct qe_gateway **ret_gateway, struct qe_helper *helper, struct qe_netlink *netlink);
struct qe_gateway *qe_gateway_free(struct qe_gateway *gateway); /* NULL-safe; undoes nothing */

/* The nftables table as the configuration and the host's networks want it; cheap when that is as it
 * was. On an error what was before holds. */
enum qe_error qe_gateway_guard(
	struct qe_gateway *gateway, const struct qe_config *config, struct qe_text *why);
/* Makes the host forward the families of what the node forwards for; once that is guarded. */
enum qe_error qe_gateway_forward(
	struct qe_gateway *gateway, const struct qe_config *config, struct qe_text *why);
