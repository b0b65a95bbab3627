/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "peer/control.h"

#include <cbor.h>

constexpr uint64_t VERSION = 1;
constexpr uint64_t PAIRS_MAX = 32;

enum key : uint64_t {
	KEY_VERSION = 0,
	KEY_TYPE = 1,
	KEY_COOKIE = 2,
	KEY_INSTANCE = 3,
	KEY_LARGE = 4
};

/* ---- encoding ---- */

static void put_uint(struct qe_writer *to, uint64_t value)
{
	size_t room = (size_t)(to->end - to->at);
	size_t len = cbor_encode_uint(value, to->at, room);

	if (len == 0)
		to->error = QE_ERR_FULL;
	to->at += len;
}

static bool has_cookie(const struct qe_control *message)
{
	return message->type == QE_CONTROL_PING || message->type == QE_CONTROL_PONG;
}

size_t qe_control_encode(uint8_t to[static QE_CONTROL_SIZE], const struct qe_control *message)
{
	bool cookie = has_cookie(message), instance = message->type == QE_CONTROL_HELLO;
	bool large = message->type == QE_CONTROL_PONG;
	struct qe_writer writer = qe_writer_init(to, QE_CONTROL_SIZE);

	writer.at += cbor_encode_map_start(
		2u + cookie + instance + large, writer.at, QE_CONTROL_SIZE);
	put_uint(&writer, KEY_VERSION);
	put_uint(&writer, VERSION);
	put_uint(&writer, KEY_TYPE);
	put_uint(&writer, message->type);
	if (cookie) {
		put_uint(&writer, KEY_COOKIE);
		put_uint(&writer, message->cookie);
	}
	if (instance) {
		put_uint(&writer, KEY_INSTANCE);
		put_uint(&writer, message->instance);
	}
	if (large) {
		put_uint(&writer, KEY_LARGE);
		put_uint(&writer, message->large);
	}
	static_assert(QE_CONTROL_SIZE >= 1 + 2 + 2 + 1 + 9 + 1 + 9);
	return qe_writer_len(&writer);
}

/* ---- decoding: a pull parser over libcbor's streaming decoder ---- */

enum item_kind : uint8_t { ITEM_OTHER, ITEM_UINT, ITEM_MAP, ITEM_ARRAY, ITEM_TAG, ITEM_BAD };

struct item {
	enum item_kind kind;
	uint64_t value; /* of an integer; the count of a map or an array */
};

static void set_uint(struct item *item, uint64_t value)
{
	*item = (struct item){.kind = ITEM_UINT, .value = value};
}

static void on_uint8(void *item, uint8_t value)
{
	set_uint(item, value);
}

static void on_uint16(void *item, uint16_t value)
{
	set_uint(item, value);
}

static void on_uint32(void *item, uint32_t value)
{
	set_uint(item, value);
}

static void on_uint64(void *item, uint64_t value)
{
	set_uint(item, value);
}

static void on_map(void *item, uint64_t pairs)
{
	*(struct item *)item = (struct item){.kind = ITEM_MAP, .value = pairs};
}

static void on_array(void *item, uint64_t count)
{
	*(struct item *)item = (struct item){.kind = ITEM_ARRAY, .value = count};
}

static void on_tag(void *item, uint64_t)
{
	*(struct item *)item = (struct item){.kind = ITEM_TAG};
}

static void on_indefinite(void *item)
{
	*(struct item *)item = (struct item){.kind = ITEM_BAD};
}

/* Tags 6 to 20 and simple values to which no meaning had been given when libcbor was written, which
 * its decoder therefore refuses. RFC 8949 section 3. */
static size_t unassigned_head(const struct qe_reader *from, struct item *item)
{
	size_t left = qe_reader_left(from);
	uint8_t head = left > 0 ? from->at[0] : 0;

	if (head >= 0xc6 && head <= 0xd4) {
		item->kind = ITEM_TAG;
		return 1;
	}
	if (head >= 0xe0 && head <= 0xf3)
		return 1;
	return head == 0xf8 && left >= 2 && from->at[1] >= 32 ? 2 : 0;
}

