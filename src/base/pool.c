/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "base/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdckdint.h>
#include <stdlib.h>

#define CACHE_LINE 64

/* The free buffers are kept on a stack beside them, not chained through them: what was never handed
 * out is never touched. */
struct qe_pool {
	uint8_t *buffers;
	size_t n, stride, available;
	void *free[];
};

enum qe_error qe_pool_new(struct qe_pool **ret_pool, size_t n, size_t buffer_size)
{
	struct qe_pool *pool;
	size_t stride, buffers_size, pool_size;

	if (ckd_add(&stride, buffer_size, CACHE_LINE - 1))
		return (enum qe_error) - ENOMEM;
	stride -= stride % CACHE_LINE;
	if (ckd_mul(&buffers_size, n, stride) || ckd_mul(&pool_size, n, sizeof(pool->free[0])) ||
		ckd_add(&pool_size, pool_size, sizeof(*pool)))
		return (enum qe_error) - ENOMEM;
	pool = malloc(pool_size);
	if (!pool)
		return (enum qe_error) - ENOMEM;
	*pool = (struct qe_pool){.n = n, .stride = stride};
	pool->buffers = aligned_alloc(CACHE_LINE, buffers_size);
	if (!pool->buffers) {
		free(pool);
		return (enum qe_error) - ENOMEM;
	}
	while (pool->available < n) {
		pool->free[pool->available] = pool->buffers + (n - 1 - pool->available) * stride;
		pool->available++;
	}
	*ret_pool = pool;
	return QE_OK;
}

struct qe_pool *qe_pool_free(struct qe_pool *pool)
{
	if (pool)
		free(pool->buffers);
	free(pool);
	return nullptr;
}

void *qe_pool_take(struct qe_pool *pool)
{
	return pool->available ? pool->free[--pool->available] : nullptr;
}

void qe_pool_give(struct qe_pool *pool, void *buffer)
{
	size_t offset = (size_t)((uint8_t *)buffer - pool->buffers);

	assert(pool->available < pool->n);
	assert(offset < pool->n * pool->stride && offset % pool->stride == 0);
	pool->free[pool->available++] = buffer;
}

size_t qe_pool_available(const struct qe_pool *pool)
{
	return pool->available;
}
