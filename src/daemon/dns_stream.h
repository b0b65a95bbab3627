/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* DNS over TCP: messages with their length before them (RFC 7766), one at a time in each direction.
 * The resolver's thread. */
#pragma once

#include "base/bytes.h"

struct qe_dns_stream {
	int fd;
	size_t limit; /* of a message that comes in */
	size_t got;
	uint8_t *in;
	size_t sent, len;
	uint8_t *out; /* NULL: nothing is to be sent */
};

/* Takes the descriptor, also on failure. */
enum qe_error qe_dns_stream_init(struct qe_dns_stream *ret_stream, int fd, size_t limit);
void qe_dns_stream_done(struct qe_dns_stream *stream);
/* A whole message, valid until the next call. -EAGAIN: not yet. Anything else: the end. */
enum qe_error qe_dns_stream_receive(struct qe_dns_stream *stream, struct qe_bytes *ret_message);
/* To be sent by qe_dns_stream_flush. Only when nothing else is. */
enum qe_error qe_dns_stream_queue(struct qe_dns_stream *stream, struct qe_bytes message);
/* -EAGAIN: not all has gone yet. */
enum qe_error qe_dns_stream_flush(struct qe_dns_stream *stream);
