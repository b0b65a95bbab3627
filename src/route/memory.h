/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The memory of a table: items that a snapshot may still show after the table has dropped them.
 * Time is counted in versions: the table has the next one, a snapshot the one that it was published
 * as. An item is seen by the snapshots from its birth up to, but without, the version in which it
 * was dropped; it is freed once none of these is held.
 */
#pragma once

#include "base/list.h"
#include "net/addr.h"

/* What all items begin with. */
struct trie_item {
	struct trie_item *next; /* in the queue of the dropped */
	uint64_t version : 48;  /* born in; once it is in the queue: dropped in */
	uint64_t size : 16;     /* in bytes */
};

struct trie_memory {
	uint64_t version;
	struct qe_list held;               /* snapshots, the oldest first */
	struct trie_item *dropped, **last; /* a queue, in the order of their ends */
	size_t size;                       /* of all items, in bytes */
};

struct trie_hold {
	struct qe_list held;
	uint64_t version;
};

void trie_memory_init(struct trie_memory *memory);
/* Nothing is held, and all items were dropped. */
void trie_memory_done(struct trie_memory *memory);

/* nullptr: no memory. What follows trie_item is for the caller to fill in. */
void *trie_item_new(struct trie_memory *memory, size_t size);
/* The table shows it no more. */
void trie_item_drop(struct trie_memory *memory, struct trie_item *item);
/* No snapshot has it: it may be written to. */
bool trie_item_is_young(const struct trie_memory *memory, const struct trie_item *item);

void trie_hold(struct trie_memory *memory, struct trie_hold *hold);
void trie_release(struct trie_memory *memory, struct trie_hold *hold);
