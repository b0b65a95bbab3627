/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Says when others have taken away a part of what VPN mode has made of the host, but not more often
 * than it makes sense to put it back. Control thread. */
#pragma once

#include "os/loop.h"

struct qe_vpn_watch;

/* While privileges are. lost: something may be missing; false if it must be called again later.
 * Nothing is owned. */
enum qe_error qe_vpn_watch_new(
	struct qe_vpn_watch **ret_watch, struct qe_loop *loop, bool (*lost)(void *ctx), void *ctx);
/* Calls lost, as if such a thing had been seen. */
void qe_vpn_watch_suspect(struct qe_vpn_watch *watch);
struct qe_vpn_watch *qe_vpn_watch_free(struct qe_vpn_watch *watch); /* NULL-safe */
