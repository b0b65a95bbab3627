/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Whether this node still reaches what it offers to others: the interfaces that lead there have a
 * carrier, and hosts there answer. Control thread. */
#pragma once

#include "daemon/log.h"
#include "os/loop.h"
#include "os/netlink.h"

struct qe_lan;

struct qe_lan_settings {
	const char *tun_name; /* what comes by it does not count */
	/* What is offered: advertise_subnets and forward_subnets; copied. */
	const struct qe_prefix *prefixes;
	size_t n;
	/* Hosts to ask; copied. Those in a prefix speak for it; all of them for a prefix that has
	 * none. One that answers is enough. */
	const struct qe_prefix *probes;
	size_t n_probes;
	/* All that cannot be reached now; each time that this has changed. A prefix with probes
	 * cannot until one has answered. */
	void (*changed)(void *ctx, const struct qe_prefix *unreachable, size_t n);
	void *ctx;
};

/* Opens what asking takes, privileges or not, even if there is nobody to ask yet; what cannot be
 * asked for lack of privileges counts as there. Nothing is owned. */
enum qe_error qe_lan_new(struct qe_lan **ret_lan, struct qe_loop *loop, struct qe_netlink *netlink,
	const struct qe_log *log);
struct qe_lan *qe_lan_free(struct qe_lan *lan); /* NULL-safe */

/* Begins anew with these, and calls back once in any case. On an error the old ones stay. */
enum qe_error qe_lan_configure(struct qe_lan *lan, const struct qe_lan_settings *settings);
/* Interfaces, addresses or routes have changed; it is looked at soon. */
void qe_lan_host_changed(struct qe_lan *lan);
