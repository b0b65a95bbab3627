/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The Internet checksum (RFC 1071), and what TCP, UDP and ICMPv6 put under it. Sums are of 16-bit
 * words in network order. */
#pragma once

#include "net/packet.h"

/* The ones' complement sum of the bytes, added to an initial sum; not yet folded. */
uint64_t qe_checksum_add(uint64_t sum, struct qe_bytes bytes);
uint16_t qe_checksum_fold(uint64_t sum); /* to 16 bits, not inverted */
/* The pseudo-header's sum for a transport of transport_len bytes (RFC 9293 3.1, RFC 8200 8.1). */
uint64_t qe_checksum_pseudo(const struct qe_packet *packet, uint32_t transport_len);

/* Of a TCP or UDP packet that is no fragment. */
bool qe_checksum_transport_valid(
	const uint8_t *bytes, const struct qe_packet *packet); /* UDP over IPv4 with 0 is valid */
void qe_checksum_transport_complete(
	uint8_t *bytes, const struct qe_packet *packet); /* compute and store */
void qe_checksum_transport_partial(
	uint8_t *bytes, const struct qe_packet *packet); /* store the folded pseudo-header sum */
void qe_checksum_ipv4_header(uint8_t *bytes);            /* compute and store */
