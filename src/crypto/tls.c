/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * OpenSSL is given raw public keys and no certificate on both sides, and asks, in check_peer, what
 * we make of the other's: the only decision about trust in a handshake. What it says afterwards
 * (SSL_get_verify_result) means nothing for raw keys. Everything that would let a session begin
 * without that question (tickets, a session cache, pre-shared keys) is off.
 *
 * Input is not buffered: OpenSSL reads all of it inside qe_tls_input, into its own partial message
 * if need be, so that the caller's bytes can be lent to it. Bytes that are left over are an error.
 */
#include "crypto/tls.h"

#include <errno.h>
#include <openssl/core_dispatch.h>
#include <openssl/err.h>
#include <openssl/prov_ssl.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/key_evp.h"

/* Of one whole handshake: with ML-DSA-65 on both sides it is about 8 KiB. */
#define RECEIVED_MAX (64 * 1024)
#define CERTIFICATE_MAX (16 * 1024)

/* Its length first. */
static const unsigned char alpn[] = {11, 'q', 'u', 'i', 'c', 'e', 't', 'h', 'e', 'r', '/', '1'};

struct qe_tls_context {
	SSL_CTX *ctx;
};

struct qe_tls {
	SSL *ssl;
	const struct qe_tls_ops *ops;
	void *owner;
	uint8_t *params;       /* ours; OpenSSL keeps the pointer */
	struct qe_bytes input; /* of the call under way, not yet lent to OpenSSL */
	size_t lent;           /* bytes lent and not yet released */
	size_t received;
	enum qe_tls_level read_level, write_level;
	bool has_peer_params, peer_accepted, alerted, failed, complete;
};

/* ---- the context ---- */

#define AES_256 "TLS_AES_256_GCM_SHA384"
#define AES_128 "TLS_AES_128_GCM_SHA256"
#define CHACHA20 "TLS_CHACHA20_POLY1305_SHA256"

static const char *cipher_list(enum qe_cipher cipher)
{
	switch (cipher) {
	case QE_CIPHER_AES_256_GCM:
		return AES_256;
	case QE_CIPHER_AES_128_GCM:
		return AES_128;
	case QE_CIPHER_CHACHA20_POLY1305:
		return CHACHA20;
	case QE_CIPHER_AUTO:
		break;
	}
	return qe_crypto_has_aes() ? AES_256 ":" AES_128 ":" CHACHA20
				   : CHACHA20 ":" AES_256 ":" AES_128;
}

static const char *group_list(enum qe_pq pq)
{
	return pq == QE_PQ_PREFERRED ? "X25519MLKEM768:X25519" : "X25519MLKEM768";
}

/* Called also when there is no overlap; never when the client names no protocol (see
 * keeps_profile). */
