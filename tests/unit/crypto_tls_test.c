/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Our sessions against each other, and against bytes that no session of ours would send. */
#define _GNU_SOURCE
#include "crypto_tls_ends.h"

#define ROUNDS 150

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

/* Renames the extension in the ClientHello. */
static void transport_parameters_are_mandatory(void **test)
{
	static const uint8_t extension[] = {0, 57, 0, 9, 'c', 'l', 'i', 'e', 'n', 't'};
	struct pair pair;
	(void)test;
	pair_init(&pair, 0, 1);
	start(&pair.client);
	struct chunk *hello = &pair.client.out.chunks[0];
	uint8_t *at = memmem(hello->bytes, hello->len, extension, sizeof(extension));
	assert_non_null(at);
	at[0] = 0x5a;
	deliver(&pair.server, hello);
	assert_int_equal(pair.server.error, QE_ERR_CRYPTO);
	assert_int_equal(pair.server.alert, SSL_AD_MISSING_EXTENSION);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_type_with_every_other),
		cmocka_unit_test(all_settings),
		cmocka_unit_test(a_client_of_an_unknown_key_is_refused),
		cmocka_unit_test(a_server_of_an_unknown_key_is_refused),
		cmocka_unit_test(transport_parameters_are_mandatory),
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
