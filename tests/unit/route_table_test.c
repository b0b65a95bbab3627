/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Longest-prefix match, with a scan of the whole list as the oracle; snapshots, which are compared
 * with lists of their time; and readers beside the writer. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "net/addr.h"
#include "random.h"
#include "route/cache.h"
#include "route/table.h"

constexpr size_t routes_max = 14000;
constexpr size_t snapshots_max = 6;

/* Sanitizers take their time. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t part = 5;
#else
constexpr size_t part = 1;
#endif

/* ---- the oracle ---- */

struct bits {
	uint64_t high, low;
};

struct entry {
	struct qe_route route;
	struct bits value, mask;
};

struct list {
	size_t n;
	struct entry entries[routes_max];
};

static uint64_t load(const uint8_t *at)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value = value << 8 | at[i];
	return value;
}

static struct bits bits_of(const struct qe_addr *addr)
{
	return (struct bits){load(addr->bytes), load(addr->bytes + 8)};
}

static struct bits mask_of(unsigned length)
{
	struct bits mask = {};

	for (unsigned i = 0; i < length; i++)
		*(i < 64 ? &mask.high : &mask.low) |= UINT64_C(1) << (63 - i % 64);
	return mask;
}

static const struct qe_route *naive_lookup(const struct list *list, const struct qe_addr *addr)
{
	struct bits key = bits_of(addr);
	const struct entry *best = nullptr;

	for (size_t i = 0; i < list->n; i++) {
		const struct entry *entry = &list->entries[i];

		if (((key.high ^ entry->value.high) & entry->mask.high) == 0 &&
			((key.low ^ entry->value.low) & entry->mask.low) == 0 &&
			entry->route.prefix.addr.family == addr->family &&
			(best == nullptr || entry->route.prefix.length > best->route.prefix.length))
			best = entry;
	}
	return best != nullptr ? &best->route : nullptr;
}

static struct entry *naive_find(struct list *list, const struct qe_prefix *prefix)
{
	for (size_t i = 0; i < list->n; i++)
		if (qe_prefix_compare(&list->entries[i].route.prefix, prefix) == 0)
			return &list->entries[i];
	return nullptr;
}

static void naive_set(struct list *list, const struct qe_route *route)
{
	struct entry *entry = naive_find(list, &route->prefix);

	if (entry == nullptr)
		entry = &list->entries[list->n++];
	*entry = (struct entry){
		*route, bits_of(&route->prefix.addr), mask_of(route->prefix.length)};
}

static bool naive_remove(struct list *list, const struct qe_prefix *prefix)
{
	struct entry *entry = naive_find(list, prefix);

	if (entry == nullptr)
		return false;
	*entry = list->entries[--list->n];
	return true;
}

/* ---- random input ---- */

static bool ipv4_only;

static struct qe_addr random_addr(void)
{
	bool ipv4 = ipv4_only || random_below(2);
	struct qe_addr addr = {.family = ipv4 ? QE_FAMILY_IPV4 : QE_FAMILY_IPV6};
	uint64_t bytes[2] = {random_u64(), random_u64()};

	memcpy(addr.bytes, bytes, qe_addr_bits(&addr) / 8);
	return addr;
}

/* Another address that shares a random number of leading bits. */
static struct qe_addr random_neighbour(struct qe_addr addr)
{
	unsigned kept = (unsigned)random_below(qe_addr_bits(&addr) + 1);
	struct qe_addr other = random_addr();

	for (unsigned i = 0; i < qe_addr_bits(&addr) / 8; i++) {
		unsigned own = kept > 8 * i ? kept - 8 * i : 0;
		uint8_t mask = own >= 8 ? 0xff : (uint8_t)~(0xff >> own);

		addr.bytes[i] = (addr.bytes[i] & mask) | (other.bytes[i] & (uint8_t)~mask);
	}
	return addr;
}

static struct qe_prefix random_prefix(const struct list *list)
{
	struct qe_addr addr = random_addr();

