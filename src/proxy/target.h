/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Where a client wants to go. */
#pragma once

#include "net/addr.h"

#define QE_TARGET_NAME_SIZE 254 /* a DNS name has at most 253 letters */

struct qe_target {
	char name[QE_TARGET_NAME_SIZE]; /* lower case; empty: addr it is */
	struct qe_addr addr;
	uint16_t port;
};

/* From an address as text, or a name: letters, digits, "-" and "_" between dots, of lengths that
 * DNS knows; a dot at the end is dropped. QE_ERR_SYNTAX. */
enum qe_error qe_target_set_host(struct qe_target *target, struct qe_bytes host);
