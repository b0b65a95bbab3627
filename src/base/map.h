/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A hash map from 64-bit keys to pointers: open addressing, a seed against chosen keys, a maximum,
 * amortised growth. Grows only in qe_map_put. Values are not owned and never NULL.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct qe_map {
	struct qe_map_slot *slots;
	size_t capacity, used, max;
	uint64_t seed;
};

void qe_map_init(struct qe_map *map, size_t max, uint64_t seed);
void qe_map_done(struct qe_map *map);
/* QE_ERR_CONFLICT if the key is there, QE_ERR_FULL at the maximum, -ENOMEM. */
enum qe_error qe_map_put(struct qe_map *map, uint64_t key, void *value);
void *qe_map_get(const struct qe_map *map, uint64_t key); /* NULL if it is not there */
void *qe_map_remove(struct qe_map *map, uint64_t key);    /* what was there, or NULL */
size_t qe_map_size(const struct qe_map *map);
