/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Keys of a link: between TLS (crypto/tls.h), which yields secrets, the packet protection
 * (crypto/aead.h), and ngtcp2, which says when to seal and open. ngtcp2's callbacks for sealing and
 * opening know no connection; the key they are to use hangs on the context's native handle, which
 * is a struct qe_aead or a struct qe_header_key. RFC 9001 sections 5 and 6.
 */
#include <errno.h>

#include "crypto/random.h"
#include "quic/link_internal.h"

constexpr size_t SECRET_MAX = 48;

/* RFC 9001 section 6.6. */
constexpr uint64_t AES_GCM_SEAL_MAX = UINT64_C(1) << 23;
constexpr uint64_t AES_GCM_OPEN_FAILURES_MAX = UINT64_C(1) << 52;
constexpr uint64_t CHACHA_SEAL_MAX = UINT64_C(1) << 62;
constexpr uint64_t CHACHA_OPEN_FAILURES_MAX = UINT64_C(1) << 36;

/* The keys that come of one secret. The native handles pass to ngtcp2 when they are installed. */
struct packet_keys {
	ngtcp2_crypto_aead_ctx aead;
	ngtcp2_crypto_cipher_ctx header;
	uint8_t iv[QE_AEAD_NONCE_SIZE];
};

static void free_packet_keys(struct packet_keys *keys)
{
	qe_aead_free(keys->aead.native_handle);
	qe_header_key_free(keys->header.native_handle);
	qe_wipe(keys, sizeof(*keys));
}

static enum qe_error derive_aead(struct qe_link *link, enum qe_suite suite, struct qe_bytes secret,
	struct qe_aead **ret_aead, uint8_t iv[static QE_AEAD_NONCE_SIZE])
{
	uint8_t key[QE_AEAD_KEY_MAX];
	enum qe_error error = qe_hkdf_expand_label(
		suite, key, qe_suite_key_size(suite), secret, "quic key");

	if (error == QE_OK)
		error = qe_hkdf_expand_label(suite, iv, QE_AEAD_NONCE_SIZE, secret, "quic iv");
	if (error == QE_OK)
		error = qe_aead_new(ret_aead, link->context->crypto, suite, key);
	qe_wipe(key, sizeof(key));
	return error;
}

static enum qe_error derive_header_key(struct qe_link *link, enum qe_suite suite,
	struct qe_bytes secret, struct qe_header_key **ret_key)
{
	uint8_t key[QE_AEAD_KEY_MAX];
	enum qe_error error = qe_hkdf_expand_label(
		suite, key, qe_suite_key_size(suite), secret, "quic hp");

	if (error == QE_OK)
		error = qe_header_key_new(ret_key, link->context->crypto, suite, key);
	qe_wipe(key, sizeof(key));
	return error;
}

static enum qe_error derive_packet_keys(struct qe_link *link, enum qe_suite suite,
	struct qe_bytes secret, struct packet_keys *ret_keys)
{
	struct packet_keys keys = {};
	struct qe_aead *aead = nullptr;
	struct qe_header_key *header = nullptr;
	enum qe_error error = derive_aead(link, suite, secret, &aead, keys.iv);

	if (error == QE_OK)
		error = derive_header_key(link, suite, secret, &header);
	keys.aead.native_handle = aead;
	keys.header.native_handle = header;
	if (error != QE_OK)
		free_packet_keys(&keys);
	else
		*ret_keys = keys;
	return error;
}

static ngtcp2_crypto_ctx crypto_ctx(struct qe_link *link, enum qe_suite suite)
{
	bool chacha = suite == QE_SUITE_CHACHA20_POLY1305_SHA256;

	return (ngtcp2_crypto_ctx){
		.aead = {.native_handle = link->context, .max_overhead = QE_AEAD_TAG_SIZE},
		.md = {.native_handle = link->context},
		.hp = {.native_handle = link->context},
		.max_encryption = chacha ? CHACHA_SEAL_MAX : AES_GCM_SEAL_MAX,
		.max_decryption_failure = chacha ? CHACHA_OPEN_FAILURES_MAX
						 : AES_GCM_OPEN_FAILURES_MAX,
	};
}

/* ---- Initial keys, which anybody who sees the connection ID can compute: RFC 9001 5.2 ---- */

static enum qe_error derive_initial(struct qe_link *link, const ngtcp2_cid *dcid, const char *label,
	struct packet_keys *ret_keys)
{
	static const uint8_t salt[] = {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
		0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a};
	uint8_t initial[32], secret[32];

