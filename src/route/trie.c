/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "route/trie.h"

#include <errno.h>
#include <string.h>

/* ---- blocks ---- */

/* From the block of one node to that of another, whose bits differ by one at most. */
static void copy_items(
	void *to, uint64_t to_bits, const void *from, uint64_t from_bits, size_t item_size)
{
	uint64_t changed = to_bits ^ from_bits;
	size_t before = trie_rank(from_bits, changed); /* all, if nothing changed */
	size_t to_gap = (to_bits & changed) != 0, from_gap = (from_bits & changed) != 0;
	size_t after = trie_count(from_bits) - before - from_gap;

	memcpy(to, from, before * item_size);
	memcpy((char *)to + (before + to_gap) * item_size,
		(const char *)from + (before + from_gap) * item_size, after * item_size);
}

static void copy_block(const struct trie_node *to, const struct trie_node *from)
{
	const struct qe_route *from_routes = trie_routes(from);
	struct qe_route *to_routes = trie_routes(to);

	copy_items(to->block->children, to->children, from->block->children, from->children,
		sizeof(struct trie_node));
	copy_items(to_routes, to->lone, from_routes, from->lone, sizeof(struct qe_route));
	copy_items(to_routes + trie_count(to->lone), to->own, from_routes + trie_count(from->lone),
		from->own, sizeof(struct qe_route));
}

static bool same_shape(const struct trie_node *a, const struct trie_node *b)
{
	return a->children == b->children && a->lone == b->lone && a->own == b->own;
}

static size_t count_routes(const struct trie_node *node)
{
	return trie_count(node->lone) + trie_count(node->own);
}

/*
 * Gives the node these bits and a block that may be written to. What comes in, at most one of each
 * kind, is for the caller to fill in. -ENOMEM: the node is as it was.
 */
static enum qe_error reshape(
	struct trie_blocks *blocks, struct trie_node *node, struct trie_node shape)
{
	size_t size = sizeof(struct trie_block) +
		      trie_count(shape.children) * sizeof(struct trie_node) +
		      count_routes(&shape) * sizeof(struct qe_route);

	if (same_shape(&shape, node) && trie_block_is_young(blocks, node->block))
		return QE_OK;
	shape.block = nullptr;
	if (shape.children | shape.lone | shape.own) {
		shape.block = trie_block_new(blocks, size);
		if (shape.block == nullptr)
			return -ENOMEM;
	}
	if (node->block != nullptr) {
		if (shape.block != nullptr)
			copy_block(&shape, node);
		trie_block_drop(blocks, node->block);
	}
	*node = shape;
	return QE_OK;
}

static enum qe_error make_writable(struct trie_blocks *blocks, struct trie_node *node)
{
	return reshape(blocks, node, *node);
}

void trie_drop(struct trie_blocks *blocks, const struct trie_node *node)
{
	if (node->block == nullptr)
		return;
	for (size_t i = 0; i < trie_count(node->children); i++)
		trie_drop(blocks, &node->block->children[i]);
	trie_block_drop(blocks, node->block);
}

/* ---- set ---- */

static enum qe_error set_below(struct trie_blocks *blocks, struct trie_node *node, int depth,
	const struct qe_route *route, bool *ret_added);

static enum qe_error set_own(struct trie_blocks *blocks, struct trie_node *node, uint64_t bit,
	const struct qe_route *route, bool *ret_added)
{
	struct trie_node shape = *node;
	bool added = !(node->own & bit);

	shape.own |= bit;
	QE_TRY(reshape(blocks, node, shape));
	*trie_own(node, bit) = *route;
	*ret_added = added;
	return QE_OK;
}

static enum qe_error set_lone(struct trie_blocks *blocks, struct trie_node *node, uint64_t bit,
	const struct qe_route *route, bool *ret_added)
{
	struct trie_node shape = *node;
	bool added = !(node->lone & bit);

	shape.lone |= bit;
	QE_TRY(reshape(blocks, node, shape));
	*trie_lone(node, bit) = *route;
	*ret_added = added;
	return QE_OK;
}

/* A child takes the place of a lone route, for that and another one. */
static enum qe_error split(struct trie_blocks *blocks, struct trie_node *node, int depth,
	uint64_t bit, const struct qe_route *route, bool *ret_added)
{
	struct trie_node shape = *node, child = {};
	enum qe_error error;

	error = set_below(blocks, &child, depth + trie_stride, trie_lone(node, bit), ret_added);
	if (error == QE_OK)
		error = set_below(blocks, &child, depth + trie_stride, route, ret_added);
	shape.lone &= ~bit;
	shape.children |= bit;
	if (error == QE_OK)
		error = reshape(blocks, node, shape);
	if (error != QE_OK) {
		trie_drop(blocks, &child);
		return error;
	}
	*trie_child(node, bit) = child;
	return QE_OK;
}

static bool same_prefix(const struct qe_prefix *a, const struct qe_prefix *b)
{
	return a->length == b->length && qe_addr_equal(&a->addr, &b->addr);
}

