/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "route/cache.h"

#include <string.h>

#include "net/addr.h"

void qe_route_cache_init(struct qe_route_cache *cache)
{
	memset(cache, 0, sizeof(*cache));
}

static unsigned place_of(const struct qe_addr *addr)
{
	uint64_t high, low;

	memcpy(&high, addr->bytes, sizeof(high));
	memcpy(&low, addr->bytes + 8, sizeof(low));
	high = (high ^ low >> 32 ^ low << 32) * UINT64_C(0x9e3779b97f4a7c15);
	return (unsigned)(high >> (64 - qe_route_cache_bits));
}

struct qe_hop qe_route_cache_lookup(struct qe_route_cache *cache,
	const struct qe_route_snapshot *snapshot, const struct qe_addr *addr)
{
	uint64_t version = qe_route_snapshot_version(snapshot);
	unsigned place = place_of(addr);

	if (cache->version != version) {
		qe_route_cache_init(cache);
		cache->version = version;
	}
	if (!qe_addr_equal(&cache->entries[place].addr, addr)) {
		cache->entries[place].addr = *addr;
		cache->entries[place].hop = qe_route_lookup_hop(snapshot, addr);
	}
	return cache->entries[place].hop;
}
