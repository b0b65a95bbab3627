/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "route/index.h"

#include <errno.h>
#include <string.h>

/* What stands where there is no child; never written to. */
#define NO_LEAF (struct trie_item *)&no_leaf.item
#define NO_LEAVES_8 NO_LEAF, NO_LEAF, NO_LEAF, NO_LEAF, NO_LEAF, NO_LEAF, NO_LEAF, NO_LEAF

static const struct index_leaf no_leaf;
static const struct index_inner no_inner = {
	.children = {NO_LEAVES_8, NO_LEAVES_8, NO_LEAVES_8, NO_LEAVES_8, NO_LEAVES_8, NO_LEAVES_8,
		NO_LEAVES_8, NO_LEAVES_8}};

/* The lengths of the prefixes that end in each level. */
struct level {
	int min, max;
};

static const struct level levels[] = {{0, 6}, {7, 12}, {13, 24}};

static unsigned level_of(const struct qe_prefix *prefix)
{
	return prefix->length <= levels[0].max ? 0 : prefix->length <= levels[1].max ? 1 : 2;
}

static uint16_t pack(const struct qe_route *route)
{
	struct qe_hop hop = qe_hop_of(route);

	return hop.value >= index_ask_trie ? index_ask_trie : (uint16_t)hop.value;
}

/* ---- the way to the arrays ---- */

static bool is_nothing(const struct trie_item *item)
{
	return item == &no_leaf.item || item == &no_inner.item;
}

static size_t size_of(unsigned level)
{
	return level < 2 ? sizeof(struct index_inner) : sizeof(struct index_leaf);
}

static enum qe_error make_writable(
	struct trie_memory *memory, struct trie_item **at, unsigned level)
{
	struct trie_item *made, *item = *at;

	if (!is_nothing(item) && trie_item_is_young(memory, item))
		return QE_OK;
	made = trie_item_new(memory, size_of(level));
	if (made == nullptr)
		return -ENOMEM;
	memcpy(made + 1, item + 1, size_of(level) - sizeof(*item));
	if (!is_nothing(item))
		trie_item_drop(memory, item);
	*at = made;
	return QE_OK;
}

struct index_inner *index_new(struct trie_memory *memory)
{
	struct index_inner *made = trie_item_new(memory, sizeof(*made));

	if (made == nullptr)
		return nullptr;
	memset(made->hops, 0, sizeof(made->hops));
	for (unsigned i = 0; i < index_n_inner; i++)
		made->children[i] = (struct trie_item *)&no_inner.item;
	return made;
}

/* What stands on the way to a prefix, level by level. */
struct way {
	unsigned n;
	struct trie_item **at[3];
};

static enum qe_error open_way(struct trie_memory *memory, struct way *way,
	struct index_inner **index, const struct qe_prefix *prefix)
{
	uint32_t addr = qe_load_u32(prefix->addr.bytes);
	const unsigned slots[] = {addr >> 26, addr >> 20 & (index_n_inner - 1)};
	struct trie_item **at = (struct trie_item **)index;

	for (way->n = 0;; way->n++) {
		QE_TRY(make_writable(memory, at, way->n));
		way->at[way->n] = at;
		if (way->n == level_of(prefix))
			return QE_OK;
		at = &((struct index_inner *)*at)->children[slots[way->n]];
	}
}

/* Takes away what has nothing in it; the first level stays. */
static void close_way(struct trie_memory *memory, const struct way *way)
{
	for (unsigned i = way->n; i > 0; i--) {
		const struct trie_item *nothing = i < 2 ? &no_inner.item : &no_leaf.item;
		struct trie_item *item = *way->at[i];

		if (memcmp(item + 1, nothing + 1, size_of(i) - sizeof(*item)) != 0)
			return;
		trie_item_drop(memory, item);
		*way->at[i] = (struct trie_item *)nothing;
	}
}

/* ---- painting ---- */

struct paint {
	unsigned level;
	struct trie_item *to;
	int above; /* longer than that and inside of it */
};

static uint16_t *hop_at(const struct paint *paint, uint32_t addr)
{
	if (paint->level == 2)
		return &((struct index_leaf *)paint->to)->hops[addr >> 8 & (index_n_leaf - 1)];
	return &((struct index_inner *)paint->to)
			->hops[addr >> (paint->level == 0 ? 26 : 20) & (index_n_inner - 1)];
}

