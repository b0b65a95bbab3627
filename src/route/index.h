/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A shortcut through a large table for what most packets ask: the next hop by the first 24 bits of
 * an IPv4 address. It is made from the trie, persistent as that is, and may be missing: then the
 * trie is asked. Three levels of arrays, for 6, 6 and 12 bits, each with the hops of the prefixes
 * that end in it: an answer takes three loads, of which two are from the 40 KB of the first levels,
 * and no decision; a change costs no more than the arrays on the way.
 */
#pragma once

#include "route/trie.h"

/* From so many IPv4 routes on it is worth its memory. */
constexpr size_t index_routes_min = 4096;

constexpr unsigned index_n_inner = 1 << 6;
constexpr unsigned index_n_leaf = 1 << 12;

/*
 * Hops have 16 bits, which are those of a qe_hop with a small number of the peer. If that is not
 * enough, or there are prefixes longer than 24, the trie is asked.
 */
constexpr uint16_t index_ask_trie = 1 << 15;

/* Nobody can foretell which; a branch would wait for memory. */
#define INDEX_EITHER(longer, shorter) \
	(__builtin_expect_with_probability((longer) != 0, 1, 0.5) ? (longer) : (shorter))

struct index_inner {
	struct trie_item item;
	struct trie_item *children[index_n_inner]; /* inner ones; on the second level leaves */
	uint16_t hops[index_n_inner];
};

struct index_leaf {
	struct trie_item item;
	uint16_t hops[index_n_leaf];
};

/* Of a table without IPv4 routes. nullptr: no memory. */
struct index_inner *index_new(struct trie_memory *memory);
void index_drop(struct trie_memory *memory, struct index_inner *index);
/* A prefix has come, changed or gone in the trie. -ENOMEM: the index is of no use. */
enum qe_error index_refresh(struct trie_memory *memory, struct index_inner **index,
	const struct trie_node *root, const struct qe_prefix *prefix);

static inline struct qe_hop index_lookup(
	const struct index_inner *index, const struct qe_addr *addr)
{
	uint32_t bits = qe_load_u32(addr->bytes);
	unsigned first = bits >> 26, second = bits >> 20 & (index_n_inner - 1);
	const struct index_inner *inner = (const struct index_inner *)index->children[first];
	const struct index_leaf *leaf = (const struct index_leaf *)inner->children[second];
	uint32_t longest = leaf->hops[bits >> 8 & (index_n_leaf - 1)];
	uint32_t longer = inner->hops[second], hop = index->hops[first];

	hop = INDEX_EITHER(longer, hop);
	return (struct qe_hop){INDEX_EITHER(longest, hop)};
}
