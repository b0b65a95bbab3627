/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Packets that belong to no link: which of them deserve an answer. No state is kept for any of
 * them.
 */
#pragma once

#include "quic/link.h"

/* RFC 9000 section 10.3: a reset looks like a short packet, and is shorter than what it answers. */
constexpr size_t QE_RESET_MIN = 21;

enum qe_packet_kind : uint8_t {
	QE_PACKET_MALFORMED,
	QE_PACKET_SHORT, /* of an established connection */
	QE_PACKET_LONG,  /* of a handshake */
};

/* The destination connection ID of a packet, which is what links are looked up by. A short header
 * is taken to hold one of ours. */
enum qe_packet_kind qe_packet_classify(struct qe_bytes packet, struct qe_bytes *ret_dcid);

enum qe_first_verdict : uint8_t {
	QE_FIRST_ACCEPT,   /* make a link of it */
	QE_FIRST_RETRY,    /* its address is to be validated first: qe_retry */
	QE_FIRST_NO_KNOCK, /* from somebody who does not know the NodeId: silence */
	QE_FIRST_MALFORMED,
};

/* Looks at a long-header packet that fits no link. want_retry: whether clients must show that they
 * own their address. *ret_first is written for the first two verdicts. Other QUIC versions get no
 * answer: a version negotiation would tell a stranger that a node is here. */
enum qe_first_verdict qe_first_packet_check(struct qe_first_packet *ret_first,
	const struct qe_link_context *context, const struct qe_path *path, struct qe_bytes packet,
	bool want_retry, qe_time now);

/* Adds a Retry to the batch. Returns whether it did. */
bool qe_retry(const struct qe_link_context *context, struct qe_batch *batch,
	const struct qe_first_packet *first, const struct qe_path *path, qe_time now);

/* Answers a short-header packet with a stateless reset, if its connection ID is one that this node
 * issued. Returns whether it did. */
bool qe_stateless_reset(struct qe_link_context *context, struct qe_batch *batch,
	const struct qe_path *path, struct qe_bytes packet);
