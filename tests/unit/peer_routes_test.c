/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* ROUTES: sets are read as they are written, in whatever order their parts come; what is new is
 * passed over, and what is wrong is refused. */
#include <string.h>

#include "net/addr.h"
#include "peer/control.h"
#include "peer/routes.h"
#include "plain_cbor.h"

#define ROUNDS 3000
#define LIST_MAX 1400

static struct qe_announcement random_announcement(void)
{
	struct qe_announcement announcement = {
		.prefix.addr.family = random_below(2) ? QE_FAMILY_IPV4 : QE_FAMILY_IPV6,
		.gateway = random_below(2),
		.metric = (uint16_t)(random_u64() >> random_below(16))};
	struct qe_prefix *prefix = &announcement.prefix;

	prefix->length = (uint8_t)random_below(qe_addr_bits(&prefix->addr) + 1);
	random_fill(prefix->addr.bytes, qe_addr_bits(&prefix->addr) / 8);
	qe_prefix_mask(prefix);
	return announcement;
}

static struct qe_announcement list[LIST_MAX];

static struct qe_routes random_routes(size_t most)
{
	struct qe_routes routes = {.instance = random_number(),
		.number = random_number() / 2,
		.list = list,
		.n = random_below(most + 1)};

	for (size_t i = 0; i < routes.n; i++)
		list[i] = random_announcement();
	return routes;
}

static void assert_same_announcement(
	const struct qe_announcement *a, const struct qe_announcement *b)
{
	assert_int_equal(qe_prefix_compare(&a->prefix, &b->prefix), 0);
	assert_true(qe_addr_equal(&a->prefix.addr, &b->prefix.addr));
	assert_int_equal(a->gateway, b->gateway);
	assert_int_equal(a->metric, b->metric);
}

static enum qe_error take_bytes(
	struct qe_routes_set *set, const uint8_t *data, size_t len, bool *ret_whole)
{
	/* Exactly as long as the message, so that a sanitizer sees each byte read beyond it. */
	uint8_t *bytes = malloc(len + 1);

	if (len > 0)
		memcpy(bytes + 1, data, len);
	enum qe_error error = qe_routes_set_take(set, (struct qe_bytes){bytes + 1, len}, ret_whole);

	free(bytes);
	return error;
}

static enum qe_error take(struct qe_routes_set *set, const struct cbor *cbor, bool *ret_whole)
{
	return take_bytes(set, cbor->bytes, cbor->len, ret_whole);
}

static bool take_part(struct qe_routes_set *set, const struct qe_routes *routes, size_t part)
{
	uint8_t bytes[QE_ROUTES_SIZE];
	size_t len = qe_routes_encode(bytes, routes, part);
	bool whole = true;

	assert_in_range(len, 1, QE_ROUTES_SIZE);
	assert_int_equal(take_bytes(set, bytes, len, &whole), QE_OK);
	return whole;
}

static bool take_all(struct qe_routes_set *set, const struct qe_routes *routes)
{
	bool whole = false;

	for (size_t part = 0; part < qe_routes_parts(routes); part++)
		whole = take_part(set, routes, part);
	return whole;
}

/* ---- what is written ---- */

static void put_announcement(struct cbor *to, const struct qe_announcement *announcement)
{
	const struct qe_prefix *prefix = &announcement->prefix;
	unsigned bytes = (prefix->length + 7u) / 8;

	put_head(to, 4, 5);
	put_uint(to, prefix->addr.family);
	put_uint(to, prefix->length);
	put_head(to, 2, bytes);
	for (unsigned i = 0; i < bytes; i++)
		put_byte(to, prefix->addr.bytes[i]);
	put_uint(to, announcement->gateway ? 2 : 1);
	put_uint(to, announcement->metric);
}

static void writes_the_shortest_form(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct qe_routes routes = random_routes(QE_ROUTES_PER_PART);
		uint8_t bytes[QE_ROUTES_SIZE];
		struct cbor expected = {};

		put_head(&expected, 5, 7);
		put_pair(&expected, 0, 1);
		put_pair(&expected, 1, QE_CONTROL_ROUTES);
		put_pair(&expected, 3, routes.instance);
		put_pair(&expected, 5, routes.number);
		put_pair(&expected, 6, 0);
		put_pair(&expected, 7, 1);
		put_uint(&expected, 8);
		put_head(&expected, 4, routes.n);
		for (size_t i = 0; i < routes.n; i++)
			put_announcement(&expected, &routes.list[i]);
		assert_int_equal(qe_routes_parts(&routes), 1);
		assert_int_equal(qe_routes_encode(bytes, &routes, 0), expected.len);
		assert_memory_equal(bytes, expected.bytes, expected.len);
	}
}