static enum qe_error set_below(struct trie_blocks *blocks, struct trie_node *node, int depth,
	const struct qe_route *route, bool *ret_added)
{
	struct trie_key key = trie_key(&route->prefix.addr);

	for (;; depth += trie_stride) {
		int length = route->prefix.length - depth;
		unsigned slot = trie_slot(key, depth);
		uint64_t bit = UINT64_C(1) << slot;

		if (length < trie_stride)
			return set_own(blocks, node, trie_own_bit(slot, length), route, ret_added);
		if ((node->lone & bit) &&
			!same_prefix(&trie_lone(node, bit)->prefix, &route->prefix))
			return split(blocks, node, depth, bit, route, ret_added);
		if (!(node->children & bit))
			return set_lone(blocks, node, bit, route, ret_added);
		QE_TRY(make_writable(blocks, node));
		node = trie_child(node, bit);
	}
}

enum qe_error trie_set(struct trie_blocks *blocks, struct trie_node *root,
	const struct qe_route *route, bool *ret_added)
{
	return set_below(blocks, root, trie_depth_root, route, ret_added);
}

/* ---- find, and remove ---- */

/* The way to a prefix: the nodes, and the slots that led from one to the next. */
struct way {
	size_t n;
	struct {
		const struct trie_node *node;
		uint64_t slot;
	} steps[trie_levels];
	uint64_t own; /* the bit of the prefix in the last node, if it is that node's own; else 0 */
};

static const struct qe_route *find(
	struct way *way, const struct trie_node *node, const struct qe_prefix *prefix)
{
	struct trie_key key = trie_key(&prefix->addr);

	*way = (struct way){};
	for (int depth = trie_depth_root;; depth += trie_stride) {
		int length = prefix->length - depth;
		unsigned slot = trie_slot(key, depth);
		uint64_t bit = UINT64_C(1) << slot;

		way->steps[way->n].node = node;
		way->steps[way->n++].slot = bit;
		if (length < trie_stride) {
			way->own = trie_own_bit(slot, length);
			return node->own & way->own ? trie_own(node, way->own) : nullptr;
		}
		if (node->lone & bit) {
			const struct qe_route *lone = trie_lone(node, bit);

			return same_prefix(&lone->prefix, prefix) ? lone : nullptr;
		}
		if (!(node->children & bit))
			return nullptr;
		node = trie_child(node, bit);
	}
}

const struct qe_route *trie_find(const struct trie_node *root, const struct qe_prefix *prefix)
{
	struct way way;

	return find(&way, root, prefix);
}

/* How many nodes of the way are left when its last one is to have the routes of `last`: a child
 * with one route is none. */
static size_t nodes_left(const struct way *way, const struct trie_node *last)
{
	size_t n = way->n;

	if (n == 1 || last->children != 0 || count_routes(last) > 1)
		return n;
	for (n--; n > 1; n--) {
		const struct trie_node *node = way->steps[n - 1].node;

		if (trie_count(node->children) > 1 || count_routes(node) > 0)
			break;
	}
	return n;
}

/* Of a node with two routes the one that is not this. */
static const struct qe_route *other_route(
	const struct trie_node *node, const struct qe_route *route)
{
	const struct qe_route *routes = trie_routes(node);

	return &routes[route == &routes[0]];
}

/* The route that is left comes up to where its node, or the first of a chain, has been. */
static enum qe_error collapse(struct trie_blocks *blocks, struct trie_node *node, uint64_t slot,
	const struct qe_route *left)
{
	struct trie_node shape = *node, child = *trie_child(node, slot);

	shape.children &= ~slot;
	shape.lone |= slot;
	QE_TRY(reshape(blocks, node, shape));
	*trie_lone(node, slot) = *left;
	trie_drop(blocks, &child);
	return QE_OK;
}

enum qe_error trie_remove(
	struct trie_blocks *blocks, struct trie_node *root, const struct qe_prefix *prefix)
{
	struct way way;
	const struct qe_route *route = find(&way, root, prefix);

	if (route == nullptr)
		return QE_ERR_NOT_FOUND;
	struct trie_node rest = *way.steps[way.n - 1].node;
	struct qe_route left = {};

	if (way.own)
		rest.own &= ~way.own;
	else
		rest.lone &= ~way.steps[way.n - 1].slot;
	size_t n = nodes_left(&way, &rest);

	if (n < way.n)
		left = *other_route(&rest, route);
	for (size_t i = 0; i + 1 < n; i++) {
		QE_TRY(make_writable(blocks, root));
		root = trie_child(root, way.steps[i].slot);
	}
	if (n < way.n)
		return collapse(blocks, root, way.steps[n - 1].slot, &left);
	return reshape(blocks, root, rest);
}

/* ---- visit ---- */

void trie_visit(const struct trie_node *node,
	void (*visit)(void *ctx, const struct qe_route *route), void *ctx)
{
	for (unsigned slot = 0; slot < 64; slot++) {
		uint64_t bit = UINT64_C(1) << slot;

		for (int length = 0; length < trie_stride; length++) {
			uint64_t own = trie_own_bit(slot, length);
			bool begins = (slot & ((64u >> length) - 1)) == 0;

			if (begins && (node->own & own))
				visit(ctx, trie_own(node, own));
		}
		if (node->lone & bit)
			visit(ctx, trie_lone(node, bit));
		if (node->children & bit)
			trie_visit(trie_child(node, bit), visit, ctx);
	}
}
