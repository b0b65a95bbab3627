/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "node/grants.h"

#include <errno.h>
#include <stdlib.h>

#include "node/directory.h"

/* ---- prefix maps ---- */

static int compare_entries(const void *a, const void *b)
{
	const struct qe_route *left = a, *right = b;

	return qe_prefix_compare(&left->prefix, &right->prefix);
}

static enum qe_error fill_map(struct prefix_map *map, const struct qe_route *entries, size_t n)
{
	QE_TRY(qe_route_table_new(&map->table));
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && compare_entries(&entries[i - 1], &entries[i]) == 0 &&
			(entries[i - 1].next_hop != entries[i].next_hop ||
				entries[i - 1].peer != entries[i].peer))
			return QE_ERR_CONFLICT;
		QE_TRY(qe_route_table_set(map->table, &entries[i]));
	}
	return qe_route_table_publish(map->table, &map->snapshot);
}

enum qe_error prefix_map_init(struct prefix_map *map, struct qe_route *entries, size_t n)
{
	*map = (struct prefix_map){};
	if (n == 0)
		return QE_OK;
	qsort(entries, n, sizeof(*entries), compare_entries);
	enum qe_error error = fill_map(map, entries, n);

	if (error != QE_OK)
		prefix_map_done(map);
	return error;
}

void prefix_map_done(struct prefix_map *map)
{
	if (map->table != nullptr)
		qe_route_table_release(map->table, map->snapshot);
	qe_route_table_free(map->table);
	*map = (struct prefix_map){};
}

/* ---- what the settings grant ---- */

static size_t add(struct qe_route *to, const struct qe_prefix *prefixes, size_t n,
	enum qe_next_hop next_hop, size_t slot)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (struct qe_route){.prefix = prefixes[i],
			.next_hop = (uint8_t)next_hop,
			.peer = (uint32_t)slot};
	return n;
}

static size_t count_own(const struct directory *directory)
{
	size_t n = directory->n_local;

	for (size_t i = 0; i < directory->n_slots; i++)
		n += directory->slots[i].n_own;
	return n;
}

static enum qe_error make_owners(struct grants *grants, const struct directory *directory)
{
	struct qe_route *entries = calloc(count_own(directory), sizeof(*entries));
	size_t n = 0;

	if (entries == nullptr)
		return -ENOMEM;
	n += add(entries, directory->local, directory->n_local, QE_NEXT_HOP_LOCAL, 0);
	for (size_t i = 0; i < directory->n_slots; i++)
		n += add(&entries[n], directory->slots[i].own, directory->slots[i].n_own,
			QE_NEXT_HOP_NODE, i);
	enum qe_error error = prefix_map_init(&grants->owners, entries, n);

	free(entries);
	return error;
}

static enum qe_error make_forward(struct grants *grants, const struct qe_node_settings *settings)
{
	struct qe_route *entries = calloc(settings->n_forward + 1, sizeof(*entries));

	if (entries == nullptr)
		return -ENOMEM;
	size_t n = add(entries, settings->forward, settings->n_forward, QE_NEXT_HOP_GATEWAY, 0);
	enum qe_error error = prefix_map_init(&grants->forward, entries, n);

	free(entries);
	return error;
}

static void find_source(struct grants *grants, const struct qe_node_settings *settings)
{
	for (size_t i = settings->n_local; i-- > 0;) {
		const struct qe_prefix *prefix = &settings->local[i];

		if (prefix->addr.family == QE_FAMILY_IPV4 && prefix->length == 32)
			grants->source4 = prefix->addr;
	}
}

enum qe_error grants_init(struct grants *grants, const struct directory *directory,
	const struct qe_node_settings *settings)
{
	*grants = (struct grants){};
	find_source(grants, settings);
	QE_TRY(make_owners(grants, directory));
	enum qe_error error = make_forward(grants, settings);

	if (error != QE_OK)
		grants_done(grants);
	return error;
}

void grants_done(struct grants *grants)
{
	prefix_map_done(&grants->owners);
	prefix_map_done(&grants->forward);
}

/* ---- questions ---- */

/* An exit stands for what nobody else here stands for. */
static bool is_beyond(const struct grants *grants, const struct qe_addr *addr)
{
	const struct qe_route *forward = prefix_map_find(&grants->forward, addr);

	return forward == nullptr || forward->prefix.length == 0;
}

/* A subnet of another node may be forwarded for, and so a gateway sends from there; but in the name
 * of another node itself only if it is granted that very address. As in route/rib_grants.c. */
static bool speaks_for(const struct directory_slot *gateway, const struct qe_route *owner,
	const struct qe_addr *source)
{
	const struct qe_route *grant = prefix_map_find(&gateway->gateway_map, source);

	if (grant == nullptr)
		return false;
	return owner == nullptr || owner->prefix.length < qe_addr_bits(source) ||
	       grant->prefix.length == owner->prefix.length;
}

bool grants_allow_source(
	const struct directory *directory, size_t slot, const struct qe_addr *source)
{
	const struct grants *grants = &directory->grants;
	const struct directory_slot *peer = &directory->slots[slot];
	const struct qe_route *owner = prefix_map_find(&grants->owners, source);

	if (owner != nullptr && owner->next_hop == QE_NEXT_HOP_LOCAL)
		return false;
	if (owner != nullptr && owner->peer == slot)
		return true;
	if (speaks_for(peer, owner, source))
		return true;
	return owner == nullptr && peer->exit && is_beyond(grants, source);
}

uint32_t grants_owner(const struct grants *grants, const struct qe_addr *addr, size_t otherwise)
{
	const struct qe_route *owner = prefix_map_find(&grants->owners, addr);

	return owner != nullptr && owner->next_hop == QE_NEXT_HOP_NODE ? owner->peer
								       : (uint32_t)otherwise;
}

bool grants_forward(const struct grants *grants, const struct qe_addr *source,
	const struct qe_addr *destination)
{
	return prefix_map_find(&grants->forward, destination) != nullptr ||
	       prefix_map_find(&grants->forward, source) != nullptr;
}
