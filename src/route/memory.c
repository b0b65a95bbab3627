/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "route/memory.h"

#include <assert.h>
#include <stdlib.h>

void trie_memory_init(struct trie_memory *memory)
{
	*memory = (struct trie_memory){.version = 1};
	memory->last = &memory->dropped;
	qe_list_init(&memory->held);
}

void trie_memory_done(struct trie_memory *memory)
{
	assert(qe_list_empty(&memory->held) && memory->size == 0);
}

static void free_item(struct trie_memory *memory, struct trie_item *item)
{
	memory->size -= item->size;
	free(item);
}

void *trie_item_new(struct trie_memory *memory, size_t size)
{
	struct trie_item *item = malloc(size);

	if (item == nullptr)
		return nullptr;
	*item = (struct trie_item){.version = memory->version, .size = size};
	memory->size += size;
	return item;
}

static uint64_t version_of(const struct qe_list *held)
{
	return QE_CONTAINER_OF(held, struct trie_hold, held)->version;
}

void trie_item_drop(struct trie_memory *memory, struct trie_item *item)
{
	/* The newest of them is enough: a snapshot older than the item never had it. */
	bool seen = !qe_list_empty(&memory->held) && version_of(memory->held.prev) >= item->version;

	if (!seen) {
		free_item(memory, item);
		return;
	}
	item->version = memory->version;
	item->next = nullptr;
	*memory->last = item;
	memory->last = &item->next;
}

bool trie_item_is_young(const struct trie_memory *memory, const struct trie_item *item)
{
	return item->version == memory->version;
}

void trie_hold(struct trie_memory *memory, struct trie_hold *hold)
{
	hold->version = memory->version++;
	qe_list_init(&hold->held);
	qe_list_append(&memory->held, &hold->held);
}

void trie_release(struct trie_memory *memory, struct trie_hold *hold)
{
	qe_list_remove(&hold->held);
	uint64_t oldest = qe_list_empty(&memory->held) ? memory->version
						       : version_of(memory->held.next);

	while (memory->dropped != nullptr && memory->dropped->version <= oldest) {
		struct trie_item *item = memory->dropped;

		memory->dropped = item->next;
		free_item(memory, item);
	}
	if (memory->dropped == nullptr)
		memory->last = &memory->dropped;
}
