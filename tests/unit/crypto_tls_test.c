/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Two ends and the wires between them, one queue of handshake bytes each way. An end is either a
 * session of ours or a stranger: a bare OpenSSL session that may be configured against our profile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/core_dispatch.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "crypto/random.h"
#include "crypto/tls.h"

#define CHUNKS_MAX 64
#define NO_ALERT (-1)
#define ROUNDS 150

struct chunk {
	enum qe_tls_level level;
	size_t len;
	uint8_t *bytes;
};

struct wire {
	struct chunk chunks[CHUNKS_MAX];
	size_t first, last;
	size_t total;
};

struct secret {
	enum qe_suite suite;
	size_t len;
	uint8_t bytes[48];
};

struct end {
	struct qe_tls *tls;
	SSL *stranger;
	struct qe_bytes lent; /* to the stranger */
	enum qe_tls_level level;
	struct wire out;
	struct secret secrets[3][2];
	struct qe_bytes params;
	const struct qe_node_id *expects; /* NULL: nobody */
	const struct end *other;
	unsigned n_peer_calls;
	int alert;
	bool refuses_secret, refuses_params, got_params;
	enum qe_error error;
};

static struct qe_key *keys[3]; /* two Ed25519, one ML-DSA-65 */
static uint64_t seed, state;

