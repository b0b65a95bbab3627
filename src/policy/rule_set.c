/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "policy/rule_set.h"

#include <errno.h>
#include <stdbit.h>
#include <stdlib.h>
#include <string.h>

/* Of one dimension: 256 MB. Ten thousand rules take a few, and very odd ones 80. */
constexpr size_t BLOCKS_MAX = 4 << 20;

void rule_bits_clear(struct rule_bits *bits)
{
	*bits = (struct rule_bits){};
}

void rule_bits_add(struct rule_bits *bits, size_t rule)
{
	bits->words[rule / 64] |= UINT64_C(1) << rule % 64;
	bits->summary[rule / 64 / 64] |= UINT64_C(1) << rule / 64 % 64;
}

void rule_bits_remove(struct rule_bits *bits, size_t rule)
{
	bits->words[rule / 64] &= ~(UINT64_C(1) << rule % 64);
	if (bits->words[rule / 64] == 0)
		bits->summary[rule / 64 / 64] &= ~(UINT64_C(1) << rule / 64 % 64);
}

enum qe_error dimension_init(struct dimension *dimension)
{
	static const struct rule_bits none;
	uint32_t class;

	*dimension = (struct dimension){};
	return dimension_class(dimension, &none, &class);
}

void dimension_done(struct dimension *dimension)
{
	free(dimension->sets);
	free(dimension->blocks);
	free(dimension->found);
	*dimension = (struct dimension){};
}

static uint64_t hash_bits(const struct rule_bits *bits)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < SET_SUMMARY; i++)
		for (uint64_t left = bits->summary[i]; left != 0; left &= left - 1) {
			size_t word = i * 64 + stdc_trailing_zeros(left);

			hash = (hash ^ word ^ bits->words[word]) * UINT64_C(0x9e3779b97f4a7c15);
			hash ^= hash >> 29;
		}
	return hash;
}

static const uint64_t *block_of(
	const struct dimension *dimension, const struct rule_set *set, size_t block)
{
	static const uint64_t zeros[SET_BLOCK];

	return set->blocks[block] > 0 ? dimension->blocks[set->first_block + set->blocks[block] - 1]
				      : zeros;
}

static bool is_set(
	const struct dimension *dimension, const struct rule_set *set, const struct rule_bits *bits)
{
	bool same = memcmp(set->summary, bits->summary, sizeof(set->summary)) == 0;

	for (size_t i = 0; same && i < SET_BLOCKS; i++)
		same = memcmp(block_of(dimension, set, i), &bits->words[i * SET_BLOCK],
			       SET_BLOCK * sizeof(uint64_t)) == 0;
	return same;
}

/* The place of the class with these rules, or the free one where it belongs. */
static uint32_t *find_place(const struct dimension *dimension, const struct rule_bits *bits)
{
	size_t at = hash_bits(bits) & (dimension->max_found - 1);

	while (dimension->found[at] != 0 &&
		!is_set(dimension, &dimension->sets[dimension->found[at] - 1], bits))
		at = (at + 1) & (dimension->max_found - 1);
	return &dimension->found[at];
}

static void expand(
	const struct dimension *dimension, const struct rule_set *set, struct rule_bits *bits)
{
	memcpy(bits->summary, set->summary, sizeof(bits->summary));
	for (size_t i = 0; i < SET_BLOCKS; i++)
		memcpy(&bits->words[i * SET_BLOCK], block_of(dimension, set, i),
			SET_BLOCK * sizeof(uint64_t));
}

/* Room for one more set, with the hash at most half full. */
static enum qe_error reserve_set(struct dimension *dimension)
{
	if (dimension->n_sets < dimension->max_sets)
		return QE_OK;

	size_t max = dimension->max_sets > 0 ? dimension->max_sets * 2 : 16;
	struct rule_set *sets = realloc(dimension->sets, max * sizeof(*sets));
	if (sets == nullptr)
		return -ENOMEM;
	dimension->sets = sets;
	uint32_t *found = calloc(max * 2, sizeof(*found));
	if (found == nullptr)
		return -ENOMEM;
	free(dimension->found);
	dimension->found = found;
	dimension->max_found = max * 2;
	dimension->max_sets = max;
	for (size_t i = 0; i < dimension->n_sets; i++) {
		struct rule_bits bits;

		expand(dimension, &dimension->sets[i], &bits);
		*find_place(dimension, &bits) = (uint32_t)i + 1;
	}
	return QE_OK;
}

static enum qe_error reserve_blocks(struct dimension *dimension)
{
	if (dimension->max_blocks - dimension->n_blocks >= SET_BLOCKS)
		return QE_OK;

	size_t max = dimension->max_blocks > 0 ? dimension->max_blocks * 2 : 2 * SET_BLOCKS;
	if (max > BLOCKS_MAX)
		return QE_ERR_FULL;
	void *blocks = realloc(dimension->blocks, max * sizeof(*dimension->blocks));
	if (blocks == nullptr)
		return -ENOMEM;
	dimension->blocks = blocks;
	dimension->max_blocks = max;
	return QE_OK;
}

/* There is room for it. */
static void append_set(struct dimension *dimension, const struct rule_bits *bits)
{
	struct rule_set *set = &dimension->sets[dimension->n_sets++];
	uint8_t used = 0;

	*set = (struct rule_set){.first_block = (uint32_t)dimension->n_blocks};
	memcpy(set->summary, bits->summary, sizeof(set->summary));
	for (size_t i = 0; i < SET_BLOCKS; i++) {
		size_t word = i * SET_BLOCK;

		if ((bits->summary[word / 64] >> word % 64 & 0xff) == 0)
			continue;
		memcpy(dimension->blocks[dimension->n_blocks++], &bits->words[word],
			SET_BLOCK * sizeof(uint64_t));
		set->blocks[i] = ++used;
	}
}

enum qe_error dimension_class(
	struct dimension *dimension, const struct rule_bits *bits, uint32_t *ret_class)
{
	QE_TRY(reserve_set(dimension));
	QE_TRY(reserve_blocks(dimension));

	uint32_t *place = find_place(dimension, bits);
	if (*place == 0) {
		append_set(dimension, bits);
		*place = (uint32_t)dimension->n_sets;
	}
	*ret_class = *place - 1;
	return QE_OK;
}

void dimension_unite(const struct dimension *dimension, uint32_t class, struct rule_bits *bits)
{
	const struct rule_set *set = &dimension->sets[class];

	for (size_t i = 0; i < SET_SUMMARY; i++) {
		bits->summary[i] |= set->summary[i];
		for (uint64_t left = set->summary[i]; left != 0; left &= left - 1) {
			size_t word = i * 64 + stdc_trailing_zeros(left);

			bits->words[word] |= block_of(
				dimension, set, word / SET_BLOCK)[word % SET_BLOCK];
		}
	}
}

void dimension_close(struct dimension *dimension)
{
	void *sets = realloc(dimension->sets, dimension->n_sets * sizeof(*dimension->sets));
	void *blocks = realloc(
		dimension->blocks, (dimension->n_blocks + 1) * sizeof(*dimension->blocks));

	dimension->sets = sets ? sets : dimension->sets;
	dimension->blocks = blocks ? blocks : dimension->blocks;
	free(dimension->found);
	dimension->found = nullptr;
}

size_t dimension_memory(const struct dimension *dimension)
{
	return dimension->n_sets * sizeof(*dimension->sets) +
	       dimension->n_blocks * sizeof(*dimension->blocks);
}
