/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "peer/control.h"

#include "peer/cbor_pull.h"

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

static bool has_cookie(const struct qe_control *message)
{
	return message->type == QE_CONTROL_PING || message->type == QE_CONTROL_PONG;
}

size_t qe_control_encode(uint8_t to[static QE_CONTROL_SIZE], const struct qe_control *message)
{
	bool cookie = has_cookie(message), instance = message->type == QE_CONTROL_HELLO;
	bool large = message->type == QE_CONTROL_PONG;
	struct qe_writer writer = qe_writer_init(to, QE_CONTROL_SIZE);

	qe_cbor_put_map(&writer, 2u + cookie + instance + large);
	qe_cbor_put_uint(&writer, KEY_VERSION);
	qe_cbor_put_uint(&writer, VERSION);
	qe_cbor_put_uint(&writer, KEY_TYPE);
	qe_cbor_put_uint(&writer, message->type);
	if (cookie) {
		qe_cbor_put_uint(&writer, KEY_COOKIE);
		qe_cbor_put_uint(&writer, message->cookie);
	}
	if (instance) {
		qe_cbor_put_uint(&writer, KEY_INSTANCE);
		qe_cbor_put_uint(&writer, message->instance);
	}
	if (large) {
		qe_cbor_put_uint(&writer, KEY_LARGE);
		qe_cbor_put_uint(&writer, message->large);
	}
	static_assert(QE_CONTROL_SIZE >= 1 + 2 + 2 + 1 + 9 + 1 + 9);
	return qe_writer_len(&writer);
}

/* ---- decoding ---- */

static enum qe_control_type known_type(uint64_t type)
{
	return type >= QE_CONTROL_HELLO && type <= QE_CONTROL_ROUTES ? (enum qe_control_type)type
								     : QE_CONTROL_UNKNOWN;
}

/* One pair of the map. seen: which of the keys have come, to refuse a second one. */
static bool take_pair(struct qe_reader *from, struct qe_control *message, unsigned *seen)
{
	struct qe_cbor_item key, value;

	if (!qe_cbor_next(from, &key) || key.kind != QE_CBOR_UINT || !qe_cbor_next(from, &value))
		return false;
	if (key.value > KEY_LARGE)
		return qe_cbor_skip(from, &value);
	if (*seen & 1u << key.value)
		return false;
	*seen |= 1u << key.value;
	switch ((enum key)key.value) {
	case KEY_VERSION:
		return value.kind == QE_CBOR_UINT && value.value >= VERSION;
	case KEY_TYPE:
		message->type = known_type(value.value);
		return value.kind == QE_CBOR_UINT;
	case KEY_COOKIE:
		message->cookie = value.value;
		return value.kind == QE_CBOR_UINT;
	case KEY_INSTANCE:
		message->instance = value.value;
		return value.kind == QE_CBOR_UINT;
	case KEY_LARGE:
		message->large = value.value;
		return value.kind == QE_CBOR_UINT;
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
	struct qe_cbor_item map;

	if (!qe_cbor_next(&reader, &map) || map.kind != QE_CBOR_MAP || map.value > PAIRS_MAX)
		return QE_ERR_SYNTAX;
	for (uint64_t i = 0; i < map.value; i++)
		if (!take_pair(&reader, &message, &seen))
			return QE_ERR_SYNTAX;
	if (qe_reader_left(&reader) != 0 || (required_keys(&message) & ~seen) != 0)
		return QE_ERR_SYNTAX;
	*ret_message = message;
	return QE_OK;
}
