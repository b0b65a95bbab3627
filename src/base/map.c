/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Linear probing over a power of two of slots, at most three quarters of them in use. Removal
 * shifts the rest of the run back, so that there are no tombstones and look-ups do not slow down
 * with age.
 */
#include "base/map.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_CAPACITY 16

struct qe_map_slot {
	uint64_t key;
	void *value; /* NULL: free */
};

static uint64_t mix(uint64_t x)
{
	/* The finaliser of MurmurHash3: a permutation in which each bit depends on all. */
	x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
	x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

/* The seed goes in before and between, so that no pair of keys is likely to meet under all seeds.
 */
static size_t home_of(const struct qe_map *map, uint64_t key)
{
	return (size_t)mix(mix(key ^ map->seed) + map->seed) & (map->capacity - 1);
}

static size_t next_of(const struct qe_map *map, size_t at)
{
	return (at + 1) & (map->capacity - 1);
}

/* The key's slot, or the free one where it would go. */
static struct qe_map_slot *find(const struct qe_map *map, uint64_t key)
{
	size_t at = home_of(map, key);

	while (map->slots[at].value && map->slots[at].key != key)
		at = next_of(map, at);
	return &map->slots[at];
}

static enum qe_error grow(struct qe_map *map)
{
	struct qe_map old = *map;

	map->capacity = old.capacity ? old.capacity * 2 : FIRST_CAPACITY;
	map->slots = calloc(map->capacity, sizeof(*map->slots));
	if (!map->slots) {
		*map = old;
		return qe_error_errno();
	}
	for (size_t i = 0; i < old.capacity; i++)
		if (old.slots[i].value)
			*find(map, old.slots[i].key) = old.slots[i];
	free(old.slots);
	return QE_OK;
}

void qe_map_init(struct qe_map *map, size_t max, uint64_t seed)
{
	*map = (struct qe_map){.max = max, .seed = seed};
}

void qe_map_done(struct qe_map *map)
{
	free(map->slots);
	*map = (struct qe_map){};
}

enum qe_error qe_map_put(struct qe_map *map, uint64_t key, void *value)
{
	struct qe_map_slot *slot;

	assert(value);
	if (qe_map_get(map, key))
		return QE_ERR_CONFLICT;
	if (map->used >= map->max)
		return QE_ERR_FULL;
	if (map->used >= map->capacity / 4 * 3)
		QE_TRY(grow(map));
	slot = find(map, key);
	*slot = (struct qe_map_slot){.key = key, .value = value};
	map->used++;
	return QE_OK;
}

void *qe_map_get(const struct qe_map *map, uint64_t key)
{
	return map->capacity ? find(map, key)->value : nullptr;
}

/* Fills the hole with the next slot of the run that may stand there (one whose home is not between
 * hole and slot), and goes on with the hole that this leaves. */
static void close_hole(struct qe_map *map, size_t hole)
{
	size_t at = hole;

	for (;;) {
		at = next_of(map, at);
		if (!map->slots[at].value)
			break;
		size_t home = home_of(map, map->slots[at].key);
		if (((at - home) & (map->capacity - 1)) < ((at - hole) & (map->capacity - 1)))
			continue;
		map->slots[hole] = map->slots[at];
		hole = at;
	}
	map->slots[hole] = (struct qe_map_slot){};
}

void *qe_map_remove(struct qe_map *map, uint64_t key)
{
	struct qe_map_slot *slot;
	void *value;

	if (!map->capacity)
		return nullptr;
	slot = find(map, key);
	value = slot->value;
	if (value) {
		close_hole(map, (size_t)(slot - map->slots));
		map->used--;
	}
	return value;
}

size_t qe_map_size(const struct qe_map *map)
{
	return map->used;
}
