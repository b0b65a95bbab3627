/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "peer/routes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/addr.h"
#include "peer/cbor_pull.h"
#include "peer/control.h"

constexpr uint64_t VERSION = 1;
constexpr uint64_t PAIRS_MAX = 32;

enum key : uint64_t {
	KEY_VERSION = 0,
	KEY_TYPE = 1,
	KEY_INSTANCE = 3,
	KEY_NUMBER = 5,
	KEY_PART = 6,
	KEY_PARTS = 7,
	KEY_LIST = 8
};
constexpr unsigned ALL_KEYS = 1u << KEY_VERSION | 1u << KEY_TYPE | 1u << KEY_INSTANCE |
			      1u << KEY_NUMBER | 1u << KEY_PART | 1u << KEY_PARTS | 1u << KEY_LIST;

/* An announcement is an array of these, and of what later versions append. */
constexpr uint64_t FIELDS = 5;
enum kind : uint64_t { KIND_OWN = 1, KIND_GATEWAY = 2 };

/* An announcement takes six bytes at least: the heads of the array and of its fields. */
constexpr size_t IN_PART_MAX = QE_ROUTES_SIZE / 6;

struct part {
	uint64_t instance, number, part, parts;
	struct qe_announcement list[IN_PART_MAX];
	size_t n;
};

static size_t significant_bytes(uint64_t length)
{
	return (size_t)(length + 7) / 8;
}

/* ---- encoding ---- */

static void put_pair(struct qe_writer *to, enum key key, uint64_t value)
{
	qe_cbor_put_uint(to, key);
	qe_cbor_put_uint(to, value);
}

static void put_announcement(struct qe_writer *to, const struct qe_announcement *announcement)
{
	const struct qe_prefix *prefix = &announcement->prefix;

	qe_cbor_put_array(to, FIELDS);
	qe_cbor_put_uint(to, prefix->addr.family);
	qe_cbor_put_uint(to, prefix->length);
	qe_cbor_put_bytes(
		to, (struct qe_bytes){prefix->addr.bytes, significant_bytes(prefix->length)});
	qe_cbor_put_uint(to, announcement->gateway ? KIND_GATEWAY : KIND_OWN);
	qe_cbor_put_uint(to, announcement->metric);
}

size_t qe_routes_parts(const struct qe_routes *routes)
{
	return routes->n > 0 ? (routes->n + QE_ROUTES_PER_PART - 1) / QE_ROUTES_PER_PART : 1;
}

size_t qe_routes_encode(
	uint8_t to[static QE_ROUTES_SIZE], const struct qe_routes *routes, size_t part)
{
	struct qe_writer writer = qe_writer_init(to, QE_ROUTES_SIZE);
	size_t parts = qe_routes_parts(routes), begin = part * QE_ROUTES_PER_PART;
	size_t n = part + 1 < parts ? QE_ROUTES_PER_PART : routes->n - begin;

	assert(part < parts && parts <= QE_ROUTES_PARTS_MAX);
	qe_cbor_put_map(&writer, 7);
	put_pair(&writer, KEY_VERSION, VERSION);
	put_pair(&writer, KEY_TYPE, QE_CONTROL_ROUTES);
	put_pair(&writer, KEY_INSTANCE, routes->instance);
	put_pair(&writer, KEY_NUMBER, routes->number);
	put_pair(&writer, KEY_PART, part);
	put_pair(&writer, KEY_PARTS, parts);
	qe_cbor_put_uint(&writer, KEY_LIST);
	qe_cbor_put_array(&writer, n);
	for (size_t i = begin; i < begin + n; i++)
		put_announcement(&writer, &routes->list[i]);
	/* Heads of map and list, seven keys, two small and four larger values. */
	static_assert(1 + 2 + 7 + 2 + 9 + 9 + 3 + 3 + QE_ROUTES_PER_PART * (5 + 1 + 16 + 3) <=
		      QE_ROUTES_SIZE);
	assert(writer.error == QE_OK);
	return qe_writer_len(&writer);
}

/* ---- decoding ---- */

static bool take_uint(struct qe_reader *from, uint64_t most, uint64_t *value)
{
	struct qe_cbor_item item;

	if (!qe_cbor_next(from, &item) || item.kind != QE_CBOR_UINT || item.value > most)
		return false;
	*value = item.value;
	return true;
}

static bool skip_items(struct qe_reader *from, uint64_t n)
{
	struct qe_cbor_item item;

	for (; n > 0; n--)
		if (!qe_cbor_next(from, &item) || !qe_cbor_skip(from, &item))
			return false;
	return true;
}

/* Families and kinds that are not known are passed over. */
static bool take_announcement(struct qe_reader *from, struct part *part)
{
	struct qe_cbor_item item;
	uint64_t family, length, kind, metric, fields;
	struct qe_bytes bytes;

	if (!qe_cbor_next(from, &item) || item.kind != QE_CBOR_ARRAY || item.value < FIELDS)
		return false;
	fields = item.value;
	if (!take_uint(from, UINT64_MAX, &family) || !take_uint(from, 128, &length) ||
		!qe_cbor_next(from, &item) || item.kind != QE_CBOR_BYTES ||
		item.bytes.len != significant_bytes(length))
		return false;
	bytes = item.bytes;
	if (!take_uint(from, UINT64_MAX, &kind) || !take_uint(from, UINT16_MAX, &metric) ||
		!skip_items(from, fields - FIELDS))
		return false;
	if (family == QE_FAMILY_IPV4 && length > 32)
		return false;
	if ((family != QE_FAMILY_IPV4 && family != QE_FAMILY_IPV6) ||
		(kind != KIND_OWN && kind != KIND_GATEWAY))
		return true;
	if (part->n == IN_PART_MAX)
		return false;
	struct qe_announcement *to = &part->list[part->n++];

	*to = (struct qe_announcement){
		.prefix = {.addr = {.family = (uint8_t)family}, .length = (uint8_t)length},
		.gateway = kind == KIND_GATEWAY,
		.metric = (uint16_t)metric};
	if (bytes.len > 0)
		memcpy(to->prefix.addr.bytes, bytes.data, bytes.len);
	return true;
}

