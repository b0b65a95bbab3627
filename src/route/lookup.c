/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "route/trie.h"

/* A node's own prefixes that contain the slot: one of each length, 0 to 5. */
#define CONTAINS(slot) \
	(UINT64_C(1) << 1 | UINT64_C(1) << (2 | (slot) >> 5) | UINT64_C(1) << (4 | (slot) >> 4) | \
		UINT64_C(1) << (8 | (slot) >> 3) | UINT64_C(1) << (16 | (slot) >> 2) | \
		UINT64_C(1) << (32 | (slot) >> 1))
#define CONTAIN_4(slot) \
	CONTAINS(slot), CONTAINS((slot) + 1), CONTAINS((slot) + 2), CONTAINS((slot) + 3)
#define CONTAIN_16(slot) \
	CONTAIN_4(slot), CONTAIN_4((slot) + 4), CONTAIN_4((slot) + 8), CONTAIN_4((slot) + 12)

static const uint64_t containing[64] = {
	CONTAIN_16(0), CONTAIN_16(16), CONTAIN_16(32), CONTAIN_16(48)};

static const struct trie_node *const nothing = &trie_nothing;

TRIE_INLINE bool contains(const struct qe_prefix *prefix, struct trie_key key)
{
	struct trie_key other = trie_key(&prefix->addr);
	uint64_t high = key.high ^ other.high, low = key.low ^ other.low;

	if (prefix->length < 64)
		return (high & ~(UINT64_MAX >> prefix->length)) == 0;
	if (prefix->length < 128)
		low &= ~(UINT64_MAX >> (prefix->length - 64));
	return (high | low) == 0;
}

/* Without a branch, which could not be foretold and would wait for memory. */
TRIE_INLINE const void *choose(bool first, const void *one, const void *other)
{
	uintptr_t mask = -(uintptr_t)first;

	return (const void *)(((uintptr_t)one & mask) | ((uintptr_t)other & ~mask));
}

/* The longest of the prefixes met on the way down: of those of a node the highest bit. */
struct best {
	const struct trie_node *node;
	uint64_t own;
	const struct qe_route *lone; /* or this one */
};

TRIE_INLINE void take_own(struct best *best, const struct trie_node *node, unsigned slot)
{
	uint64_t own = node->has.own & containing[slot];

	best->node = choose(own != 0, node, best->node);
	best->own = own | (best->own & -(uint64_t)(own == 0));
}

TRIE_INLINE const struct trie_node *descend(const struct trie_node *node, unsigned slot)
{
	bool there = node->has.children >> slot & 1;
	const struct trie_node *const *child = choose(
		there, trie_child(node, UINT64_C(1) << slot), &nothing);

	return *child;
}

TRIE_INLINE struct best walk(const struct trie_node *node, const struct qe_addr *addr)
{
	const struct trie_key key = trie_key(addr);
	struct best best = {.node = &trie_nothing};
	int depth = trie_depth_root;

#pragma GCC unroll 8
	for (; depth < trie_depth_lone; depth += trie_stride) {
		unsigned slot = trie_slot(key, depth);

		take_own(&best, node, slot);
		node = descend(node, slot);
	}
	for (;; depth += trie_stride) {
		unsigned slot = trie_slot(key, depth);
		uint64_t bit = UINT64_C(1) << slot;

		take_own(&best, node, slot);
		if (!(node->has.children & bit)) {
			if ((node->has.lone & bit) && contains(&trie_lone(node, bit)->prefix, key))
				best.lone = trie_lone(node, bit);
			return best;
		}
		node = *trie_child(node, bit);
	}
}

TRIE_INLINE uint64_t highest(uint64_t bits)
{
	return UINT64_C(1) << (63 - __builtin_clzll(bits | 1));
}

TRIE_INLINE const struct qe_route *lookup(const struct trie_node *root, const struct qe_addr *addr)
{
	struct best best = walk(root, addr);

	if (best.lone != nullptr)
		return best.lone;
	return choose(best.own != 0, trie_own(best.node, highest(best.own)), nullptr);
}

#ifdef __x86_64__
/* The instruction that counts bits is younger than the architecture. */
[[gnu::target("popcnt")]] static const struct qe_route *lookup_popcnt(
	const struct trie_node *root, const struct qe_addr *addr)
{
	return lookup(root, addr);
}
#endif

const struct qe_route *trie_lookup(const struct trie_node *root, const struct qe_addr *addr)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("popcnt"))
		return lookup_popcnt(root, addr);
#endif
	return lookup(root, addr);
}
