/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What a router owes a sender: ICMP errors (RFC 792, RFC 4443, RFC 1812 4.3.2) and IPv4 fragments
 * (RFC 791 3.2). */
#pragma once

#include "net/packet.h"

#define QE_ICMP_MAX \
	1280 /* no error is longer than this (RFC 4443 2.4 c); for IPv4 576 (RFC 1812 4.3.2.3) */

enum qe_icmp_error {
	QE_ICMP_PACKET_TOO_BIG,
	QE_ICMP_TIME_EXCEEDED,
	QE_ICMP_NO_ROUTE,
	QE_ICMP_ADMIN_PROHIBITED
};

/* Writes the error about a packet, from the address given (of the packet's family) to the packet's
 * source. Returns its length, 0 if none may be sent: about an ICMP error, a fragment but the first,
 * a multicast destination, a source that is no host. mtu: only for QE_ICMP_PACKET_TOO_BIG. */
size_t qe_icmp_error(uint8_t to[static QE_ICMP_MAX], enum qe_icmp_error error,
	const struct qe_addr *from, uint16_t mtu, struct qe_bytes about,
	const struct qe_packet *packet);

/* IPv4 fragmentation of a packet without DF whose checksum is complete: gives fragment number index
 * (from 0) of at most mtu bytes. Returns its length, 0 past the last one. */
size_t qe_ipv4_fragment(uint8_t *to, size_t capacity, unsigned index, uint16_t mtu,
	struct qe_bytes bytes, const struct qe_packet *packet);