	QE_TRY(qe_hkdf_extract(initial, (struct qe_bytes){salt, sizeof(salt)},
		(struct qe_bytes){dcid->data, dcid->datalen}));
	QE_TRY(qe_hkdf_expand_label(QE_SUITE_AES_128_GCM_SHA256, secret, sizeof(secret),
		(struct qe_bytes){initial, sizeof(initial)}, label));
	return derive_packet_keys(link, QE_SUITE_AES_128_GCM_SHA256,
		(struct qe_bytes){secret, sizeof(secret)}, ret_keys);
}

static enum qe_error install_initial_keys(struct qe_link *link, const ngtcp2_cid *dcid)
{
	ngtcp2_crypto_ctx ctx = crypto_ctx(link, QE_SUITE_AES_128_GCM_SHA256);
	struct packet_keys client, server;
	enum qe_error error;

	QE_TRY(derive_initial(link, dcid, "client in", &client));
	error = derive_initial(link, dcid, "server in", &server);
	if (error != QE_OK) {
		free_packet_keys(&client);
		return error;
	}
	struct packet_keys *rx = link->dialled ? &server : &client;
	struct packet_keys *tx = link->dialled ? &client : &server;

	ngtcp2_conn_set_initial_crypto_ctx(link->conn, &ctx);
	/* It takes those of before, from before a Retry, away first. */
	link->keyed = ngtcp2_conn_install_initial_key(link->conn, &rx->aead, rx->iv, &rx->header,
			      &tx->aead, tx->iv, &tx->header, QE_AEAD_NONCE_SIZE) == 0;
	if (link->keyed)
		return QE_OK;
	free_packet_keys(&client);
	free_packet_keys(&server);
	return -ENOMEM;
}

/* The key that a Retry's integrity tag is checked with, RFC 9001 5.8. */
static enum qe_error install_retry_key(struct qe_link *link)
{
	ngtcp2_crypto_aead aead = {
		.native_handle = link->context, .max_overhead = QE_AEAD_TAG_SIZE};
	struct qe_aead *key;

	QE_TRY(qe_aead_new(&key, link->context->crypto, QE_SUITE_AES_128_GCM_SHA256,
		(const uint8_t *)NGTCP2_RETRY_KEY_V1));
	ngtcp2_conn_set_retry_aead(
		link->conn, &aead, &(ngtcp2_crypto_aead_ctx){.native_handle = key});
	return QE_OK;
}

/* ---- TLS ---- */

static enum qe_error give_transport_params(struct qe_link *link)
{
	uint8_t params[512];
	ngtcp2_ssize len = ngtcp2_conn_encode_local_transport_params(
		link->conn, params, sizeof(params));

	if (len < 0)
		return QE_ERR_INTERNAL;
	return qe_tls_set_transport_params(link->tls, (struct qe_bytes){params, (size_t)len});
}

