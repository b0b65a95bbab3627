/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Address translation by the nft program, in a table of our own. */
#pragma once

#include "base/text.h"

/* The table inet quicether_INTERFACE, whole and in one transaction: what comes out of the interface
 * and goes on to one of the prefixes leaves with the address of the interface that it leaves by.
 * n = 0: no table. Nothing else is touched. On an error *why has what nft said. */
enum qe_error qe_nft_masquerade(
	const char *interface, const struct qe_prefix *prefixes, size_t n, struct qe_text *why);
