/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Which flow a packet belongs to. Looks into transport headers, also behind the headers of a first
 * fragment, and into what ICMP errors quote. RFC 792, RFC 4443, RFC 7112, RFC 1858.
 */
#pragma once

#include "net/packet.h"
#include "policy/flows.h"

enum tuple_kind : uint8_t {
	TUPLE_FLOW,  /* begins a flow or is part of one */
	TUPLE_LONE,  /* is not: only the rules can speak for it */
	TUPLE_ERROR, /* an ICMP error; the key is that of the packet it quotes */
	TUPLE_LATER, /* a fragment without headers; the key is the datagram's */
	TUPLE_BAD,   /* a fragment that hides its headers */
};

struct tuple {
	enum tuple_kind kind;
	bool first_fragment, has_ports;
	uint8_t protocol; /* behind all extension headers */
	uint8_t tcp_flags;
	/* In units of fragments, 8 bytes: how much of the datagram its headers take in a first
	 * fragment; where a later one begins. */
	uint16_t units;
	uint16_t source_port, destination_port;
	struct flow_key key;
	struct flow_key fragments; /* of a first fragment: the datagram's */
};

/* subject: who sends it; fragments of different senders are never of one datagram. */
void tuple_read(struct tuple *tuple, const struct qe_packet *packet, struct qe_bytes bytes,
	uint32_t subject);
