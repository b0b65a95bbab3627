/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "route/blocks.h"

#include <assert.h>
#include <stdlib.h>

#include "route/trie.h"

void trie_blocks_init(struct trie_blocks *blocks)
{
	*blocks = (struct trie_blocks){};
	blocks->last = &blocks->dropped;
	qe_list_init(&blocks->held);
}

void trie_blocks_done(struct trie_blocks *blocks)
{
	assert(qe_list_empty(&blocks->held) && blocks->size == 0);
}

static void free_block(struct trie_blocks *blocks, struct trie_block *block)
{
	blocks->size -= block->header.size;
	free(block);
}

struct trie_block *trie_block_new(struct trie_blocks *blocks, size_t size)
{
	struct trie_block *block = malloc(size);

	if (block == nullptr)
		return nullptr;
	block->header = (struct trie_block_header){.version = blocks->version, .size = size};
	blocks->size += size;
	return block;
}

static uint64_t version_of(const struct qe_list *held)
{
	return QE_CONTAINER_OF(held, struct trie_hold, held)->version;
}

void trie_block_drop(struct trie_blocks *blocks, struct trie_block *block)
{
	/* The newest of them is enough: a snapshot older than the block never had it. */
	bool seen = !qe_list_empty(&blocks->held) &&
		    version_of(blocks->held.prev) >= block->header.version;

	if (!seen) {
		free_block(blocks, block);
		return;
	}
	block->header.version = blocks->version;
	block->header.next = nullptr;
	*blocks->last = block;
	blocks->last = &block->header.next;
}

bool trie_block_is_young(const struct trie_blocks *blocks, const struct trie_block *block)
{
	return block->header.version == blocks->version;
}

void trie_blocks_hold(struct trie_blocks *blocks, struct trie_hold *hold)
{
	hold->version = blocks->version++;
	qe_list_init(&hold->held);
	qe_list_append(&blocks->held, &hold->held);
}

void trie_blocks_release(struct trie_blocks *blocks, struct trie_hold *hold)
{
	qe_list_remove(&hold->held);
	uint64_t oldest = qe_list_empty(&blocks->held) ? blocks->version
						       : version_of(blocks->held.next);

	while (blocks->dropped != nullptr && blocks->dropped->header.version <= oldest) {
		struct trie_block *block = blocks->dropped;

		blocks->dropped = block->header.next;
		free_block(blocks, block);
	}
	if (blocks->dropped == nullptr)
		blocks->last = &blocks->dropped;
}