static int select_alpn(SSL *ssl, const unsigned char **ret_protocol, unsigned char *ret_len,
	const unsigned char *offered, unsigned offered_len, void *arg)
{
	(void)ssl, (void)arg;
	int found = SSL_select_next_proto(
		(unsigned char **)ret_protocol, ret_len, alpn, sizeof(alpn), offered, offered_len);
	return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Tells the owner once: what OpenSSL says after us is only a consequence. */
static void raise_alert(struct qe_tls *tls, uint8_t description)
{
	if (!tls->alerted)
		tls->ops->alert(tls->owner, description);
	tls->alerted = true;
}

static bool id_of(struct qe_node_id *ret_id, EVP_PKEY *pkey)
{
	uint8_t *spki = NULL;
	int len = i2d_PUBKEY(pkey, &spki);
	bool ok = len > 0 &&
		  qe_node_id_from_spki(ret_id, (struct qe_bytes){spki, (size_t)len}) == QE_OK;
	OPENSSL_free(spki);
	return ok;
}

/* There is no raw key if the other side came with a certificate. */
static int check_peer(X509_STORE_CTX *store, void *arg)
{
	(void)arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct qe_tls *tls = SSL_get_app_data(ssl);
	EVP_PKEY *pkey = X509_STORE_CTX_get0_rpk(store);
	struct qe_node_id id;
	tls->peer_accepted = pkey && id_of(&id, pkey) && tls->ops->peer(tls->owner, &id);
	if (!tls->peer_accepted)
		raise_alert(tls, SSL_AD_ACCESS_DENIED);
	X509_STORE_CTX_set_error(
		store, tls->peer_accepted ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
	return tls->peer_accepted;
}

static bool use_raw_keys(SSL_CTX *ctx, const struct qe_key *key)
{
	static const unsigned char types[] = {TLSEXT_cert_type_rpk};
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, check_peer, NULL);
	return SSL_CTX_set1_server_cert_type(ctx, types, sizeof(types)) == 1 &&
	       SSL_CTX_set1_client_cert_type(ctx, types, sizeof(types)) == 1 &&
	       SSL_CTX_set1_sigalgs_list(ctx, "ed25519:mldsa65") == 1 &&
	       SSL_CTX_use_PrivateKey(ctx, qe_key_get_evp(key)) == 1;
}

static void allow_no_resumption(SSL_CTX *ctx)
{
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
}

static bool configure(SSL_CTX *ctx, const struct qe_key *key, enum qe_pq pq, enum qe_cipher cipher)
{
	allow_no_resumption(ctx);
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
					 SSL_OP_NO_TX_CERTIFICATE_COMPRESSION |
					 SSL_OP_NO_RX_CERTIFICATE_COMPRESSION);
	SSL_CTX_set_max_cert_list(ctx, CERTIFICATE_MAX);
	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(ctx, cipher_list(cipher)) == 1 &&
	       SSL_CTX_set1_groups_list(ctx, group_list(pq)) == 1 &&
	       SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn)) == 0 && use_raw_keys(ctx, key);
}

enum qe_error qe_tls_context_new(struct qe_tls_context **ret_context, const struct qe_key *key,
	enum qe_pq pq, enum qe_cipher cipher)
{
	struct qe_tls_context *context = malloc(sizeof(*context));
	if (!context)
		return -ENOMEM;
	context->ctx = SSL_CTX_new(TLS_method());
	if (!context->ctx || !configure(context->ctx, key, pq, cipher)) {
		ERR_clear_error();
		qe_tls_context_free(context);
		return QE_ERR_CRYPTO;
	}
	*ret_context = context;
	return QE_OK;
}

struct qe_tls_context *qe_tls_context_free(struct qe_tls_context *context)
{
	if (context)
		SSL_CTX_free(context->ctx);
	free(context);
	return NULL;
}

/* ---- what OpenSSL calls ---- */

static enum qe_tls_level level_of(uint32_t protection)
{
	switch (protection) {
	case OSSL_RECORD_PROTECTION_LEVEL_HANDSHAKE:
		return QE_TLS_HANDSHAKE;
	case OSSL_RECORD_PROTECTION_LEVEL_APPLICATION:
		return QE_TLS_APPLICATION;
	}
	return QE_TLS_INITIAL;
}

static bool suite_of(enum qe_suite *ret_suite, const SSL_CIPHER *cipher)
{
	switch (cipher ? SSL_CIPHER_get_protocol_id(cipher) : 0) {
	case 0x1301:
		*ret_suite = QE_SUITE_AES_128_GCM_SHA256;
		return true;
	case 0x1302:
		*ret_suite = QE_SUITE_AES_256_GCM_SHA384;
		return true;
	case 0x1303:
		*ret_suite = QE_SUITE_CHACHA20_POLY1305_SHA256;
		return true;
	}
	return false;
}

