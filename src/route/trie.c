/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "route/trie.h"

#include <errno.h>
#include <string.h>

const struct trie_node trie_nothing;

/* ---- nodes ---- */

/* From one node to another, whose bits differ by one at most. */
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

static void copy_node(struct trie_node *to, const struct trie_node *from)
{
	const struct qe_route *from_routes = trie_routes(from);
	struct qe_route *to_routes = trie_routes(to);

	copy_items(to->children, to->has.children, from->children, from->has.children,
		sizeof(to->children[0]));
	copy_items(to_routes, to->has.lone, from_routes, from->has.lone, sizeof(*to_routes));
	copy_items(to_routes + trie_count(to->has.lone), to->has.own,
		from_routes + trie_count(from->has.lone), from->has.own, sizeof(*to_routes));
}

static size_t count_routes(const struct trie_shape *shape)
{
	return trie_count(shape->own) + trie_count(shape->lone);
}

static size_t node_size(const struct trie_shape *shape)
{
	return sizeof(struct trie_node) + trie_count(shape->children) * sizeof(struct trie_node *) +
	       count_routes(shape) * sizeof(struct qe_route);
}

static void drop_one(struct trie_memory *memory, struct trie_node *node)
{
	if (node != &trie_nothing)
		trie_item_drop(memory, &node->item);
}

/*
 * Replaces a node by one of that shape that may be written to. What comes in, at most one of each
 * kind, is for the caller to fill in. -ENOMEM: it is as it was.
 */
static enum qe_error reshape(
	struct trie_memory *memory, struct trie_node **at, const struct trie_shape *shape)
{
	struct trie_node *node = *at, *made = (struct trie_node *)&trie_nothing;

	if (memcmp(shape, &node->has, sizeof(*shape)) == 0 &&
		trie_item_is_young(memory, &node->item))
		return QE_OK;
	if (shape->children | shape->own | shape->lone) {
		made = trie_item_new(memory, node_size(shape));
		if (made == nullptr)
			return -ENOMEM;
		made->has = *shape;
		copy_node(made, node);
	}
	drop_one(memory, node);
	*at = made;
	return QE_OK;
}

static enum qe_error make_writable(struct trie_memory *memory, struct trie_node **at)
{
	struct trie_shape shape = (*at)->has;

	return reshape(memory, at, &shape);
}

void trie_drop(struct trie_memory *memory, struct trie_node *node)
{
	for (size_t i = 0; i < trie_count(node->has.children); i++)
		trie_drop(memory, node->children[i]);
	drop_one(memory, node);
}

/* ---- set ---- */

static enum qe_error set_below(struct trie_memory *memory, struct trie_node **at, int depth,
	const struct qe_route *route, bool *ret_added);

static enum qe_error set_own(struct trie_memory *memory, struct trie_node **at, uint64_t bit,
	const struct qe_route *route, bool *ret_added)
{
	struct trie_shape shape = (*at)->has;
	bool added = !(shape.own & bit);

	shape.own |= bit;
	QE_TRY(reshape(memory, at, &shape));
	*trie_own(*at, bit) = *route;
	*ret_added = added;
	return QE_OK;
}

static enum qe_error set_lone(struct trie_memory *memory, struct trie_node **at, uint64_t bit,
	const struct qe_route *route, bool *ret_added)
{
	struct trie_shape shape = (*at)->has;
	bool added = !(shape.lone & bit);

	shape.lone |= bit;
	QE_TRY(reshape(memory, at, &shape));
	*trie_lone(*at, bit) = *route;
	*ret_added = added;
	return QE_OK;
}

/* A child for the route, and for the lone one in whose place it comes. */
static enum qe_error set_in_new_child(struct trie_memory *memory, struct trie_node **at, int depth,
	uint64_t bit, const struct qe_route *route, bool *ret_added)
{
	struct trie_node *child = (struct trie_node *)&trie_nothing;
	struct trie_shape shape = (*at)->has;
	enum qe_error error = QE_OK;

	depth += trie_stride;
	if (shape.lone & bit)
		error = set_below(memory, &child, depth, trie_lone(*at, bit), ret_added);
	if (error == QE_OK)
		error = set_below(memory, &child, depth, route, ret_added);
	shape.lone &= ~bit;
	shape.children |= bit;
	if (error == QE_OK)
		error = reshape(memory, at, &shape);
	if (error != QE_OK) {
		trie_drop(memory, child);
		return error;
	}
	*trie_child(*at, bit) = child;
	return QE_OK;
}

static bool same_prefix(const struct qe_prefix *a, const struct qe_prefix *b)
{
	return a->length == b->length && qe_addr_equal(&a->addr, &b->addr);
}

/* In a slot without a child. */
static bool may_be_lone(
	const struct trie_node *node, int depth, uint64_t bit, const struct qe_prefix *prefix)
{
	if (node->has.lone & bit)
		return same_prefix(&trie_lone(node, bit)->prefix, prefix);
	return depth >= trie_depth_lone;
}

