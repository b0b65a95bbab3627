/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Control messages between peers: one CBOR map (RFC 8949) each, with small integers as keys; see
 * docs/protocol.md, "Control messages". Unknown keys and unknown types are ignored, so that
 * newer versions can say more; indefinite lengths, wrong types and trailing bytes are malformed.
 * Nothing is allocated, whatever the message claims.
 */
#pragma once

#include "base/bytes.h"

enum qe_control_type : uint8_t {
	QE_CONTROL_UNKNOWN = 0, /* one that this version does not know; never sent */
	QE_CONTROL_HELLO = 1,   /* the first message on a link, by both sides */
	QE_CONTROL_PING = 2,    /* to be answered with a PONG with the same cookie */
	QE_CONTROL_PONG = 3,
	QE_CONTROL_RETIRE = 4, /* the sender uses another link, as long as it has one */
	QE_CONTROL_ROUTES = 5, /* see peer/routes.h, which reads and writes it */
};

struct qe_control {
	enum qe_control_type type;
	uint64_t cookie;   /* PING, PONG */
	uint64_t instance; /* HELLO: of the sender; another one after each start of the node */
	uint64_t large;    /* PONG: how many large IP packets have come over this link */
};

/* Returns the length; to takes at least QE_CONTROL_SIZE bytes. */
constexpr size_t QE_CONTROL_SIZE = 32;
size_t qe_control_encode(uint8_t to[static QE_CONTROL_SIZE], const struct qe_control *message);
enum qe_error qe_control_decode(struct qe_control *ret_message, struct qe_bytes bytes);
