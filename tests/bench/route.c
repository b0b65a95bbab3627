/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The routing table with 1,000,000 IPv4 and 200,000 IPv6 prefixes, beside DIR-24-8 with the same of
 * IPv4. In each round all lookups have their turn, and both tables are asked for the same addresses
 * in the same form. What they find is added up, and the sums have to be the same.
 *
 * A random address is any of IPv4, whether there is a route or not, and for IPv6 one within a
 * random route, as next to none of all addresses have one. Skewed ones: destinations, each within a
 * random route, of which the k-th is asked for in proportion to 1 / k.
 */
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "../tool.h"
#include "net/addr.h"
#include "route/cache.h"
#include "route_tables.h"

constexpr size_t n_ipv4 = 1'000'000;
constexpr size_t n_ipv6 = 200'000;
constexpr size_t n_few = 1000;
constexpr size_t n_asked = 1 << 20;

enum { RANDOM, SKEWED, RANDOM6, SKEWED6, KINDS };
static const char *const kinds[KINDS] = {
	"lookup_random", "lookup_skewed", "lookup_random6", "lookup_skewed6"};

static struct {
	struct qe_route *ipv4, *ipv6;
	struct qe_addr *asked[KINDS];
	struct dir dir;
} bench;

static void tell(const char *subject, const char *measure, const char *unit, double value)
{
	printf("route\t%s\t%s\t%s\t%.6g\n", subject, measure, unit, value);
}

static void *array(size_t n, size_t size)
{
	void *made = calloc(n, size);

	must(made != nullptr, "memory");
	return made;
}

/* ---- what is asked for ---- */

static void ask_random(struct qe_addr *asked, const struct qe_route *routes, size_t n)
{
	static const struct qe_prefix all = {{QE_FAMILY_IPV4}, 0};

	for (size_t i = 0; i < n_asked; i++)
		asked[i] = random_addr_in(
			routes != nullptr ? &routes[random_next() % n].prefix : &all);
}

static void ask_skewed(struct qe_addr *asked, const struct qe_route *routes, size_t n)
{
	struct qe_addr *destinations = array(n_asked, sizeof(*destinations));

	for (size_t i = 0; i < n_asked; i++)
		destinations[i] = random_addr_in(&routes[random_next() % n].prefix);
	/* The sum of 1 / k up to k is about log k. */
	for (size_t i = 0; i < n_asked; i++) {
		double part = (double)(random_next() >> 11) * 0x1p-53;

		asked[i] = destinations[(size_t)(exp(part * log((double)n_asked))) - 1];
	}
	free(destinations);
}

/* ---- lookups ---- */

static uint64_t ask_table(const struct qe_route_snapshot *snapshot, const struct qe_addr *asked)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n_asked; i++)
		sum += qe_route_lookup_hop(snapshot, &asked[i]).value;
	return sum;
}

static uint64_t ask_cache(const struct qe_route_snapshot *snapshot, const struct qe_addr *asked)
{
	static struct qe_route_cache cache;
	uint64_t sum = 0;

	qe_route_cache_init(&cache);
	for (size_t i = 0; i < n_asked; i++)
		sum += qe_route_cache_lookup(&cache, snapshot, &asked[i]).value;
	return sum;
}

static uint64_t ask_dir(const struct dir *dir, const struct qe_addr *asked)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n_asked; i++)
		sum += dir_lookup(dir, qe_load_u32(asked[i].bytes));
	return sum;
}

static void tell_rate(const char *subject, const char *measure, uint64_t start)
{
	tell(subject, measure, "M/s", (double)n_asked * 1e3 / (double)(now() - start));
}

static void measure_lookups(const struct qe_route_snapshot *snapshot)
{
	for (size_t i = 0; i < KINDS; i++) {
		uint64_t start = now();
		uint64_t sum = ask_table(snapshot, bench.asked[i]);

		tell_rate("quicether", kinds[i], start);
		start = now();
		must(sum == ask_cache(snapshot, bench.asked[i]), "the cache does not agree");
		tell_rate("quicether-cached", kinds[i], start);
		if (i == RANDOM6 || i == SKEWED6)
			continue;
		start = now();
		must(sum == ask_dir(&bench.dir, bench.asked[i]), "they do not agree");
		tell_rate("dir-24-8", kinds[i], start);
	}
}

/* ---- loading ---- */

static struct qe_route_table *load(size_t count_ipv4, size_t count_ipv6)
{
	struct qe_route_table *table;

	must(qe_route_table_new(&table) == QE_OK, "table");
	for (size_t i = 0; i < count_ipv4; i++)
		must(qe_route_table_set(table, &bench.ipv4[i]) == QE_OK, "set");
	for (size_t i = 0; i < count_ipv6; i++)
		must(qe_route_table_set(table, &bench.ipv6[i]) == QE_OK, "set");
	return table;
}

