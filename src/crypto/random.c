/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "crypto/random.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

void qe_random(void *to, size_t len)
{
	if (RAND_bytes_ex(NULL, to, len, 0) != 1)
		abort();
}

uint64_t qe_random_u64(void)
{
	uint64_t value;
	qe_random(&value, sizeof(value));
	return value;
}

enum qe_error qe_hmac(void *to, size_t len, struct qe_bytes key, struct qe_bytes message)
{
	uint8_t digest[32];
	assert(len <= sizeof(digest) && key.len <= INT32_MAX);
	if (!HMAC(EVP_sha256(), key.data, (int)key.len, message.data, message.len, digest, NULL))
		return QE_ERR_CRYPTO;
	memcpy(to, digest, len);
	qe_wipe(digest, sizeof(digest));
	return QE_OK;
}

void qe_wipe(void *secret, size_t len)
{
	OPENSSL_cleanse(secret, len);
}
