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

static bool contains(const struct qe_prefix *prefix, struct trie_key key)
{
	struct trie_key other = trie_key(&prefix->addr);
	uint64_t high = key.high ^ other.high, low = key.low ^ other.low;

	if (prefix->length < 64)
		return (high & ~(UINT64_MAX >> prefix->length)) == 0;
	if (prefix->length < 128)
		low &= ~(UINT64_MAX >> (prefix->length - 64));
	return (high | low) == 0;
}

const struct qe_route *trie_lookup(const struct trie_node *node, const struct qe_addr *addr)
{
	const struct trie_key key = trie_key(addr);
	const struct trie_node *best = nullptr;
	uint64_t best_own = 0;

	for (int depth = trie_depth_root;; depth += trie_stride) {
		unsigned slot = trie_slot(key, depth);
		uint64_t bit = UINT64_C(1) << slot, own = node->own & containing[slot];

		if (own != 0) {
			best = node;
			best_own = own;
		}
		if (!(node->children & bit)) {
			if ((node->lone & bit) && contains(&trie_lone(node, bit)->prefix, key))
				return trie_lone(node, bit);
			break;
		}
		node = trie_child(node, bit);
	}
	if (best == nullptr)
		return nullptr;
	return trie_own(best, UINT64_C(1) << (63 - __builtin_clzll(best_own)));
}
