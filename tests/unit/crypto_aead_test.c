/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Each provider is the other's oracle; the known answers are checked when a provider is made, and
 * the key schedule here against RFC 9001, appendix A. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/aead.h"
#include "crypto/mac.h"
#include "crypto/random.h"

#define ROUNDS 1500
#define SIZE_MAX_TESTED 9000
#define AAD_MAX 64

static const enum qe_suite all_suites[] = {
	QE_SUITE_AES_128_GCM_SHA256,
	QE_SUITE_AES_256_GCM_SHA384,
	QE_SUITE_CHACHA20_POLY1305_SHA256,
};

static uint64_t seed, state;

static uint64_t next(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static void fill(uint8_t *to, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)next();
}

/* On the heap at its exact size, so that the sanitizers see an overrun. */
static uint8_t *random_bytes(size_t len)
{
	uint8_t *bytes = malloc(len > 0 ? len : 1);
	assert_non_null(bytes);
	fill(bytes, len);
	return bytes;
}

static int setup(void **test)
{
	static struct qe_crypto *cryptos[2];
	seed = state = qe_random_u64();
	if (qe_crypto_new(&cryptos[0], QE_CRYPTO_OPENSSL) != QE_OK)
		return -1;
	/* A machine without the instructions tests OpenSSL against itself. */
	if (qe_crypto_new(&cryptos[1], QE_CRYPTO_IPSEC_MB) != QE_OK &&
		qe_crypto_new(&cryptos[1], QE_CRYPTO_OPENSSL) != QE_OK)
		return -1;
	print_message("%s and %s, seed %#llx\n", qe_crypto_name(cryptos[0]),
		qe_crypto_name(cryptos[1]), (unsigned long long)seed);
	*test = cryptos;
	return 0;
}

static int teardown(void **test)
{
	struct qe_crypto **cryptos = *test;
	qe_crypto_free(cryptos[0]);
	qe_crypto_free(cryptos[1]);
	return 0;
}

struct message {
	size_t len, aad_len;
	uint8_t *plaintext, *sealed, *aad, nonce[QE_AEAD_NONCE_SIZE];
};

static struct message message_new(void)
{
	struct message m = {
		.len = next() % 2 ? next() % (SIZE_MAX_TESTED + 1) : next() % 100,
		.aad_len = next() % AAD_MAX,
	};
	m.plaintext = random_bytes(m.len);
	m.sealed = random_bytes(m.len + QE_AEAD_TAG_SIZE);
	m.aad = random_bytes(m.aad_len);
	fill(m.nonce, sizeof(m.nonce));
	return m;
}

static void message_free(struct message *m)
{
	free(m->plaintext);
	free(m->sealed);
	free(m->aad);
}

static struct qe_bytes aad_of(const struct message *m)
{
	return (struct qe_bytes){m->aad, m->aad_len};
}

static void seal_message(struct qe_aead *aead, struct message *m, bool in_place)
{
	const uint8_t *from = in_place ? m->sealed : m->plaintext;
	memcpy(m->sealed, m->plaintext, in_place ? m->len : 0);
	struct qe_bytes plaintext = {from, m->len};
	assert_int_equal(qe_aead_seal(aead, m->sealed, plaintext, m->nonce, aad_of(m)), QE_OK);
}

static enum qe_error open_message(struct qe_aead *aead, struct message *m, bool in_place)
{
	size_t len = m->len + QE_AEAD_TAG_SIZE;
	uint8_t *copy = random_bytes(in_place ? len : m->len);
	memcpy(copy, m->sealed, in_place ? len : 0);
	struct qe_bytes sealed = {in_place ? copy : m->sealed, len};
	enum qe_error error = qe_aead_open(aead, copy, sealed, m->nonce, aad_of(m));
	if (error == QE_OK)
		assert_memory_equal(copy, m->plaintext, m->len);
	free(copy);
	return error;
}

static void one_round(struct qe_aead *a, struct qe_aead *b)
{
	struct message m = message_new();
	seal_message(a, &m, next() % 2);
	assert_int_equal(open_message(b, &m, next() % 2), QE_OK);
	assert_int_equal(open_message(a, &m, next() % 2), QE_OK);
	uint8_t *by_a = random_bytes(m.len + QE_AEAD_TAG_SIZE);
	memcpy(by_a, m.sealed, m.len + QE_AEAD_TAG_SIZE);
	seal_message(b, &m, next() % 2);
	assert_memory_equal(by_a, m.sealed, m.len + QE_AEAD_TAG_SIZE);
	free(by_a);
	message_free(&m);
}

