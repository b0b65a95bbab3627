/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Connection IDs and what hangs on them (RFC 9000 sections 5.1 and 10.3).
 *
 * A connection ID of this node has 8 bytes: the worker's number, four random bytes, and three bytes
 * of a MAC over those. So a packet with an unknown connection ID that this node once issued, before
 * a restart, can be told from a stranger's guess, and only the former is answered with a stateless
 * reset.
 *
 * A client's first destination connection ID is a knock: the lane (the number of the worker that
 * dials), seven random bytes, and twelve bytes of a MAC over these eight with the server's NodeId
 * as the key. Who does not know the NodeId gets no answer.
 */
#pragma once

#include "base/bytes.h"
#include "crypto/mac.h"

constexpr size_t QE_CID_SIZE = 8;
constexpr size_t QE_KNOCK_SIZE = 20;
constexpr size_t QE_RESET_TOKEN_SIZE = 16;

struct qe_cid_keys {
	uint8_t worker;
	struct qe_mac *cid, *reset, *retry; /* of secrets, the same after a restart of the node */
	struct qe_mac *knock;               /* of the NodeId */
};

/* secret: 32 bytes that only this node knows. To be done with also after an error. */
enum qe_error qe_cid_keys_init(struct qe_cid_keys *keys, uint8_t worker,
	const uint8_t secret[static 32], const struct qe_node_id *id);
void qe_cid_keys_done(struct qe_cid_keys *keys); /* wipes */

enum qe_error qe_cid_make(const struct qe_cid_keys *keys, uint8_t to[static QE_CID_SIZE]);
/* Whether this node issued it, be it in an earlier life. */
bool qe_cid_is_ours(const struct qe_cid_keys *keys, struct qe_bytes cid);
enum qe_error qe_cid_reset_token(const struct qe_cid_keys *keys,
	uint8_t to[static QE_RESET_TOKEN_SIZE], struct qe_bytes cid);

enum qe_error qe_knock_make(
	uint8_t to[static QE_KNOCK_SIZE], uint8_t lane, const struct qe_node_id *server);
/* It says a lane that exists, and was made for this node. */
bool qe_knock_is_valid(const struct qe_cid_keys *keys, struct qe_bytes cid);

/* The key under which a connection ID of either kind stands in a map. Two different ones may, in
 * theory, share a key: the link compares the whole. */
uint64_t qe_cid_map_key(struct qe_bytes cid);
