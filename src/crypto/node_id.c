/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "crypto/node_id.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

#include "base/text.h"

enum qe_error qe_node_id_from_spki(struct qe_node_id *ret_id, struct qe_bytes spki)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	if (!SHA256(spki.data, spki.len, digest))
		return QE_ERR_CRYPTO;
	memcpy(ret_id->bytes, digest, sizeof(ret_id->bytes));
	return QE_OK;
}

bool qe_node_id_equal(const struct qe_node_id *a, const struct qe_node_id *b)
{
	return CRYPTO_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

int qe_node_id_compare(const struct qe_node_id *a, const struct qe_node_id *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

enum qe_error qe_node_id_parse(struct qe_node_id *ret_id, const char *text)
{
	struct qe_node_id id;
	QE_TRY(qe_base32_decode(id.bytes, sizeof(id.bytes), text));
	*ret_id = id;
	return QE_OK;
}

void qe_node_id_format(char to[static QE_NODE_ID_TEXT_SIZE], const struct qe_node_id *id)
{
	qe_base32_encode(to, (struct qe_bytes){id->bytes, sizeof(id->bytes)});
}

bool qe_node_id_has_prefix(const struct qe_node_id *id, const char *text)
{
	char own[QE_NODE_ID_TEXT_SIZE];
	size_t len = strlen(text);
	qe_node_id_format(own, id);
	return len > 0 && len < sizeof(own) && OPENSSL_strncasecmp(own, text, len) == 0;
}

struct qe_addr qe_node_id_overlay_addr(const struct qe_node_id *id)
{
	static const uint8_t prefix[] = {0xfd, 0x51, 0xe7};
	struct qe_addr addr = {.family = QE_FAMILY_IPV6};
	memcpy(addr.bytes, prefix, sizeof(prefix));
	memcpy(addr.bytes + sizeof(prefix), id->bytes, sizeof(addr.bytes) - sizeof(prefix));
	return addr;
}
