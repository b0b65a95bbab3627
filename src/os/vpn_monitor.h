/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Tells when something of what VPN mode has put into the kernel is taken away, by whomever: the
 * kill switch with all other tables by a firewall that starts anew, rules by a program that takes
 * all of them for its own. */
#pragma once

#include "os/netlink.h"

#define QE_VPN_MONITOR_FDS 2

struct qe_vpn_monitor;

/* While privileges are: nftables tells nobody else, and then only the rest is watched. */
enum qe_error qe_vpn_monitor_new(struct qe_vpn_monitor **ret_monitor);
struct qe_vpn_monitor *qe_vpn_monitor_free(struct qe_vpn_monitor *monitor); /* NULL-safe */
/* Any of them is readable when qe_vpn_monitor_take is worth asking; -1: there is none. */
int qe_vpn_monitor_fd(const struct qe_vpn_monitor *monitor, size_t i);
/* Whether anything may be missing, of what has come so far: once too often, where we have replaced
 * it ourselves. */
bool qe_vpn_monitor_take(struct qe_vpn_monitor *monitor);