static int client_initial(ngtcp2_conn *, void *user_data)
{
	struct qe_link *link = user_data;
	const ngtcp2_cid *dcid = ngtcp2_conn_get_client_initial_dcid(link->conn);

	if (install_initial_keys(link, dcid) != QE_OK || install_retry_key(link) != QE_OK ||
		give_transport_params(link) != QE_OK || qe_tls_start(link->tls) != QE_OK)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static int recv_client_initial(ngtcp2_conn *, const ngtcp2_cid *dcid, void *user_data)
{
	return install_initial_keys(user_data, dcid) == QE_OK ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int recv_retry(ngtcp2_conn *, const ngtcp2_pkt_hd *header, void *user_data)
{
	return install_initial_keys(user_data, &header->scid) == QE_OK
		       ? 0
		       : NGTCP2_ERR_CALLBACK_FAILURE;
}

static enum qe_tls_level tls_level(ngtcp2_encryption_level level)
{
	switch (level) {
	case NGTCP2_ENCRYPTION_LEVEL_INITIAL:
		return QE_TLS_INITIAL;
	case NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE:
		return QE_TLS_HANDSHAKE;
	case NGTCP2_ENCRYPTION_LEVEL_1RTT:
	case NGTCP2_ENCRYPTION_LEVEL_0RTT:
		break;
	}
	return QE_TLS_APPLICATION;
}

static ngtcp2_encryption_level ngtcp2_level(enum qe_tls_level level)
{
	switch (level) {
	case QE_TLS_INITIAL:
		return NGTCP2_ENCRYPTION_LEVEL_INITIAL;
	case QE_TLS_HANDSHAKE:
		return NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE;
	case QE_TLS_APPLICATION:
		break;
	}
	return NGTCP2_ENCRYPTION_LEVEL_1RTT;
}

/* No message of TLS follows a handshake here (no tickets, RFC 9001 forbids KeyUpdate), and none is
 * taken once the session has been freed. */
static int recv_crypto_data(ngtcp2_conn *conn, ngtcp2_encryption_level level, uint64_t,
	const uint8_t *data, size_t len, void *user_data)
{
	struct qe_link *link = user_data;

	if (link->tls == nullptr ||
		qe_tls_input(link->tls, tls_level(level), (struct qe_bytes){data, len}) != QE_OK)
		return NGTCP2_ERR_CRYPTO;
	if (qe_tls_complete(link->tls) && !ngtcp2_conn_get_handshake_completed(conn)) {
		link->key_exchange = qe_tls_key_exchange(link->tls);
		ngtcp2_conn_tls_handshake_completed(conn);
	}
	return 0;
}

static bool on_tls_send(void *owner, enum qe_tls_level level, struct qe_bytes bytes)
{
	struct qe_link *link = owner;

	return ngtcp2_conn_submit_crypto_data(
		       link->conn, ngtcp2_level(level), bytes.data, bytes.len) == 0;
}

static int install_keys(struct qe_link *link, enum qe_tls_level level, bool transmit,
	struct qe_bytes secret, const struct packet_keys *keys)
{
	if (level == QE_TLS_HANDSHAKE)
		return transmit ? ngtcp2_conn_install_tx_handshake_key(link->conn, &keys->aead,
					  keys->iv, sizeof(keys->iv), &keys->header)
				: ngtcp2_conn_install_rx_handshake_key(link->conn, &keys->aead,
					  keys->iv, sizeof(keys->iv), &keys->header);
	return transmit ? ngtcp2_conn_install_tx_key(link->conn, secret.data, secret.len,
				  &keys->aead, keys->iv, sizeof(keys->iv), &keys->header)
			: ngtcp2_conn_install_rx_key(link->conn, secret.data, secret.len,
				  &keys->aead, keys->iv, sizeof(keys->iv), &keys->header);
}

static bool on_tls_secret(void *owner, enum qe_tls_level level, bool transmit, enum qe_suite suite,
	struct qe_bytes secret)
{
	struct qe_link *link = owner;
	ngtcp2_crypto_ctx ctx = crypto_ctx(link, suite);
	struct packet_keys keys;

	if (level == QE_TLS_INITIAL || secret.len > SECRET_MAX)
		return false;
	if (ngtcp2_conn_get_crypto_ctx(link->conn)->aead.native_handle == nullptr) {
		ngtcp2_conn_set_crypto_ctx(link->conn, &ctx);
		link->suite = suite;
	}
	if (derive_packet_keys(link, suite, secret, &keys) != QE_OK)
		return false;
	if (install_keys(link, level, transmit, secret, &keys) != 0) {
		free_packet_keys(&keys);
		return false;
	}
	qe_wipe(&keys, sizeof(keys)); /* the handles are ngtcp2's now */

	/* A server's parameters depend on the client's, which have been read by now. */
	if (!link->dialled && level == QE_TLS_HANDSHAKE && transmit)
		return give_transport_params(link) == QE_OK;
	return true;
}

static bool on_tls_transport_params(void *owner, struct qe_bytes params)
{
	struct qe_link *link = owner;
	int error = ngtcp2_conn_decode_and_set_remote_transport_params(
		link->conn, params.data, params.len);

	if (error != 0)
		ngtcp2_conn_set_tls_error(link->conn, error);
	return error == 0;
}

static bool on_tls_peer(void *owner, const struct qe_node_id *id)
{
	struct qe_link *link = owner;

	if (link->dialled && !qe_node_id_equal(id, &link->peer)) {
		link->reason = "the peer at this address has another key than expected";
		return false;
	}
	if (!link->context->ops->authorize(link->context->ops_ctx, link, id)) {
		link->reason = "the peer's key is not known here, or it has too many links";
		return false;
	}
	link->peer = *id;
	link->authorised = true;
	return true;
}

static void on_tls_alert(void *owner, uint8_t description)
{
	struct qe_link *link = owner;

	ngtcp2_conn_set_tls_alert(link->conn, description);
}

/* ---- packet protection ---- */

static int seal(uint8_t *to, const ngtcp2_crypto_aead *, const ngtcp2_crypto_aead_ctx *ctx,
	const uint8_t *plaintext, size_t plaintext_len, const uint8_t *nonce, size_t,
	const uint8_t *aad, size_t aad_len)
{
	enum qe_error error = qe_aead_seal(ctx->native_handle, to,
		(struct qe_bytes){plaintext, plaintext_len}, nonce,
		(struct qe_bytes){aad, aad_len});

	return error == QE_OK ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int open(uint8_t *to, const ngtcp2_crypto_aead *, const ngtcp2_crypto_aead_ctx *ctx,
	const uint8_t *ciphertext, size_t ciphertext_len, const uint8_t *nonce, size_t,
	const uint8_t *aad, size_t aad_len)
{
	enum qe_error error = qe_aead_open(ctx->native_handle, to,
		(struct qe_bytes){ciphertext, ciphertext_len}, nonce,
		(struct qe_bytes){aad, aad_len});

	return error == QE_OK ? 0 : NGTCP2_ERR_DECRYPT;
}

static int header_mask(uint8_t *to, const ngtcp2_crypto_cipher *,
	const ngtcp2_crypto_cipher_ctx *ctx, const uint8_t *sample)
{
	return qe_header_mask(ctx->native_handle, to, sample) == QE_OK
		       ? 0
		       : NGTCP2_ERR_CALLBACK_FAILURE;
}

static enum qe_error next_generation(struct qe_link *link, uint8_t *ret_secret,
	const uint8_t *secret, size_t secret_len, ngtcp2_crypto_aead_ctx *ret_ctx, uint8_t *ret_iv)
{
	struct qe_aead *aead;

	QE_TRY(qe_hkdf_expand_label(link->suite, ret_secret, secret_len,
		(struct qe_bytes){secret, secret_len}, "quic ku"));
	QE_TRY(derive_aead(
		link, link->suite, (struct qe_bytes){ret_secret, secret_len}, &aead, ret_iv));
	ret_ctx->native_handle = aead;
	return QE_OK;
}

/* RFC 9001 section 6; ngtcp2 decides when. */
static int update_key(ngtcp2_conn *, uint8_t *rx_secret, uint8_t *tx_secret,
	ngtcp2_crypto_aead_ctx *rx_aead, uint8_t *rx_iv, ngtcp2_crypto_aead_ctx *tx_aead,
	uint8_t *tx_iv, const uint8_t *current_rx_secret, const uint8_t *current_tx_secret,
	size_t secret_len, void *user_data)
{
	struct qe_link *link = user_data;

	if (next_generation(link, rx_secret, current_rx_secret, secret_len, rx_aead, rx_iv) !=
		QE_OK)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	if (next_generation(link, tx_secret, current_tx_secret, secret_len, tx_aead, tx_iv) !=
		QE_OK) {
		rx_aead->native_handle = qe_aead_free(rx_aead->native_handle);
		return NGTCP2_ERR_CALLBACK_FAILURE;
	}
	return 0;
}

static void delete_aead(ngtcp2_conn *, ngtcp2_crypto_aead_ctx *ctx, void *)
{
	ctx->native_handle = qe_aead_free(ctx->native_handle);
}

static void delete_header_key(ngtcp2_conn *, ngtcp2_crypto_cipher_ctx *ctx, void *)
{
	ctx->native_handle = qe_header_key_free(ctx->native_handle);
}

static void random_bytes(uint8_t *to, size_t len, const ngtcp2_rand_ctx *)
{
	qe_random(to, len);
}

static int path_challenge_data(ngtcp2_conn *, uint8_t *data, void *)
{
	qe_random(data, NGTCP2_PATH_CHALLENGE_DATALEN);
	return 0;
}

void link_crypto_callbacks(ngtcp2_callbacks *callbacks)
{
	callbacks->client_initial = client_initial;
	callbacks->recv_client_initial = recv_client_initial;
	callbacks->recv_crypto_data = recv_crypto_data;
	callbacks->recv_retry = recv_retry;
	callbacks->encrypt = seal;
	callbacks->decrypt = open;
	callbacks->hp_mask = header_mask;
	callbacks->update_key = update_key;
	callbacks->delete_crypto_aead_ctx = delete_aead;
	callbacks->delete_crypto_cipher_ctx = delete_header_key;
	callbacks->rand = random_bytes;
	callbacks->get_path_challenge_data = path_challenge_data;
}

const struct qe_tls_ops link_tls_ops = {
	.send = on_tls_send,
	.secret = on_tls_secret,
	.transport_params = on_tls_transport_params,
	.peer = on_tls_peer,
	.alert = on_tls_alert,
};
