/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Packet protection: the AEADs and header masks of QUIC (RFC 9001 section 5) by one of two
 * providers, libipsec_mb where the processor has the instructions it is good with (AES-NI with AVX2
 * or better), else OpenSSL. The two give the same bytes; a test compares them.
 *
 * Threads: a qe_crypto and everything made from it belong to one thread (libipsec_mb wants a
 * manager per thread).
 */
#pragma once

#include "base/bytes.h"

enum qe_suite : uint8_t {
	QE_SUITE_AES_128_GCM_SHA256,
	QE_SUITE_AES_256_GCM_SHA384,
	QE_SUITE_CHACHA20_POLY1305_SHA256
};

#define QE_AEAD_TAG_SIZE 16
#define QE_AEAD_NONCE_SIZE 12
#define QE_AEAD_KEY_MAX 32
#define QE_HEADER_SAMPLE_SIZE 16
#define QE_HEADER_MASK_SIZE 5

struct qe_crypto;

enum qe_crypto_choice { QE_CRYPTO_BEST, QE_CRYPTO_IPSEC_MB, QE_CRYPTO_OPENSSL };

/* QE_ERR_UNSUPPORTED if the one asked for does not work here. */
enum qe_error qe_crypto_new(struct qe_crypto **ret_crypto, enum qe_crypto_choice choice);
struct qe_crypto *qe_crypto_free(struct qe_crypto *crypto); /* after everything made from it */
const char *qe_crypto_name(
	const struct qe_crypto *crypto); /* "libipsec_mb 2.0 (AVX512)", "OpenSSL 3.5.7" */
bool qe_crypto_is_fallback(const struct qe_crypto *crypto); /* the best one does not work here */
bool qe_crypto_has_aes(void);                               /* the processor has AES instructions */

size_t qe_suite_key_size(enum qe_suite suite);  /* 16 or 32 */
size_t qe_suite_hash_size(enum qe_suite suite); /* 32 or 48 */
const char *qe_suite_name(enum qe_suite suite); /* "AES-256-GCM" */

/* One key. */
struct qe_aead;

enum qe_error qe_aead_new(struct qe_aead **ret_aead, struct qe_crypto *crypto, enum qe_suite suite,
	const uint8_t *key);
struct qe_aead *qe_aead_free(struct qe_aead *aead); /* wipes */
/* to: plaintext.len + 16 bytes; may be the plaintext's own place. nonce: 12 bytes. */
enum qe_error qe_aead_seal(struct qe_aead *aead, uint8_t *to, struct qe_bytes plaintext,
	const uint8_t *nonce, struct qe_bytes aad);
/* to: ciphertext.len - 16 bytes; may be the ciphertext's own place. QE_ERR_CRYPTO when it does not
 * authenticate (compared in constant time): what stands in to is then not to be used. */
enum qe_error qe_aead_open(struct qe_aead *aead, uint8_t *to, struct qe_bytes ciphertext,
	const uint8_t *nonce, struct qe_bytes aad);

/* Header protection with one key. */
struct qe_header_key;

enum qe_error qe_header_key_new(struct qe_header_key **ret_key, struct qe_crypto *crypto,
	enum qe_suite suite, const uint8_t *key);
struct qe_header_key *qe_header_key_free(struct qe_header_key *key); /* wipes */
enum qe_error qe_header_mask(struct qe_header_key *key, uint8_t mask[static QE_HEADER_MASK_SIZE],
	const uint8_t sample[static QE_HEADER_SAMPLE_SIZE]);

/* HKDF-Extract with SHA-256 (RFC 5869), and HKDF-Expand-Label (RFC 8446 section 7.1, empty context)
 * with the suite's hash. */
enum qe_error qe_hkdf_extract(
	uint8_t ret_secret[static 32], struct qe_bytes salt, struct qe_bytes key);
enum qe_error qe_hkdf_expand_label(
	enum qe_suite suite, uint8_t *to, size_t len, struct qe_bytes secret, const char *label);
