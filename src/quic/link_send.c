/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * IP packets of a link, on their way out. A large one is a QUIC packet of its own, written straight
 * into the batch. Small ones are gathered first, and leave together in one QUIC packet, so that
 * what a packet costs - a header, a nonce, a tag, an entry to be acknowledged, a part of a train -
 * is shared by up to a dozen. They wait no longer than to the end of the owner's batch of input,
 * which is qe_link_write, and the order of packets stays as it was. Nothing here allocates.
 */
#include <string.h>

#include "quic/link_internal.h"

constexpr size_t PADDED_MIN = NGTCP2_MAX_UDP_PAYLOAD_SIZE;

/* What each packet of a bundle adds to its own length: DATAGRAM type 1 and length 2, context 1. */
constexpr size_t FRAME_OVERHEAD = 4;

/* ---- bundles ---- */

static size_t bundle_room(const struct qe_link *link)
{
	return qe_link_path_mtu(link) + FRAME_OVERHEAD - link->bundle.len;
}

/* At least two of its size go into one QUIC packet. */
static bool is_small(const struct qe_link *link, size_t len)
{
	return 2 * (len + FRAME_OVERHEAD) <= qe_link_path_mtu(link) + FRAME_OVERHEAD &&
	       2 * (len + FRAME_OVERHEAD) <= sizeof(link->bundle.bytes);
}

static bool has_room(const struct qe_link *link, size_t len, enum qe_ecn ecn)
{
	return ecn == link->bundle.ecn && link->bundle.n < LINK_BUNDLE_MAX &&
	       len + FRAME_OVERHEAD <= bundle_room(link) &&
	       link->bundle.len + len + FRAME_OVERHEAD <= sizeof(link->bundle.bytes);
}

/* The room of the frame's header is left free: so len is what the QUIC packet will need. */
static void add_to_bundle(struct qe_link *link, uint8_t context_byte, struct qe_bytes packet)
{
	struct link_bundle *bundle = &link->bundle;
	uint8_t *to = bundle->bytes + bundle->len;

	to[0] = context_byte;
	memcpy(to + 1, packet.data, packet.len);
	bundle->packets[bundle->n++] = (struct link_bundled){
		.at = bundle->len,
		.len = (uint16_t)(1 + packet.len),
	};
	bundle->len += (uint16_t)(packet.len + FRAME_OVERHEAD);
}

/* The first n have been sent. */
static void take_from_bundle(struct link_bundle *bundle, unsigned n)
{
	unsigned left = bundle->n - n, start;

	if (n == 0)
		return;
	if (left == 0) {
		bundle->n = bundle->len = 0;
		return;
	}
	start = bundle->packets[n].at;
	memmove(bundle->bytes, bundle->bytes + start, bundle->len - start);
	for (unsigned i = 0; i < left; i++) {
		bundle->packets[i] = bundle->packets[n + i];
		bundle->packets[i].at -= (uint16_t)start;
	}
	bundle->n = (uint8_t)left;
	bundle->len -= (uint16_t)start;
}

enum qe_error link_send_bundle(struct qe_link *link, struct qe_batch *batch, qe_time now)
{
	struct link_bundle *bundle = &link->bundle;
	size_t size = link_payload_max(link->context);
	uint8_t *to = nullptr;
	ngtcp2_ssize len = 1;
	unsigned i = 0, started = 0; /* the first in this QUIC packet */

	if (bundle->n > 0 && !link_pace_allows(link, now))
		return QE_ERR_BLOCKED;
	while (i < bundle->n && len != 0) {
		struct link_bundled *packet = &bundle->packets[i];
		ngtcp2_vec vector = {bundle->bytes + packet->at, packet->len};
		uint32_t flags = i + 1 < bundle->n ? NGTCP2_WRITE_DATAGRAM_FLAG_MORE
						   : NGTCP2_WRITE_DATAGRAM_FLAG_NONE;
		int accepted;

		if (to == nullptr)
			to = qe_batch_room(batch, size);
		len = ngtcp2_conn_writev_datagram(link->conn, &link->written.path, nullptr, to,
			size, &accepted, flags, 0, &vector, 1, now);
		if (len < 0 && len != NGTCP2_ERR_WRITE_MORE)
			return link_failed(link, (int)len);
		i += accepted != 0;
		if (len <= 0)
			continue;
		link_add_to_batch(
			link, batch, (size_t)len, i > started ? bundle->ecn : QE_ECN_NOT_ECT);
		started = i;
		to = nullptr;
	}
	take_from_bundle(bundle, i);
	return len == 0 ? QE_ERR_BLOCKED : QE_OK;
}

/* ---- one IP packet ---- */

static enum qe_error send_large(struct qe_link *link, struct qe_batch *batch, uint8_t context_byte,
	enum qe_ecn ecn, struct qe_bytes packet, qe_time now)
{
	ngtcp2_vec vectors[] = {{&context_byte, 1}, {(uint8_t *)packet.data, packet.len}};
	size_t need = packet.len + QE_LINK_OVERHEAD;
	bool padded = need >= PADDED_MIN; /* all of a train are as long, whatever their number */
	size_t size = padded ? need : link_payload_max(link->context);
	uint32_t flags = padded ? NGTCP2_WRITE_DATAGRAM_FLAG_PADDING
				: NGTCP2_WRITE_DATAGRAM_FLAG_NONE;
	ngtcp2_ssize len;
	int accepted;

	if (!link_pace_allows(link, now))
		return QE_ERR_BLOCKED;
	do {
		uint8_t *to = qe_batch_room(batch, size);

		len = ngtcp2_conn_writev_datagram(link->conn, &link->written.path, nullptr, to,
			size, &accepted, flags, 0, vectors, 2, now);
		if (len > 0)
			link_add_to_batch(
				link, batch, (size_t)len, accepted ? ecn : QE_ECN_NOT_ECT);
	} while (len > 0 && !accepted);
	if (len < 0)
		return link_failed(link, (int)len);
	link->large.sent += accepted && link_is_large(packet.len);
	return len == 0 ? QE_ERR_BLOCKED : QE_OK;
}

enum qe_error qe_link_send(struct qe_link *link, struct qe_batch *batch, uint8_t context_byte,
	enum qe_ecn ecn, struct qe_bytes packet, qe_time now)
{
	bool small = is_small(link, packet.len);

	link->now = now;
	if (packet.len > qe_link_path_mtu(link))
		return qe_link_is_ready(link, now) ? QE_ERR_TOO_BIG : QE_ERR_BLOCKED;
	if (link->bundle.n > 0 && !(small && has_room(link, packet.len, ecn)))
		QE_TRY(link_send_bundle(link, batch, now));
	if (!small)
		return send_large(link, batch, context_byte, ecn, packet, now);
	link->bundle.ecn = ecn;
	add_to_bundle(link, context_byte, packet);
	return QE_OK;
}
