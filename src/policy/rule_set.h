/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Sets of rules. One question about a packet (who sends it, where it goes, which protocol, which
 * port) has many answers, but few that differ in what rules they match: these are the classes of a
 * dimension, and each has the set of rules that name it. Rules that do not ask the question are in
 * the dimension's set any, and in none of the others.
 */
#pragma once

#include "policy/source.h"

constexpr size_t SET_WORDS = QE_POLICY_RULES_MAX / 64;
constexpr size_t SET_SUMMARY = SET_WORDS / 64;
constexpr size_t SET_BLOCK = 8; /* words: a cache line */
constexpr size_t SET_BLOCKS = SET_WORDS / SET_BLOCK;
static_assert(QE_POLICY_RULES_MAX % (64 * 64) == 0 && SET_BLOCKS < UINT8_MAX);

/* A set with room for all rules. A bit of the summary says that a word is not zero. */
struct rule_bits {
	uint64_t summary[SET_SUMMARY];
	uint64_t words[SET_WORDS];
};

void rule_bits_clear(struct rule_bits *bits);
void rule_bits_add(struct rule_bits *bits, size_t rule);
void rule_bits_remove(struct rule_bits *bits, size_t rule);

/* A set that keeps only blocks of words that are not all zero. */
struct rule_set {
	uint64_t summary[SET_SUMMARY];
	uint8_t blocks[SET_BLOCKS]; /* which of its blocks it is, from 1; 0: all zero */
	uint32_t first_block;       /* in the dimension */
};

struct dimension {
	struct rule_bits any;
	struct rule_set *sets; /* by class; class 0 is the empty set */
	size_t n_sets, max_sets;
	uint64_t (*blocks)[SET_BLOCK];
	size_t n_blocks, max_blocks;
	uint32_t *found; /* class plus 1 by hash, while classes are added */
	size_t max_found;
};

enum qe_error dimension_init(struct dimension *dimension);
void dimension_done(struct dimension *dimension);
/* The class of these rules: equal sets are one. QE_ERR_FULL: too much memory. */
enum qe_error dimension_class(
	struct dimension *dimension, const struct rule_bits *bits, uint32_t *ret_class);
/* Adds a class's rules to bits. */
void dimension_unite(const struct dimension *dimension, uint32_t class, struct rule_bits *bits);
/* No more classes: gives back what is not used. */
void dimension_close(struct dimension *dimension);
size_t dimension_memory(const struct dimension *dimension);

/* 64 rules of those that match a class, with those that do not ask. */
static inline uint64_t dimension_word(
	const struct dimension *dimension, const struct rule_set *set, size_t word)
{
	uint64_t bits = dimension->any.words[word];
	uint8_t block = set->blocks[word / SET_BLOCK];

	if (block > 0)
		bits |= dimension->blocks[set->first_block + block - 1][word % SET_BLOCK];
	return bits;
}