	if (list->n > 0 && random_below(8) > 0)
		addr = random_neighbour(list->entries[random_below(list->n)].route.prefix.addr);
	struct qe_prefix prefix = {addr, (uint8_t)random_below(qe_addr_bits(&addr) + 1)};

	if (random_below(4) == 0)
		prefix.length = (uint8_t)qe_addr_bits(&addr);
	qe_prefix_mask(&prefix);
	return prefix;
}

static struct qe_route random_route(const struct list *list)
{
	struct qe_route route = {
		.prefix = random_prefix(list), .next_hop = (enum qe_next_hop)random_below(3)};

	if (list->n > 0 && random_below(8) == 0)
		route.prefix = list->entries[random_below(list->n)].route.prefix;
	route.peer = (uint32_t)random_below(random_below(16) ? 1000 : 1 << 20);
	return route;
}

/* ---- checks ---- */

static bool same_route(const struct qe_route *a, const struct qe_route *b)
{
	return qe_prefix_compare(&a->prefix, &b->prefix) == 0 && a->next_hop == b->next_hop &&
	       a->peer == b->peer;
}

static bool same_hop(struct qe_hop hop, const struct qe_route *route)
{
	if (route == nullptr)
		return !qe_hop_found(hop);
	return qe_hop_found(hop) && qe_hop_next_hop(hop) == route->next_hop &&
	       qe_hop_peer(hop) == route->peer;
}

static size_t lookups;
static struct qe_route_cache cache;

static void check_lookup(const struct list *list, const struct qe_route_snapshot *snapshot,
	const struct qe_addr *addr)
{
	const struct qe_route *expected = naive_lookup(list, addr);
	const struct qe_route *route = qe_route_lookup(snapshot, addr);

	lookups++;
	assert_true(same_hop(qe_route_cache_lookup(&cache, snapshot, addr), expected));
	assert_true(same_hop(qe_route_lookup_hop(snapshot, addr), expected));
	if (expected == nullptr ? route != nullptr
				: route == nullptr || !same_route(route, expected)) {
		char text[QE_ADDR_TEXT_SIZE], prefix[QE_PREFIX_TEXT_SIZE] = "none";

		qe_addr_format(text, addr);
		if (route != nullptr)
			qe_prefix_format(prefix, &route->prefix);
		print_error("%s: the route found: %s\n", text, prefix);
		if (expected != nullptr)
			qe_prefix_format(prefix, &expected->prefix);
		fail_msg("expected: %s", expected != nullptr ? prefix : "none");
	}
}

/* One up or down, as a number; false where it would wrap around. */
static bool step(struct qe_addr *addr, bool up)
{
	uint8_t edge = up ? 0xff : 0;

	for (size_t i = qe_addr_bits(addr) / 8; i-- > 0;) {
		bool carry = addr->bytes[i] == edge;

		addr->bytes[i] += up ? 1 : 0xff;
		if (!carry)
			return true;
	}
	return false;
}

static void check_edges(const struct list *list, const struct qe_route_snapshot *snapshot,
	const struct qe_prefix *prefix)
{
	struct qe_addr first = prefix->addr, last = prefix->addr;

	for (unsigned i = prefix->length; i < qe_addr_bits(&last); i++)
		last.bytes[i / 8] |= (uint8_t)(1u << (7 - i % 8));
	check_lookup(list, snapshot, &first);
	check_lookup(list, snapshot, &last);
	if (step(&first, false))
		check_lookup(list, snapshot, &first);
	if (step(&last, true))
		check_lookup(list, snapshot, &last);
}

static void check_lookups(
	const struct list *list, const struct qe_route_snapshot *snapshot, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct qe_prefix *prefix =
			list->n > 0 ? &list->entries[random_below(list->n)].route.prefix : nullptr;
		struct qe_addr addr = random_addr();

		if (prefix != nullptr && i % 8 == 0) {
			check_edges(list, snapshot, prefix);
			continue;
		}
		if (prefix != nullptr && i % 8 > 1)
			addr = random_neighbour(prefix->addr);
		check_lookup(list, snapshot, &addr);
	}
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	return qe_prefix_compare(&left->route.prefix, &right->route.prefix);
}

