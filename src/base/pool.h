/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Buffers of one size, allocated in one piece when the pool is made (pages are touched only when
 * used), handed out and taken back in O(1) without allocation. One thread. The last one returned is
 * the next one out: it is warm.
 */
#pragma once

#include "base/error.h"

struct qe_pool;

/* Each buffer starts on a cache line. */
enum qe_error qe_pool_new(struct qe_pool **ret_pool, size_t n, size_t buffer_size);
struct qe_pool *qe_pool_free(struct qe_pool *pool);
void *qe_pool_take(struct qe_pool *pool); /* NULL when all are out */
void qe_pool_give(struct qe_pool *pool, void *buffer);
size_t qe_pool_available(const struct qe_pool *pool);
