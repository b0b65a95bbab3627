/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Whose an address is, so that a member who has many is not taken for many members. Made once, then
 * read only. */
#pragma once

#include "net/addr.h"

struct qe_dns_owner {
	struct qe_prefix prefix;
	uint32_t owner; /* not 0 */
};

struct qe_dns_owners {
	struct qe_dns_owned *all; /* in the order of qe_prefix_compare */
	size_t n;
};

/* Zero-initialised: nobody has anything. Settings are copied. */
enum qe_error qe_dns_owners_init(
	struct qe_dns_owners *owners, const struct qe_dns_owner *settings, size_t n);
void qe_dns_owners_done(struct qe_dns_owners *owners);
/* The owner of the longest prefix that holds the address; 0: nobody. */
uint32_t qe_dns_owners_find(const struct qe_dns_owners *owners, const struct qe_addr *addr);
