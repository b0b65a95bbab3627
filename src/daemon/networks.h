/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the host reaches without the overlay: networks it is connected to, and routes of its own. */
#pragma once

#include "os/netlink.h"

struct qe_network_entry {
	struct qe_prefix prefix;
	char interface[QE_INTERFACE_NAME_SIZE];
	bool connected;
};

/* Starts as zeros. */
struct qe_networks {
	struct qe_network_entry *items;
	size_t n;
};

/* Anew, without default routes, link-local ones, and what the interface has that is our own. On an
 * error those of before stay. */
enum qe_error qe_networks_read(
	struct qe_networks *networks, struct qe_netlink *netlink, const char *own);
void qe_networks_done(struct qe_networks *networks);

/* A connected network that overlaps the prefix, or a route to that very prefix; or NULL. */
const struct qe_network_entry *qe_networks_overlap(
	const struct qe_networks *networks, const struct qe_prefix *prefix);
/* That very prefix. */
bool qe_networks_contain(const struct qe_networks *networks, const struct qe_prefix *prefix);