struct visited {
	const struct list *list;
	size_t n;
};

static void check_visited(void *ctx, const struct qe_route *route)
{
	struct visited *visited = ctx;

	assert_true(visited->n < visited->list->n);
	assert_true(same_route(route, &visited->list->entries[visited->n++].route));
}

/* Sorts the list. */
static void check_all(struct list *list, const struct qe_route_snapshot *snapshot)
{
	struct visited visited = {list, 0};

	qsort(list->entries, list->n, sizeof(list->entries[0]), compare_entries);
	qe_route_visit(snapshot, check_visited, &visited);
	assert_int_equal(visited.n, list->n);
	for (size_t i = 0; i < list->n; i++) {
		const struct qe_route *route = qe_route_find(
			snapshot, &list->entries[i].route.prefix);

		assert_non_null(route);
		assert_true(same_route(route, &list->entries[i].route));
	}
	for (size_t i = 0; i < 20; i++) {
		struct qe_prefix prefix = random_prefix(list);

		assert_true((qe_route_find(snapshot, &prefix) != nullptr) ==
			    (naive_find(list, &prefix) != nullptr));
	}
}

/* ---- no memory ---- */

static size_t allocations_left = SIZE_MAX;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	if (allocations_left == 0)
		return nullptr;
	allocations_left--;
	return __real_malloc(size);
}

/* ---- a table and what it should show ---- */

struct pair {
	struct qe_route_table *table;
	struct list list;
	struct moment {
		const struct qe_route_snapshot *snapshot;
		struct list *list;
	} moments[snapshots_max];
};

static void pair_init(struct pair *pair)
{
	memset(pair, 0, sizeof(*pair));
	qe_route_cache_init(&cache);
	assert_int_equal(qe_route_table_new(&pair->table), QE_OK);
}

static void release(struct pair *pair, struct moment *moment)
{
	qe_route_table_release(pair->table, moment->snapshot);
	free(moment->list);
	*moment = (struct moment){};
}

static void pair_done(struct pair *pair)
{
	for (size_t i = 0; i < snapshots_max; i++)
		release(pair, &pair->moments[i]);
	assert_null(qe_route_table_free(pair->table));
}

static bool memory_is_scarce;

static enum qe_error change_table(
	struct qe_route_table *table, const struct qe_route *route, bool remove)
{
	if (memory_is_scarce && random_below(8) == 0)
		allocations_left = random_below(8);
	enum qe_error error = remove ? qe_route_table_remove(table, &route->prefix)
				     : qe_route_table_set(table, route);

	allocations_left = SIZE_MAX;
	return error;
}

static void change(struct pair *pair, size_t aim)
{
	struct list *list = &pair->list;
	struct qe_route route = random_route(list);
	bool remove = list->n == routes_max || random_below(aim) < list->n;
	enum qe_error error;

	if (remove && random_below(16) > 0)
		route = list->entries[random_below(list->n)].route;
	error = change_table(pair->table, &route, remove);
	if (error == -ENOMEM)
		assert_true(memory_is_scarce);
	else if (remove)
		assert_int_equal(
			error, naive_remove(list, &route.prefix) ? QE_OK : QE_ERR_NOT_FOUND);
	else
		naive_set(list, &route);
	assert_int_equal(qe_route_table_count(pair->table), list->n);
}

static void publish(struct pair *pair, struct moment *moment)
{
	release(pair, moment);
	moment->list = malloc(sizeof(*moment->list));
	assert_non_null(moment->list);
	memcpy(moment->list, &pair->list,
		offsetof(struct list, entries) + pair->list.n * sizeof(struct entry));
	assert_int_equal(qe_route_table_publish(pair->table, &moment->snapshot), QE_OK);
}