static void paint_range(const struct paint *paint, uint32_t addr, int length, uint16_t hop)
{
	uint32_t n = UINT32_C(1) << (levels[paint->level].max - length);
	uint32_t step = UINT32_C(1) << (32 - levels[paint->level].max);

	for (uint32_t i = 0; i < n; i++)
		*hop_at(paint, addr + i * step) = hop;
}

static void paint_own(const struct paint *paint, const struct trie_node *node, int depth,
	unsigned slot, uint32_t addr)
{
	for (int length = 0; length < trie_stride; length++) {
		uint64_t own = trie_own_bit(slot, length);
		int whole = depth + length;

		if (trie_own_begins(slot, length) && (node->has.own & own) &&
			whole > paint->above && whole <= levels[paint->level].max)
			paint_range(paint, addr, whole, pack(trie_own(node, own)));
	}
}

/* Some slots' routes of that level in the order of their addresses, so that the longer ones paint
 * over. */
static void paint_slots(const struct paint *paint, const struct trie_node *node, int depth,
	uint32_t addr, unsigned first, unsigned n)
{
	int below = depth + trie_stride;

	for (unsigned slot = first; slot < first + n; slot++) {
		uint64_t bit = UINT64_C(1) << slot;
		uint32_t at = depth < 0 ? (uint32_t)slot << 31 : addr | slot << (26 - depth);

		paint_own(paint, node, depth, slot, at);
		if (below > 24) {
			if ((node->has.children | node->has.lone) & bit)
				*hop_at(paint, at) = index_ask_trie;
		} else if ((node->has.children & bit) && below <= levels[paint->level].max)
			paint_slots(paint, *trie_child(node, bit), below, at, 0, 64);
	}
}

/* What is inside of the prefix. */
static void paint_inside(
	const struct paint *paint, const struct trie_node *node, const struct qe_prefix *prefix)
{
	struct trie_key key = trie_key(&prefix->addr);
	uint32_t addr = qe_load_u32(prefix->addr.bytes);

	for (int depth = trie_depth_root;; depth += trie_stride) {
		unsigned slot = trie_slot(key, depth);
		uint64_t bit = UINT64_C(1) << slot;
		int length = prefix->length - depth;

		if (length < trie_stride) {
			uint32_t before = depth <= 0 ? 0 : addr & ~(UINT32_MAX >> depth);

			paint_slots(paint, node, depth, before, slot, 64u >> length);
			return;
		}
		if (!(node->has.children & bit))
			return;
		node = *trie_child(node, bit);
	}
}

/* The hop of the longest route of that level around a prefix, or the one to it. */
static uint16_t hop_around(
	const struct trie_node *root, const struct qe_prefix *prefix, const struct level *level)
{
	struct qe_prefix around = *prefix;

	for (int length = prefix->length; length >= level->min; length--) {
		around.length = (uint8_t)length;
		qe_prefix_mask(&around);
		const struct qe_route *route = trie_find(root, &around);

		if (route != nullptr)
			return pack(route);
	}
	return 0;
}

enum qe_error index_refresh(struct trie_memory *memory, struct index_inner **index,
	const struct trie_node *root, const struct qe_prefix *prefix)
{
	struct qe_prefix short_enough = *prefix;
	struct way way;

	if (prefix->length > 24)
		short_enough.length = 24;
	qe_prefix_mask(&short_enough);
	QE_TRY(open_way(memory, &way, index, &short_enough));
	struct paint paint = {.level = way.n, .to = *way.at[way.n], .above = short_enough.length};

	paint_range(&paint, qe_load_u32(short_enough.addr.bytes), short_enough.length,
		hop_around(root, &short_enough, &levels[way.n]));
	paint_inside(&paint, root, &short_enough);
	close_way(memory, &way);
	return QE_OK;
}

static void drop_item(struct trie_memory *memory, struct trie_item *item, unsigned level)
{
	if (is_nothing(item))
		return;
	for (unsigned i = 0; level < 2 && i < index_n_inner; i++)
		drop_item(memory, ((struct index_inner *)item)->children[i], level + 1);
	trie_item_drop(memory, item);
}

void index_drop(struct trie_memory *memory, struct index_inner *index)
{
	if (index != nullptr)
		drop_item(memory, &index->item, 0);
}
