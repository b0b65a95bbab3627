/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Longest-prefix match in a multibit trie whose nodes are compressed by bit maps (trie.h), one for
 * each family. It is persistent: what a snapshot shows is never written to again. A change copies
 * the nodes on the way from the root to the place of the change, unless no snapshot has been
 * published since they were made, so its cost is that of the depth of the trie; all other nodes
 * are shared. What it has replaced waits until the last snapshot that shows it is released
 * (blocks.c).
 *
 * Threads: all of a table belongs to one thread, the writer. A snapshot is read by any.
 */
#include "route/table.h"

#include <errno.h>
#include <stdlib.h>

#include "route/trie.h"

enum { IPV4, IPV6, FAMILIES };

struct qe_route_table {
	struct trie_blocks blocks;
	struct trie_node roots[FAMILIES];
	size_t count;
};

struct qe_route_snapshot {
	struct trie_hold hold;
	struct trie_node roots[FAMILIES];
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
	trie_blocks_init(&table->blocks);
	*ret_table = table;
	return QE_OK;
}

struct qe_route_table *qe_route_table_free(struct qe_route_table *table)
{
	if (table == nullptr)
		return nullptr;
	for (size_t i = 0; i < FAMILIES; i++)
		trie_drop(&table->blocks, &table->roots[i]);
	trie_blocks_done(&table->blocks);
	free(table);
	return nullptr;
}

enum qe_error qe_route_table_set(struct qe_route_table *table, const struct qe_route *route)
{
	struct trie_node *root = &table->roots[family_of(&route->prefix.addr)];
	bool added;

	QE_TRY(trie_set(&table->blocks, root, route, &added));
	table->count += added;
	return QE_OK;
}

enum qe_error qe_route_table_remove(struct qe_route_table *table, const struct qe_prefix *prefix)
{
	QE_TRY(trie_remove(&table->blocks, &table->roots[family_of(&prefix->addr)], prefix));
	table->count--;
	return QE_OK;
}

size_t qe_route_table_count(const struct qe_route_table *table)
{
	return table->count;
}

size_t qe_route_table_memory(const struct qe_route_table *table)
{
	return sizeof(*table) + table->blocks.size;
}

enum qe_error qe_route_table_publish(
	struct qe_route_table *table, const struct qe_route_snapshot **ret_snapshot)
{
	struct qe_route_snapshot *snapshot = malloc(sizeof(*snapshot));

	if (snapshot == nullptr)
		return -ENOMEM;
	for (size_t i = 0; i < FAMILIES; i++)
		snapshot->roots[i] = table->roots[i];
	trie_blocks_hold(&table->blocks, &snapshot->hold);
	*ret_snapshot = snapshot;
	return QE_OK;
}

void qe_route_table_release(struct qe_route_table *table, const struct qe_route_snapshot *snapshot)
{
	struct qe_route_snapshot *released = (struct qe_route_snapshot *)snapshot;

	if (released == nullptr)
		return;
	trie_blocks_release(&table->blocks, &released->hold);
	free(released);
}

const struct qe_route *qe_route_find(
	const struct qe_route_snapshot *snapshot, const struct qe_prefix *prefix)
{
	return trie_find(&snapshot->roots[family_of(&prefix->addr)], prefix);
}

void qe_route_visit(const struct qe_route_snapshot *snapshot,
	void (*visit)(void *ctx, const struct qe_route *route), void *ctx)
{
	for (size_t i = 0; i < FAMILIES; i++)
		trie_visit(&snapshot->roots[i], visit, ctx);
}

const struct qe_route *qe_route_lookup(
	const struct qe_route_snapshot *snapshot, const struct qe_addr *addr)
{
	return trie_lookup(&snapshot->roots[family_of(addr)], addr);
}
