/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A small host in user space: lwIP with the addresses that the node has in the overlay, at the end
 * of a cable (qe_tun_new_cable) whose other end a worker has in place of a TUN interface. TCP
 * streams go out from here, and datagrams; nothing listens.
 *
 * One thread, that of the loop. What a stream has to say is said from the loop, never from inside a
 * function that is declared here.
 */
#pragma once

#include "os/loop.h"
#include "os/tun.h"

struct qe_stack;

struct qe_stack_settings {
	struct qe_loop *loop;
	struct qe_tun *tun; /* nothing is owned */
	uint16_t mtu;
	const struct qe_addr *addrs; /* of IPv4 the first one counts, of IPv6 the first six */
	size_t n_addrs;
};

/* There is one in a process at a time: lwIP keeps its state in globals. */
enum qe_error qe_stack_new(struct qe_stack **ret_stack, const struct qe_stack_settings *settings);
/* After its streams and sockets; NULL-safe. */
struct qe_stack *qe_stack_free(struct qe_stack *stack);
bool qe_stack_owns(const struct qe_stack *stack, const struct qe_addr *addr);
bool qe_stack_has_family(const struct qe_stack *stack, enum qe_family family);

struct qe_stack_counters {
	uint64_t refused; /* packets that are none of the stack's business: fragments, other
			   * addresses, protocols without use */
};
const struct qe_stack_counters *qe_stack_get_counters(const struct qe_stack *stack);

/* ---- streams ---- */

#define QE_STREAM_BUFFER 131072 /* bytes that a stream keeps for who does not read them */

struct qe_stream;

enum qe_stream_state { QE_STREAM_CONNECTING, QE_STREAM_OPEN, QE_STREAM_FAILED };

/* ready: the state has changed, there is something to read, or room to write. QE_ERR_FULL: too many
 * connections; -ENETUNREACH: no address of the family; -ENOMEM. */
enum qe_error qe_stream_new(struct qe_stream **ret_stream, struct qe_stack *stack,
	const struct qe_endpoint *to, void (*ready)(void *ctx), void *ctx);
/* In order if both sides have said all; otherwise the other side is told that it broke. */
struct qe_stream *qe_stream_free(struct qe_stream *stream); /* NULL-safe */

enum qe_stream_state qe_stream_state(const struct qe_stream *stream);
/* Of QE_STREAM_FAILED: -ECONNREFUSED, -ENETUNREACH, -EHOSTUNREACH, -EACCES, -ETIMEDOUT,
 * -ECONNRESET. */
enum qe_error qe_stream_error(const struct qe_stream *stream);
struct qe_endpoint qe_stream_local(const struct qe_stream *stream);

/* What came in, as far as it lies in one piece; empty if there is nothing. */
struct qe_bytes qe_stream_peek(const struct qe_stream *stream);
void qe_stream_consume(struct qe_stream *stream, size_t len);
bool qe_stream_ended(const struct qe_stream *stream); /* all has been read, and no more comes */
/* How many bytes may be written. */
size_t qe_stream_room(const struct qe_stream *stream);
enum qe_error qe_stream_write(struct qe_stream *stream, struct qe_bytes bytes);
void qe_stream_finish(struct qe_stream *stream); /* nothing more is written */

/* ---- datagrams ---- */

#define QE_DATAGRAM_MAX 1500

/* A UDP socket for one other end, on a port that nobody can guess. */
struct qe_dgram;

/* received: with one that has come, or an error that somebody on the way reports and no bytes. */
enum qe_error qe_dgram_new(struct qe_dgram **ret_dgram, struct qe_stack *stack,
	const struct qe_endpoint *to,
	void (*received)(void *ctx, enum qe_error error, struct qe_bytes bytes), void *ctx);
struct qe_dgram *qe_dgram_free(struct qe_dgram *dgram); /* NULL-safe */
enum qe_error qe_dgram_send(struct qe_dgram *dgram, struct qe_bytes bytes);
