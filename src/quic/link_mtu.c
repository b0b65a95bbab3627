/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A path that has become narrower (RFC 8899 section 4.3). QUIC finds a larger path MTU, but does
 * not notice a smaller one: when the path changes behind an address that stays the same, large
 * packets vanish while small ones keep the link alive. So the fate of datagrams is followed by
 * their size: large ones that are lost again and again, while none that is as large gets through.
 */
#include "quic/link_internal.h"

constexpr unsigned LOST_MIN = 8;
constexpr qe_time LOST_FOR = QE_SECOND;
constexpr uint64_t BASE = NGTCP2_MAX_UDP_PAYLOAD_SIZE - QE_LINK_OVERHEAD; /* fits every path */

/* The length of the IP packet serves as the datagram's id. */
static int ack_datagram(ngtcp2_conn *, uint64_t len, void *user_data)
{
	struct large_losses *large = &((struct qe_link *)user_data)->large;

	if (len >= large->smallest)
		*large = (struct large_losses){};
	return 0;
}

static int lost_datagram(ngtcp2_conn *, uint64_t len, void *user_data)
{
	struct qe_link *link = user_data;
	struct large_losses *large = &link->large;

	if (len <= BASE)
		return 0;
	if (large->n == 0)
		*large = (struct large_losses){.smallest = len, .since = link->now};
	large->n++;
	if (len < large->smallest)
		large->smallest = len;
	return 0;
}

void link_mtu_callbacks(ngtcp2_callbacks *callbacks)
{
	callbacks->ack_datagram = ack_datagram;
	callbacks->lost_datagram = lost_datagram;
}

bool qe_link_is_narrowed(const struct qe_link *link, qe_time now)
{
	return link->large.n >= LOST_MIN && qe_time_since(link->large.since, now) >= LOST_FOR;
}
