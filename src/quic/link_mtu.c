/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A path that has become narrower (RFC 8899 section 4.3). QUIC finds a larger path MTU, but does
 * not notice a smaller one: when the path changes behind an address that stays the same, large
 * packets vanish while small ones keep the link alive.
 *
 * ngtcp2 would report the fate of each datagram, but remembers it for as long as it is under way,
 * which costs a cache miss or two a packet. So only the totals are looked at. When about as many
 * bytes are lost as large packets would weigh, the peer is asked how many large ones it has
 * received, and a while later once more. If more were sent in between and none of them came, the
 * path is narrower; if one came, all is well until as much is lost again.
 */
#include "quic/link_internal.h"

constexpr uint64_t LOST_MIN = 8; /* packets */
constexpr uint64_t SENT_MIN = 2; /* between the two answers */
constexpr qe_time LOST_FOR = QE_SECOND;
constexpr size_t BASE = NGTCP2_MAX_UDP_PAYLOAD_SIZE - QE_LINK_OVERHEAD; /* fits every path */

bool link_is_large(size_t len)
{
	return len > BASE;
}

static bool is_suspicious(const struct link_large *large, const ngtcp2_conn_info *info)
{
	return info->pkt_lost - large->packets_lost >= LOST_MIN &&
	       info->bytes_lost - large->bytes_lost >= LOST_MIN * BASE;
}

void link_note_losses(struct qe_link *link, const ngtcp2_conn_info *info, qe_time now)
{
	struct link_large *large = &link->large;

	if (large->asking || large->narrowed)
		return;
	if (large->answered)
		large->ask = qe_time_since(large->answered_at, now) >= LOST_FOR &&
			     large->sent - large->sent_then >= SENT_MIN;
	else
		large->ask = is_suspicious(large, info);
}

bool qe_link_wants_large(const struct qe_link *link)
{
	return link->large.ask;
}

void qe_link_large_asked(struct qe_link *link)
{
	link->large.ask = false;
	link->large.asking = true;
}

uint64_t qe_link_large_received(const struct qe_link *link)
{
	return link->large.received;
}

/* An answer to the first question is what the second is compared with. */
void qe_link_large_arrived(struct qe_link *link, uint64_t arrived, qe_time now)
{
	struct link_large *large = &link->large;
	ngtcp2_conn_info info;

	if (!large->asking)
		return;
	large->asking = false;
	if (large->answered && arrived <= large->arrived) {
		large->narrowed = true;
		return;
	}
	large->answered = !large->answered;
	large->answered_at = now;
	large->arrived = arrived;
	large->sent_then = large->sent;
	ngtcp2_conn_get_conn_info(link->conn, &info);
	large->packets_lost = info.pkt_lost;
	large->bytes_lost = info.bytes_lost;
}

bool qe_link_is_narrowed(const struct qe_link *link)
{
	return link->large.narrowed;
}