/* What QUIC demands of a handshake and TLS does not (RFC 9001, sections 8.1 and 8.2). */
static bool keeps_profile(struct qe_tls *tls)
{
	const unsigned char *protocol;
	unsigned len;
	SSL_get0_alpn_selected(tls->ssl, &protocol, &len);
	if (len != alpn[0] || memcmp(protocol, &alpn[1], len) != 0)
		raise_alert(tls, SSL_AD_NO_APPLICATION_PROTOCOL);
	else if (!tls->has_peer_params)
		raise_alert(tls, SSL_AD_MISSING_EXTENSION);
	return !tls->alerted;
}

static int on_send(
	SSL *ssl, const unsigned char *bytes, size_t len, size_t *ret_consumed, void *arg)
{
	struct qe_tls *tls = arg;
	(void)ssl;
	*ret_consumed = len;
	return tls->ops->send(tls->owner, tls->write_level, (struct qe_bytes){bytes, len});
}

static int on_receive(SSL *ssl, const unsigned char **ret_bytes, size_t *ret_len, void *arg)
{
	struct qe_tls *tls = arg;
	(void)ssl;
	*ret_bytes = tls->input.data;
	*ret_len = tls->lent = tls->input.len;
	tls->input = (struct qe_bytes){};
	return 1;
}

static int on_release(SSL *ssl, size_t len, void *arg)
{
	struct qe_tls *tls = arg;
	(void)ssl;
	tls->lent -= len;
	return 1;
}

static int on_secret(SSL *ssl, uint32_t protection, int transmit, const unsigned char *secret,
	size_t len, void *arg)
{
	struct qe_tls *tls = arg;
	enum qe_tls_level level = level_of(protection);
	enum qe_suite suite;
	if (!suite_of(&suite, SSL_get_current_cipher(ssl)))
		return 0;
	if (level == QE_TLS_APPLICATION && !keeps_profile(tls))
		return 0;
	*(transmit ? &tls->write_level : &tls->read_level) = level;
	return tls->ops->secret(tls->owner, level, transmit, suite, (struct qe_bytes){secret, len});
}

static int on_transport_params(SSL *ssl, const unsigned char *params, size_t len, void *arg)
{
	struct qe_tls *tls = arg;
	(void)ssl;
	tls->has_peer_params = tls->ops->transport_params(
		tls->owner, (struct qe_bytes){params, len});
	if (!tls->has_peer_params)
		raise_alert(tls, SSL_AD_ILLEGAL_PARAMETER);
	return tls->has_peer_params;
}

static int on_alert(SSL *ssl, unsigned char description, void *arg)
{
	(void)ssl;
	raise_alert(arg, description);
	return 1;
}

static const OSSL_DISPATCH callbacks[] = {
	{OSSL_FUNC_SSL_QUIC_TLS_CRYPTO_SEND, (void (*)(void))on_send},
	{OSSL_FUNC_SSL_QUIC_TLS_CRYPTO_RECV_RCD, (void (*)(void))on_receive},
	{OSSL_FUNC_SSL_QUIC_TLS_CRYPTO_RELEASE_RCD, (void (*)(void))on_release},
	{OSSL_FUNC_SSL_QUIC_TLS_YIELD_SECRET, (void (*)(void))on_secret},
	{OSSL_FUNC_SSL_QUIC_TLS_GOT_TRANSPORT_PARAMS, (void (*)(void))on_transport_params},
	{OSSL_FUNC_SSL_QUIC_TLS_ALERT, (void (*)(void))on_alert},
	OSSL_DISPATCH_END,
};

/* ---- the session ---- */

static enum qe_error fail(struct qe_tls *tls, uint8_t alert, enum qe_error error)
{
	raise_alert(tls, alert);
	ERR_clear_error();
	tls->failed = true;
	return error;
}

