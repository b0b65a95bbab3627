/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "quic/cid.h"

#include <string.h>

#include "crypto/random.h"

constexpr size_t CID_MAC_AT = 5;
constexpr size_t KNOCK_MAC_AT = 8;
static const char knock_label[] = "quicether/1 knock";
constexpr size_t KNOCK_LABEL_SIZE = sizeof(knock_label) - 1;
constexpr size_t KNOCK_MESSAGE_SIZE = KNOCK_LABEL_SIZE + KNOCK_MAC_AT;

static struct qe_bytes text_bytes(const char *text)
{
	return (struct qe_bytes){(const uint8_t *)text, strlen(text)};
}

static enum qe_error derive_mac(struct qe_mac **ret_mac, struct qe_bytes secret, const char *use)
{
	uint8_t key[32];

	QE_TRY(qe_hmac(key, sizeof(key), secret, text_bytes(use)));
	enum qe_error error = qe_mac_new(ret_mac, (struct qe_bytes){key, sizeof(key)});

	qe_wipe(key, sizeof(key));
	return error;
}

enum qe_error qe_cid_keys_init(struct qe_cid_keys *keys, uint8_t worker,
	const uint8_t secret[static 32], const struct qe_node_id *id)
{
	struct qe_bytes from = {secret, 32};

	*keys = (struct qe_cid_keys){.worker = worker};
	QE_TRY(derive_mac(&keys->cid, from, "connection id"));
	QE_TRY(derive_mac(&keys->reset, from, "stateless reset"));
	QE_TRY(derive_mac(&keys->retry, from, "retry token"));
	return qe_mac_new(&keys->knock, (struct qe_bytes){id->bytes, sizeof(id->bytes)});
}

void qe_cid_keys_done(struct qe_cid_keys *keys)
{
	qe_mac_free(keys->cid);
	qe_mac_free(keys->reset);
	qe_mac_free(keys->retry);
	qe_mac_free(keys->knock);
	*keys = (struct qe_cid_keys){};
}

static enum qe_error cid_mac(
	const struct qe_cid_keys *keys, uint8_t mac[static 3], const uint8_t *cid)
{
	return qe_mac_make(
		keys->cid, mac, QE_CID_SIZE - CID_MAC_AT, (struct qe_bytes){cid, CID_MAC_AT});
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
	return qe_mac_make(keys->reset, to, QE_RESET_TOKEN_SIZE, cid);
}

static struct qe_bytes knock_message(uint8_t to[static KNOCK_MESSAGE_SIZE], const uint8_t *salt)
{
	memcpy(to, knock_label, KNOCK_LABEL_SIZE);
	memcpy(to + KNOCK_LABEL_SIZE, salt, KNOCK_MAC_AT);
	return (struct qe_bytes){to, KNOCK_MESSAGE_SIZE};
}

enum qe_error qe_knock_make(
	uint8_t to[static QE_KNOCK_SIZE], uint8_t lane, const struct qe_node_id *server)
{
	uint8_t message[KNOCK_MESSAGE_SIZE];

	to[0] = lane;
	qe_random(to + 1, KNOCK_MAC_AT - 1);
	return qe_hmac(to + KNOCK_MAC_AT, QE_KNOCK_SIZE - KNOCK_MAC_AT,
		(struct qe_bytes){server->bytes, sizeof(server->bytes)},
		knock_message(message, to));
}

bool qe_knock_is_valid(const struct qe_cid_keys *keys, struct qe_bytes cid)
{
	uint8_t message[KNOCK_MESSAGE_SIZE], mac[QE_KNOCK_SIZE - KNOCK_MAC_AT];

	if (cid.len != QE_KNOCK_SIZE || cid.data[0] >= QE_WORKERS_MAX ||
		qe_mac_make(keys->knock, mac, sizeof(mac), knock_message(message, cid.data)) !=
			QE_OK)
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
