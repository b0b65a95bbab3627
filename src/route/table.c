/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Longest-prefix match in a multibit trie whose nodes are compressed by bit maps (trie.h), one for
 * each family; and for the packets of a large table an index of what most of them ask (index.h).
 * Both are persistent: what a snapshot shows is never written to again. A change copies what is on
 * the way from the root to the place of the change, unless no snapshot has been published since
 * that was made, so its cost is that of the depth; all else is shared. What it has replaced waits
 * until the last snapshot that shows it is released (memory.c).
 *
 * Threads: all of a table belongs to one thread, the writer. A snapshot is read by any.
 */
#include "route/table.h"

#include <errno.h>
#include <stdlib.h>

#include "route/index.h"

enum { IPV4, IPV6, FAMILIES };

struct qe_route_table {
	struct trie_memory memory;
	struct trie_node *roots[FAMILIES];
	struct index_inner *index; /* of IPv4; or nullptr */
	size_t counts[FAMILIES];
};

struct qe_route_snapshot {
	struct trie_hold hold;
	struct trie_node *roots[FAMILIES];
	struct index_inner *index;
};

static size_t family_of(const struct qe_addr *addr)
{
	return addr->family == QE_FAMILY_IPV6 ? IPV6 : IPV4;
}

enum qe_error qe_route_table_new(struct qe_route_table **ret_table)
{
	struct qe_route_table *table = calloc(1, sizeof(*table));

	if (table == nullptr)
		return -ENOMEM;
	trie_memory_init(&table->memory);
	for (size_t i = 0; i < FAMILIES; i++)
		table->roots[i] = (struct trie_node *)&trie_nothing;
	*ret_table = table;
	return QE_OK;
}

struct qe_route_table *qe_route_table_free(struct qe_route_table *table)
{
	if (table == nullptr)
		return nullptr;
	for (size_t i = 0; i < FAMILIES; i++)
		trie_drop(&table->memory, table->roots[i]);
	index_drop(&table->memory, table->index);
	trie_memory_done(&table->memory);
	free(table);
	return nullptr;
}

/* ---- the index ---- */

static void refresh(void *ctx, const struct qe_route *route)
{
	struct qe_route_table *table = ctx;

	if (table->index == nullptr)
		return;
	if (index_refresh(&table->memory, &table->index, table->roots[IPV4], &route->prefix) ==
		QE_OK)
		return;
	index_drop(&table->memory, table->index);
	table->index = nullptr;
}

static void build_index(struct qe_route_table *table)
{
	table->index = index_new(&table->memory);
	trie_visit(table->roots[IPV4], refresh, table);
}

/* A route to that prefix has come, changed or gone. */
static void follow(struct qe_route_table *table, const struct qe_route *route)
{
	size_t count = table->counts[IPV4];

	if (family_of(&route->prefix.addr) != IPV4)
		return;
	refresh(table, route);
	if (count < index_routes_min / 2) {
		index_drop(&table->memory, table->index);
		table->index = nullptr;
	}
	/* Where there was no memory for it, it is tried again now and then. */
	if (table->index == nullptr && count > 0 && count % index_routes_min == 0)
		build_index(table);
}

/* ---- changes ---- */

enum qe_error qe_route_table_set(struct qe_route_table *table, const struct qe_route *route)
{
	size_t family = family_of(&route->prefix.addr);
	bool added;

	QE_TRY(trie_set(&table->memory, &table->roots[family], route, &added));
	table->counts[family] += added;
	follow(table, route);
	return QE_OK;
}

enum qe_error qe_route_table_remove(struct qe_route_table *table, const struct qe_prefix *prefix)
{
	const struct qe_route removed = {.prefix = *prefix};
	size_t family = family_of(&prefix->addr);

	QE_TRY(trie_remove(&table->memory, &table->roots[family], prefix));
	table->counts[family]--;
	follow(table, &removed);
	return QE_OK;
}

size_t qe_route_table_count(const struct qe_route_table *table)
{
	return table->counts[IPV4] + table->counts[IPV6];
}

size_t qe_route_table_memory(const struct qe_route_table *table)
{
	return sizeof(*table) + table->memory.size;
}

enum qe_error qe_route_table_publish(
	struct qe_route_table *table, const struct qe_route_snapshot **ret_snapshot)
{
	struct qe_route_snapshot *snapshot = malloc(sizeof(*snapshot));

	if (snapshot == nullptr)
		return -ENOMEM;
	for (size_t i = 0; i < FAMILIES; i++)
		snapshot->roots[i] = table->roots[i];
	snapshot->index = table->index;
	trie_hold(&table->memory, &snapshot->hold);
	*ret_snapshot = snapshot;
	return QE_OK;
}

void qe_route_table_release(struct qe_route_table *table, const struct qe_route_snapshot *snapshot)
{
	struct qe_route_snapshot *released = (struct qe_route_snapshot *)snapshot;

	if (released == nullptr)
		return;
	trie_release(&table->memory, &released->hold);
	free(released);
}

uint64_t qe_route_snapshot_version(const struct qe_route_snapshot *snapshot)
{
	return snapshot->hold.version;
}

const struct qe_route *qe_route_find(
	const struct qe_route_snapshot *snapshot, const struct qe_prefix *prefix)
{
	return trie_find(snapshot->roots[family_of(&prefix->addr)], prefix);
}

void qe_route_visit(const struct qe_route_snapshot *snapshot,
	void (*visit)(void *ctx, const struct qe_route *route), void *ctx)
{
	for (size_t i = 0; i < FAMILIES; i++)
		trie_visit(snapshot->roots[i], visit, ctx);
}

const struct qe_route *qe_route_lookup(
	const struct qe_route_snapshot *snapshot, const struct qe_addr *addr)
{
	return trie_lookup(snapshot->roots[family_of(addr)], addr);
}

struct qe_hop qe_route_lookup_hop(
	const struct qe_route_snapshot *snapshot, const struct qe_addr *addr)
{
	if (snapshot->index != nullptr && addr->family == QE_FAMILY_IPV4) {
		struct qe_hop hop = index_lookup(snapshot->index, addr);

		if (!(hop.value & index_ask_trie))
			return hop;
	}
	const struct qe_route *route = qe_route_lookup(snapshot, addr);

	return route != nullptr ? qe_hop_of(route) : (struct qe_hop){};
}
