/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Our sessions against strangers: bare OpenSSL sessions, configured against our profile. */
#include "crypto_tls_ends.h"

#include <openssl/core_dispatch.h>
#include <openssl/x509.h>

static int stranger_send(SSL *ssl, const unsigned char *bytes, size_t len, size_t *used, void *arg)
{
	struct end *end = arg;
	(void)ssl;
	put(&end->out, end->level, (struct qe_bytes){bytes, len});
	*used = len;
	return 1;
}

static int stranger_receive(SSL *ssl, const unsigned char **ret_bytes, size_t *ret_len, void *arg)
{
	struct end *end = arg;
	(void)ssl;
	*ret_bytes = end->lent.data;
	*ret_len = end->lent.len;
	end->lent = (struct qe_bytes){};
	return 1;
}

static int stranger_release(SSL *ssl, size_t len, void *arg)
{
	(void)ssl, (void)len, (void)arg;
	return 1;
}

static int stranger_secret(
	SSL *ssl, uint32_t level, int transmit, const unsigned char *secret, size_t len, void *arg)
{
	struct end *end = arg;
	(void)ssl, (void)secret, (void)len;
	if (transmit)
		end->level = level == OSSL_RECORD_PROTECTION_LEVEL_HANDSHAKE ? QE_TLS_HANDSHAKE
									     : QE_TLS_APPLICATION;
	return 1;
}

static int stranger_params(SSL *ssl, const unsigned char *params, size_t len, void *arg)
{
	(void)ssl, (void)params, (void)len, (void)arg;
	return 1;
}

static int stranger_alert(SSL *ssl, unsigned char description, void *arg)
{
	(void)ssl;
	((struct end *)arg)->alert = description;
	return 1;
}

static const OSSL_DISPATCH stranger_callbacks[] = {
	{OSSL_FUNC_SSL_QUIC_TLS_CRYPTO_SEND, (void (*)(void))stranger_send},
	{OSSL_FUNC_SSL_QUIC_TLS_CRYPTO_RECV_RCD, (void (*)(void))stranger_receive},
	{OSSL_FUNC_SSL_QUIC_TLS_CRYPTO_RELEASE_RCD, (void (*)(void))stranger_release},
	{OSSL_FUNC_SSL_QUIC_TLS_YIELD_SECRET, (void (*)(void))stranger_secret},
	{OSSL_FUNC_SSL_QUIC_TLS_GOT_TRANSPORT_PARAMS, (void (*)(void))stranger_params},
	{OSSL_FUNC_SSL_QUIC_TLS_ALERT, (void (*)(void))stranger_alert},
	OSSL_DISPATCH_END,
};

enum credential { NO_CREDENTIAL, RAW_KEY, CERTIFICATE, IMPOSTOR };

struct stranger {
	const char *alpn, *groups, *sigalgs; /* NULL: the default; alpn: none */
	enum credential credential;
	const char *key_type; /* NULL: Ed25519 */
};

static X509 *self_signed(EVP_PKEY *pkey)
{
	X509 *cert = X509_new();
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, pkey);
	assert_true(X509_sign(cert, pkey, NULL) > 0);
	return cert;
}

static int accept_all(X509_STORE_CTX *store, void *arg)
{
	(void)store, (void)arg;
	return 1;
}

static int select_any(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned in_len, void *arg)
{
	(void)ssl, (void)in_len, (void)arg;
	*out = in + 1;
	*out_len = in[0];
	return SSL_TLSEXT_ERR_OK;
}

/* Claims the public key of keys[1] without having its private key. */
static EVP_PKEY *impostor(void)
{
	struct qe_bytes spki = qe_key_get_spki(keys[1]);
	uint8_t private[32];
	EVP_PKEY *pkey = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "ED25519", NULL);
	qe_random(private, sizeof(private));
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string("priv", private, sizeof(private)),
		OSSL_PARAM_construct_octet_string("pub", (void *)(spki.data + 12), 32),
		OSSL_PARAM_construct_end(),
	};
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params), 1);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static EVP_PKEY *key_of(const struct stranger *how)
{
	if (how->credential == IMPOSTOR)
		return impostor();
	if (how->key_type && strcmp(how->key_type, "EC") == 0)
		return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	return EVP_PKEY_Q_keygen(NULL, NULL, how->key_type ? how->key_type : "ED25519");
}