/* Changes, and looks at the newest snapshot and at an older one. */
static void churn(struct pair *pair, size_t aim, size_t changes, size_t n_lookups)
{
	struct moment *moment = &pair->moments[random_below(snapshots_max)];

	for (size_t i = 0; i < changes; i++)
		change(pair, aim);
	publish(pair, moment);
	check_lookups(moment->list, moment->snapshot, n_lookups);
	moment = &pair->moments[random_below(snapshots_max)];
	if (moment->snapshot == nullptr)
		return;
	check_lookups(moment->list, moment->snapshot, n_lookups / 4);
	if (random_below(8) == 0)
		check_all(moment->list, moment->snapshot);
	if (random_below(4) == 0)
		release(pair, moment);
}

/* ---- tests ---- */

static void lookups_agree_with_a_scan(void **)
{
	static const struct {
		size_t aim, changes, lookups, rounds, tables;
	} kinds[] = {
		{4, 1, 100, 200, 50},
		{60, 4, 1000, 140, 40},
		{3000, 1200, 500, 30, 4},
	};
	static struct pair pair;

	lookups = 0;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		for (size_t table = 0; table < kinds[i].tables; table++) {
			pair_init(&pair);
			for (size_t round = 0; round < kinds[i].rounds / part; round++)
				churn(&pair, kinds[i].aim, kinds[i].changes, kinds[i].lookups);
			pair_done(&pair);
		}
	}
	print_message("%zu lookups\n", lookups);
	assert_true(lookups >= 10000000 / part);
}

static struct qe_route route_to(const char *prefix, enum qe_next_hop next_hop, uint32_t peer)
{
	struct qe_route route = {.next_hop = next_hop, .peer = peer};

	assert_int_equal(qe_prefix_parse(&route.prefix, prefix), QE_OK);
	return route;
}

static void set(struct qe_route_table *table, const char *prefix, uint32_t peer)
{
	struct qe_route route = route_to(prefix, QE_NEXT_HOP_NODE, peer);

	assert_int_equal(qe_route_table_set(table, &route), QE_OK);
}

static const struct qe_route *look_up(const struct qe_route_snapshot *snapshot, const char *text)
{
	struct qe_addr addr;

	assert_int_equal(qe_addr_parse(&addr, text), QE_OK);
	return qe_route_lookup(snapshot, &addr);
}

static void default_routes_keep_to_their_family(void **)
{
	const struct qe_route_snapshot *none = nullptr, *v4 = nullptr, *both = nullptr;
	struct qe_route_table *table = nullptr;

	assert_int_equal(qe_route_table_new(&table), QE_OK);
	assert_int_equal(qe_route_table_publish(table, &none), QE_OK);
	set(table, "0.0.0.0/0", 4);
	assert_int_equal(qe_route_table_publish(table, &v4), QE_OK);
	set(table, "::/0", 6);
	assert_int_equal(qe_route_table_publish(table, &both), QE_OK);
	assert_null(look_up(none, "0.0.0.0"));
	assert_null(look_up(none, "::1"));
	assert_int_equal(look_up(v4, "0.0.0.0")->peer, 4);
	assert_int_equal(look_up(v4, "255.255.255.255")->peer, 4);
	assert_null(look_up(v4, "::"));
	assert_int_equal(look_up(both, "255.255.255.255")->peer, 4);
	assert_int_equal(look_up(both, "::")->peer, 6);
	assert_int_equal(look_up(both, "ffff::ffff")->peer, 6);
	qe_route_table_release(table, v4);
	qe_route_table_release(table, both);
	qe_route_table_release(table, none);
	qe_route_table_release(table, nullptr);
	assert_null(qe_route_table_free(table));
	assert_null(qe_route_table_free(nullptr));
}

/* What has come and gone leaves nothing behind; and what one set of routes takes is always the
 * same. */
