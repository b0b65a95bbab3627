/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Coalescing: packets of one flow that follow one another become one super-packet for the TUN
 * write, where the kernel's GRO would merge them too. Only the same 5-tuple, contiguous TCP
 * sequence, equal flags, acknowledgement number, window, options, TTL, traffic class, DF and
 * segment size, and an IPv4 identification that counts up (with DF it may stay); a shorter segment
 * or PSH ends the super-packet; anything else is written alone. Order within a flow is kept, and
 * packets that cannot be merged are never held back behind ones that can. UDP datagrams of one flow
 * and one size coalesce likewise (USO).
 */
#pragma once

#include "net/packet.h"

#define QE_COALESCE_FLOWS 8 /* super-packets under construction at a time */

struct qe_coalescer;

/* Called with each finished packet or super-packet, in order per flow. */
typedef void qe_coalesced(
	void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len);

/* udp: whether UDP is coalesced too (the kernel must know USO). */
enum qe_error qe_coalescer_new(
	struct qe_coalescer **ret_coalescer, bool udp, qe_coalesced *write, void *ctx);
struct qe_coalescer *qe_coalescer_free(struct qe_coalescer *coalescer);
/* One packet, which is copied if it is kept. partial: its transport checksum is the pseudo-header's
 * sum only, whatever its field holds: the coalescer stores the right partial sum and sets
 * needs_csum. Otherwise the checksum is complete; it is verified before the packet is merged, and
 * a packet that fails is handed on alone and as it is. */
void qe_coalescer_add(struct qe_coalescer *coalescer, struct qe_bytes bytes,
	const struct qe_packet *packet, bool partial);
void qe_coalescer_flush(struct qe_coalescer *coalescer); /* at the end of each batch */
