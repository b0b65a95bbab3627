/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "base/heap.h"

#include <errno.h>
#include <stdckdint.h>
#include <stdlib.h>

#define FIRST_CAPACITY 16

static void place(struct qe_heap *heap, size_t at, struct qe_timer *timer)
{
	heap->timers[at] = timer;
	timer->place = at + 1;
}

static void sift_up(struct qe_heap *heap, size_t at, struct qe_timer *timer)
{
	while (at > 0) {
		size_t parent = (at - 1) / 2;

		if (heap->timers[parent]->at <= timer->at)
			break;
		place(heap, at, heap->timers[parent]);
		at = parent;
	}
	place(heap, at, timer);
}

static void sift_down(struct qe_heap *heap, size_t at, struct qe_timer *timer)
{
	for (size_t child; (child = at * 2 + 1) < heap->used; at = child) {
		if (child + 1 < heap->used && heap->timers[child + 1]->at < heap->timers[child]->at)
			child++;
		if (timer->at <= heap->timers[child]->at)
			break;
		place(heap, at, heap->timers[child]);
	}
	place(heap, at, timer);
}

/* Put a timer at a free place of the heap and let it find its own. */
static void settle(struct qe_heap *heap, size_t at, struct qe_timer *timer)
{
	if (at > 0 && timer->at < heap->timers[(at - 1) / 2]->at)
		sift_up(heap, at, timer);
	else
		sift_down(heap, at, timer);
}

void qe_heap_init(struct qe_heap *heap)
{
	*heap = (struct qe_heap){};
}

void qe_heap_done(struct qe_heap *heap)
{
	for (size_t i = 0; i < heap->used; i++)
		heap->timers[i]->place = 0;
	free(heap->timers);
	*heap = (struct qe_heap){};
}

enum qe_error qe_heap_reserve(struct qe_heap *heap, size_t n)
{
	struct qe_timer **timers;
	size_t bytes;

	if (n <= heap->capacity)
		return QE_OK;
	if (ckd_mul(&bytes, n, sizeof(*timers)))
		return (enum qe_error) - ENOMEM;
	timers = realloc(heap->timers, bytes);
	if (!timers)
		return (enum qe_error) - ENOMEM;
	heap->timers = timers;
	heap->capacity = n;
	return QE_OK;
}

enum qe_error qe_heap_set(struct qe_heap *heap, struct qe_timer *timer, qe_time at)
{
	if (at == QE_TIME_NEVER) {
		qe_heap_remove(heap, timer);
		return QE_OK;
	}
	if (timer->place == 0) {
		if (heap->used == heap->capacity)
			QE_TRY(qe_heap_reserve(
				heap, heap->capacity ? heap->capacity * 2 : FIRST_CAPACITY));
		timer->place = ++heap->used;
	}
	timer->at = at;
	settle(heap, timer->place - 1, timer);
	return QE_OK;
}

void qe_heap_remove(struct qe_heap *heap, struct qe_timer *timer)
{
	size_t at = timer->place - 1;

	if (timer->place == 0)
		return;
	timer->place = 0;
	timer->at = QE_TIME_NEVER;
	if (at != --heap->used)
		settle(heap, at, heap->timers[heap->used]);
}

qe_time qe_heap_next(const struct qe_heap *heap)
{
	return heap->used ? heap->timers[0]->at : QE_TIME_NEVER;
}

struct qe_timer *qe_heap_pop(struct qe_heap *heap, qe_time now)
{
	struct qe_timer *timer;

	if (heap->used == 0 || heap->timers[0]->at > now)
		return nullptr;
	timer = heap->timers[0];
	qe_heap_remove(heap, timer);
	return timer;
}
