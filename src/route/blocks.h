/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The memory of a table: blocks that a snapshot may still show after the table has dropped them.
 * Time is counted in versions: the table has the next one, a snapshot the one that it was published
 * as. A block is seen by the snapshots from its birth up to, but without, the version in which it
 * was dropped; it is freed once none of these is held.
 */
#pragma once

#include "base/list.h"
#include "net/addr.h"
#include "route/table.h"

struct trie_block;

struct trie_blocks {
	uint64_t version;
	struct qe_list held;                /* snapshots, the oldest first */
	struct trie_block *dropped, **last; /* a queue, in the order of their ends */
	size_t size;                        /* of all blocks, in bytes */
};

/* What all blocks begin with. */
struct trie_block_header {
	struct trie_block *next; /* in the queue of the dropped */
	uint64_t version : 48;   /* born in; once it is in the queue: dropped in */
	uint64_t size : 16;
};

struct trie_hold {
	struct qe_list held;
	uint64_t version;
};

void trie_blocks_init(struct trie_blocks *blocks);
/* Nothing is held, and nothing is left that was not dropped. */
void trie_blocks_done(struct trie_blocks *blocks);

/* nullptr: no memory. */
struct trie_block *trie_block_new(struct trie_blocks *blocks, size_t size);
/* For the caller, who has just made it and shown it to nobody, or who shows it no more. */
void trie_block_drop(struct trie_blocks *blocks, struct trie_block *block);
/* No snapshot has it: it may be written to. */
bool trie_block_is_young(const struct trie_blocks *blocks, const struct trie_block *block);

void trie_blocks_hold(struct trie_blocks *blocks, struct trie_hold *hold);
void trie_blocks_release(struct trie_blocks *blocks, struct trie_hold *hold);
