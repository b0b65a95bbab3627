/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A batch of outgoing UDP datagrams, collected so that one UDP_SEGMENT send carries as many as it
 * can: they go to one path with one ECN mark, and all have one size but the last, which may be
 * shorter. They are of one lane: a peer with several workers tells by the first who takes all, and
 * what its worker has to pass on to another comes late. Packets are written straight into the
 * batch, at qe_batch_room, and then added; what does not fit the run sends the run first. One batch
 * per shard; nothing is allocated after its start.
 */
#pragma once

#include "base/error.h"

constexpr size_t QE_BATCH_SIZE = 65536;
constexpr size_t QE_BATCH_SEGMENTS = 64; /* UDP_MAX_SEGMENTS of older kernels */

typedef void qe_batch_send(void *ctx, const struct qe_path *path, uint8_t ecn, const uint8_t *data,
	size_t len, size_t segment_size);

struct qe_batch {
	uint8_t *data; /* QE_BATCH_SIZE */
	size_t len, segment_size;
	struct qe_path path;
	uint8_t ecn, lane;
	qe_batch_send *send;
	void *ctx;
	uint64_t datagrams; /* sent since the start */
};

enum qe_error qe_batch_init(struct qe_batch *batch, qe_batch_send *send, void *ctx);
void qe_batch_done(struct qe_batch *batch);

/* Where the next datagram of up to size bytes (1 to QE_BATCH_SIZE) is to be written. Sends the run
 * first where there is no room behind it. */
uint8_t *qe_batch_room(struct qe_batch *batch, size_t size);
/* len bytes have been written there. lane: of the link that they are of; 0 for what is of none. */
void qe_batch_add(
	struct qe_batch *batch, size_t len, const struct qe_path *path, uint8_t ecn, uint8_t lane);
void qe_batch_flush(struct qe_batch *batch);