static void give_credential(SSL_CTX *ctx, const struct stranger *how, struct qe_node_id *ret_id)
{
	static const unsigned char raw[] = {TLSEXT_cert_type_rpk};
	EVP_PKEY *pkey = key_of(how);
	uint8_t *spki = NULL;
	int len = i2d_PUBKEY(pkey, &spki);
	assert_int_equal(qe_node_id_from_spki(ret_id, (struct qe_bytes){spki, (size_t)len}), QE_OK);
	OPENSSL_free(spki);
	if (how->credential == CERTIFICATE) {
		X509 *cert = self_signed(pkey);
		assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
		X509_free(cert);
	} else {
		SSL_CTX_set1_client_cert_type(ctx, raw, 1);
		SSL_CTX_set1_server_cert_type(ctx, raw, 1);
	}
	if (how->credential != NO_CREDENTIAL)
		assert_int_equal(SSL_CTX_use_PrivateKey(ctx, pkey), 1);
	EVP_PKEY_free(pkey);
}

static void stranger_step(struct end *end)
{
	if (SSL_do_handshake(end->stranger) == 1)
		SSL_read(end->stranger, NULL, 0);
}

static void stranger_init(struct end *end, struct end *other, bool server,
	const struct stranger *how, struct qe_node_id *ret_id)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	end->other = other;
	end->alert = NO_ALERT;
	end->step = stranger_step;
	give_credential(ctx, how, ret_id);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, accept_all, NULL);
	if (how->groups)
		assert_int_equal(SSL_CTX_set1_groups_list(ctx, how->groups), 1);
	if (how->sigalgs)
		assert_int_equal(SSL_CTX_set1_sigalgs_list(ctx, how->sigalgs), 1);
	if (how->alpn && server)
		SSL_CTX_set_alpn_select_cb(ctx, select_any, NULL);
	else if (how->alpn)
		SSL_CTX_set_alpn_protos(
			ctx, (const uint8_t *)how->alpn, (unsigned)strlen(how->alpn));
	end->stranger = SSL_new(ctx);
	if (server)
		SSL_set_accept_state(end->stranger);
	else
		SSL_set_connect_state(end->stranger);
	assert_int_equal(SSL_set_quic_tls_cbs(end->stranger, stranger_callbacks, end), 1);
	SSL_CTX_free(ctx);
}

/* unknown makes our side expect keys[1], whoever comes. */
struct strange_case {
	struct stranger how;
	int alert; /* of our side; NO_ALERT: the handshake succeeds */
	bool unknown;
};

static const struct strange_case strange_clients[] = {
	{{.alpn = "\x0bquicether/1", .credential = RAW_KEY}, NO_ALERT, false},
	{{.alpn = "\x0bquicether/1", .credential = RAW_KEY, .key_type = "ML-DSA-65"}, NO_ALERT,
		false},
	{{.alpn = "\x0bquicether/1", .credential = RAW_KEY}, SSL_AD_ACCESS_DENIED, true},
	{{.alpn = "\x02h3\x0bquicether/1", .credential = RAW_KEY}, NO_ALERT, false},
	{{.alpn = "\x02h3", .credential = RAW_KEY}, SSL_AD_NO_APPLICATION_PROTOCOL, false},
	{{.alpn = "\x0aquicether/", .credential = RAW_KEY}, SSL_AD_NO_APPLICATION_PROTOCOL, false},
	{{.alpn = NULL, .credential = RAW_KEY}, SSL_AD_NO_APPLICATION_PROTOCOL, false},
	{{.alpn = "\x0bquicether/1", .groups = "X25519", .credential = RAW_KEY},
		SSL_AD_HANDSHAKE_FAILURE, false},
	{{.alpn = "\x0bquicether/1", .groups = "P-256:X25519MLKEM768", .credential = RAW_KEY},
		NO_ALERT, false}, /* after a HelloRetryRequest */
	{{.alpn = "\x0bquicether/1", .credential = IMPOSTOR}, SSL_AD_DECRYPT_ERROR, true},
	{{.alpn = "\x0bquicether/1", .credential = NO_CREDENTIAL}, SSL_AD_CERTIFICATE_REQUIRED,
		false},
	{{.alpn = "\x0bquicether/1", .credential = CERTIFICATE}, SSL_AD_HANDSHAKE_FAILURE, false},
	{{.alpn = "\x0bquicether/1", .credential = RAW_KEY, .key_type = "EC"},
		SSL_AD_CERTIFICATE_REQUIRED, false}, /* it has no key that our server would take */
};