static void each_suite(
	void **test, void (*body)(struct qe_aead *a, struct qe_aead *b), size_t rounds)
{
	struct qe_crypto **cryptos = *test;
	for (size_t i = 0; i < sizeof(all_suites) / sizeof(*all_suites); i++) {
		struct qe_aead *a, *b;
		uint8_t bytes[QE_AEAD_KEY_MAX + 64];
		const uint8_t *key = bytes + next() % 64; /* a caller's key lies anywhere */
		fill(bytes, sizeof(bytes));
		assert_int_equal(qe_aead_new(&a, cryptos[0], all_suites[i], key), QE_OK);
		assert_int_equal(qe_aead_new(&b, cryptos[1], all_suites[i], key), QE_OK);
		for (size_t round = 0; round < rounds; round++)
			next() % 2 ? body(a, b) : body(b, a);
		qe_aead_free(a);
		qe_aead_free(b);
	}
}

static void providers_agree(void **test)
{
	each_suite(test, one_round, ROUNDS);
}

static void flip(uint8_t *bytes, size_t bit)
{
	bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
}

static void all_flips(struct qe_aead *a, struct qe_aead *b)
{
	struct message m = message_new();
	m.len %= 80;
	seal_message(a, &m, false);
	for (size_t bit = 0; bit < (m.len + QE_AEAD_TAG_SIZE) * 8; bit++) {
		flip(m.sealed, bit);
		assert_int_equal(open_message(b, &m, bit % 2), QE_ERR_CRYPTO);
		flip(m.sealed, bit);
	}
	for (size_t bit = 0; bit < m.aad_len * 8; bit++) {
		flip(m.aad, bit);
		assert_int_equal(open_message(b, &m, bit % 2), QE_ERR_CRYPTO);
		flip(m.aad, bit);
	}
	for (size_t bit = 0; bit < sizeof(m.nonce) * 8; bit++) {
		flip(m.nonce, bit);
		assert_int_equal(open_message(b, &m, bit % 2), QE_ERR_CRYPTO);
		flip(m.nonce, bit);
	}
	assert_int_equal(open_message(b, &m, false), QE_OK);
	message_free(&m);
}

static void every_flipped_bit_is_noticed(void **test)
{
	each_suite(test, all_flips, 12);
}

static void too_short(struct qe_aead *a, struct qe_aead *b)
{
	uint8_t bytes[QE_AEAD_TAG_SIZE] = {}, nonce[QE_AEAD_NONCE_SIZE] = {};
	(void)b;
	for (size_t len = 0; len < sizeof(bytes); len++)
		assert_int_equal(qe_aead_open(a, bytes, (struct qe_bytes){bytes, len}, nonce,
					 (struct qe_bytes){}),
			QE_ERR_CRYPTO);
}

static void shorter_than_a_tag_is_refused(void **test)
{
	each_suite(test, too_short, 2);
}

static void masks_agree(void **test)
{
	struct qe_crypto **cryptos = *test;
	for (size_t round = 0; round < ROUNDS; round++) {
		struct qe_header_key *keys[2];
		uint8_t key[QE_AEAD_KEY_MAX], sample[QE_HEADER_SAMPLE_SIZE];
		uint8_t masks[2][QE_HEADER_MASK_SIZE];
		enum qe_suite suite = all_suites[round % 3];
		fill(key, sizeof(key));
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(
				qe_header_key_new(&keys[i], cryptos[i], suite, key), QE_OK);
		for (size_t again = 0; again < 3; again++) {
			fill(sample, sizeof(sample));
			assert_int_equal(qe_header_mask(keys[0], masks[0], sample), QE_OK);
			assert_int_equal(qe_header_mask(keys[1], masks[1], sample), QE_OK);
			assert_memory_equal(masks[0], masks[1], sizeof(masks[0]));
		}
		qe_header_key_free(keys[0]);
		qe_header_key_free(keys[1]);
	}
}

static struct qe_bytes hex(const char *text, uint8_t *to)
{
	size_t len = strlen(text) / 2;
	for (size_t i = 0; i < len; i++)
		assert_int_equal(sscanf(text + 2 * i, "%2hhx", &to[i]), 1);
	return (struct qe_bytes){to, len};
}

static void expands_to(
	enum qe_suite suite, struct qe_bytes secret, const char *label, const char *expected)
{
	uint8_t want[64], got[64];
	struct qe_bytes bytes = hex(expected, want);
	assert_int_equal(qe_hkdf_expand_label(suite, got, bytes.len, secret, label), QE_OK);
	assert_memory_equal(got, want, bytes.len);
}

