/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "node/pieces.h"

#include <string.h>

#include "base/time.h"
#include "net/checksum.h"
#include "net/icmp.h"

constexpr size_t ID_SIZE = 2;

/* ---- sending ---- */

bool pieces_begin(
	struct pieces *pieces, struct qe_bytes bytes, bool partial, uint16_t mtu, uint16_t id)
{
	*pieces = (struct pieces){.mtu = mtu, .id = id};
	if (qe_packet_parse(&pieces->packet, bytes) != QE_OK)
		return false;
	if (pieces->packet.version == 4 ? pieces->packet.dont_fragment
					: bytes.len > HALVES_PACKET_MAX)
		return false;
	if (partial && qe_packet_has_checksum(&pieces->packet))
		qe_checksum_transport_complete((uint8_t *)bytes.data, &pieces->packet);
	return true;
}

static size_t write_half(struct pieces *pieces, uint8_t *to, struct qe_bytes bytes)
{
	size_t head = bytes.len - bytes.len / 2;
	bool tail = pieces->index == 1;
	size_t len = tail ? bytes.len - head : head;

	if (pieces->index > 1)
		return 0;
	pieces->context = tail ? QE_CONTEXT_IP_TAIL : QE_CONTEXT_IP_HEAD;
	qe_store_u16(to, pieces->id);
	memcpy(to + ID_SIZE, bytes.data + (tail ? head : 0), len);
	return ID_SIZE + len;
}

size_t pieces_write(struct pieces *pieces, uint8_t to[static QE_MTU_MAX], struct qe_bytes bytes)
{
	if (pieces->packet.version == 6)
		return write_half(pieces, to, bytes);
	pieces->context = QE_CONTEXT_IP;
	return qe_ipv4_fragment(to, QE_MTU_MAX, pieces->index, pieces->mtu, bytes, &pieces->packet);
}

/* ---- receiving ---- */

static void keep(struct half *slot, uint16_t id, bool tail, struct qe_bytes bytes, enum qe_ecn ecn,
	qe_time now)
{
	slot->id = id;
	slot->len = (uint16_t)bytes.len;
	slot->tail = tail;
	slot->ecn = ecn;
	slot->arrived = now;
	memcpy(slot->bytes + (tail ? HALVES_PACKET_MAX - bytes.len : 0), bytes.data, bytes.len);
}

/* The two do not overlap: together they fit. */
static struct qe_bytes join(struct half *slot, struct qe_bytes other)
{
	size_t len = slot->len + other.len;

	if (slot->tail) {
		memmove(slot->bytes + other.len, slot->bytes + HALVES_PACKET_MAX - slot->len,
			slot->len);
		memcpy(slot->bytes, other.data, other.len);
	} else {
		memcpy(slot->bytes + slot->len, other.data, other.len);
	}
	slot->len = 0;
	return (struct qe_bytes){slot->bytes, len};
}

enum halves_result halves_take(struct halves *halves, uint8_t context, struct qe_bytes payload,
	enum qe_ecn ecn, qe_time now, struct qe_bytes *ret_packet, enum qe_ecn *ret_ecn)
{
	bool tail = context == QE_CONTEXT_IP_TAIL;

	if (payload.len <= ID_SIZE || payload.len - ID_SIZE >= HALVES_PACKET_MAX)
		return HALVES_MALFORMED;
	uint16_t id = qe_load_u16(payload.data);
	struct qe_bytes bytes = {payload.data + ID_SIZE, payload.len - ID_SIZE};
	struct half *slot = &halves->slots[id % HALVES_SLOTS];
	bool taken = slot->len > 0;

	if (!taken || slot->id != id || slot->tail == tail ||
		qe_time_since(slot->arrived, now) > HALVES_WAIT ||
		slot->len + bytes.len > HALVES_PACKET_MAX) {
		keep(slot, id, tail, bytes, ecn, now);
		return taken ? HALVES_REPLACED : HALVES_WAITING;
	}
	*ret_ecn = slot->ecn == QE_ECN_CE ? QE_ECN_CE : ecn;
	*ret_packet = join(slot, bytes);
	return HALVES_WHOLE;
}

unsigned halves_waiting(const struct halves *halves)
{
	unsigned n = 0;

	for (size_t i = 0; i < HALVES_SLOTS; i++)
		n += halves->slots[i].len > 0;
	return n;
}
