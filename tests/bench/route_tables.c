/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "route_tables.h"

#include <stdlib.h>
#include <string.h>

#include "../tool.h"
#include "base/bytes.h"
#include "net/addr.h"

/*
 * How many prefixes of each length a router without a default route had in October 2025: counted in
 * internal/tests/testdata/prefixes.txt.gz of github.com/gaissmai/bart. Lengths with less than one
 * in 10,000 are left out, but for the /32, which make the table that is compared use its second
 * part.
 */
struct share {
	uint8_t length;
	uint32_t count;
};

static const struct share shares_ipv4[] = {{8, 16}, {9, 13}, {10, 38}, {11, 103}, {12, 299},
	{13, 581}, {14, 1203}, {15, 2100}, {16, 13490}, {17, 8235}, {18, 13798}, {19, 24870},
	{20, 42611}, {21, 50750}, {22, 108623}, {23, 96510}, {24, 537698}, {32, 886}, {}};
static const struct share shares_ipv6[] = {{20, 16}, {24, 30}, {27, 20}, {28, 193}, {29, 4371},
	{30, 650}, {31, 284}, {32, 22548}, {33, 2926}, {34, 2603}, {35, 1043}, {36, 5996},
	{37, 880}, {38, 1617}, {39, 1377}, {40, 13418}, {41, 903}, {42, 2301}, {43, 1001},
	{44, 14365}, {45, 1553}, {46, 3039}, {47, 3153}, {48, 75488}, {56, 24}, {58, 20}, {64, 184},
	{126, 19}, {127, 42}, {}};

constexpr size_t n_peers = 1000;
/* In that table so many of 100 lie within a shorter one. */
constexpr size_t inside_ipv4 = 54;
constexpr size_t inside_ipv6 = 57;

uint64_t random_next(void)
{
	static uint64_t state = 1;
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* ---- prefixes ---- */

struct qe_addr random_addr_in(const struct qe_prefix *prefix)
{
	struct qe_addr addr = prefix->addr;
	uint64_t random[2] = {random_next(), random_next()};

	for (unsigned i = 0; i < qe_addr_bits(&addr) / 8; i++) {
		unsigned given = prefix->length > 8 * i ? prefix->length - 8 * i : 0;

		if (given < 8)
			addr.bytes[i] |= ((const uint8_t *)random)[i] & (0xff >> given);
	}
	return addr;
}

/* Where the prefixes lie that are in no other one: 1.0.0.0 to 223.255.255.255, or 2000::/6, of
 * which less than that is in use. */
static struct qe_prefix random_top(uint8_t family)
{
	struct qe_prefix top = {{family, {0x20}}, 6};

	if (family == QE_FAMILY_IPV4) {
		top.length = 8;
		top.addr.bytes[0] = (uint8_t)(1 + random_next() % 223);
	}
	return top;
}

static struct qe_prefix random_prefix(
	uint8_t family, uint8_t length, const struct qe_route *shorter, size_t n_shorter)
{
	size_t inside = family == QE_FAMILY_IPV4 ? inside_ipv4 : inside_ipv6;
	struct qe_prefix around = n_shorter > 0 && random_next() % 100 < inside
					  ? shorter[random_next() % n_shorter].prefix
					  : random_top(family);
	struct qe_prefix prefix = {random_addr_in(&around), length};

	qe_prefix_mask(&prefix);
	return prefix;
}

static int compare(const void *a, const void *b)
{
	const struct qe_route *left = a, *right = b;

	return qe_prefix_compare(&left->prefix, &right->prefix);
}

/* Appends routes with prefixes of one length, each of them once. */
static size_t add_length(
	struct qe_route *routes, size_t n, uint8_t family, uint8_t length, size_t count)
{
	size_t end = n;

	while (end < n + count) {
		size_t kept = n + 1;

		for (; end < n + count; end++)
			routes[end] = (struct qe_route){
				.prefix = random_prefix(family, length, routes, n),
				.next_hop = QE_NEXT_HOP_NODE,
				.peer = (uint32_t)(random_next() % n_peers)};
		qsort(&routes[n], count, sizeof(*routes), compare);
		for (size_t i = n + 1; i < end; i++)
			if (compare(&routes[i - 1], &routes[i]) != 0)
				routes[kept++] = routes[i];
		end = kept;
	}
	return end;
}

static void shuffle(struct qe_route *routes, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t other = random_next() % i;
		struct qe_route route = routes[i - 1];

		routes[i - 1] = routes[other];
		routes[other] = route;
	}
}

struct qe_route *routes_like_internet(uint8_t family, size_t n)
{
	const struct share *shares = family == QE_FAMILY_IPV4 ? shares_ipv4 : shares_ipv6;
	struct qe_route *routes = calloc(n, sizeof(*routes));
	size_t total = 0, seen = 0, made = 0;

	must(routes != nullptr, "routes");
	for (const struct share *share = shares; share->count > 0; share++)
		total += share->count;
	for (const struct share *share = shares; share->count > 0; share++) {
		seen += share->count;
		size_t count = n * seen / total - made;

		if (count > 0)
			made = add_length(routes, made, family, share->length, count);
	}
	shuffle(routes, n);
	return routes;
}

/* ---- DIR-24-8 ---- */

constexpr size_t first_size = (size_t)1 << 24;
constexpr size_t groups_max = 1 << 15;

void dir_init(struct dir *dir)
{
	*dir = (struct dir){
		.first = calloc(first_size, sizeof(uint16_t)),
		.groups = calloc(groups_max, 256 * sizeof(uint16_t)),
	};
	must(dir->first != nullptr && dir->groups != nullptr, "DIR-24-8");
}

void dir_done(struct dir *dir)
{
	free(dir->first);
	free(dir->groups);
}

static void fill(uint16_t *at, size_t n, uint16_t value)
{
	for (size_t i = 0; i < n; i++)
		at[i] = value;
}

void dir_add(struct dir *dir, const struct qe_prefix *prefix, uint16_t hop)
{
	uint32_t addr = qe_load_u32(prefix->addr.bytes);
	uint16_t *first = &dir->first[addr >> 8];

	if (prefix->length <= 24) {
		fill(first, (size_t)1 << (24 - prefix->length), hop);
		return;
	}
	if (!(*first & dir_group)) {
		must(dir->n_groups < groups_max, "DIR-24-8 is full");
		fill(&dir->groups[dir->n_groups * 256], 256, *first);
		*first = (uint16_t)(dir_group | dir->n_groups++);
	}
	fill(&dir->groups[(*first ^ dir_group) * 256 + (addr & 255)],
		(size_t)1 << (32 - prefix->length), hop);
}

size_t dir_memory(const struct dir *dir)
{
	return (first_size + dir->n_groups * 256) * sizeof(uint16_t);
}

uint16_t dir_lookup(const struct dir *dir, uint32_t addr)
{
	uint16_t found = dir->first[addr >> 8];

	if (found & dir_group)
		found = dir->groups[(found ^ dir_group) * 256 + (addr & 255)];
	return found;
}
