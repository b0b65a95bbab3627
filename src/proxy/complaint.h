/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* ICMP errors (RFC 792, RFC 4443): of which packet somebody on the way says what. lwIP looks at
 * none of them, and whoever waits for a connection wants to know at once. */
#pragma once

#include "net/packet.h"

struct qe_complaint {
	enum qe_error error; /* -ENETUNREACH, -EHOSTUNREACH, -ECONNREFUSED, -EACCES */
	uint8_t protocol;    /* TCP or UDP */
	struct qe_addr source, destination;
	uint16_t source_port, destination_port;
	uint32_t sequence; /* TCP */
};

/* False: it is none that says that the destination cannot be reached, or does not quote enough. */
bool qe_complaint_read(
	struct qe_complaint *ret_complaint, const struct qe_packet *packet, struct qe_bytes bytes);
