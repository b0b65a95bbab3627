/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CBOR (RFC 8949), item by item, over libcbor's streaming decoder: for messages of definite
 * lengths whose outermost items are known. Nothing is allocated, whatever the input claims.
 */
#pragma once

#include "base/bytes.h"

enum qe_cbor_kind : uint8_t {
	QE_CBOR_OTHER,
	QE_CBOR_UINT,
	QE_CBOR_BYTES,
	QE_CBOR_MAP,
	QE_CBOR_ARRAY,
	QE_CBOR_TAG,
	QE_CBOR_BAD, /* of indefinite length */
};

struct qe_cbor_item {
	enum qe_cbor_kind kind;
	uint64_t value;        /* of an integer; the count of a map or an array */
	struct qe_bytes bytes; /* of a byte string; in the input */
};

/* The next item's head, and what of it is not items of its own. False at the end, and where there
 * is no item of definite length. */
bool qe_cbor_next(struct qe_reader *from, struct qe_cbor_item *item);
/* Skips what is inside of an item. Each item costs at least a byte, so that the input bounds it. */
bool qe_cbor_skip(struct qe_reader *from, const struct qe_cbor_item *outer);

/* In the shortest form. */
void qe_cbor_put_uint(struct qe_writer *to, uint64_t value);
void qe_cbor_put_bytes(struct qe_writer *to, struct qe_bytes bytes);
void qe_cbor_put_map(struct qe_writer *to, size_t pairs);
void qe_cbor_put_array(struct qe_writer *to, size_t count);
