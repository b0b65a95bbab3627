/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "crypto/mac.h"

#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/random.h"

struct qe_mac {
	EVP_MAC_CTX *ctx; /* keyed */
};

static enum qe_error prepare(struct qe_mac *mac, struct qe_bytes key)
{
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	mac->ctx = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;
	EVP_MAC_free(hmac);
	if (mac->ctx == NULL || EVP_MAC_init(mac->ctx, key.data, key.len, params) != 1)
		return QE_ERR_CRYPTO;
	return QE_OK;
}

enum qe_error qe_mac_new(struct qe_mac **ret_mac, struct qe_bytes key)
{
	struct qe_mac *mac = calloc(1, sizeof(*mac));

	if (mac == nullptr)
		return -ENOMEM;
	enum qe_error error = prepare(mac, key);

	if (error != QE_OK) {
		qe_mac_free(mac);
		return error;
	}
	*ret_mac = mac;
	return QE_OK;
}

struct qe_mac *qe_mac_free(struct qe_mac *mac)
{
	if (mac == nullptr)
		return nullptr;
	EVP_MAC_CTX_free(mac->ctx);
	free(mac);
	return nullptr;
}

/* Without a key in EVP_MAC_init the one before is kept. */
enum qe_error qe_mac_make(struct qe_mac *mac, void *to, size_t len, struct qe_bytes message)
{
	uint8_t digest[32];
	size_t size;

	assert(len <= sizeof(digest));
	if (EVP_MAC_init(mac->ctx, NULL, 0, NULL) != 1 ||
		EVP_MAC_update(mac->ctx, message.data, message.len) != 1 ||
		EVP_MAC_final(mac->ctx, digest, &size, sizeof(digest)) != 1)
		return QE_ERR_CRYPTO;
	memcpy(to, digest, len);
	qe_wipe(digest, sizeof(digest));
	return QE_OK;
}