static void memory_is_that_of_the_routes(void **)
{
	static struct pair pair, again;

	pair_init(&pair);
	size_t empty = qe_route_table_memory(pair.table);

	for (unsigned round = 0; round < 300; round++)
		churn(&pair, 500, 20, 0);
	for (size_t i = 0; i < snapshots_max; i++)
		release(&pair, &pair.moments[i]);
	pair_init(&again);
	while (again.list.n < pair.list.n) {
		const struct qe_route *route = &pair.list.entries[again.list.n].route;

		naive_set(&again.list, route);
		assert_int_equal(qe_route_table_set(again.table, route), QE_OK);
	}
	assert_int_equal(qe_route_table_memory(pair.table), qe_route_table_memory(again.table));
	for (size_t i = 0; i < pair.list.n; i++)
		assert_int_equal(
			qe_route_table_remove(pair.table, &pair.list.entries[i].route.prefix),
			QE_OK);
	assert_int_equal(qe_route_table_memory(pair.table), empty);
	pair_done(&pair);
	pair_done(&again);
}

/* ---- changes without memory ---- */

/* Whether it could be done with that many allocations. */
static bool change_with(struct pair *pair, const struct qe_route *route, bool remove, size_t n)
{
	size_t count = qe_route_table_count(pair->table);
	enum qe_error error;

	allocations_left = n;
	if (remove)
		error = qe_route_table_remove(pair->table, &route->prefix);
	else
		error = qe_route_table_set(pair->table, route);
	allocations_left = SIZE_MAX;
	if (error == QE_OK)
		return true;
	assert_int_equal(error, -ENOMEM);
	assert_int_equal(qe_route_table_count(pair->table), count);
	return false;
}

static void a_change_that_fails_changes_nothing(void **)
{
	static struct pair pair;
	size_t failures = 0;

	pair_init(&pair);
	for (unsigned round = 0; round < 3000; round++) {
		bool remove = random_below(40) < pair.list.n;
		struct qe_route route = random_route(&pair.list);

		if (remove)
			route = pair.list.entries[random_below(pair.list.n)].route;
		for (size_t n = 0; !change_with(&pair, &route, remove, n); n++) {
			struct moment *moment = &pair.moments[random_below(snapshots_max)];

			publish(&pair, moment);
			check_all(moment->list, moment->snapshot);
			failures++;
		}
		if (remove)
			naive_remove(&pair.list, &route.prefix);
		else
			naive_set(&pair.list, &route);
	}
	assert_true(failures > 3000);
	pair_done(&pair);
}

/* From 4,096 IPv4 routes on, down to 2,048, and unless there was no memory for it. */
static void a_large_table_has_an_index(void **)
{
	static const size_t aims[] = {14000, 3000, 14000};
	static struct pair pair;

	pair_init(&pair);
	ipv4_only = true;
	while (pair.list.n < 4095)
		change(&pair, SIZE_MAX);
	size_t before = qe_route_table_memory(pair.table);

	while (pair.list.n < 4096)
		change(&pair, SIZE_MAX);
	assert_true(qe_route_table_memory(pair.table) > before + 100000);
	for (size_t i = 0; i < 60 / part; i++)
		churn(&pair, 10000, 100, 200);
	memory_is_scarce = true;
	for (size_t phase = 0; phase < 3; phase++)
		for (size_t i = 0; i < 20; i++)
			churn(&pair, aims[phase], 500, 200 / part);
	memory_is_scarce = ipv4_only = false;
	pair_done(&pair);
}

/* ---- readers beside the writer ---- */

constexpr size_t n_readers = 2;

static struct {
	const struct qe_route_snapshot *_Atomic snapshot;
	atomic_uint published, seen[n_readers];
	atomic_bool over;
} shared;

struct reader {
	pthread_t thread;
	size_t index;
	uint64_t state;
	size_t wrong;
};

/* Of all routes in there: whom they are for follows from their prefix. */
static uint32_t peer_of(const struct qe_prefix *prefix)
{
	return prefix->length * 256u + prefix->addr.bytes[0];
}

