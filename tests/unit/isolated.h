/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A network namespace for tests that make interfaces or sockets: a set-up function for cmocka, on
 * top of random.h's. Where the tests may not have one, isolated stays false, and they skip. */
#pragma once

#include <sched.h>

#include "os/netlink.h"
#include "random.h"

static bool isolated;

static inline int isolate(void **state)
{
	struct qe_netlink *netlink;

	isolated = unshare(CLONE_NEWNET) == 0;
	if (isolated && qe_netlink_new(&netlink) == QE_OK) {
		isolated = qe_netlink_up(netlink, 1, 65535, 1000) == QE_OK; /* loopback */
		qe_netlink_free(netlink);
	}
	return random_setup(state);
}
