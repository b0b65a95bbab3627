/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "crypto/aead.h"

#define LABEL_MAX 64

struct hkdf_input {
	int mode;
	const char *digest;
	struct qe_bytes key, salt, info;
};

/* An empty value is left out: OpenSSL takes no NULL. It has no const here, but only reads. */
static void add(OSSL_PARAM **at, const char *name, struct qe_bytes bytes)
{
	if (bytes.len > 0)
		*(*at)++ = OSSL_PARAM_construct_octet_string(name, (void *)bytes.data, bytes.len);
}

static enum qe_error hkdf(uint8_t *to, size_t len, const struct hkdf_input *input)
{
	int mode = input->mode;
	OSSL_PARAM params[6], *at = params;
	*at++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	*at++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)input->digest, 0);
	add(&at, OSSL_KDF_PARAM_KEY, input->key);
	add(&at, OSSL_KDF_PARAM_SALT, input->salt);
	add(&at, OSSL_KDF_PARAM_INFO, input->info);
	*at = OSSL_PARAM_construct_end();
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	bool ok = ctx && EVP_KDF_derive(ctx, to, len, params) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok ? QE_OK : QE_ERR_CRYPTO;
}

enum qe_error qe_hkdf_extract(
	uint8_t ret_secret[static 32], struct qe_bytes salt, struct qe_bytes key)
{
	struct hkdf_input input = {
		.mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY,
		.digest = "SHA256",
		.key = key,
		.salt = salt,
	};
	return hkdf(ret_secret, 32, &input);
}

enum qe_error qe_hkdf_expand_label(
	enum qe_suite suite, uint8_t *to, size_t len, struct qe_bytes secret, const char *label)
{
	static const uint8_t prefix[6] = "tls13 ";
	uint8_t info[2 + 1 + sizeof(prefix) + LABEL_MAX + 1];
	size_t label_len = strlen(label);
	struct qe_writer writer = qe_writer_init(info, sizeof(info));
	qe_write_u16(&writer, (uint16_t)len);
	qe_write_u8(&writer, (uint8_t)(sizeof(prefix) + label_len));
	qe_write_bytes(&writer, (struct qe_bytes){prefix, sizeof(prefix)});
	qe_write_bytes(&writer, (struct qe_bytes){(const uint8_t *)label, label_len});
	qe_write_u8(&writer, 0);
	QE_TRY(writer.error);
	struct hkdf_input input = {
		.mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY,
		.digest = suite == QE_SUITE_AES_256_GCM_SHA384 ? "SHA384" : "SHA256",
		.key = secret,
		.info = {info, qe_writer_len(&writer)},
	};
	return hkdf(to, len, &input);
}
