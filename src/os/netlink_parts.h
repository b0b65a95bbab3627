/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the files that speak netlink share. */
#pragma once

#include <netlink/addr.h>
#include <netlink/socket.h>

#include "os/netlink.h"

struct qe_netlink {
	struct nl_sock *socket;
};

/* What a request has come to. After a failure to speak to the kernel, which is not one of its
 * answers, the socket is another one. */
enum qe_error qe_netlink_result(struct qe_netlink *netlink, int result);
struct nl_addr *qe_to_libnl(const struct qe_addr *addr, uint8_t length);
/* A default route comes as an empty address. */
bool qe_from_libnl_addr(struct qe_addr *ret_addr, struct nl_addr *from);
