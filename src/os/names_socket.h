/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The sockets of os/helper.h that take a privilege, made in the helper. */
#pragma once

#include "net/addr.h"
#include "os/netlink.h"

enum qe_error qe_marked_socket(int *ret_fd, enum qe_family family, bool stream);
/* QE_ERR_RANGE: the address is neither QE_HOST_DNS_SERVER nor one of the interface's. */
enum qe_error qe_names_socket(int *ret_fd, struct qe_netlink *netlink, const char *interface,
	const struct qe_addr *addr, bool stream);