static uint64_t next(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* ---- an end of ours ---- */

static void put(struct wire *wire, enum qe_tls_level level, struct qe_bytes bytes)
{
	assert_in_range(wire->last, 0, CHUNKS_MAX - 1);
	struct chunk *chunk = &wire->chunks[wire->last++];
	*chunk = (struct chunk){level, bytes.len, malloc(bytes.len)};
	memcpy(chunk->bytes, bytes.data, bytes.len);
	wire->total += bytes.len;
}

static bool on_send(void *owner, enum qe_tls_level level, struct qe_bytes bytes)
{
	put(&((struct end *)owner)->out, level, bytes);
	return true;
}

static bool on_secret(void *owner, enum qe_tls_level level, bool transmit, enum qe_suite suite,
	struct qe_bytes bytes)
{
	struct end *end = owner;
	struct secret *secret = &end->secrets[level][transmit];
	assert_int_equal(secret->len, 0);
	assert_int_equal(bytes.len, qe_suite_hash_size(suite));
	secret->suite = suite;
	secret->len = bytes.len;
	memcpy(secret->bytes, bytes.data, bytes.len);
	return !end->refuses_secret;
}

static bool on_params(void *owner, struct qe_bytes params)
{
	struct end *end = owner;
	if (end->other->tls)
		end->got_params = qe_bytes_equal(params, end->other->params);
	return !end->refuses_params;
}

static bool on_peer(void *owner, const struct qe_node_id *id)
{
	struct end *end = owner;
	end->n_peer_calls++;
	return end->expects && qe_node_id_equal(end->expects, id);
}

static void on_alert(void *owner, uint8_t description)
{
	struct end *end = owner;
	assert_int_equal(end->alert, NO_ALERT);
	end->alert = description;
}

static const struct qe_tls_ops ops = {on_send, on_secret, on_params, on_peer, on_alert};

static struct qe_tls_context *context_of(size_t key, enum qe_pq pq, enum qe_cipher cipher)
{
	struct qe_tls_context *context;
	assert_int_equal(qe_tls_context_new(&context, keys[key], pq, cipher), QE_OK);
	return context;
}

static void end_init(
	struct end *end, struct end *other, struct qe_tls_context *context, bool server)
{
	end->other = other;
	end->alert = NO_ALERT;
	end->params = server ? (struct qe_bytes){(const uint8_t *)"server's", 8}
			     : (struct qe_bytes){(const uint8_t *)"client's!", 9};
	assert_int_equal(qe_tls_new(&end->tls, context, server, &ops, end), QE_OK);
	assert_int_equal(qe_tls_set_transport_params(end->tls, end->params), QE_OK);
	assert_null(qe_tls_key_exchange(end->tls));
	qe_tls_context_free(context); /* a session keeps what it needs */
}

/* ---- a stranger ---- */

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

enum credential { NO_CREDENTIAL, RAW_KEY, CERTIFICATE };

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

static void give_credential(SSL_CTX *ctx, const struct stranger *how, struct qe_node_id *ret_id)
{
	static const unsigned char raw[] = {TLSEXT_cert_type_rpk};
	EVP_PKEY *pkey = how->key_type && strcmp(how->key_type, "EC") == 0
				 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
				 : EVP_PKEY_Q_keygen(
					   NULL, NULL, how->key_type ? how->key_type : "ED25519");
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

static void stranger_init(struct end *end, struct end *other, bool server,
	const struct stranger *how, struct qe_node_id *ret_id)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	end->other = other;
	end->alert = NO_ALERT;
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

/* ---- the wires ---- */

static void end_done(struct end *end)
{
	qe_tls_free(end->tls);
	SSL_free(end->stranger);
	for (size_t i = 0; i < end->out.last; i++)
		free(end->out.chunks[i].bytes);
}

static void start(struct end *end)
{
	if (end->tls)
		end->error = qe_tls_start(end->tls);
	else
		SSL_do_handshake(end->stranger);
}

/* The bytes live on the heap at their exact size and die at once: nothing may keep them. */
static enum qe_error give(struct end *end, enum qe_tls_level level, const uint8_t *from, size_t len)
{
	uint8_t *copy = malloc(len);
	enum qe_error error = QE_OK;
	memcpy(copy, from, len);
	if (end->tls) {
		error = qe_tls_input(end->tls, level, (struct qe_bytes){copy, len});
	} else {
		end->lent = (struct qe_bytes){copy, len};
		if (SSL_do_handshake(end->stranger) == 1)
			SSL_read(end->stranger, NULL, 0);
	}
	free(copy);
	return error;
}

/* In pieces of random size. */
static void deliver(struct end *end, const struct chunk *chunk)
{
	size_t at = 0;
	while (at < chunk->len && end->error == QE_OK) {
		size_t len = next() % 3 ? chunk->len - at : 1 + next() % (chunk->len - at);
		end->error = give(end, chunk->level, chunk->bytes + at, len);
		at += len;
	}
}

static void pump(struct end *a, struct end *b)
{
	start(a);
	start(b);
	for (bool moved = true; moved && a->error == QE_OK && b->error == QE_OK;) {
		struct end *ends[] = {a, b};
		moved = false;
		for (size_t i = 0; i < 2; i++) {
			struct wire *wire = &ends[i]->out;
			while (wire->first < wire->last && ends[!i]->error == QE_OK) {
				deliver(ends[!i], &wire->chunks[wire->first++]);
				moved = true;
			}
		}
	}
}

static bool same_secrets(const struct end *a, const struct end *b)
{
	for (size_t level = QE_TLS_HANDSHAKE; level <= QE_TLS_APPLICATION; level++) {
		for (size_t transmit = 0; transmit < 2; transmit++) {
			const struct secret *x = &a->secrets[level][transmit];
			const struct secret *y = &b->secrets[level][!transmit];
			if (x->len == 0 || x->len != y->len || x->suite != y->suite ||
				memcmp(x->bytes, y->bytes, x->len) != 0)
				return false;
		}
	}
	return true;
}

static void assert_established(const struct end *client, const struct end *server)
{
	assert_int_equal(client->error, QE_OK);
	assert_int_equal(server->error, QE_OK);
	assert_true(qe_tls_complete(client->tls));
	assert_true(qe_tls_complete(server->tls));
	assert_true(same_secrets(client, server));
	assert_true(client->got_params && server->got_params);
	assert_int_equal(client->n_peer_calls, 1);
	assert_int_equal(server->n_peer_calls, 1);
	assert_int_equal(client->alert, NO_ALERT);
	assert_int_equal(server->alert, NO_ALERT);
}

struct pair {
	struct end client, server;
};

/* Each knows the other. */
static void pair_init(struct pair *pair, size_t client_key, size_t server_key)
{
	*pair = (struct pair){};
	end_init(&pair->client, &pair->server,
		context_of(client_key, QE_PQ_REQUIRED, QE_CIPHER_AUTO), false);
	end_init(&pair->server, &pair->client,
		context_of(server_key, QE_PQ_REQUIRED, QE_CIPHER_AUTO), true);
	pair->client.expects = qe_key_get_id(keys[server_key]);
	pair->server.expects = qe_key_get_id(keys[client_key]);
}

static void pair_done(struct pair *pair)
{
	end_done(&pair->client);
	end_done(&pair->server);
}

/* ---- the tests ---- */

static void every_key_type_with_every_other(void **test)
{
	(void)test;
	for (size_t client = 0; client < 3; client++) {
		for (size_t server = 0; server < 3; server++) {
			struct pair pair;
			pair_init(&pair, client, server);
			pump(&pair.client, &pair.server);
			assert_established(&pair.client, &pair.server);
			assert_string_equal(qe_tls_key_exchange(pair.client.tls), "X25519MLKEM768");
			assert_string_equal(qe_tls_key_exchange(pair.server.tls), "X25519MLKEM768");
			pair_done(&pair);
		}
	}
}

/* The suite that two settings should agree on; -1: none. */
static int expected_suite(enum qe_cipher client, enum qe_cipher server)
{
	static const int pinned[] = {
		[QE_CIPHER_AES_256_GCM] = QE_SUITE_AES_256_GCM_SHA384,
		[QE_CIPHER_AES_128_GCM] = QE_SUITE_AES_128_GCM_SHA256,
		[QE_CIPHER_CHACHA20_POLY1305] = QE_SUITE_CHACHA20_POLY1305_SHA256,
	};
	if (client == QE_CIPHER_AUTO && server == QE_CIPHER_AUTO)
		return qe_crypto_has_aes() ? QE_SUITE_AES_256_GCM_SHA384
					   : QE_SUITE_CHACHA20_POLY1305_SHA256;
	if (client == QE_CIPHER_AUTO)
		return pinned[server];
	return server == QE_CIPHER_AUTO || server == client ? pinned[client] : -1;
}

static void one_pair_of_settings(
	enum qe_cipher client, enum qe_cipher server, enum qe_pq client_pq, enum qe_pq server_pq)
{
	struct pair pair = {};
	int suite = expected_suite(client, server);
	end_init(&pair.client, &pair.server, context_of(0, client_pq, client), false);
	end_init(&pair.server, &pair.client, context_of(1, server_pq, server), true);
	pair.client.expects = qe_key_get_id(keys[1]);
	pair.server.expects = qe_key_get_id(keys[0]);
	pump(&pair.client, &pair.server);
	if (suite >= 0) {
		assert_established(&pair.client, &pair.server);
		assert_int_equal(pair.client.secrets[QE_TLS_APPLICATION][0].suite, suite);
		assert_string_equal(qe_tls_key_exchange(pair.client.tls), "X25519MLKEM768");
	} else {
		assert_int_equal(pair.server.error, QE_ERR_CRYPTO);
		assert_int_equal(pair.server.alert, SSL_AD_HANDSHAKE_FAILURE);
		assert_false(qe_tls_complete(pair.client.tls));
	}
	pair_done(&pair);
}

static void all_settings(void **test)
{
	(void)test;
	for (enum qe_cipher client = QE_CIPHER_AUTO; client <= QE_CIPHER_CHACHA20_POLY1305;
		client++)
		for (enum qe_cipher server = QE_CIPHER_AUTO; server <= QE_CIPHER_CHACHA20_POLY1305;
			server++)
			one_pair_of_settings(
				client, server, (enum qe_pq)(client % 2), (enum qe_pq)(server / 2));
}

static void a_client_of_an_unknown_key_is_refused(void **test)
{
	struct pair pair;
	(void)test;
	pair_init(&pair, 0, 1);
	pair.server.expects = qe_key_get_id(keys[2]);
	pump(&pair.client, &pair.server);
	assert_int_equal(pair.server.error, QE_ERR_CRYPTO);
	assert_int_equal(pair.server.alert, SSL_AD_ACCESS_DENIED);
	assert_int_equal(pair.server.n_peer_calls, 1);
	assert_false(qe_tls_complete(pair.server.tls));
	assert_int_equal(pair.server.secrets[QE_TLS_APPLICATION][0].len, 0);
	pair_done(&pair);
}

static void a_server_of_an_unknown_key_is_refused(void **test)
{
	struct pair pair;
	(void)test;
	pair_init(&pair, 0, 1);
	pair.client.expects = NULL;
	pump(&pair.client, &pair.server);
	assert_int_equal(pair.client.error, QE_ERR_CRYPTO);
	assert_int_equal(pair.client.alert, SSL_AD_ACCESS_DENIED);
	assert_false(qe_tls_complete(pair.client.tls));
	assert_false(qe_tls_complete(pair.server.tls));
	assert_int_equal(pair.client.secrets[QE_TLS_APPLICATION][1].len, 0);
	pair_done(&pair);
}

struct strange_case {
	struct stranger how;
	int alert;    /* of our server; NO_ALERT: the handshake succeeds */
	bool unknown; /* whether our server does not expect the key */
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

static void owners_may_refuse(void **test)
{
	(void)test;
	for (size_t i = 0; i < 4; i++) {
		struct pair pair;
		pair_init(&pair, 0, 1);
		struct end *end = i % 2 ? &pair.client : &pair.server;
		end->refuses_params = i / 2 == 0;
		end->refuses_secret = i / 2 == 1;
		pump(&pair.client, &pair.server);
		assert_int_equal(end->error, QE_ERR_CRYPTO);
		assert_int_equal(
			end->alert, i / 2 == 0 ? SSL_AD_ILLEGAL_PARAMETER : SSL_AD_INTERNAL_ERROR);
		assert_false(qe_tls_complete(end->tls));
		pair_done(&pair);
	}
}

/* All that one end says in an undisturbed handshake is at most this long. */
static size_t length_of(bool server)
{
	struct pair pair;
	pair_init(&pair, 0, 1);
	pump(&pair.client, &pair.server);
	size_t total = server ? pair.server.out.total : pair.client.out.total;
	pair_done(&pair);
	return total;
}

static bool tamper(struct wire *wire, size_t *left)
{
	for (size_t i = wire->first; i < wire->last; i++) {
		if (*left < wire->chunks[i].len) {
			wire->chunks[i].bytes[*left] ^= (uint8_t)(1 + next() % 255);
			*left = SIZE_MAX;
			return true;
		}
		*left -= wire->chunks[i].len;
	}
	return false;
}

/* Every message is hashed into what both sides sign and finish with. */
static void tampered_bytes_never_succeed(void **test)
{
	(void)test;
	const size_t lengths[] = {length_of(false), length_of(true)};
	for (size_t round = 0; round < ROUNDS; round++) {
		struct pair pair;
		pair_init(&pair, 0, 1);
		struct end *ends[] = {&pair.client, &pair.server};
		bool by_server = next() % 2, tampered = false;
		size_t left = next() % lengths[by_server];
		start(ends[0]);
		for (size_t turn = 0; turn < 6; turn++) {
			struct end *from = ends[turn % 2], *to = ends[!(turn % 2)];
			if (from == ends[by_server] && !tampered)
				tampered = tamper(&from->out, &left);
			while (from->out.first < from->out.last && to->error == QE_OK)
				deliver(to, &from->out.chunks[from->out.first++]);
		}
		assert_true(tampered);
		assert_false(qe_tls_complete(pair.client.tls) && qe_tls_complete(pair.server.tls));
		pair_done(&pair);
	}
}

static void garbage_is_survived(void **test)
{
	(void)test;
	for (size_t round = 0; round < 2 * ROUNDS; round++) {
		struct pair pair;
		uint8_t bytes[600];
		pair_init(&pair, 0, 1);
		struct end *end = round % 2 ? &pair.client : &pair.server;
		start(end);
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)next();
		/* Half of the time a well-formed header. */
		if (round % 4 < 2) {
			bytes[0] = end == &pair.server ? 1 : 2;
			bytes[1] = 0;
			bytes[2] = next() % 2;
		}
		for (size_t i = 0; i < 4 && end->error == QE_OK; i++)
			end->error = give(end, QE_TLS_INITIAL, bytes, sizeof(bytes));
		assert_false(qe_tls_complete(end->tls));
		pair_done(&pair);
	}
}

static void endless_input_is_refused(void **test)
{
	static const uint8_t header[4] = {1, 1, 0xff, 0xff}; /* a ClientHello of 128 KiB */
	static uint8_t bytes[1024];
	struct pair pair;
	size_t given = 0;
	(void)test;
	pair_init(&pair, 0, 1);
	struct end *server = &pair.server;
	server->error = give(server, QE_TLS_INITIAL, header, sizeof(header));
	for (; server->error == QE_OK && given < 128; given++)
		server->error = give(server, QE_TLS_INITIAL, bytes, sizeof(bytes));
	assert_int_equal(server->error, QE_ERR_PROTOCOL);
	assert_in_range(given, 60, 65);
	pair_done(&pair);
}

static void bytes_at_a_wrong_level_are_refused(void **test)
{
	(void)test;
	for (size_t i = 0; i < 4; i++) {
		struct pair pair;
		pair_init(&pair, 0, 1);
		struct end *end = i % 2 ? &pair.client : &pair.server;
		enum qe_tls_level level = i / 2 ? QE_TLS_HANDSHAKE : QE_TLS_APPLICATION;
		start(&pair.client);
		assert_int_equal(give(end, level, (const uint8_t *)"\x01", 1), QE_ERR_PROTOCOL);
		assert_int_equal(end->alert, SSL_AD_UNEXPECTED_MESSAGE);
		assert_int_equal(
			give(end, QE_TLS_INITIAL, (const uint8_t *)"\x01", 1), QE_ERR_CLOSED);
		pair_done(&pair);
	}
}

static void nothing_may_follow_the_handshake(void **test)
{
	(void)test;
	for (size_t i = 0; i < 6; i++) {
		struct pair pair;
		pair_init(&pair, 0, 1);
		pump(&pair.client, &pair.server);
		assert_established(&pair.client, &pair.server);
		struct end *end = i % 2 ? &pair.client : &pair.server;
		/* A KeyUpdate. */
		assert_int_equal(
			give(end, (enum qe_tls_level)(i / 2), (const uint8_t *)"\x18\0\0\x01\0", 5),
			QE_ERR_PROTOCOL);
		assert_int_equal(end->alert, SSL_AD_UNEXPECTED_MESSAGE);
		pair_done(&pair);
	}
}

/* A server learns the client's transport parameters before it has to say its own. */
static struct qe_tls *answering;

static bool answer_params(void *owner, struct qe_bytes params)
{
	(void)params;
	assert_int_equal(
		qe_tls_set_transport_params(answering, ((struct end *)owner)->params), QE_OK);
	return true;
}

static void a_server_may_answer_with_its_parameters(void **test)
{
	struct qe_tls_ops late = ops;
	struct pair pair;
	(void)test;
	pair_init(&pair, 0, 1);
	late.transport_params = answer_params;
	qe_tls_free(pair.server.tls);
	struct qe_tls_context *context = context_of(1, QE_PQ_REQUIRED, QE_CIPHER_AUTO);
	assert_int_equal(qe_tls_new(&pair.server.tls, context, true, &late, &pair.server), QE_OK);
	qe_tls_context_free(context);
	answering = pair.server.tls;
	pump(&pair.client, &pair.server);
	assert_true(qe_tls_complete(pair.server.tls));
	assert_true(pair.client.got_params);
	assert_int_equal(
		qe_tls_set_transport_params(answering, pair.server.params), QE_ERR_CONFLICT);
	pair_done(&pair);
}

static int setup(void **test)
{
	(void)test;
	seed = state = qe_random_u64();
	print_message("seed %#llx\n", (unsigned long long)seed);
	for (size_t i = 0; i < 3; i++) {
		enum qe_key_type type = i < 2 ? QE_KEY_ED25519 : QE_KEY_ML_DSA_65;
		if (qe_key_generate(&keys[i], type) != QE_OK)
			return -1;
	}
	return 0;
}

static int teardown(void **test)
{
	(void)test;
	for (size_t i = 0; i < 3; i++)
		qe_key_free(keys[i]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_type_with_every_other),
		cmocka_unit_test(all_settings),
		cmocka_unit_test(a_client_of_an_unknown_key_is_refused),
		cmocka_unit_test(a_server_of_an_unknown_key_is_refused),
		cmocka_unit_test(strange_clients_meet_our_server),
		cmocka_unit_test(strange_servers_meet_our_client),
		cmocka_unit_test(preferred_falls_back),
		cmocka_unit_test(owners_may_refuse),
		cmocka_unit_test(tampered_bytes_never_succeed),
		cmocka_unit_test(garbage_is_survived),
		cmocka_unit_test(endless_input_is_refused),
		cmocka_unit_test(bytes_at_a_wrong_level_are_refused),
		cmocka_unit_test(nothing_may_follow_the_handshake),
		cmocka_unit_test(a_server_may_answer_with_its_parameters),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
