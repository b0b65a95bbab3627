/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * crypto - who a node is, and what keeps its packets secret.
 *
 * key.c and node_id.c hold identity, tls.c the handshake, kdf.c and this file with its providers
 * what protects packets afterwards. OpenSSL and libipsec_mb are behind this folder's headers and
 * nowhere else; nothing of theirs is in a prototype that others see.
 *
 * Packet protection is its own small layer because it is most of the cost of a packet. OpenSSL's
 * EVP pays 140 to 170 ns a call whatever the size; libipsec_mb does not, but wants instructions
 * that not every machine has. So there are two providers with the same results, chosen once when a
 * thread starts, and none is trusted before it has given known answers (aead_self_test.c).
 *
 * Invariants: a key's expanded form lives only in its qe_aead or qe_header_key and is wiped with
 * it. Sealing and opening never allocate. Nonces are the caller's: this folder cannot know whether
 * one is used twice.
 */
#include "crypto/aead.h"

#include "crypto/aead_provider.h"

static const struct {
	const char *name;
	uint8_t key_size, hash_size;
} suites[] = {
	[QE_SUITE_AES_128_GCM_SHA256] = {"AES-128-GCM", 16, 32},
	[QE_SUITE_AES_256_GCM_SHA384] = {"AES-256-GCM", 32, 48},
	[QE_SUITE_CHACHA20_POLY1305_SHA256] = {"ChaCha20-Poly1305", 32, 32},
};

/* Best first. */
static const struct {
	enum qe_crypto_choice choice;
	enum qe_error (*new)(struct qe_crypto **ret_crypto);
} providers[] = {
	{QE_CRYPTO_IPSEC_MB, qe_crypto_ipsec_mb_new},
	{QE_CRYPTO_OPENSSL, qe_crypto_openssl_new},
};

static enum qe_error new_tested(struct qe_crypto **ret_crypto, size_t provider)
{
	struct qe_crypto *crypto;
	QE_TRY(providers[provider].new(&crypto));
	enum qe_error error = qe_crypto_self_test(crypto);
	if (error != QE_OK) {
		qe_crypto_free(crypto);
		return error;
	}
	*ret_crypto = crypto;
	return QE_OK;
}

enum qe_error qe_crypto_new(struct qe_crypto **ret_crypto, enum qe_crypto_choice choice)
{
	enum qe_error error = QE_ERR_UNSUPPORTED;
	for (size_t i = 0; i < sizeof(providers) / sizeof(*providers); i++) {
		if (choice != QE_CRYPTO_BEST && choice != providers[i].choice)
			continue;
		error = new_tested(ret_crypto, i);
		if (error == QE_OK) {
			(*ret_crypto)->fallback = choice == QE_CRYPTO_BEST && i > 0;
			break;
		}
	}
	return error;
}

struct qe_crypto *qe_crypto_free(struct qe_crypto *crypto)
{
	if (crypto)
		crypto->ops->free(crypto);
	return NULL;
}

const char *qe_crypto_name(const struct qe_crypto *crypto)
{
	return crypto->name;
}

bool qe_crypto_is_fallback(const struct qe_crypto *crypto)
{
	return crypto->fallback;
}

bool qe_crypto_has_aes(void)
{
	return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
}

size_t qe_suite_key_size(enum qe_suite suite)
{
	return suites[suite].key_size;
}

size_t qe_suite_hash_size(enum qe_suite suite)
{
	return suites[suite].hash_size;
}

const char *qe_suite_name(enum qe_suite suite)
{
	return suites[suite].name;
}

enum qe_error qe_aead_new(struct qe_aead **ret_aead, struct qe_crypto *crypto, enum qe_suite suite,
	const uint8_t *key)
{
	return crypto->ops->aead_new(ret_aead, crypto, suite, key);
}

struct qe_aead *qe_aead_free(struct qe_aead *aead)
{
	if (aead)
		aead->ops->free(aead);
	return NULL;
}

enum qe_error qe_aead_seal(struct qe_aead *aead, uint8_t *to, struct qe_bytes plaintext,
	const uint8_t *nonce, struct qe_bytes aad)
{
	if (plaintext.len > AEAD_LEN_MAX || aad.len > AEAD_LEN_MAX)
		return QE_ERR_RANGE;
	return aead->ops->seal(aead, to, plaintext, nonce, aad);
}

enum qe_error qe_aead_open(struct qe_aead *aead, uint8_t *to, struct qe_bytes ciphertext,
	const uint8_t *nonce, struct qe_bytes aad)
{
	if (ciphertext.len < QE_AEAD_TAG_SIZE)
		return QE_ERR_CRYPTO;
	if (ciphertext.len > AEAD_LEN_MAX || aad.len > AEAD_LEN_MAX)
		return QE_ERR_RANGE;
	return aead->ops->open(aead, to, ciphertext, nonce, aad);
}

enum qe_error qe_header_key_new(struct qe_header_key **ret_key, struct qe_crypto *crypto,
	enum qe_suite suite, const uint8_t *key)
{
	return crypto->ops->header_key_new(ret_key, crypto, suite, key);
}

struct qe_header_key *qe_header_key_free(struct qe_header_key *key)
{
	if (key)
		key->ops->free(key);
	return NULL;
}

enum qe_error qe_header_mask(struct qe_header_key *key, uint8_t mask[static QE_HEADER_MASK_SIZE],
	const uint8_t sample[static QE_HEADER_SAMPLE_SIZE])
{
	return key->ops->mask(key, mask, sample);
}
