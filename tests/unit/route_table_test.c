/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Longest-prefix match, with a scan of the whole list, bit by bit, as the oracle. */
#include <string.h>

#include "net/addr.h"
#include "random.h"
#include "route/table.h"

#define TABLES 400
#define ROUTES_MAX 300
#define LOOKUPS 50

struct list {
	struct qe_route routes[ROUTES_MAX];
	size_t n;
};

/* ---- the oracle ---- */

static bool bit(const struct qe_addr *addr, unsigned i)
{
	return addr->bytes[i / 8] >> (7 - i % 8) & 1;
}

static bool naive_contains(const struct qe_prefix *prefix, const struct qe_addr *addr)
{
	if (prefix->addr.family != addr->family)
		return false;
	for (unsigned i = 0; i < prefix->length; i++)
		if (bit(&prefix->addr, i) != bit(addr, i))
			return false;
	return true;
}

static const struct qe_route *naive_lookup(const struct list *list, const struct qe_addr *addr)
{
	const struct qe_route *best = nullptr;

	for (size_t i = 0; i < list->n; i++) {
		const struct qe_route *route = &list->routes[i];

		if (naive_contains(&route->prefix, addr) &&
			(best == nullptr || route->prefix.length > best->prefix.length))
			best = route;
	}
	return best;
}

static bool same_prefix(const struct qe_prefix *a, const struct qe_prefix *b)
{
	return a->length == b->length && naive_contains(a, &b->addr);
}

static bool same_hop(const struct qe_route *a, const struct qe_route *b)
{
	return a->next_hop == b->next_hop &&
	       (a->next_hop == QE_NEXT_HOP_LOCAL || a->peer == b->peer);
}

static bool naive_conflict(const struct list *list)
{
	for (size_t i = 0; i < list->n; i++)
		for (size_t j = 0; j < i; j++)
			if (same_prefix(&list->routes[i].prefix, &list->routes[j].prefix) &&
				!same_hop(&list->routes[i], &list->routes[j]))
				return true;
	return false;
}

/* ---- random tables ---- */

static struct qe_addr random_addr(void)
{
	struct qe_addr addr = {.family = random_below(2) ? QE_FAMILY_IPV4 : QE_FAMILY_IPV6};

	random_fill(addr.bytes, qe_addr_bits(&addr) / 8);
	return addr;
}

/* Another address that shares a random number of leading bits. */
static struct qe_addr random_neighbour(struct qe_addr addr)
{
	unsigned bits = qe_addr_bits(&addr);

	for (unsigned i = (unsigned)random_below(bits + 1); i < bits; i++)
		if (random_below(2))
			addr.bytes[i / 8] ^= (uint8_t)(1u << (7 - i % 8));
	return addr;
}

static struct qe_prefix random_prefix(const struct list *list)
{
	struct qe_addr addr = random_addr();

	if (list->n > 0 && random_below(8) > 0)
		addr = random_neighbour(list->routes[random_below(list->n)].prefix.addr);
	struct qe_prefix prefix = {addr, (uint8_t)random_below(qe_addr_bits(&addr) + 1)};

	qe_prefix_mask(&prefix);
	return prefix;
}

static struct qe_route random_route(const struct list *list)
{
	struct qe_route route = {.prefix = random_prefix(list), .peer = (uint32_t)random_below(5)};

	route.next_hop = random_below(3) ? QE_NEXT_HOP_NODE : QE_NEXT_HOP_LOCAL;
	return route;
}

static const struct qe_route *find_prefix(const struct list *list, const struct qe_prefix *prefix)
{
	for (size_t i = 0; i < list->n; i++)
		if (same_prefix(&list->routes[i].prefix, prefix))
			return &list->routes[i];
	return nullptr;
}

/* With many nested prefixes and some routes twice. No two disagree. */
static void make_list(struct list *list)
{
	size_t n = random_below(random_below(2) ? 8 : ROUTES_MAX);

	for (list->n = 0; list->n < n; list->n++) {
		struct qe_route route = random_route(list);
		const struct qe_route *same = find_prefix(list, &route.prefix);

		if (list->n > 0 && random_below(16) == 0)
			same = &list->routes[random_below(list->n)];
		list->routes[list->n] = same != nullptr ? *same : route;
	}
}

/* ---- checks ---- */