static enum qe_error set_below(struct trie_memory *memory, struct trie_node **at, int depth,
	const struct qe_route *route, bool *ret_added)
{
	struct trie_key key = trie_key(&route->prefix.addr);

	for (;; depth += trie_stride) {
		int length = route->prefix.length - depth;
		unsigned slot = trie_slot(key, depth);
		uint64_t bit = UINT64_C(1) << slot;

		if (length < trie_stride)
			return set_own(memory, at, trie_own_bit(slot, length), route, ret_added);
		if (!((*at)->has.children & bit)) {
			if (may_be_lone(*at, depth, bit, &route->prefix))
				return set_lone(memory, at, bit, route, ret_added);
			return set_in_new_child(memory, at, depth, bit, route, ret_added);
		}
		QE_TRY(make_writable(memory, at));
		at = trie_child(*at, bit);
	}
}

enum qe_error trie_set(struct trie_memory *memory, struct trie_node **root,
	const struct qe_route *route, bool *ret_added)
{
	return set_below(memory, root, trie_depth_root, route, ret_added);
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

	way->n = 0;
	way->own = 0;
	for (int depth = trie_depth_root;; depth += trie_stride) {
		int length = prefix->length - depth;
		unsigned slot = trie_slot(key, depth);
		uint64_t bit = UINT64_C(1) << slot;

		way->steps[way->n].node = node;
		way->steps[way->n++].slot = bit;
		if (length < trie_stride) {
			way->own = trie_own_bit(slot, length);
			return node->has.own & way->own ? trie_own(node, way->own) : nullptr;
		}
		if (node->has.lone & bit) {
			const struct qe_route *lone = trie_lone(node, bit);

			return same_prefix(&lone->prefix, prefix) ? lone : nullptr;
		}
		if (!(node->has.children & bit))
			return nullptr;
		node = *trie_child(node, bit);
	}
}

const struct qe_route *trie_find(const struct trie_node *root, const struct qe_prefix *prefix)
{
	struct way way;

	return find(&way, root, prefix);
}

static bool leads_to_one_child(const struct trie_node *node)
{
	return trie_count(node->has.children) == 1 && count_routes(&node->has) == 0;
}

/* How many nodes of the way are left when its last one is to have that shape. */
static size_t nodes_left(const struct way *way, const struct trie_shape *last)
{
	size_t n = way->n, routes = count_routes(last);
	size_t least = routes > 0 ? trie_levels_single : 1;

	if (n <= least || last->children != 0 || routes > 1)
		return n;
	do
		n--;
	while (n > least && leads_to_one_child(way->steps[n - 1].node));
	return n;
}

/* Takes a child away. If there is a route left below, it becomes a lone one. */
static enum qe_error collapse(struct trie_memory *memory, struct trie_node **at, uint64_t slot,
	const struct qe_route *left)
{
	struct trie_node *child = *trie_child(*at, slot);
	struct trie_shape shape = (*at)->has;

	shape.children &= ~slot;
	if (left != nullptr)
		shape.lone |= slot;
	QE_TRY(reshape(memory, at, &shape));
	if (left != nullptr)
		*trie_lone(*at, slot) = *left;
	trie_drop(memory, child);
	return QE_OK;
}

enum qe_error trie_remove(
	struct trie_memory *memory, struct trie_node **at, const struct qe_prefix *prefix)
{
	struct way way;
	const struct qe_route *route = find(&way, *at, prefix), *left = nullptr;

	if (route == nullptr)
		return QE_ERR_NOT_FOUND;
	const struct trie_node *last = way.steps[way.n - 1].node;
	struct trie_shape rest = last->has;

	if (way.own)
		rest.own &= ~way.own;
	else
		rest.lone &= ~way.steps[way.n - 1].slot;
	size_t n = nodes_left(&way, &rest);

	if (n < way.n && count_routes(&rest) == 1)
		left = &trie_routes(last)[route == trie_routes(last)];
	for (size_t i = 0; i + 1 < n; i++) {
		QE_TRY(make_writable(memory, at));
		at = trie_child(*at, way.steps[i].slot);
	}
	if (n < way.n)
		return collapse(memory, at, way.steps[n - 1].slot, left);
	return reshape(memory, at, &rest);
}

/* ---- visit ---- */

void trie_visit(const struct trie_node *node,
	void (*visit)(void *ctx, const struct qe_route *route), void *ctx)
{
	for (unsigned slot = 0; slot < 64; slot++) {
		uint64_t bit = UINT64_C(1) << slot;

		for (int length = 0; length < trie_stride; length++) {
			uint64_t own = trie_own_bit(slot, length);

			if (trie_own_begins(slot, length) && (node->has.own & own))
				visit(ctx, trie_own(node, own));
		}
		if (node->has.lone & bit)
			visit(ctx, trie_lone(node, bit));
		if (node->has.children & bit)
			trie_visit(*trie_child(node, bit), visit, ctx);
	}
}
