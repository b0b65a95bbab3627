/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * One parse of an IP packet: what routing, checks, segmentation and coalescing need to know of it.
 * Nothing is copied. Every length and offset has been checked against the bytes at hand, so that
 * what holds a view may index without asking again. RFC 791, RFC 8200, RFC 9293, RFC 768.
 */
#pragma once

#include "net/addr.h"

#define QE_IP_TCP 6
#define QE_IP_UDP 17
#define QE_IP_ICMP 1
#define QE_IP_ICMPV6 58
#define QE_TCP_SYN 0x02

struct qe_packet {
	uint8_t version;  /* 4 or 6 */
	uint8_t protocol; /* the transport's, behind IPv6 extension headers */
	uint8_t hop_limit, traffic_class;
	bool fragment; /* any fragment, also the first; ports are then 0 and the transport is not
			  looked at */
	bool dont_fragment; /* IPv4 DF; true for IPv6 */
	bool options;       /* IPv4 options or IPv6 extension headers are there */
	uint16_t transport; /* offset of the transport header */
	uint16_t payload;   /* offset behind the transport header: TCP with options, UDP; else equal
			       to transport */
	uint32_t len;       /* of the whole packet */
	uint16_t source_port, destination_port; /* TCP and UDP, else 0 */
	uint8_t tcp_flags;                      /* 0 for all but TCP */
	struct qe_addr source, destination;
};

/* One packet, or one super-packet (at most 65,535 bytes in its length field), of exactly len bytes.
 * QE_ERR_SYNTAX when it is none: version, header length, length field that is not len, transport
 * header that does not fit, more than 8 IPv6 extension headers or malformed IPv4 options;
 * and when an IPv6 routing header names further hops or an IPv4 option a source route, as it is
 * then bound elsewhere than its header says (RFC 5095, RFC 7126). *packet is then undefined. */
enum qe_error qe_packet_parse(struct qe_packet *packet, struct qe_bytes bytes);

/* The packet without what a link layer may have put behind its end; as it is if its length field
 * says nothing of the kind. */
struct qe_bytes qe_packet_trim(struct qe_bytes bytes);

/* A transport checksum that may be left partial: TCP's or UDP's, of a whole packet. */
static inline bool qe_packet_has_checksum(const struct qe_packet *packet)
{
	return !packet->fragment &&
	       (packet->protocol == QE_IP_TCP || packet->protocol == QE_IP_UDP);
}

static inline bool qe_packet_is_syn(const struct qe_packet *packet)
{
	return packet->tcp_flags & QE_TCP_SYN;
}

/* Bits of the traffic class (RFC 3168). */
enum qe_ecn : uint8_t { QE_ECN_NOT_ECT, QE_ECN_ECT1, QE_ECN_ECT0, QE_ECN_CE };

static inline enum qe_ecn qe_packet_ecn(const struct qe_packet *packet)
{
	return (enum qe_ecn)(packet->traffic_class & 3);
}

/* What a packet goes on with that came through a tunnel with outer on its outer header (RFC 6040,
 * section 4.2). False: a router wanted to drop it, and its sender does not know ECN. */
bool qe_ecn_decapsulate(enum qe_ecn *ret_ecn, enum qe_ecn inner, enum qe_ecn outer);
/* Keeps the IPv4 header checksum right; no other one covers the field. */
void qe_packet_set_ecn(uint8_t *bytes, struct qe_packet *packet, enum qe_ecn ecn);

/* A hash of protocol, addresses and ports with the seed given. */
uint64_t qe_packet_flow(const struct qe_packet *packet, uint64_t seed);

/* Lower the hop limit by one, keeping the IPv4 header checksum right. The caller has seen that it
 * is above 1. */
void qe_packet_decrement_hop_limit(uint8_t *packet);

/* Lower the MSS option of a TCP SYN to fit an MTU, keeping the checksum right. partial: it holds
 * only the pseudo-header's sum. True if it changed. */
bool qe_packet_clamp_mss(
	uint8_t *bytes, const struct qe_packet *packet, bool partial, uint16_t mtu);