static void check_lookup(
	const struct list *list, const struct qe_route_table *table, const struct qe_addr *addr)
{
	const struct qe_route *expected = naive_lookup(list, addr);
	const struct qe_route *route = qe_route_lookup(table, addr);

	if (expected == nullptr) {
		assert_null(route);
		return;
	}
	assert_non_null(route);
	assert_true(same_prefix(&route->prefix, &expected->prefix));
	assert_true(same_hop(route, expected));
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

static void check_edges(
	const struct list *list, const struct qe_route_table *table, const struct qe_prefix *prefix)
{
	struct qe_addr first = prefix->addr, last = prefix->addr;

	for (unsigned i = prefix->length; i < qe_addr_bits(&last); i++)
		last.bytes[i / 8] |= (uint8_t)(1u << (7 - i % 8));
	check_lookup(list, table, &first);
	check_lookup(list, table, &last);
	if (step(&first, false))
		check_lookup(list, table, &first);
	if (step(&last, true))
		check_lookup(list, table, &last);
}

static void lookups_agree_with_a_scan(void **)
{
	static struct list list;

	for (unsigned round = 0; round < TABLES; round++) {
		struct qe_route_table *table = nullptr;

		make_list(&list);
		assert_int_equal(qe_route_table_new(&table, list.routes, list.n), QE_OK);
		for (size_t i = 0; i < list.n; i++)
			check_edges(&list, table, &list.routes[i].prefix);
		for (unsigned i = 0; i < LOOKUPS; i++) {
			struct qe_addr addr = random_addr();

			if (list.n > 0 && random_below(4) > 0)
				addr = random_neighbour(
					list.routes[random_below(list.n)].prefix.addr);
			check_lookup(&list, table, &addr);
		}
		qe_route_table_free(table);
	}
}

static struct qe_route route_to(const char *prefix, enum qe_next_hop next_hop, uint32_t peer)
{
	struct qe_route route = {.next_hop = next_hop, .peer = peer};

	assert_int_equal(qe_prefix_parse(&route.prefix, prefix), QE_OK);
	return route;
}

static const struct qe_route *look_up(const struct qe_route_table *table, const char *text)
{
	struct qe_addr addr;

	assert_int_equal(qe_addr_parse(&addr, text), QE_OK);
	return qe_route_lookup(table, &addr);
}

static void default_routes_keep_to_their_family(void **)
{
	struct qe_route v4[] = {route_to("0.0.0.0/0", QE_NEXT_HOP_NODE, 4)};
	struct qe_route v6[] = {route_to("::/0", QE_NEXT_HOP_NODE, 6)};
	struct qe_route_table *table = nullptr;

	assert_int_equal(qe_route_table_new(&table, v4, 1), QE_OK);
	assert_int_equal(look_up(table, "0.0.0.0")->peer, 4);
	assert_int_equal(look_up(table, "255.255.255.255")->peer, 4);
	assert_null(look_up(table, "::"));
	qe_route_table_free(table);
	assert_int_equal(qe_route_table_new(&table, v6, 1), QE_OK);
	assert_null(look_up(table, "255.255.255.255"));
	assert_int_equal(look_up(table, "::")->peer, 6);
	assert_int_equal(look_up(table, "ffff::ffff")->peer, 6);
	qe_route_table_free(table);
}

static void an_empty_table_knows_nothing(void **)
{
	struct qe_route_table *table = nullptr;

	assert_int_equal(qe_route_table_new(&table, nullptr, 0), QE_OK);
	assert_null(look_up(table, "0.0.0.0"));
	assert_null(look_up(table, "::1"));
	assert_null(qe_route_table_free(table));
	assert_null(qe_route_table_free(nullptr));
}

static void finds_conflicts(void **)
{
	static struct list list;
	unsigned conflicts = 0;

	for (unsigned round = 0; round < TABLES; round++) {
		struct qe_route_table *untouched = (struct qe_route_table *)&list;
		struct qe_route_table *table = untouched;

		make_list(&list);
		if (list.n > 1 && random_below(2)) {
			struct qe_route *one = &list.routes[random_below(list.n)];

			*one = list.routes[random_below(list.n)];
			one->next_hop = random_below(2) ? QE_NEXT_HOP_NODE : QE_NEXT_HOP_LOCAL;
			one->peer = (uint32_t)random_below(5);
		}
		bool conflict = naive_conflict(&list);

		conflicts += conflict;
		assert_int_equal(qe_route_table_new(&table, list.routes, list.n),
			conflict ? QE_ERR_CONFLICT : QE_OK);
		if (conflict)
			assert_ptr_equal(table, untouched);
		else
			qe_route_table_free(table);
	}
	assert_true(conflicts > TABLES / 10);
}

static void a_million_lookups(void **)
{
	static struct qe_route routes[10000];
	static struct qe_addr addrs[4096];
	struct qe_route_table *table = nullptr;
	size_t found = 0;

	for (size_t i = 0; i < 10000; i++) {
		uint8_t bytes[16] = {10, (uint8_t)(i >> 8), (uint8_t)i};
		bool v6 = i % 2;
		struct qe_addr addr = v6 ? qe_addr_ipv6(bytes) : qe_addr_ipv4(bytes);

		routes[i] = (struct qe_route){
			.prefix = {addr, 24}, .next_hop = QE_NEXT_HOP_NODE, .peer = (uint32_t)i};
		addrs[i % 4096] = random_neighbour(addr);
	}
	assert_int_equal(qe_route_table_new(&table, routes, 10000), QE_OK);
	clock_t begin = clock();

	for (unsigned i = 0; i < 1000000; i++)
		found += qe_route_lookup(table, &addrs[i % 4096]) != nullptr;
	double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;

	print_message("%.0f ns a lookup, %zu found\n", seconds * 1000, found);
	assert_true(found > 0 && seconds < 2);
	qe_route_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lookups_agree_with_a_scan),
		cmocka_unit_test(default_routes_keep_to_their_family),
		cmocka_unit_test(an_empty_table_knows_nothing),
		cmocka_unit_test(finds_conflicts),
		cmocka_unit_test(a_million_lookups),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