/* A completed handshake without check_peer's consent cannot be; if it is, it is not complete. */
static enum qe_error step(struct qe_tls *tls)
{
	ERR_clear_error();
	int result = SSL_do_handshake(tls->ssl);
	if (result != 1 && SSL_get_error(tls->ssl, result) != SSL_ERROR_WANT_READ)
		return fail(tls, SSL_AD_INTERNAL_ERROR, QE_ERR_CRYPTO);
	if (tls->input.len > 0 || tls->lent > 0)
		return fail(tls, SSL_AD_UNEXPECTED_MESSAGE, QE_ERR_PROTOCOL);
	if (result == 1 && !tls->peer_accepted)
		return fail(tls, SSL_AD_CERTIFICATE_REQUIRED, QE_ERR_CRYPTO);
	tls->complete = result == 1;
	return QE_OK;
}

static bool start_ssl(struct qe_tls *tls, SSL_CTX *ctx, bool server)
{
	tls->ssl = SSL_new(ctx);
	if (!tls->ssl)
		return false;
	SSL_set_app_data(tls->ssl, tls);
	/* Before the callbacks, which look at the role. */
	if (server)
		SSL_set_accept_state(tls->ssl);
	else
		SSL_set_connect_state(tls->ssl);
	return SSL_set_quic_tls_cbs(tls->ssl, callbacks, tls) == 1;
}

enum qe_error qe_tls_new(struct qe_tls **ret_tls, struct qe_tls_context *context, bool server,
	const struct qe_tls_ops *ops, void *owner)
{
	struct qe_tls *tls = calloc(1, sizeof(*tls));
	if (!tls)
		return -ENOMEM;
	tls->ops = ops;
	tls->owner = owner;
	if (!start_ssl(tls, context->ctx, server)) {
		ERR_clear_error();
		qe_tls_free(tls);
		return QE_ERR_CRYPTO;
	}
	*ret_tls = tls;
	return QE_OK;
}

struct qe_tls *qe_tls_free(struct qe_tls *tls)
{
	if (!tls)
		return NULL;
	SSL_free(tls->ssl);
	free(tls->params);
	free(tls);
	return NULL;
}

enum qe_error qe_tls_set_transport_params(struct qe_tls *tls, struct qe_bytes params)
{
	uint8_t *copy = malloc(params.len > 0 ? params.len : 1);
	if (!copy)
		return -ENOMEM;
	if (params.len > 0)
		memcpy(copy, params.data, params.len);
	if (SSL_set_quic_tls_transport_params(tls->ssl, copy, params.len) != 1) {
		free(copy);
		return QE_ERR_CONFLICT;
	}
	free(tls->params);
	tls->params = copy;
	return QE_OK;
}

enum qe_error qe_tls_start(struct qe_tls *tls)
{
	return step(tls);
}

enum qe_error qe_tls_input(struct qe_tls *tls, enum qe_tls_level level, struct qe_bytes bytes)
{
	if (tls->failed)
		return QE_ERR_CLOSED;
	if (bytes.len == 0)
		return QE_OK;
	/* No message of ours follows the handshake. */
	if (tls->complete || level != tls->read_level)
		return fail(tls, SSL_AD_UNEXPECTED_MESSAGE, QE_ERR_PROTOCOL);
	if (bytes.len > RECEIVED_MAX - tls->received)
		return fail(tls, SSL_AD_DECODE_ERROR, QE_ERR_PROTOCOL);
	tls->received += bytes.len;
	tls->input = bytes;
	return step(tls);
}

bool qe_tls_complete(const struct qe_tls *tls)
{
	return tls->complete;
}

const char *qe_tls_key_exchange(const struct qe_tls *tls)
{
	static const char *const names[] = {"X25519MLKEM768", "X25519"};
	/* Before there are secrets OpenSSL may have no session to look into. */
	const char *group = tls->write_level > QE_TLS_INITIAL ? SSL_get0_group_name(tls->ssl)
							      : NULL;
	for (size_t i = 0; group && i < sizeof(names) / sizeof(*names); i++) {
		if (OPENSSL_strcasecmp(group, names[i]) == 0)
			return names[i];
	}
	return NULL;
}
