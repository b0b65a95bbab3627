/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What a provider of packet protection implements. The front (aead.c) checks lengths, so that a
 * provider is called only with a ciphertext that has room for its tag, and with at most
 * AEAD_LEN_MAX bytes.
 *
 * Every object begins with the pointer to its operations; providers embed these as first member.
 */
#pragma once

#include <limits.h>

#include "crypto/aead.h"

#define AEAD_LEN_MAX (INT_MAX - QE_AEAD_TAG_SIZE)

struct qe_aead_ops {
	enum qe_error (*seal)(struct qe_aead *aead, uint8_t *to, struct qe_bytes plaintext,
		const uint8_t *nonce, struct qe_bytes aad);
	/* The tag stands behind the ciphertext. */
	enum qe_error (*open)(struct qe_aead *aead, uint8_t *to, struct qe_bytes ciphertext,
		const uint8_t *nonce, struct qe_bytes aad);
	void (*free)(struct qe_aead *aead);
};

struct qe_aead {
	const struct qe_aead_ops *ops;
};

struct qe_header_key_ops {
	enum qe_error (*mask)(
		struct qe_header_key *key, uint8_t mask[static 5], const uint8_t sample[static 16]);
	void (*free)(struct qe_header_key *key);
};

struct qe_header_key {
	const struct qe_header_key_ops *ops;
};

struct qe_crypto_ops {
	void (*free)(struct qe_crypto *crypto);
	enum qe_error (*aead_new)(struct qe_aead **ret_aead, struct qe_crypto *crypto,
		enum qe_suite suite, const uint8_t *key);
	enum qe_error (*header_key_new)(struct qe_header_key **ret_key, struct qe_crypto *crypto,
		enum qe_suite suite, const uint8_t *key);
};

struct qe_crypto {
	const struct qe_crypto_ops *ops;
	char name[64];
	bool fallback; /* a better one does not work here */
};

enum qe_error qe_crypto_openssl_new(struct qe_crypto **ret_crypto);
enum qe_error qe_crypto_ipsec_mb_new(struct qe_crypto **ret_crypto);

/* Known answers for every suite: QE_ERR_UNSUPPORTED if one comes out differently. */
enum qe_error qe_crypto_self_test(struct qe_crypto *crypto);
