/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A bounded ring of fixed-size messages from one producer thread to one consumer thread; wait-free
 * on both sides (C11 atomics, the two indices on cache lines of their own). Waking the consumer is
 * the owner's business.
 */
#pragma once

#include "base/error.h"

struct qe_ring;

/* capacity: a power of two. */
enum qe_error qe_ring_new(struct qe_ring **ret_ring, size_t capacity, size_t message_size);
struct qe_ring *qe_ring_free(struct qe_ring *ring);
bool qe_ring_push(struct qe_ring *ring, const void *message); /* producer; false: full */
/* Producer: whether so many more fit, at most the capacity. */
bool qe_ring_has_room(struct qe_ring *ring, size_t n);
bool qe_ring_pop(struct qe_ring *ring, void *ret_message); /* consumer; false: empty */
