/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The indices run freely and wrap with their type; their difference is what the ring holds. Each
 * side remembers what it last saw of the other's index, so that the cache line of that index moves
 * between the cores only when the ring looks full or empty.
 */
#include "base/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbit.h>
#include <stdckdint.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64

struct qe_ring {
	uint8_t *messages;
	size_t capacity, message_size;
	alignas(CACHE_LINE) _Atomic(size_t) head; /* written by the producer */
	size_t tail_seen;
	alignas(CACHE_LINE) _Atomic(size_t) tail; /* written by the consumer */
	size_t head_seen;
};

enum qe_error qe_ring_new(struct qe_ring **ret_ring, size_t capacity, size_t message_size)
{
	struct qe_ring *ring;
	size_t bytes;

	assert(stdc_has_single_bit(capacity) && message_size > 0);
	if (ckd_mul(&bytes, capacity, message_size))
		return (enum qe_error) - ENOMEM;
	ring = aligned_alloc(CACHE_LINE, sizeof(*ring));
	if (!ring)
		return (enum qe_error) - ENOMEM;
	*ring = (struct qe_ring){.capacity = capacity, .message_size = message_size};
	ring->messages = malloc(bytes);
	if (!ring->messages) {
		free(ring);
		return (enum qe_error) - ENOMEM;
	}
	*ret_ring = ring;
	return QE_OK;
}

struct qe_ring *qe_ring_free(struct qe_ring *ring)
{
	if (ring)
		free(ring->messages);
	free(ring);
	return nullptr;
}

static uint8_t *message_at(const struct qe_ring *ring, size_t index)
{
	return ring->messages + (index & (ring->capacity - 1)) * ring->message_size;
}

bool qe_ring_has_room(struct qe_ring *ring, size_t n)
{
	size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	assert(n <= ring->capacity);
	if (head - ring->tail_seen > ring->capacity - n)
		ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
	return head - ring->tail_seen <= ring->capacity - n;
}

bool qe_ring_push(struct qe_ring *ring, const void *message)
{
	size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	if (!qe_ring_has_room(ring, 1))
		return false;
	memcpy(message_at(ring, head), message, ring->message_size);
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
	return true;
}

bool qe_ring_pop(struct qe_ring *ring, void *ret_message)
{
	size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	if (tail == ring->head_seen) {
		ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
		if (tail == ring->head_seen)
			return false;
	}
	memcpy(ret_message, message_at(ring, tail), ring->message_size);
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	return true;
}
