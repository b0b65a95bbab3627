/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The destinations of late, for one thread: most packets go where one before them went. Each
 * address has one place, which the next address with the same place takes. What a snapshot said is
 * forgotten when another one is asked.
 */
#pragma once

#include "route/table.h"

constexpr unsigned qe_route_cache_bits = 9;

struct qe_route_cache {
	uint64_t version; /* of the snapshot that the entries come from */
	struct {
		struct qe_addr addr; /* family 0: empty */
		struct qe_hop hop;
	} entries[1 << qe_route_cache_bits];
};

/* A cache is for the snapshots of one table. */
void qe_route_cache_init(struct qe_route_cache *cache);
/* What qe_route_lookup_hop says. */
struct qe_hop qe_route_cache_lookup(struct qe_route_cache *cache,
	const struct qe_route_snapshot *snapshot, const struct qe_addr *addr);
