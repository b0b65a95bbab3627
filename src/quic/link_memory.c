/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Memory for ngtcp2, which keeps secrets and packets in it: wiped when given back. */
#include <stdlib.h>
#include <string.h>

#include "crypto/random.h"
#include "quic/link_internal.h"

struct block {
	size_t size;
	alignas(max_align_t) uint8_t data[];
};

static struct block *block_of(void *data)
{
	return (struct block *)((uint8_t *)data - offsetof(struct block, data));
}

static void *wiping_calloc(size_t n, size_t size, void *)
{
	struct block *block;

	if (size != 0 && n > (SIZE_MAX - sizeof(*block)) / size)
		return nullptr;
	block = calloc(1, sizeof(*block) + n * size);
	if (block == nullptr)
		return nullptr;
	block->size = n * size;
	return block->data;
}

static void *wiping_malloc(size_t size, void *)
{
	struct block *block = size <= SIZE_MAX - sizeof(*block) ? malloc(sizeof(*block) + size)
								: nullptr;

	if (block == nullptr)
		return nullptr;
	block->size = size;
	return block->data;
}

static void wiping_free(void *data, void *)
{
	if (data == nullptr)
		return;
	struct block *block = block_of(data);

	qe_wipe(block->data, block->size);
	free(block);
}

static void *wiping_realloc(void *data, size_t size, void *)
{
	void *moved = wiping_malloc(size, nullptr);

	if (moved == nullptr || data == nullptr)
		return moved;
	size_t old = block_of(data)->size;

	memcpy(moved, data, old < size ? old : size);
	wiping_free(data, nullptr);
	return moved;
}

const ngtcp2_mem link_memory = {
	.malloc = wiping_malloc,
	.free = wiping_free,
	.calloc = wiping_calloc,
	.realloc = wiping_realloc,
};