static void *read_on(void *ctx)
{
	struct reader *reader = ctx;

	while (!atomic_load(&shared.over)) {
		unsigned published = atomic_load(&shared.published);
		const struct qe_route_snapshot *snapshot = atomic_load(&shared.snapshot);

		for (unsigned i = 0; i < 50; i++) {
			reader->state = reader->state * UINT64_C(6364136223846793005) +
					UINT64_C(1442695040888963407);
			struct qe_addr addr = {.family = QE_FAMILY_IPV4,
				.bytes = {(uint8_t)(reader->state >> 62),
					(uint8_t)(reader->state >> 54),
					(uint8_t)(reader->state >> 46)}};
			const struct qe_route *route = qe_route_lookup(snapshot, &addr);

			reader->wrong += route == nullptr ||
					 !qe_prefix_contains(&route->prefix, &addr) ||
					 route->peer != peer_of(&route->prefix);
		}
		atomic_store(&shared.seen[reader->index], published);
	}
	return nullptr;
}

/* The snapshots before the one that all readers have seen. */
struct waiting {
	const struct qe_route_snapshot *snapshots[64];
	unsigned first, next;
};

static void publish_to_readers(struct qe_route_table *table, struct waiting *waiting)
{
	unsigned oldest = waiting->next;
	const struct qe_route_snapshot *snapshot;

	assert_int_equal(qe_route_table_publish(table, &snapshot), QE_OK);
	waiting->snapshots[waiting->next % 64] = snapshot;
	atomic_store(&shared.snapshot, snapshot);
	atomic_store(&shared.published, waiting->next++);
	do {
		oldest = waiting->next - 1;
		for (size_t i = 0; i < n_readers; i++) {
			unsigned seen = atomic_load(&shared.seen[i]); /* once: it grows */

			if (seen < oldest)
				oldest = seen;
		}
		while (waiting->first < oldest)
			qe_route_table_release(table, waiting->snapshots[waiting->first++ % 64]);
	} while (waiting->next - waiting->first == 64);
}

static struct qe_prefix random_small_prefix(void)
{
	struct qe_prefix prefix = {{QE_FAMILY_IPV4}, (uint8_t)random_below(25)};

	random_fill(prefix.addr.bytes, 3);
	prefix.addr.bytes[0] &= 3;
	qe_prefix_mask(&prefix);
	return prefix;
}

static void churn_beside_readers(struct qe_route_table *table, struct waiting *waiting)
{
	for (unsigned i = 0; i < 20000; i++) {
		struct qe_route route = {random_small_prefix(), QE_NEXT_HOP_NODE};

		route.peer = peer_of(&route.prefix);
		if (random_below(2))
			assert_int_equal(qe_route_table_set(table, &route), QE_OK);
		else if (route.prefix.length > 0)
			(void)qe_route_table_remove(table, &route.prefix);
		if (random_below(4) == 0)
			publish_to_readers(table, waiting);
	}
}

static void readers_never_see_a_change(void **)
{
	struct reader readers[n_readers] = {};
	struct waiting waiting = {};
	struct qe_route_table *table = nullptr;

	assert_int_equal(qe_route_table_new(&table), QE_OK);
	set(table, "0.0.0.0/0", 0);
	assert_int_equal(qe_route_table_publish(table, &waiting.snapshots[waiting.next++]), QE_OK);
	shared.snapshot = waiting.snapshots[0];
	for (size_t i = 0; i < n_readers; i++) {
		readers[i].index = i;
		readers[i].state = random_u64();
		assert_int_equal(
			pthread_create(&readers[i].thread, nullptr, read_on, &readers[i]), 0);
	}
	churn_beside_readers(table, &waiting);
	atomic_store(&shared.over, true);
	for (size_t i = 0; i < n_readers; i++) {
		assert_int_equal(pthread_join(readers[i].thread, nullptr), 0);
		assert_int_equal(readers[i].wrong, 0);
	}
	while (waiting.first < waiting.next)
		qe_route_table_release(table, waiting.snapshots[waiting.first++ % 64]);
	qe_route_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lookups_agree_with_a_scan),
		cmocka_unit_test(default_routes_keep_to_their_family),
		cmocka_unit_test(memory_is_that_of_the_routes),
		cmocka_unit_test(a_change_that_fails_changes_nothing),
		cmocka_unit_test(a_large_table_has_an_index),
		cmocka_unit_test(readers_never_see_a_change),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
