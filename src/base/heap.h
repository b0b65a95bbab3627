/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Timers: an intrusive binary heap ordered by time. An element carries its place, so that it is
 * moved or removed in O(log n).
 */
#pragma once

#include "base/error.h"
#include "base/time.h"

struct qe_timer {
	qe_time at;
	size_t place; /* index in the heap plus one; 0: not in a heap */
};

struct qe_heap {
	struct qe_timer **timers;
	size_t used, capacity;
};

void qe_heap_init(struct qe_heap *heap);
void qe_heap_done(struct qe_heap *heap); /* the timers are not owned */
/* Make room for n timers in all, so that qe_heap_set cannot fail below that. */
enum qe_error qe_heap_reserve(struct qe_heap *heap, size_t n);
/* Insert, or move to another time; QE_TIME_NEVER removes. Fails only if room was not reserved and
 * cannot be had (-ENOMEM). */
enum qe_error qe_heap_set(struct qe_heap *heap, struct qe_timer *timer, qe_time at);
void qe_heap_remove(struct qe_heap *heap, struct qe_timer *timer);
qe_time qe_heap_next(const struct qe_heap *heap); /* QE_TIME_NEVER when empty */
struct qe_timer *qe_heap_pop(
	struct qe_heap *heap, qe_time now); /* the earliest if it is due, removed; else NULL */