static size_t allocated(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static struct qe_route_table *measure_load(void)
{
	size_t before = allocated();
	uint64_t start = now();
	struct qe_route_table *table = load(n_ipv4, n_ipv6);

	tell("quicether", "load", "s", (double)(now() - start) / 1e9);
	tell("quicether", "memory", "MB", (double)(allocated() - before) / 1e6);
	return table;
}

static void measure_few(void)
{
	size_t before = allocated();
	struct qe_route_table *table = load(n_few, 0);

	tell("quicether", "memory_per_route_of_1000", "bytes",
		(double)(allocated() - before) / (double)n_few);
	tell("dir-24-8", "memory_per_route_of_1000", "bytes",
		(double)dir_memory(&bench.dir) / (double)n_few);
	qe_route_table_free(table);
}

static int compare_length(const void *a, const void *b)
{
	const struct qe_route *left = a, *right = b;

	return left->prefix.length - right->prefix.length;
}

static void fill_dir(void)
{
	struct qe_route *routes = array(n_ipv4, sizeof(*routes));

	memcpy(routes, bench.ipv4, n_ipv4 * sizeof(*routes));
	qsort(routes, n_ipv4, sizeof(*routes), compare_length);
	dir_init(&bench.dir);
	for (size_t i = 0; i < n_ipv4; i++)
		dir_add(&bench.dir, &routes[i].prefix, (uint16_t)qe_hop_of(&routes[i]).value);
	free(routes);
	tell("dir-24-8", "memory", "MB", (double)dir_memory(&bench.dir) / 1e6);
}

/* ---- updates beside a reader ---- */

constexpr size_t n_updates = 200'000;
constexpr size_t batch = 64;
constexpr size_t waiting_max = 4096;

static struct {
	const struct qe_route_snapshot *_Atomic snapshot;
	_Atomic size_t published, seen;
	atomic_bool over;
	uint64_t lookups;
} shared;

static void *read_on(void *)
{
	uint64_t sum = 0, n = 0;

	while (!atomic_load_explicit(&shared.over, memory_order_relaxed)) {
		size_t published = atomic_load_explicit(&shared.published, memory_order_acquire);
		const struct qe_route_snapshot *snapshot = atomic_load(&shared.snapshot);

		for (size_t i = 0; i < batch; i++) {
			const struct qe_addr *addr = &bench.asked[RANDOM][n++ % n_asked];

			sum += qe_route_lookup_hop(snapshot, addr).value;
		}
		atomic_store_explicit(&shared.seen, published, memory_order_release);
	}
	shared.lookups = n;
	return (void *)(uintptr_t)sum;
}

struct history {
	const struct qe_route_snapshot *snapshots[waiting_max];
	size_t first, next;
};

static void publish(struct qe_route_table *table, struct history *history)
{
	const struct qe_route_snapshot *snapshot;

	must(qe_route_table_publish(table, &snapshot) == QE_OK, "publish");
	history->snapshots[history->next % waiting_max] = snapshot;
	atomic_store(&shared.snapshot, snapshot);
	atomic_store_explicit(&shared.published, history->next++, memory_order_release);
	do {
		while (history->first < atomic_load_explicit(&shared.seen, memory_order_acquire))
			qe_route_table_release(
				table, history->snapshots[history->first++ % waiting_max]);
	} while (history->next - history->first == waiting_max);
}

/* A route goes, or one that went before comes back, or another takes its place; a snapshot each. */
static void update_all(struct qe_route_table *table, struct history *history)
{
	for (size_t i = 0; i < n_updates; i++) {
		struct qe_route *route = i % 4 < 3 ? &bench.ipv4[random_next() % n_ipv4]
						   : &bench.ipv6[random_next() % n_ipv6];

		if (i % 2 == 0 || qe_route_table_remove(table, &route->prefix) != QE_OK)
			must(qe_route_table_set(table, route) == QE_OK, "set");
		publish(table, history);
	}
}

static void measure_updates(struct qe_route_table *table)
{
	static struct history history;
	pthread_t reader;

	history = (struct history){};
	shared.published = shared.seen = 0;
	shared.over = false;
	publish(table, &history);
	must(pthread_create(&reader, nullptr, read_on, nullptr) == 0, "thread");
	uint64_t start = now();

	update_all(table, &history);
	double seconds = (double)(now() - start) / 1e9;

	shared.over = true;
	pthread_join(reader, nullptr);
	while (history.first < history.next)
		qe_route_table_release(table, history.snapshots[history.first++ % waiting_max]);
	tell("quicether", "updates", "/s", (double)n_updates / seconds);
	tell("quicether", "lookup_beside_updates", "M/s", (double)shared.lookups / seconds / 1e6);
}

int main(int argc, char **argv)
{
	size_t rounds = argc == 2 ? number(argv[1], 1, 1000) : 5;

	bench.ipv4 = routes_like_internet(QE_FAMILY_IPV4, n_ipv4);
	bench.ipv6 = routes_like_internet(QE_FAMILY_IPV6, n_ipv6);
	for (size_t i = 0; i < KINDS; i++)
		bench.asked[i] = array(n_asked, sizeof(struct qe_addr));
	ask_random(bench.asked[RANDOM], nullptr, 0);
	ask_skewed(bench.asked[SKEWED], bench.ipv4, n_ipv4);
	ask_random(bench.asked[RANDOM6], bench.ipv6, n_ipv6);
	ask_skewed(bench.asked[SKEWED6], bench.ipv6, n_ipv6);
	fill_dir();
	for (size_t i = 0; i < rounds; i++) {
		struct qe_route_table *table = measure_load();
		const struct qe_route_snapshot *snapshot;

		must(qe_route_table_publish(table, &snapshot) == QE_OK, "publish");
		measure_lookups(snapshot);
		qe_route_table_release(table, snapshot);
		measure_updates(table);
		qe_route_table_free(table);
		measure_few();
	}
	return 0;
}
