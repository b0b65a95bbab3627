/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Longest-prefix match over a sorted array. The routes stand in the order of their addresses, a
 * shorter prefix before the longer ones inside of it, so that prefixes nest like brackets: the last
 * route at or before an address is either the answer or lies inside of the answer. Each route knows
 * the one that encloses it, and a lookup is one binary search and a few steps outwards. It takes 28
 * bytes a route and no pointers; a table of thousands of routes stays in the cache.
 */
#include "route/table.h"

#include <errno.h>
#include <stdckdint.h>
#include <stdlib.h>

#include "net/addr.h"

constexpr uint32_t NO_ENCLOSING = UINT32_MAX;

struct entry {
	struct qe_route route;
	uint32_t enclosing; /* index of the next shorter prefix around this one */
};

struct qe_route_table {
	size_t n;
	struct entry entries[];
};

static int compare_entries(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	return qe_prefix_compare(&left->route.prefix, &right->route.prefix);
}

static bool same_next_hop(const struct qe_route *a, const struct qe_route *b)
{
	return a->next_hop == b->next_hop &&
	       (a->next_hop == QE_NEXT_HOP_LOCAL || a->peer == b->peer);
}

/* Sorted routes with one prefix become one; QE_ERR_CONFLICT when they disagree. */
static enum qe_error merge_equal(struct qe_route_table *table)
{
	size_t kept = 0;

	for (size_t i = 0; i < table->n; i++) {
		struct entry *last = kept > 0 ? &table->entries[kept - 1] : nullptr;

		if (last == nullptr || compare_entries(last, &table->entries[i]) != 0)
			table->entries[kept++] = table->entries[i];
		else if (!same_next_hop(&last->route, &table->entries[i].route))
			return QE_ERR_CONFLICT;
	}
	table->n = kept;
	return QE_OK;
}

static void link_enclosing(struct qe_route_table *table)
{
	for (size_t i = 0; i < table->n; i++) {
		uint32_t around = i > 0 ? (uint32_t)(i - 1) : NO_ENCLOSING;

		while (around != NO_ENCLOSING &&
			!qe_prefix_covers(&table->entries[around].route.prefix,
				&table->entries[i].route.prefix))
			around = table->entries[around].enclosing;
		table->entries[i].enclosing = around;
	}
}

enum qe_error qe_route_table_new(
	struct qe_route_table **ret_table, const struct qe_route *routes, size_t n)
{
	struct qe_route_table *table;
	size_t size;

	if (n >= NO_ENCLOSING || ckd_mul(&size, n, sizeof(struct entry)) ||
		ckd_add(&size, size, sizeof(*table)))
		return QE_ERR_RANGE;
	table = malloc(size);
	if (table == nullptr)
		return -ENOMEM;
	table->n = n;
	for (size_t i = 0; i < n; i++)
		table->entries[i] = (struct entry){.route = routes[i]};
	qsort(table->entries, n, sizeof(struct entry), compare_entries);

	enum qe_error error = merge_equal(table);
	if (error != QE_OK) {
		free(table);
		return error;
	}
	link_enclosing(table);
	*ret_table = table;
	return QE_OK;
}

struct qe_route_table *qe_route_table_free(struct qe_route_table *table)
{
	free(table);
	return nullptr;
}

/* How many routes begin at or before the address. */
static size_t upper_bound(const struct qe_route_table *table, const struct qe_addr *addr)
{
	size_t low = 0, high = table->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (qe_addr_compare(&table->entries[middle].route.prefix.addr, addr) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct qe_route *qe_route_lookup(
	const struct qe_route_table *table, const struct qe_addr *addr)
{
	size_t bound = upper_bound(table, addr);
	uint32_t at = bound > 0 ? (uint32_t)(bound - 1) : NO_ENCLOSING;

	while (at != NO_ENCLOSING) {
		const struct entry *entry = &table->entries[at];

		if (qe_prefix_contains(&entry->route.prefix, addr))
			return &entry->route;
		at = entry->enclosing;
	}
	return nullptr;
}
