/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "quic/cid.h"

#include <string.h>

#include "crypto/random.h"

constexpr size_t CID_MAC_AT = 5;
constexpr size_t KNOCK_MAC_AT = 8;

static struct qe_bytes text_bytes(const char *text)
{
	return (struct qe_bytes){(const uint8_t *)text, strlen(text)};
}

enum qe_error qe_cid_keys_init(struct qe_cid_keys *keys, uint8_t worker,
	const uint8_t secret[static 32], const struct qe_node_id *id)
{
	struct qe_bytes key = {secret, 32};

	*keys = (struct qe_cid_keys){.worker = worker, .id = *id};
	QE_TRY(qe_hmac(keys->mac, sizeof(keys->mac), key, text_bytes("connection id")));
	QE_TRY(qe_hmac(keys->reset, sizeof(keys->reset), key, text_bytes("stateless reset")));
	return qe_hmac(keys->retry, sizeof(keys->retry), key, text_bytes("retry token"));
}

void qe_cid_keys_done(struct qe_cid_keys *keys)
{
	qe_wipe(keys, sizeof(*keys));
}

static enum qe_error cid_mac(
	const struct qe_cid_keys *keys, uint8_t mac[static 3], const uint8_t *cid)
{
	return qe_hmac(mac, QE_CID_SIZE - CID_MAC_AT,
		(struct qe_bytes){keys->mac, sizeof(keys->mac)},
		(struct qe_bytes){cid, CID_MAC_AT});
}

enum qe_error qe_cid_make(const struct qe_cid_keys *keys, uint8_t to[static QE_CID_SIZE])
{
	to[0] = keys->worker;
	qe_random(to + 1, CID_MAC_AT - 1);
	return cid_mac(keys, to + CID_MAC_AT, to);
}

bool qe_cid_is_ours(const struct qe_cid_keys *keys, struct qe_bytes cid)
{
	uint8_t mac[QE_CID_SIZE - CID_MAC_AT];

	if (cid.len != QE_CID_SIZE || cid_mac(keys, mac, cid.data) != QE_OK)
		return false;
	return qe_bytes_equal_secret((struct qe_bytes){mac, sizeof(mac)},
		(struct qe_bytes){cid.data + CID_MAC_AT, sizeof(mac)});
}

enum qe_error qe_cid_reset_token(
	const struct qe_cid_keys *keys, uint8_t to[static QE_RESET_TOKEN_SIZE], struct qe_bytes cid)
{
	return qe_hmac(
		to, QE_RESET_TOKEN_SIZE, (struct qe_bytes){keys->reset, sizeof(keys->reset)}, cid);
}

static enum qe_error knock_mac(uint8_t *mac, const uint8_t *salt, const struct qe_node_id *server)
{
	static const char label[] = "quicether/1 knock";
	uint8_t message[sizeof(label) - 1 + KNOCK_MAC_AT];

	memcpy(message, label, sizeof(label) - 1);
	memcpy(message + sizeof(label) - 1, salt, KNOCK_MAC_AT);
	return qe_hmac(mac, QE_KNOCK_SIZE - KNOCK_MAC_AT,
		(struct qe_bytes){server->bytes, sizeof(server->bytes)},
		(struct qe_bytes){message, sizeof(message)});
}

enum qe_error qe_knock_make(uint8_t to[static QE_KNOCK_SIZE], const struct qe_node_id *server)
{
	qe_random(to, KNOCK_MAC_AT);
	return knock_mac(to + KNOCK_MAC_AT, to, server);
}

bool qe_knock_is_valid(struct qe_bytes cid, const struct qe_node_id *server)
{
	uint8_t mac[QE_KNOCK_SIZE - KNOCK_MAC_AT];

	if (cid.len != QE_KNOCK_SIZE || knock_mac(mac, cid.data, server) != QE_OK)
		return false;
	return qe_bytes_equal_secret((struct qe_bytes){mac, sizeof(mac)},
		(struct qe_bytes){cid.data + KNOCK_MAC_AT, sizeof(mac)});
}

uint64_t qe_cid_map_key(struct qe_bytes cid)
{
	uint64_t key = 0;

	memcpy(&key, cid.data, cid.len < sizeof(key) ? cid.len : sizeof(key));
	return key;
}