/* RFC 9001, appendices A.1 and A.5. */
static void key_schedule_of_rfc_9001(void **test)
{
	const enum qe_suite aes = QE_SUITE_AES_128_GCM_SHA256;
	const enum qe_suite chacha = QE_SUITE_CHACHA20_POLY1305_SHA256;
	const char *client = "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea";
	const char *server = "3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b";
	uint8_t salt[20], cid[8], initial[32], secret[32];
	(void)test;
	assert_int_equal(
		qe_hkdf_extract(initial, hex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a", salt),
			hex("8394c8f03e515708", cid)),
		QE_OK);
	expands_to(aes, (struct qe_bytes){initial, 32}, "client in", client);
	expands_to(aes, (struct qe_bytes){initial, 32}, "server in", server);
	expands_to(aes, hex(client, secret), "quic key", "1f369613dd76d5467730efcbe3b1a22d");
	expands_to(aes, hex(client, secret), "quic iv", "fa044b2f42a3fd3b46fb255c");
	expands_to(aes, hex(client, secret), "quic hp", "9f50449e04a0e810283a1e9933adedd2");
	expands_to(aes, hex(server, secret), "quic key", "cf3a5331653c364c88f0f379b6067e37");
	expands_to(aes, hex(server, secret), "quic iv", "0ac1493ca1905853b0bba03e");
	expands_to(aes, hex(server, secret), "quic hp", "c206b8d9b9f0f37644430b490eeaa314");

	struct qe_bytes short_header = hex(
		"9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b", secret);
	expands_to(chacha, short_header, "quic key",
		"c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8");
	expands_to(chacha, short_header, "quic iv", "e0459b3474bdd0e44a41c144");
	expands_to(chacha, short_header, "quic hp",
		"25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4");
	expands_to(chacha, short_header, "quic ku",
		"1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9");
}

/* Else a broken provider would only ever be seen as a slow one. */
static void the_best_provider_is_used(void **test)
{
	bool able = qe_crypto_has_aes() && __builtin_cpu_supports("avx2") &&
		    __builtin_cpu_supports("bmi2");
	struct qe_crypto *best;
	(void)test;
	assert_int_equal(qe_crypto_new(&best, QE_CRYPTO_BEST), QE_OK);
	assert_memory_equal(
		qe_crypto_name(best), able ? "libipsec_mb " : "OpenSSL 3.", able ? 12 : 10);
	qe_crypto_free(best);
}

static void suites_are_described(void **test)
{
	(void)test;
	assert_int_equal(qe_suite_key_size(QE_SUITE_AES_128_GCM_SHA256), 16);
	assert_int_equal(qe_suite_key_size(QE_SUITE_CHACHA20_POLY1305_SHA256), 32);
	assert_int_equal(qe_suite_hash_size(QE_SUITE_AES_256_GCM_SHA384), 48);
	assert_int_equal(qe_suite_hash_size(QE_SUITE_CHACHA20_POLY1305_SHA256), 32);
	assert_string_equal(qe_suite_name(QE_SUITE_AES_256_GCM_SHA384), "AES-256-GCM");
}

/* RFC 4231, test case 2. */
static void hmac_is_truncated(void **test)
{
	uint8_t want[32], got[17];
	(void)test;
	hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", want);
	got[16] = 0xaa;
	struct qe_bytes key = {(const uint8_t *)"Jefe", 4};
	struct qe_bytes message = {(const uint8_t *)"what do ya want for nothing?", 28};
	assert_int_equal(qe_hmac(got, 16, key, message), QE_OK);
	assert_memory_equal(got, want, 16);
	assert_int_equal(got[16], 0xaa);
}

/* However often, whatever was hashed before, and with a key of any length. */
static void a_kept_key_gives_the_same(void **)
{
	for (size_t key_len = 1; key_len <= 100; key_len += 9) {
		uint8_t bytes[200], want[32], got[32];
		struct qe_bytes key = {bytes, key_len};
		struct qe_mac *mac;

		qe_random(bytes, sizeof(bytes));
		assert_int_equal(qe_mac_new(&mac, key), QE_OK);
		for (size_t len = 0; len < sizeof(bytes); len++) {
			struct qe_bytes message = {bytes, len};

			assert_int_equal(qe_hmac(want, sizeof(want), key, message), QE_OK);
			assert_int_equal(qe_mac_make(mac, got, sizeof(got), message), QE_OK);
			assert_memory_equal(got, want, sizeof(want));
		}
		assert_null(qe_mac_free(mac));
	}
	assert_null(qe_mac_free(nullptr));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(providers_agree),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(shorter_than_a_tag_is_refused),
		cmocka_unit_test(masks_agree),
		cmocka_unit_test(key_schedule_of_rfc_9001),
		cmocka_unit_test(the_best_provider_is_used),
		cmocka_unit_test(suites_are_described),
		cmocka_unit_test(hmac_is_truncated),
		cmocka_unit_test(a_kept_key_gives_the_same),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
