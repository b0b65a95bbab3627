/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Whether a captive portal is what keeps VPN mode from connecting. It is looked for only then, and
 * only where the user has said: what the networks tell by DHCP or router advertisements (RFC 8910),
 * and a page of the user's own that answers 204; any other answer to that is a portal's. No
 * vendor is asked. Control thread.
 */
#pragma once

#include "daemon/log.h"
#include "os/helper.h"
#include "os/loop.h"

struct qe_portal;

/* Nothing is owned. */
struct qe_portal_settings {
	struct qe_loop *loop;
	struct qe_helper *helper; /* makes the socket, as the page is beside the tunnel */
	const struct qe_log *log;
	void (*changed)(void *ctx); /* what qe_portal_found says is another */
	void *ctx;
};

enum qe_error qe_portal_new(
	struct qe_portal **ret_portal, const struct qe_portal_settings *settings);
struct qe_portal *qe_portal_free(struct qe_portal *portal); /* NULL-safe */

/* From here on, again and again, or no more; that it is so already changes nothing. url: as
 * vpn.captive_portal, NULL for none; not owned, and needed only during the call. */
void qe_portal_look(struct qe_portal *portal, const char *url);
void qe_portal_stop(struct qe_portal *portal);
/* The host's network is another: look again soon, if at all. */
void qe_portal_host_changed(struct qe_portal *portal);

/* "captive portal (...)", while one is in the way; NULL if none is, or it is not known. */
const char *qe_portal_found(const struct qe_portal *portal);
