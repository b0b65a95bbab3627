/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The trie of table.c: the layout of its nodes, and how the writer changes it. */
#pragma once

#include "base/bytes.h"
#include "route/memory.h"
#include "route/table.h"

/*
 * A node stands for six bits of the address, from its depth on. Of the routes below it
 * - those whose prefix ends within these bits (0 to 5 of them are given) are its own: the bit of
 *   such a prefix is numbered 1 << length | value, so that of two that contain an address the
 *   higher bit is the longer prefix;
 * - each value of the six bits, a slot, has nothing, or a child, which is a node for the next six,
 *   or one lone route however long it is.
 * There are lone routes from trie_depth_lone on, where a child has two routes at least. Above that
 * every route has all nodes on the way to it, so that a lookup takes the same steps for all.
 *
 * A node has pointers to its children, in the order of their slots; then the lone routes; then its
 * own.
 */
struct trie_shape {
	uint64_t children, own, lone;
};

struct trie_node {
	struct trie_item item;
	struct trie_shape has;
	struct trie_node *children[];
};

/* Where a trie without routes begins, and a lookup ends. */
extern const struct trie_node trie_nothing;

constexpr int trie_stride = 6;
/*
 * Depths are 6 n + 1, so that the most frequent lengths, 24 and 48, are five bits below a node and
 * belong to it: no node is needed for them alone. It begins with a root at -5 that has five bits
 * before the address, all zero.
 */
constexpr int trie_depth_root = -5;
constexpr int trie_depth_lone = 19;
constexpr size_t trie_levels_single = 5; /* those down to trie_depth_lone */
constexpr size_t trie_levels = 23;       /* to the node at 127 */

struct trie_key {
	uint64_t high, low;
};

/* All that a lookup calls is inlined, as it is compiled more than once. */
#define TRIE_INLINE [[gnu::always_inline]] static inline

TRIE_INLINE uint64_t trie_load_u64(const uint8_t *at)
{
	return (uint64_t)qe_load_u32(at) << 32 | qe_load_u32(at + 4);
}

TRIE_INLINE struct trie_key trie_key(const struct qe_addr *addr)
{
	return (struct trie_key){trie_load_u64(addr->bytes), trie_load_u64(addr->bytes + 8)};
}

/* Six bits of the address; those beyond its ends are zero. */
TRIE_INLINE unsigned trie_slot(struct trie_key key, int depth)
{
	uint64_t bits;

	if (depth <= 58)
		bits = key.high >> (58 - depth);
	else if (depth < 64)
		bits = key.high << (depth - 58) | key.low >> (122 - depth);
	else
		bits = depth <= 122 ? key.low >> (122 - depth) : key.low << (depth - 122);
	return bits & 63;
}

TRIE_INLINE size_t trie_count(uint64_t bits)
{
	return (size_t)__builtin_popcountll(bits);
}

/* The place of one of the bits among them. */
TRIE_INLINE size_t trie_rank(uint64_t bits, uint64_t bit)
{
	return trie_count(bits & (bit - 1));
}

TRIE_INLINE struct trie_node **trie_child(const struct trie_node *node, uint64_t bit)
{
	return (struct trie_node **)&node->children[trie_rank(node->has.children, bit)];
}

TRIE_INLINE struct qe_route *trie_routes(const struct trie_node *node)
{
	return (struct qe_route *)&node->children[trie_count(node->has.children)];
}

TRIE_INLINE struct qe_route *trie_lone(const struct trie_node *node, uint64_t bit)
{
	return &trie_routes(node)[trie_rank(node->has.lone, bit)];
}

TRIE_INLINE struct qe_route *trie_own(const struct trie_node *node, uint64_t bit)
{
	return &trie_routes(node)[trie_count(node->has.lone) + trie_rank(node->has.own, bit)];
}

/* Whether a prefix of that length, 0 to 5, can begin at the slot. */
static inline bool trie_own_begins(unsigned slot, int length)
{
	return (slot & ((64u >> length) - 1)) == 0;
}

/* The bit of a node's own prefix of that length that contains the slot. */
static inline uint64_t trie_own_bit(unsigned slot, int length)
{
	return UINT64_C(1) << (1u << length | slot >> (trie_stride - length));
}

/* -ENOMEM: the trie shows the same routes as before. */
enum qe_error trie_set(struct trie_memory *memory, struct trie_node **root,
	const struct qe_route *route, bool *ret_added);
enum qe_error trie_remove(
	struct trie_memory *memory, struct trie_node **root, const struct qe_prefix *prefix);
/* All from there on. */
void trie_drop(struct trie_memory *memory, struct trie_node *node);

/* The longest prefix that contains the address. */
const struct qe_route *trie_lookup(const struct trie_node *root, const struct qe_addr *addr);
const struct qe_route *trie_find(const struct trie_node *root, const struct qe_prefix *prefix);
void trie_visit(const struct trie_node *root,
	void (*visit)(void *ctx, const struct qe_route *route), void *ctx);
