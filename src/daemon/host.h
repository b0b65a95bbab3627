/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What a node needs of the host's network: an interface, addresses, routes; and whether they would
 * clash with what the host has. */
#pragma once

#include "base/text.h"
#include "config/config.h"
#include "os/helper.h"
#include "os/netlink.h"

/* QE_ERR_CONFLICT, with both sides named in *why, when the node's own addresses, or the network of
 * all overlay addresses, overlap what the host has, its default routes aside; -EBUSY when it has an
 * interface of the name. Nothing is changed. */
enum qe_error qe_host_check(
	struct qe_netlink *netlink, const struct qe_config *config, struct qe_text *why);

/* The TUN interface up, with the node's addresses and the route to all overlay addresses. overlay:
 * the node's own; *ret_overlay is false where the host has no IPv6 and does without it. On an error
 * *why names what could not be added. */
enum qe_error qe_host_set_up(struct qe_netlink *netlink, struct qe_helper *helper,
	const struct qe_config *config, const struct qe_addr *overlay, bool *ret_overlay,
	struct qe_text *why);

/* The same addresses and route, for an interface that has been down and is up again. */
enum qe_error qe_host_restore(struct qe_helper *helper, const struct qe_config *config,
	const struct qe_addr *overlay, struct qe_text *why);

/* The interface's addresses as another configuration has them. On an error *why names each that
 * could not be changed. */
enum qe_error qe_host_change_addrs(struct qe_helper *helper, const struct qe_config *from,
	const struct qe_config *to, struct qe_text *why);

/* Whether a prefix lies in the network of all overlay addresses, which has its route. */
bool qe_host_is_overlay(const struct qe_prefix *prefix);
struct qe_prefix qe_host_overlay(void); /* that network */

/* A number that changes when the ways to other hosts do: addresses and routes, but those of the
 * TUN interface, and link-local ones, which come and go with every container. */
enum qe_error qe_host_fingerprint(
	struct qe_netlink *netlink, const struct qe_config *config, uint64_t *ret_fingerprint);
