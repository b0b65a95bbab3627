/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "quic/retry.h"

#include <string.h>

constexpr size_t TOKEN_MAC_AT = 1 + QE_KNOCK_SIZE;
constexpr size_t TOKEN_MAC_SIZE = QE_RETRY_TOKEN_SIZE - TOKEN_MAC_AT;
constexpr size_t MESSAGE_SIZE = 8 + QE_KNOCK_SIZE + QE_CID_SIZE + 1 + 16 + 2;

/* All of fixed length, so that no two inputs give the same message. */
static enum qe_error token_mac(const struct qe_cid_keys *keys, uint8_t to[static TOKEN_MAC_SIZE],
	const struct qe_endpoint *client, struct qe_bytes cid, struct qe_bytes knock,
	uint64_t second)
{
	uint8_t message[MESSAGE_SIZE];
	struct qe_writer writer = qe_writer_init(message, sizeof(message));

	qe_write_u64(&writer, second);
	qe_write_bytes(&writer, knock);
	qe_write_bytes(&writer, cid);
	qe_write_u8(&writer, client->addr.family);
	qe_write_bytes(&writer, (struct qe_bytes){client->addr.bytes, sizeof(client->addr.bytes)});
	qe_write_u16(&writer, client->port);
	QE_TRY(writer.error);
	return qe_mac_make(keys->retry, to, TOKEN_MAC_SIZE,
		(struct qe_bytes){message, qe_writer_len(&writer)});
}

enum qe_error qe_retry_token_make(const struct qe_cid_keys *keys,
	uint8_t to[static QE_RETRY_TOKEN_SIZE], const struct qe_endpoint *client,
	struct qe_bytes cid, struct qe_bytes knock, qe_time now)
{
	uint64_t second = now / QE_SECOND;

	if (cid.len != QE_CID_SIZE || knock.len != QE_KNOCK_SIZE)
		return QE_ERR_RANGE;
	to[0] = (uint8_t)second;
	memcpy(to + 1, knock.data, QE_KNOCK_SIZE);
	return token_mac(keys, to + TOKEN_MAC_AT, client, cid, knock, second);
}

bool qe_retry_token_check(const struct qe_cid_keys *keys, uint8_t ret_knock[static QE_KNOCK_SIZE],
	struct qe_bytes token, const struct qe_endpoint *client, struct qe_bytes cid, qe_time now)
{
	uint8_t mac[TOKEN_MAC_SIZE];

	if (token.len != QE_RETRY_TOKEN_SIZE || cid.len != QE_CID_SIZE)
		return false;
	struct qe_bytes knock = {token.data + 1, QE_KNOCK_SIZE};
	uint64_t second = now / QE_SECOND;
	uint8_t age = (uint8_t)(second - token.data[0]);

	if (age >= QE_RETRY_TOKEN_LIFE / QE_SECOND ||
		token_mac(keys, mac, client, cid, knock, second - age) != QE_OK ||
		!qe_bytes_equal_secret((struct qe_bytes){mac, sizeof(mac)},
			(struct qe_bytes){token.data + TOKEN_MAC_AT, TOKEN_MAC_SIZE}))
		return false;
	memcpy(ret_knock, knock.data, QE_KNOCK_SIZE);
	return true;
}