static bool take_list(struct qe_reader *from, struct part *part)
{
	struct qe_cbor_item list;

	if (!qe_cbor_next(from, &list) || list.kind != QE_CBOR_ARRAY)
		return false;
	for (uint64_t i = 0; i < list.value; i++)
		if (!take_announcement(from, part))
			return false;
	return true;
}

static bool take_known(struct qe_reader *from, enum key key, struct part *part)
{
	uint64_t value;

	switch (key) {
	case KEY_VERSION:
		return take_uint(from, UINT64_MAX, &value) && value >= VERSION;
	case KEY_TYPE:
		return take_uint(from, UINT64_MAX, &value) && value == QE_CONTROL_ROUTES;
	case KEY_INSTANCE:
		return take_uint(from, UINT64_MAX, &part->instance);
	case KEY_NUMBER:
		return take_uint(from, UINT64_MAX, &part->number);
	case KEY_PART:
		return take_uint(from, QE_ROUTES_PARTS_MAX - 1, &part->part);
	case KEY_PARTS:
		return take_uint(from, QE_ROUTES_PARTS_MAX, &part->parts);
	case KEY_LIST:
		return take_list(from, part);
	}
	return false;
}

/* One pair of the map. seen: which of the keys have come, to refuse a second one. */
static bool take_pair(struct qe_reader *from, struct part *part, unsigned *seen)
{
	uint64_t key;

	if (!take_uint(from, UINT64_MAX, &key))
		return false;
	if (key > KEY_LIST || !(ALL_KEYS & 1u << key))
		return skip_items(from, 1);
	if (*seen & 1u << key)
		return false;
	*seen |= 1u << key;
	return take_known(from, (enum key)key, part);
}

static bool decode(struct part *part, struct qe_bytes bytes)
{
	struct qe_reader reader = qe_reader_init(bytes);
	struct qe_cbor_item map;
	unsigned seen = 0;

	if (bytes.len > QE_ROUTES_SIZE || !qe_cbor_next(&reader, &map) || map.kind != QE_CBOR_MAP ||
		map.value > PAIRS_MAX)
		return false;
	part->n = 0;
	for (uint64_t i = 0; i < map.value; i++)
		if (!take_pair(&reader, part, &seen))
			return false;
	return qe_reader_left(&reader) == 0 && seen == ALL_KEYS && part->part < part->parts;
}

/* ---- sets ---- */

void qe_routes_set_init(struct qe_routes_set *set)
{
	*set = (struct qe_routes_set){};
}

void qe_routes_set_done(struct qe_routes_set *set)
{
	free(set->list);
	qe_routes_set_init(set);
}

static bool is_news(const struct qe_routes_set *set, const struct part *part)
{
	if (!set->begun)
		return true;
	if (part->instance == set->instance)
		return part->number >= set->number;
	return !set->has_former || part->instance != set->former;
}

static void begin(struct qe_routes_set *set, const struct part *part)
{
	if (set->begun && part->instance != set->instance) {
		set->former = set->instance;
		set->has_former = true;
	}
	set->begun = true;
	set->instance = part->instance;
	set->number = part->number;
	set->parts = set->n_missing = part->parts;
	memset(set->missing, 0xff, sizeof(set->missing));
	set->n = set->more = 0;
}

static enum qe_error reserve(struct qe_routes_set *set, size_t n)
{
	size_t capacity = n > QE_ROUTES_KEPT / 2 ? QE_ROUTES_KEPT : 2 * n;
	struct qe_announcement *list;

	if (n <= set->capacity)
		return QE_OK;
	list = realloc(set->list, capacity * sizeof(*list));
	if (list == nullptr)
		return -ENOMEM;
	set->list = list;
	set->capacity = capacity;
	return QE_OK;
}

static void add(struct qe_routes_set *set, const struct part *part)
{
	size_t room = QE_ROUTES_KEPT - set->n, n = part->n < room ? part->n : room;

	if (n > 0)
		memcpy(set->list + set->n, part->list, n * sizeof(*part->list));
	set->n += n;
	set->more += part->n - n;
	set->missing[part->part / 8] &= (uint8_t)~(1u << part->part % 8);
	set->n_missing--;
}

enum qe_error qe_routes_set_take(
	struct qe_routes_set *set, struct qe_bytes message, bool *ret_whole)
{
	struct part part = {};
	bool same;
	size_t n;

	if (!decode(&part, message))
		return QE_ERR_SYNTAX;
	*ret_whole = false;
	if (!is_news(set, &part))
		return QE_OK;
	same = set->begun && part.instance == set->instance && part.number == set->number;
	if (same && part.parts != set->parts)
		return QE_ERR_SYNTAX;
	if (same && !(set->missing[part.part / 8] & 1u << part.part % 8))
		return QE_OK;
	n = (same ? set->n : 0) + part.n;
	QE_TRY(reserve(set, n < QE_ROUTES_KEPT ? n : QE_ROUTES_KEPT));
	if (!same)
		begin(set, &part);
	add(set, &part);
	*ret_whole = set->n_missing == 0;
	return QE_OK;
}
