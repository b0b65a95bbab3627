/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The addresses that names are asked at, port 53 by UDP and TCP: the helper makes the sockets, the
 * resolver listens on them. What cannot be opened is said once, and tried again, more and more
 * rarely. Control thread.
 */
#pragma once

#include "base/time.h"
#include "config/config.h"
#include "daemon/dns.h"
#include "daemon/log.h"
#include "os/helper.h"

struct qe_names_listener {
	struct qe_addr addr;
	bool has_udp, has_tcp;
	bool is_said; /* that one is missing */
	qe_time next, pause;
};

/* Filled in by its owner, down to host. */
struct qe_names_listeners {
	struct qe_helper *helper;
	struct qe_dns *dns;
	const struct qe_log *log;
	struct qe_addr overlay; /* may be missing, on a host without IPv6 */
	struct qe_names_listener host;
	/* The rest is its own. */
	struct qe_names_listener members[2 * (1 + QE_TUN_ADDRS_MAX)];
	size_t n_members;
};

/* As often as one likes. */
void qe_names_listeners_open_host(struct qe_names_listeners *listeners, qe_time now);
/* Members ask at these addresses of this node; n 0: they do not. As often as one likes. */
void qe_names_listeners_set_members(
	struct qe_names_listeners *listeners, const struct qe_addr *addrs, size_t n, qe_time now);