static bool next_item(struct qe_reader *from, struct item *item)
{
	struct cbor_callbacks callbacks = cbor_empty_callbacks;

	callbacks.uint8 = on_uint8;
	callbacks.uint16 = on_uint16;
	callbacks.uint32 = on_uint32;
	callbacks.uint64 = on_uint64;
	callbacks.map_start = on_map;
	callbacks.array_start = on_array;
	callbacks.tag = on_tag;
	callbacks.string_start = callbacks.byte_string_start = on_indefinite;
	callbacks.indef_map_start = callbacks.indef_array_start = on_indefinite;
	callbacks.indef_break = on_indefinite;
	*item = (struct item){.kind = ITEM_OTHER};

	size_t unassigned = unassigned_head(from, item);

	if (unassigned > 0) {
		qe_read_skip(from, unassigned);
		return true;
	}
	struct cbor_decoder_result result = cbor_stream_decode(
		from->at, qe_reader_left(from), &callbacks, item);
	if (result.status != CBOR_DECODER_FINISHED || item->kind == ITEM_BAD)
		return false;
	qe_read_skip(from, result.read);
	return true;
}

/* Skips what is inside of an item. Each item costs at least a byte, so that the input bounds it. */
static bool skip_inside(struct qe_reader *from, const struct item *outer)
{
	uint64_t left = 0;
	struct item item = *outer;

	for (;;) {
		uint64_t inside = item.kind == ITEM_MAP                              ? 2
				  : item.kind == ITEM_ARRAY || item.kind == ITEM_TAG ? 1
										     : 0;

		if (item.kind == ITEM_TAG)
			item.value = 1;
		if (inside > 0 && item.value > qe_reader_left(from))
			return false;
		left += inside * item.value;
		if (left == 0)
			return true;
		if (!next_item(from, &item))
			return false;
		left--;
	}
}

static enum qe_control_type known_type(uint64_t type)
{
	return type >= QE_CONTROL_HELLO && type <= QE_CONTROL_RETIRE ? (enum qe_control_type)type
								     : QE_CONTROL_UNKNOWN;
}

/* One pair of the map. seen: which of the keys have come, to refuse a second one. */
static bool take_pair(struct qe_reader *from, struct qe_control *message, unsigned *seen)
{
	struct item key, value;

	if (!next_item(from, &key) || key.kind != ITEM_UINT || !next_item(from, &value))
		return false;
	if (key.value > KEY_LARGE)
		return skip_inside(from, &value);
	if (*seen & 1u << key.value)
		return false;
	*seen |= 1u << key.value;
	switch ((enum key)key.value) {
	case KEY_VERSION:
		return value.kind == ITEM_UINT && value.value >= VERSION;
	case KEY_TYPE:
		message->type = known_type(value.value);
		return value.kind == ITEM_UINT;
	case KEY_COOKIE:
		message->cookie = value.value;
		return value.kind == ITEM_UINT;
	case KEY_INSTANCE:
		message->instance = value.value;
		return value.kind == ITEM_UINT;
	case KEY_LARGE:
		message->large = value.value;
		return value.kind == ITEM_UINT;
	}
	return false;
}

static unsigned required_keys(const struct qe_control *message)
{
	return 1u << KEY_VERSION | 1u << KEY_TYPE | (unsigned)has_cookie(message) << KEY_COOKIE |
	       (unsigned)(message->type == QE_CONTROL_HELLO) << KEY_INSTANCE |
	       (unsigned)(message->type == QE_CONTROL_PONG) << KEY_LARGE;
}

enum qe_error qe_control_decode(struct qe_control *ret_message, struct qe_bytes bytes)
{
	struct qe_reader reader = qe_reader_init(bytes);
	struct qe_control message = {};
	unsigned seen = 0;
	struct item map;

	if (!next_item(&reader, &map) || map.kind != ITEM_MAP || map.value > PAIRS_MAX)
		return QE_ERR_SYNTAX;
	for (uint64_t i = 0; i < map.value; i++)
		if (!take_pair(&reader, &message, &seen))
			return QE_ERR_SYNTAX;
	if (qe_reader_left(&reader) != 0 || (required_keys(&message) & ~seen) != 0)
		return QE_ERR_SYNTAX;
	*ret_message = message;
	return QE_OK;
}
