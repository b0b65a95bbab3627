/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Whom the host's programs ask for names: changed to a server of ours, and back. It runs in the
 * helper (qe_helper_set_dns in os/helper.h); nothing in it takes longer than a few seconds.
 */
#pragma once

#include "net/addr.h"

/* Where the daemon's own resolver listens: an address of this host alone, on hosts without IPv6
 * too, that no other program uses. */
#define QE_HOST_DNS_SERVER ((struct qe_addr){QE_FAMILY_IPV4, {127, 0, 0, 84}})
#define QE_HOST_DNS_UPSTREAMS_MAX 8

enum qe_host_dns_method : uint8_t {
	QE_HOST_DNS_NONE,
	QE_HOST_DNS_RESOLVED,   /* systemd-resolved, by D-Bus */
	QE_HOST_DNS_RESOLVCONF, /* the program resolvconf, of openresolv or Debian */
	QE_HOST_DNS_FILE,       /* /etc/resolv.conf */
};

struct qe_host_dns_answer {
	enum qe_host_dns_method method;
	/* What the host asked before, in its order: the names of peers are asked there. */
	struct qe_addr upstream[QE_HOST_DNS_UPSTREAMS_MAX];
	size_t n_upstream;
};