static void a_part_is_a_control_message(void **)
{
	struct qe_routes routes = random_routes(QE_ROUTES_PER_PART);
	uint8_t bytes[QE_ROUTES_SIZE];
	size_t len = qe_routes_encode(bytes, &routes, 0);
	struct qe_control control;

	assert_int_equal(qe_control_decode(&control, (struct qe_bytes){bytes, len}), QE_OK);
	assert_int_equal(control.type, QE_CONTROL_ROUTES);
}

static void the_largest_fit(void **)
{
	struct qe_routes routes = {.instance = UINT64_MAX, .number = UINT64_MAX, .list = list};
	uint8_t bytes[QE_ROUTES_SIZE];
	size_t part;

	for (; routes.n < LIST_MAX; routes.n++)
		list[routes.n] = (struct qe_announcement){
			{{QE_FAMILY_IPV6, {0xfd, [15] = 1}}, 128}, true, UINT16_MAX};
	for (part = 0; part < qe_routes_parts(&routes); part++)
		assert_in_range(qe_routes_encode(bytes, &routes, part), 1, QE_ROUTES_SIZE);
	assert_int_equal(part, 36);
}

/* ---- what is read ---- */

/* The parts come in any order, some twice. */
static void sets_come_together(void **)
{
	struct qe_routes_set set;

	for (unsigned round = 0; round < ROUNDS / 10; round++) {
		struct qe_routes routes = random_routes(QE_ROUTES_KEPT);
		size_t parts = qe_routes_parts(&routes), order[64], at = 0;

		qe_routes_set_init(&set);
		for (size_t i = 0; i < parts; i++)
			order[i] = i;
		for (size_t i = 0; i < parts && round % 2; i++) {
			size_t j = random_below(parts), swapped = order[i];

			order[i] = order[j];
			order[j] = swapped;
		}
		for (size_t i = 0; i < parts; i++) {
			assert_int_equal(take_part(&set, &routes, order[i]), i + 1 == parts);
			assert_false(take_part(&set, &routes, order[random_below(i + 1)]));
		}
		assert_int_equal(set.n, routes.n);
		assert_int_equal(set.more, 0);
		for (size_t i = 0; i < parts; i++)
			for (size_t j = order[i] * QE_ROUTES_PER_PART;
				j < routes.n && j < (order[i] + 1) * QE_ROUTES_PER_PART; j++)
				assert_same_announcement(&set.list[at++], &list[j]);
		assert_int_equal(at, routes.n);
		qe_routes_set_done(&set);
	}
}

static void newer_sets_replace_older_ones(void **)
{
	struct qe_routes older = random_routes(0), newer, restarted;
	struct qe_routes_set set;

	qe_routes_set_init(&set);
	older.n = LIST_MAX;
	assert_false(take_part(&set, &older, 0));
	newer = older;
	newer.number++;
	newer.n = 100;
	assert_false(take_part(&set, &newer, 1));
	assert_int_equal(set.n, QE_ROUTES_PER_PART);
	/* What is still on its way of the older one counts no more. */
	assert_false(take_all(&set, &older));
	assert_false(take_part(&set, &newer, 0));
	assert_true(take_part(&set, &newer, 2));
	assert_int_equal(set.n, 100);
	assert_false(take_all(&set, &newer));
	restarted = (struct qe_routes){.instance = ~older.instance, .number = 1};
	assert_true(take_all(&set, &restarted));
	assert_int_equal(set.n, 0);
	newer.number++;
	assert_false(take_all(&set, &newer));
	assert_int_equal(set.instance, restarted.instance);
	qe_routes_set_done(&set);
}

static void counts_what_it_does_not_keep(void **)
{
	static struct qe_announcement many[QE_ROUTES_PER_PART * QE_ROUTES_PARTS_MAX];
	struct qe_routes routes = {.instance = 1, .number = 1, .list = many};
	struct qe_routes_set set;

	qe_routes_set_init(&set);
	for (; routes.n < sizeof(many) / sizeof(many[0]); routes.n++)
		many[routes.n] = (struct qe_announcement){
			.prefix = {{QE_FAMILY_IPV4, {10, 1, 1, 1}}, 32}};
	assert_int_equal(qe_routes_parts(&routes), QE_ROUTES_PARTS_MAX);
	assert_true(take_all(&set, &routes));
	assert_int_equal(set.n, QE_ROUTES_KEPT);
	assert_int_equal(set.more, routes.n - QE_ROUTES_KEPT);
	qe_routes_set_done(&set);
}

/* ---- newer, and wrong ---- */

static unsigned random_unknown_key(void)
{
	return random_below(4) == 0 ? 2 + 2 * (unsigned)random_below(2)
				    : 9 + (unsigned)random_below(1000);
}

