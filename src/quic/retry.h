/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Retry (RFC 9000 section 8.1.2): a client shows that it gets what is sent to its address. Nothing
 * is kept for it; all that the second Initial must prove is in the token:
 *
 *   1 byte    the second in which it was made, modulo 256
 *   20 bytes  the knock of the first Initial
 *   16 bytes  a MAC over these, the whole of the time, the address, the port and the connection ID
 *             that the Retry gave
 *
 * It costs one short HMAC to make and one to check, so that a flood of false ones is no worse than
 * other noise.
 */
#pragma once

#include "base/time.h"
#include "quic/cid.h"

constexpr size_t QE_RETRY_TOKEN_SIZE = 1 + QE_KNOCK_SIZE + 16;
constexpr qe_time QE_RETRY_TOKEN_LIFE = 10 * QE_SECOND;

/* cid: the connection ID that the Retry gives, of QE_CID_SIZE bytes; knock: of QE_KNOCK_SIZE. */
enum qe_error qe_retry_token_make(const struct qe_cid_keys *keys,
	uint8_t to[static QE_RETRY_TOKEN_SIZE], const struct qe_endpoint *client,
	struct qe_bytes cid, struct qe_bytes knock, qe_time now);
/* Whether it was made for this client and this connection ID, and not too long ago. */
bool qe_retry_token_check(const struct qe_cid_keys *keys, uint8_t ret_knock[static QE_KNOCK_SIZE],
	struct qe_bytes token, const struct qe_endpoint *client, struct qe_bytes cid, qe_time now);
