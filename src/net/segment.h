/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Splitting: a super-packet from the TUN (virtio-net, TSO or USO) becomes packets that fit the
 * path, one after the other, without a copy of the payload: each packet's header is written over
 * the tail of the payload before it, which has been sent by then. The checksums of the packets are
 * partial (the pseudo-header's sum only); the receiver is told so.
 */
#pragma once

#include "net/packet.h"

struct qe_segmenter {
	uint8_t *bytes;          /* the super-packet; written to */
	struct qe_packet packet; /* as parsed, but len: of the last segment given */
	uint32_t payload_left;
	uint16_t header_len, size; /* of a segment: header; payload */
	uint32_t at;               /* where the next payload begins */
	uint16_t index;
	bool single;  /* it is one packet already, sent as it is */
	bool partial; /* the checksum of the packets is partial */
	/* The original one. IPv4 and TCP have 60 each, IPv6's extension headers 2,048 and more: as
	 * long as that they are of no use on any path. */
	uint8_t header[2048];
};

/* offload comes from the kernel, but is checked all the same: QE_ERR_SYNTAX when it contradicts the
 * packet. max_len: the largest packet that fits the path. TCP segments are made smaller to fit it;
 * a UDP segment or a single packet that does not fit gives QE_ERR_TOO_BIG. A single packet with
 * needs_csum, or whose checksum the kernel vouches for, is sent partial. */
enum qe_error qe_segmenter_init(struct qe_segmenter *segmenter, uint8_t *bytes,
	const struct qe_packet *packet, const struct qe_offload *offload, uint32_t max_len);
/* The next packet; false at the end. Valid until the next call. */
bool qe_segmenter_next(struct qe_segmenter *segmenter, struct qe_bytes *ret_packet);
/* How many packets a packet or super-packet of len bytes is, whose payload begins at header_len. */
uint32_t qe_segments(const struct qe_offload *offload, uint32_t header_len, uint32_t len);
/* How many qe_segmenter_next would still give. */
uint32_t qe_segmenter_left(const struct qe_segmenter *segmenter);
/* Whether qe_segmenter_next would give another one, and its length. */
uint32_t qe_segmenter_peek(const struct qe_segmenter *segmenter);
