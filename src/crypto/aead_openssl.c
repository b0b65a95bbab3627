/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/aead_provider.h"

#define N_SUITES 3

struct openssl {
	struct qe_crypto crypto;
	EVP_CIPHER *aead[N_SUITES], *header[N_SUITES];
};

struct openssl_aead {
	struct qe_aead aead;
	EVP_CIPHER_CTX *ctx;
};

struct openssl_header_key {
	struct qe_header_key key;
	EVP_CIPHER_CTX *ctx;
};

static const char *const aead_names[N_SUITES] = {
	[QE_SUITE_AES_128_GCM_SHA256] = "AES-128-GCM",
	[QE_SUITE_AES_256_GCM_SHA384] = "AES-256-GCM",
	[QE_SUITE_CHACHA20_POLY1305_SHA256] = "ChaCha20-Poly1305",
};

static const char *const header_names[N_SUITES] = {
	[QE_SUITE_AES_128_GCM_SHA256] = "AES-128-ECB",
	[QE_SUITE_AES_256_GCM_SHA384] = "AES-256-ECB",
	[QE_SUITE_CHACHA20_POLY1305_SHA256] = "ChaCha20",
};

/* Whatever failed, nobody reads OpenSSL's error queue: leave it as it was found, empty. */
static enum qe_error result(bool ok)
{
	if (ok)
		return QE_OK;
	ERR_clear_error();
	return QE_ERR_CRYPTO;
}

/* OpenSSL's Poly1305 leaves the upper halves of AVX-512 registers in use, and until they are zeroed
 * all SSE code of this thread, which must keep them, takes up to four times as long. */
#ifdef __x86_64__
[[gnu::target("avx")]] static void zero_upper_halves(void)
{
	__builtin_ia32_vzeroupper();
}

static void release_registers(void)
{
	if (__builtin_cpu_supports("avx"))
		zero_upper_halves();
}
#else
static void release_registers(void)
{
}
#endif

/* Everything but the payload: the nonce, the direction (the key stays), the additional data. */
static bool begin(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, bool encrypt, struct qe_bytes aad)
{
	int n;
	return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, encrypt) == 1 &&
	       (aad.len == 0 || EVP_CipherUpdate(ctx, NULL, &n, aad.data, (int)aad.len) == 1);
}

static bool update(EVP_CIPHER_CTX *ctx, uint8_t *to, const uint8_t *from, size_t len)
{
	int n;
	return len == 0 || (EVP_CipherUpdate(ctx, to, &n, from, (int)len) == 1 && n == (int)len);
}

static enum qe_error seal(struct qe_aead *aead, uint8_t *to, struct qe_bytes plaintext,
	const uint8_t *nonce, struct qe_bytes aad)
{
	EVP_CIPHER_CTX *ctx = ((struct openssl_aead *)aead)->ctx;
	uint8_t *tag = to + plaintext.len;
	int n;
	bool good = begin(ctx, nonce, true, aad) &&
		    update(ctx, to, plaintext.data, plaintext.len) &&
		    EVP_CipherFinal_ex(ctx, tag, &n) == 1 &&
		    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, QE_AEAD_TAG_SIZE, tag) == 1;
	release_registers();
	return result(good);
}

static enum qe_error open_sealed(struct qe_aead *aead, uint8_t *to, struct qe_bytes ciphertext,
	const uint8_t *nonce, struct qe_bytes aad)
{
	EVP_CIPHER_CTX *ctx = ((struct openssl_aead *)aead)->ctx;
	size_t len = ciphertext.len - QE_AEAD_TAG_SIZE;
	void *tag = (void *)(ciphertext.data + len); /* only read */
	uint8_t rest[16];
	int n;
	bool good = begin(ctx, nonce, false, aad) &&
		    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, QE_AEAD_TAG_SIZE, tag) == 1 &&
		    update(ctx, to, ciphertext.data, len) && EVP_CipherFinal_ex(ctx, rest, &n) == 1;
	release_registers();
	return result(good);
}

static void aead_free(struct qe_aead *aead)
{
	EVP_CIPHER_CTX_free(((struct openssl_aead *)aead)->ctx);
	free(aead);
}

static const struct qe_aead_ops aead_ops = {seal, open_sealed, aead_free};