static void one_strange_client(const struct strange_case *c)
{
	struct pair pair = {};
	struct qe_node_id id;
	stranger_init(&pair.client, &pair.server, false, &c->how, &id);
	end_init(&pair.server, &pair.client, context_of(0, QE_PQ_REQUIRED, QE_CIPHER_AUTO), true);
	pair.server.expects = c->unknown ? qe_key_get_id(keys[1]) : &id;
	pump(&pair.client, &pair.server);
	assert_int_equal(pair.server.alert, c->alert);
	assert_int_equal(qe_tls_complete(pair.server.tls), c->alert == NO_ALERT);
	assert_int_equal(pair.server.error, c->alert == NO_ALERT ? QE_OK : QE_ERR_CRYPTO);
	pair_done(&pair);
}

static void strange_clients_meet_our_server(void **test)
{
	(void)test;
	for (size_t i = 0; i < sizeof(strange_clients) / sizeof(*strange_clients); i++) {
		print_message("client %zu\n", i);
		one_strange_client(&strange_clients[i]);
	}
}

/* Alerts of our client. */
static const struct strange_case strange_servers[] = {
	{{.alpn = "any", .credential = RAW_KEY}, NO_ALERT, false},
	{{.alpn = "any", .credential = RAW_KEY}, SSL_AD_ACCESS_DENIED, true},
	{{.alpn = "any", .credential = IMPOSTOR}, SSL_AD_DECRYPT_ERROR, true},
	{{.alpn = NULL, .credential = RAW_KEY}, SSL_AD_NO_APPLICATION_PROTOCOL, false},
};

static void strange_servers_meet_our_client(void **test)
{
	(void)test;
	for (size_t i = 0; i < sizeof(strange_servers) / sizeof(*strange_servers); i++) {
		const struct strange_case *c = &strange_servers[i];
		struct pair pair = {};
		struct qe_node_id id;
		print_message("server %zu\n", i);
		end_init(&pair.client, &pair.server, context_of(0, QE_PQ_REQUIRED, QE_CIPHER_AUTO),
			false);
		stranger_init(&pair.server, &pair.client, true, &c->how, &id);
		pair.client.expects = c->unknown ? qe_key_get_id(keys[1]) : &id;
		pump(&pair.client, &pair.server);
		assert_int_equal(pair.client.alert, c->alert);
		assert_int_equal(qe_tls_complete(pair.client.tls), c->alert == NO_ALERT);
		pair_done(&pair);
	}
}

static void preferred_falls_back(void **test)
{
	const struct stranger classic = {
		.alpn = "\x0bquicether/1", .groups = "X25519", .credential = RAW_KEY};
	struct pair pair = {};
	struct qe_node_id id;
	(void)test;
	stranger_init(&pair.client, &pair.server, false, &classic, &id);
	end_init(&pair.server, &pair.client, context_of(0, QE_PQ_PREFERRED, QE_CIPHER_AUTO), true);
	pair.server.expects = &id;
	pump(&pair.client, &pair.server);
	assert_true(qe_tls_complete(pair.server.tls));
	assert_string_equal(qe_tls_key_exchange(pair.server.tls), "X25519");
	pair_done(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strange_clients_meet_our_server),
		cmocka_unit_test(strange_servers_meet_our_client),
		cmocka_unit_test(preferred_falls_back),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
