/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The knocks that were let in last. A knock opens once: who has seen one on the wire gets no answer
 * to it, as long as it is remembered. Bounded; the oldest is forgotten first.
 */
#pragma once

#include "base/bytes.h"
#include "base/map.h"

constexpr size_t KNOCKS_MAX = 4096;

struct knocks {
	struct qe_map salts;
	uint64_t ring[KNOCKS_MAX];
	size_t next;
};

void knocks_init(struct knocks *knocks, uint64_t seed);
void knocks_done(struct knocks *knocks);
bool knocks_contain(const struct knocks *knocks, struct qe_bytes knock);
/* Without memory it is not remembered. */
void knocks_add(struct knocks *knocks, struct qe_bytes knock);
