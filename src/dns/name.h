/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Domain names as they are on the wire, without compression and in lower case: names that DNS
 * takes for the same have the same bytes.
 */
#pragma once

#include "net/addr.h"

#define QE_DNS_NAME_MAX 255

struct qe_dns_name {
	uint8_t len; /* with the zero byte of the root, so at least 1 */
	uint8_t wire[QE_DNS_NAME_MAX];
};

/* Labels of letters, digits, "-" and "_", with or without the last full stop; "." is the root.
 * QE_ERR_SYNTAX, QE_ERR_RANGE (a label above 63 bytes, or all above 255). */
enum qe_error qe_dns_name_parse(struct qe_dns_name *ret_name, const char *text);
/* A name that ldns has taken apart, in any spelling. */
enum qe_error qe_dns_name_from_wire(struct qe_dns_name *ret_name, struct qe_bytes wire);

int qe_dns_name_compare(const struct qe_dns_name *a, const struct qe_dns_name *b); /* any order */
bool qe_dns_name_equal(const struct qe_dns_name *a, const struct qe_dns_name *b);
/* Equal counts; all are under the root. */
bool qe_dns_name_is_under(const struct qe_dns_name *name, const struct qe_dns_name *suffix);
unsigned qe_dns_name_labels(const struct qe_dns_name *name); /* without the root */

/* d.c.b.a.in-addr.arpa, or 32 half bytes and ip6.arpa. */
void qe_dns_name_reverse(struct qe_dns_name *ret_name, const struct qe_addr *addr);
/* Whether a name is in those trees, and of which addresses: as far as its labels, from the last on,
 * are what they should be. */
bool qe_dns_name_prefix(const struct qe_dns_name *name, struct qe_prefix *ret_prefix);