static enum qe_error aead_new(struct qe_aead **ret_aead, struct qe_crypto *crypto,
	enum qe_suite suite, const uint8_t *key)
{
	const EVP_CIPHER *cipher = ((struct openssl *)crypto)->aead[suite];
	struct openssl_aead *aead = malloc(sizeof(*aead));
	if (!aead)
		return -ENOMEM;
	*aead = (struct openssl_aead){{&aead_ops}, EVP_CIPHER_CTX_new()};
	if (!aead->ctx || EVP_CipherInit_ex(aead->ctx, cipher, NULL, key, NULL, 1) != 1) {
		aead_free(&aead->aead);
		return result(false);
	}
	*ret_aead = &aead->aead;
	return QE_OK;
}

static enum qe_error mask_aes(
	struct qe_header_key *key, uint8_t mask[static 5], const uint8_t sample[static 16])
{
	EVP_CIPHER_CTX *ctx = ((struct openssl_header_key *)key)->ctx;
	uint8_t block[16];
	if (!update(ctx, block, sample, sizeof(block)))
		return result(false);
	memcpy(mask, block, QE_HEADER_MASK_SIZE);
	return QE_OK;
}

/* OpenSSL's ChaCha20 takes block counter and nonce together, laid out as the sample is. */
static enum qe_error mask_chacha20(
	struct qe_header_key *key, uint8_t mask[static 5], const uint8_t sample[static 16])
{
	static const uint8_t zeros[QE_HEADER_MASK_SIZE];
	EVP_CIPHER_CTX *ctx = ((struct openssl_header_key *)key)->ctx;
	return result(EVP_CipherInit_ex(ctx, NULL, NULL, NULL, sample, 1) == 1 &&
		      update(ctx, mask, zeros, sizeof(zeros)));
}

static void header_key_free(struct qe_header_key *key)
{
	EVP_CIPHER_CTX_free(((struct openssl_header_key *)key)->ctx);
	free(key);
}

static const struct qe_header_key_ops header_key_ops[N_SUITES] = {
	[QE_SUITE_AES_128_GCM_SHA256] = {mask_aes, header_key_free},
	[QE_SUITE_AES_256_GCM_SHA384] = {mask_aes, header_key_free},
	[QE_SUITE_CHACHA20_POLY1305_SHA256] = {mask_chacha20, header_key_free},
};

static enum qe_error header_key_new(struct qe_header_key **ret_key, struct qe_crypto *crypto,
	enum qe_suite suite, const uint8_t *key)
{
	const EVP_CIPHER *cipher = ((struct openssl *)crypto)->header[suite];
	struct openssl_header_key *header = malloc(sizeof(*header));
	if (!header)
		return -ENOMEM;
	*header = (struct openssl_header_key){{&header_key_ops[suite]}, EVP_CIPHER_CTX_new()};
	if (!header->ctx || EVP_CipherInit_ex(header->ctx, cipher, NULL, key, NULL, 1) != 1 ||
		EVP_CIPHER_CTX_set_padding(header->ctx, 0) != 1) {
		header_key_free(&header->key);
		return result(false);
	}
	*ret_key = &header->key;
	return QE_OK;
}

static void openssl_free(struct qe_crypto *crypto)
{
	struct openssl *openssl = (struct openssl *)crypto;
	for (size_t i = 0; i < N_SUITES; i++) {
		EVP_CIPHER_free(openssl->aead[i]);
		EVP_CIPHER_free(openssl->header[i]);
	}
	free(openssl);
}

static const struct qe_crypto_ops crypto_ops = {openssl_free, aead_new, header_key_new};

static bool fetch(struct openssl *openssl)
{
	for (size_t i = 0; i < N_SUITES; i++) {
		openssl->aead[i] = EVP_CIPHER_fetch(NULL, aead_names[i], NULL);
		openssl->header[i] = EVP_CIPHER_fetch(NULL, header_names[i], NULL);
		if (!openssl->aead[i] || !openssl->header[i])
			return false;
	}
	return true;
}

enum qe_error qe_crypto_openssl_new(struct qe_crypto **ret_crypto)
{
	struct openssl *openssl = calloc(1, sizeof(*openssl));
	if (!openssl)
		return -ENOMEM;
	openssl->crypto.ops = &crypto_ops;
	snprintf(openssl->crypto.name, sizeof(openssl->crypto.name), "OpenSSL %s",
		OpenSSL_version(OPENSSL_VERSION_STRING));
	if (!fetch(openssl)) {
		openssl_free(&openssl->crypto);
		ERR_clear_error();
		return QE_ERR_UNSUPPORTED;
	}
	*ret_crypto = &openssl->crypto;
	return QE_OK;
}
