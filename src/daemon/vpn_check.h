/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What is looked at before VPN mode changes anything. */
#pragma once

#include "daemon/endpoints.h"

/* The peer of that name or NodeId, or the one that the configuration says where text is NULL, as
 * its index there. It must be granted to be an exit. On an error *why says what to do. */
enum qe_error qe_vpn_find_gateway(size_t *ret_gateway, const struct qe_directory *directory,
	const char *text, struct qe_text *why);
/* Whether it is connected, or something can be sent to one of its endpoints as far as they are
 * known. */
enum qe_error qe_vpn_check_way(const struct qe_directory *directory, const struct qe_node *node,
	const struct qe_endpoints *endpoints, size_t gateway, struct qe_text *why);
