/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the route bench looks up in: made-up prefixes that are alike to the Internet's, and the
 * plain table that ours is compared with. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "route/table.h"

uint64_t random_next(void); /* the same numbers in every run */

/* n different routes of a family, to 1,000 peers, in random order. free() it. */
struct qe_route *routes_like_internet(uint8_t family, size_t n);
struct qe_addr random_addr_in(const struct qe_prefix *prefix);

/*
 * DIR-24-8 (Gupta, Lin, McKeown 1998), for IPv4: what belongs to the first 24 bits stands in an
 * array, and where there are longer prefixes, the number of a group of 256 for the last eight bits.
 */
struct dir {
	uint16_t *first;  /* 1 << 24 of them */
	uint16_t *groups; /* of 256 */
	size_t n_groups;
};

constexpr uint16_t dir_group = 1 << 15; /* the rest of the 16 bits is a group; else a next hop */

void dir_init(struct dir *dir);
void dir_done(struct dir *dir);
/* Of two prefixes that overlap the longer has to come later. The hop is below 1 << 15. */
void dir_add(struct dir *dir, const struct qe_prefix *prefix, uint16_t hop);
size_t dir_memory(const struct dir *dir);

uint16_t dir_lookup(const struct dir *dir, uint32_t addr);