static void put_newer_announcement(struct cbor *to, const struct qe_announcement *announcement)
{
	size_t more = random_below(3), at = to->len;

	put_announcement(to, announcement);
	to->bytes[at] += (uint8_t)more;
	for (; more > 0; more--)
		put_random_item(to, 2);
}

/* Of a family or kind that nobody knows yet. */
static void put_unknown_announcement(struct cbor *to)
{
	bool family = random_below(2);

	put_head(to, 4, 5);
	put_uint(to, family ? 7 + random_number() % 1000 : QE_FAMILY_IPV4);
	put_uint(to, 16);
	put_head(to, 2, 2);
	put_byte(to, 10);
	put_byte(to, 1);
	put_uint(to, family ? 1 : 3 + random_number() % 1000);
	put_uint(to, random_below(65536));
}

static void put_key(struct cbor *to, const struct qe_routes *routes, unsigned key)
{
	uint64_t values[] = {1 + random_below(3), QE_CONTROL_ROUTES, 0, routes->instance, 0,
		routes->number, 0, 1};

	put_uint(to, key);
	if (key < 8) {
		put_uint(to, values[key]);
		return;
	}
	size_t unknown = random_below(3);

	put_head(to, 4, routes->n + unknown);
	for (size_t i = 0; i < routes->n; i++)
		put_newer_announcement(to, &routes->list[i]);
	for (; unknown > 0; unknown--)
		put_unknown_announcement(to);
}

static struct cbor newer_form(const struct qe_routes *routes)
{
	static const unsigned keys[] = {0, 1, 3, 5, 6, 7, 8};
	struct cbor cbor = {};
	size_t unknown = random_below(4);
	unsigned first = (unsigned)random_below(7);

	put_head(&cbor, 5, 7 + unknown);
	for (unsigned i = 0; i < 7; i++) {
		put_key(&cbor, routes, keys[(first + i) % 7]);
		for (; unknown > 0 && (i == 6 || random_below(2)); unknown--) {
			put_uint(&cbor, random_unknown_key());
			put_random_item(&cbor, 2);
		}
	}
	return cbor;
}

static void passes_over_what_is_new(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct qe_routes routes = random_routes(10);
		struct cbor cbor = newer_form(&routes);
		struct qe_routes_set set;
		bool whole = false;

		qe_routes_set_init(&set);
		assert_int_equal(take(&set, &cbor, &whole), QE_OK);
		assert_true(whole);
		assert_int_equal(set.n, routes.n);
		for (size_t i = 0; i < set.n; i++)
			assert_same_announcement(&set.list[i], &list[i]);
		qe_routes_set_done(&set);
	}
}

/* The smallest message, with one thing wrong in each row; NULL stands for what is right. */
struct wrong {
	const char *what, *head, *type, *parts, *list;
};

