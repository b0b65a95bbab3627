/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "quic/accept.h"

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <string.h>

#include "base/time.h"
#include "crypto/random.h"
#include "quic/link_internal.h"
#include "quic/retry.h"

constexpr size_t RESET_MAX = 42;
constexpr uint8_t LONG_HEADER = 0x80;

enum qe_packet_kind qe_packet_classify(struct qe_bytes packet, struct qe_bytes *ret_dcid)
{
	ngtcp2_version_cid header;

	if (packet.len == 0)
		return QE_PACKET_MALFORMED;
	if (!(packet.data[0] & LONG_HEADER)) {
		if (packet.len < 1 + QE_CID_SIZE)
			return QE_PACKET_MALFORMED;
		*ret_dcid = (struct qe_bytes){packet.data + 1, QE_CID_SIZE};
		return QE_PACKET_SHORT;
	}
	int rv = ngtcp2_pkt_decode_version_cid(&header, packet.data, packet.len, QE_CID_SIZE);

	if ((rv != 0 && rv != NGTCP2_ERR_VERSION_NEGOTIATION) || header.dcidlen > NGTCP2_MAX_CIDLEN)
		return QE_PACKET_MALFORMED;
	*ret_dcid = (struct qe_bytes){header.dcid, header.dcidlen};
	return QE_PACKET_LONG;
}

enum qe_first_verdict qe_first_packet_check(struct qe_first_packet *ret_first,
	const struct qe_link_context *context, const struct qe_path *path, struct qe_bytes packet,
	bool want_retry, qe_time now)
{
	struct qe_first_packet first = {};
	ngtcp2_pkt_hd header;
	ngtcp2_version_cid ids;

	if (ngtcp2_accept(&header, packet.data, packet.len) != 0 ||
		ngtcp2_pkt_decode_version_cid(&ids, packet.data, packet.len, QE_CID_SIZE) != 0 ||
		header.version != NGTCP2_PROTO_VER_V1)
		return QE_FIRST_MALFORMED;
	first.dcid = (struct qe_bytes){ids.dcid, ids.dcidlen};
	first.scid = (struct qe_bytes){ids.scid, ids.scidlen};
	first.token = (struct qe_bytes){header.token, header.tokenlen};
	first.version = header.version;
	if (first.dcid.len != QE_KNOCK_SIZE)
		first.validated = qe_retry_token_check(&context->cids, first.original_dcid,
			first.token, &path->remote, first.dcid, now);
	if (!first.validated && !qe_knock_is_valid(&context->cids, first.dcid))
		return QE_FIRST_NO_KNOCK;
	*ret_first = first;
	return want_retry && !first.validated ? QE_FIRST_RETRY : QE_FIRST_ACCEPT;
}

bool qe_retry(const struct qe_link_context *context, struct qe_batch *batch,
	const struct qe_first_packet *first, const struct qe_path *path, qe_time now)
{
	uint8_t token[QE_RETRY_TOKEN_SIZE];
	ngtcp2_cid cid = {.datalen = QE_CID_SIZE}, client, original;

	if (qe_cid_make(&context->cids, cid.data) != QE_OK ||
		qe_retry_token_make(&context->cids, token, &path->remote,
			(struct qe_bytes){cid.data, cid.datalen}, first->dcid, now) != QE_OK)
		return false;
	ngtcp2_cid_init(&client, first->scid.data, first->scid.len);
	ngtcp2_cid_init(&original, first->dcid.data, first->dcid.len);
	uint8_t *to = qe_batch_room(batch, NGTCP2_MAX_UDP_PAYLOAD_SIZE);
	ngtcp2_ssize len = ngtcp2_crypto_write_retry(to, NGTCP2_MAX_UDP_PAYLOAD_SIZE,
		first->version, &client, &cid, &original, token, sizeof(token));

	if (len < 0)
		return false;
	qe_batch_add(batch, (size_t)len, path, 0, 0);
	return true;
}

bool qe_stateless_reset(struct qe_link_context *context, struct qe_batch *batch,
	const struct qe_path *path, struct qe_bytes packet)
{
	uint8_t token[QE_RESET_TOKEN_SIZE], noise[RESET_MAX];
	struct qe_bytes cid = {packet.data + 1, QE_CID_SIZE};

	if (packet.len <= QE_RESET_MIN || !qe_cid_is_ours(&context->cids, cid) ||
		qe_cid_reset_token(&context->cids, token, cid) != QE_OK)
		return false;
	size_t size = packet.len - 1 < RESET_MAX ? packet.len - 1 : RESET_MAX;

	qe_random(noise, sizeof(noise));
	ngtcp2_ssize len = ngtcp2_pkt_write_stateless_reset(
		qe_batch_room(batch, size), size, token, noise, size - QE_RESET_TOKEN_SIZE);

	if (len < 0)
		return false;
	qe_batch_add(batch, (size_t)len, path, 0, 0);
	return true;
}
