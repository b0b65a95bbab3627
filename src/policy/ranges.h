/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The addresses of a family as ranges without gaps, each of one class: what nested prefixes leave
 * of each other. A lookup is a binary search without branches to guess at.
 */
#pragma once

#include "net/addr.h"

__extension__ typedef unsigned __int128 address_key;

struct ranges {
	size_t n, max;
	address_key *begins; /* ascending; the first is 0 */
	uint32_t *classes;
};

/* n: how many prefixes there will be at most. */
enum qe_error ranges_init(struct ranges *ranges, size_t n);
void ranges_done(struct ranges *ranges);
size_t ranges_memory(const struct ranges *ranges);
/* From begin on, which is not before the last one's, until the next. */
void ranges_append(struct ranges *ranges, address_key begin, uint32_t class);

/* Addresses of one family in their order. */
static inline address_key address_key_of(const struct qe_addr *addr)
{
	size_t len = addr->family == QE_FAMILY_IPV4 ? 4 : 16;
	address_key key = 0;

	for (size_t i = 0; i < len; i += 4)
		key = key << 32 | qe_load_u32(addr->bytes + i);
	return key;
}

static inline uint32_t ranges_find(const struct ranges *ranges, address_key key)
{
	const address_key *begins = ranges->begins;
	size_t at = 0, n = ranges->n;

	while (n > 1) {
		size_t half = n / 2;

		at = begins[at + half] <= key ? at + half : at;
		n -= half;
	}
	return ranges->classes[at];
}