static void put_hex(struct cbor *to, const char *hex)
{
	for (unsigned byte; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		put_byte(to, byte);
}

static struct cbor compose(const struct wrong *wrong)
{
	struct cbor cbor = {};

	put_hex(&cbor, wrong->head != nullptr ? wrong->head : "a70001");
	put_hex(&cbor, wrong->type != nullptr ? wrong->type : "010503070501");
	put_hex(&cbor, wrong->parts != nullptr ? wrong->parts : "06000701");
	put_hex(&cbor, wrong->list != nullptr ? wrong->list : "0881850410420a010100");
	return cbor;
}

static void refuses_what_is_wrong(void **)
{
	static const struct wrong rows[] = {
		{"no map", .head = "870001"},
		{"a pair too many", .head = "a80001"},
		{"a pair too few", .head = "a60001"},
		{"a map without end", .head = "bf0001"},
		{"version 0", .head = "a70000"},
		{"a version that is text", .head = "a7006131"},
		{"a key that is no number", .head = "a8413030"
						    "0001"},
		{"another type", .type = "010403070501"},
		{"no instance", .head = "a60001", .type = "01050501"},
		{"an instance that is text", .type = "01050361370501"},
		{"no set number", .head = "a60001", .type = "01050307"},
		{"a negative set number", .type = "010503070520"},
		{"the set number twice", .head = "a80001", .type = "0105030705010501"},
		{"part 1 of 1", .parts = "06010701"},
		{"part 0 of 0", .parts = "06000700"},
		{"1,025 parts", .parts = "060007190401"},
		{"part 1,024", .parts = "061904000719ffff"},
		{"a part of 64 bits", .parts = "061bffffffffffffffff0701"},
		{"no list", .head = "a60001", .list = ""},
		{"the list is a number", .list = "0801"},
		{"the list is a map", .list = "08a0"},
		{"the list has no end", .list = "089f850410420a010100ff"},
		{"the list claims 2^64 - 1", .list = "089bffffffffffffffff"},
		{"an announcement that is a number", .list = "088101"},
		{"four fields", .list = "0881840410420a0101"},
		{"a family that is bytes", .list = "0881854104"
						   "10420a010100"},
		{"an IPv4 prefix of 33 bits", .list = "0881850418214500000000000100"},
		{"an IPv6 prefix of 129 bits",
			.list = "088185061881510000000000000000000000000000000000"
				"0100"},
		{"a prefix of 2^32 bits", .list = "088185041b0000000100000000400100"},
		{"a byte too many", .list = "0881850410430a01000100"},
		{"a byte too few", .list = "0881850410410a0100"},
		{"text instead of bytes", .list = "0881850410620a010100"},
		{"bytes without end", .list = "08818504105f420a01ff0100"},
		{"a kind that is text", .list = "0881850410420a01613100"},
		{"a metric of 65,536", .list = "0881850410420a01011a00010000"},
		{"a negative metric", .list = "0881850410420a010120"},
		{"an array too short for its fields", .list = "0882850410420a010100"},
		{"bytes behind it", .list = "0881850410420a01010000"},
		{"bytes beyond the message", .list = "0881850410590400"},
	};
	struct wrong right = {};

	for (size_t i = 0; i <= sizeof(rows) / sizeof(rows[0]); i++) {
		bool is_right = i == sizeof(rows) / sizeof(rows[0]), whole = true;
		struct cbor cbor = compose(is_right ? &right : &rows[i]);
		struct qe_routes_set set;

		qe_routes_set_init(&set);
		if (!is_right && take(&set, &cbor, &whole) == QE_OK)
			fail_msg("taken: %s", rows[i].what);
		if (is_right)
			assert_int_equal(take(&set, &cbor, &whole), QE_OK);
		assert_true(whole);
		assert_int_equal(set.begun, is_right);
		qe_routes_set_done(&set);
	}
}

static void refuses_parts_that_disagree(void **)
{
	struct wrong one = {.parts = "06000702"}, other = {.parts = "06010703"};
	struct cbor cbor = compose(&one);
	struct qe_routes_set set;
	bool whole;

	qe_routes_set_init(&set);
	assert_int_equal(take(&set, &cbor, &whole), QE_OK);
	cbor = compose(&other);
	assert_int_equal(take(&set, &cbor, &whole), QE_ERR_SYNTAX);
	assert_int_equal(set.n, 1);
	assert_int_equal(set.n_missing, 1);
	qe_routes_set_done(&set);
}

static void refuses_half_a_message(void **)
{
	struct qe_routes routes = random_routes(QE_ROUTES_PER_PART);
	uint8_t bytes[QE_ROUTES_SIZE];
	size_t len = qe_routes_encode(bytes, &routes, 0);
	struct qe_routes_set set;
	bool whole;

	qe_routes_set_init(&set);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(take_bytes(&set, bytes, i, &whole), QE_ERR_SYNTAX);
	qe_routes_set_done(&set);
}

/* A few bytes changed, over and over, in one set: it never has more than it may. */
static void bears_noise(void **)
{
	struct qe_routes_set set;
	unsigned taken = 0;

	qe_routes_set_init(&set);
	for (unsigned round = 0; round < 20 * ROUNDS; round++) {
		struct qe_routes routes = random_routes(12);
		bool whole = false;

		routes.instance = random_below(3);
		routes.number = random_below(1 + round);
		struct cbor cbor = newer_form(&routes);

		for (size_t n = random_below(4); n > 0; n--)
			cbor.bytes[random_below(cbor.len)] = (uint8_t)random_u64();
		taken += take(&set, &cbor, &whole) == QE_OK;
		assert_true(set.n <= set.capacity && set.capacity <= QE_ROUTES_KEPT);
		assert_true(!whole || set.n_missing == 0);
	}
	qe_routes_set_done(&set);
	assert_in_range(taken, 5 * ROUNDS, 18 * ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_the_shortest_form),
		cmocka_unit_test(a_part_is_a_control_message),
		cmocka_unit_test(the_largest_fit),
		cmocka_unit_test(sets_come_together),
		cmocka_unit_test(newer_sets_replace_older_ones),
		cmocka_unit_test(counts_what_it_does_not_keep),
		cmocka_unit_test(passes_over_what_is_new),
		cmocka_unit_test(refuses_what_is_wrong),
		cmocka_unit_test(refuses_parts_that_disagree),
		cmocka_unit_test(refuses_half_a_message),
		cmocka_unit_test(bears_noise),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
