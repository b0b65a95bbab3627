/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What stands in for a TUN interface where the process has an IP stack of its own: packets go
 * between two threads in memory, each with its struct qe_offload. Used through os/tun.h alone.
 */
#pragma once

#include "base/error.h"
#include "quicether.h"

struct qe_cable;

/* One of the two ends, for one thread. */
struct qe_cable_end {
	struct qe_cable *cable;
	unsigned side; /* 0: the worker's; 1: the stack's */
};

enum qe_error qe_cable_new(struct qe_cable_end ret_ends[2]);
/* The last one frees it; both on one thread, when no other uses either. */
void qe_cable_free(struct qe_cable_end *end);

/* Becomes readable, to an edge-triggered watch, when there is something to read again after
 * -EAGAIN, and when there is room again after a write was refused. */
int qe_cable_fd(const struct qe_cable_end *end);
enum qe_error qe_cable_read(struct qe_cable_end *end, uint8_t *to, size_t capacity,
	struct qe_offload *ret_offload, size_t *ret_len);
/* -EAGAIN: the other end is behind. */
enum qe_error qe_cable_write(struct qe_cable_end *end, const struct qe_offload *offload,
	const uint8_t *data, size_t len);
