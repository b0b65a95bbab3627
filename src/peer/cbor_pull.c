/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "peer/cbor_pull.h"

#include <cbor.h>

/* ---- writing ---- */

static void advance(struct qe_writer *to, size_t len)
{
	if (len == 0)
		to->error = QE_ERR_FULL;
	if (to->error == QE_OK)
		to->at += len;
}

static size_t room(const struct qe_writer *to)
{
	return (size_t)(to->end - to->at);
}

void qe_cbor_put_uint(struct qe_writer *to, uint64_t value)
{
	advance(to, cbor_encode_uint(value, to->at, room(to)));
}

void qe_cbor_put_map(struct qe_writer *to, size_t pairs)
{
	advance(to, cbor_encode_map_start(pairs, to->at, room(to)));
}

void qe_cbor_put_array(struct qe_writer *to, size_t count)
{
	advance(to, cbor_encode_array_start(count, to->at, room(to)));
}

void qe_cbor_put_bytes(struct qe_writer *to, struct qe_bytes bytes)
{
	advance(to, cbor_encode_bytestring_start(bytes.len, to->at, room(to)));
	qe_write_bytes(to, bytes);
}

/* ---- reading ---- */

static void set_uint(struct qe_cbor_item *item, uint64_t value)
{
	*item = (struct qe_cbor_item){.kind = QE_CBOR_UINT, .value = value};
}

static void on_uint8(void *item, uint8_t value)
{
	set_uint(item, value);
}

static void on_uint16(void *item, uint16_t value)
{
	set_uint(item, value);
}

static void on_uint32(void *item, uint32_t value)
{
	set_uint(item, value);
}

static void on_uint64(void *item, uint64_t value)
{
	set_uint(item, value);
}

static void on_bytes(void *item, cbor_data data, uint64_t len)
{
	*(struct qe_cbor_item *)item = (struct qe_cbor_item){
		.kind = QE_CBOR_BYTES, .bytes = {data, (size_t)len}};
}

static void on_map(void *item, uint64_t pairs)
{
	*(struct qe_cbor_item *)item = (struct qe_cbor_item){.kind = QE_CBOR_MAP, .value = pairs};
}

static void on_array(void *item, uint64_t count)
{
	*(struct qe_cbor_item *)item = (struct qe_cbor_item){.kind = QE_CBOR_ARRAY, .value = count};
}

static void on_tag(void *item, uint64_t)
{
	*(struct qe_cbor_item *)item = (struct qe_cbor_item){.kind = QE_CBOR_TAG};
}

static void on_indefinite(void *item)
{
	*(struct qe_cbor_item *)item = (struct qe_cbor_item){.kind = QE_CBOR_BAD};
}

/* Tags 6 to 20 and simple values to which no meaning had been given when libcbor was written, which
 * its decoder therefore refuses. RFC 8949 section 3. */
static size_t unassigned_head(const struct qe_reader *from, struct qe_cbor_item *item)
{
	size_t left = qe_reader_left(from);
	uint8_t head = left > 0 ? from->at[0] : 0;

	if (head >= 0xc6 && head <= 0xd4) {
		item->kind = QE_CBOR_TAG;
		return 1;
	}
	if (head >= 0xe0 && head <= 0xf3)
		return 1;
	return head == 0xf8 && left >= 2 && from->at[1] >= 32 ? 2 : 0;
}

bool qe_cbor_next(struct qe_reader *from, struct qe_cbor_item *item)
{
	struct cbor_callbacks callbacks = cbor_empty_callbacks;

	callbacks.uint8 = on_uint8;
	callbacks.uint16 = on_uint16;
	callbacks.uint32 = on_uint32;
	callbacks.uint64 = on_uint64;
	callbacks.byte_string = on_bytes;
	callbacks.map_start = on_map;
	callbacks.array_start = on_array;
	callbacks.tag = on_tag;
	callbacks.string_start = callbacks.byte_string_start = on_indefinite;
	callbacks.indef_map_start = callbacks.indef_array_start = on_indefinite;
	callbacks.indef_break = on_indefinite;
	*item = (struct qe_cbor_item){.kind = QE_CBOR_OTHER};

	size_t unassigned = unassigned_head(from, item);

	if (unassigned > 0) {
		qe_read_skip(from, unassigned);
		return true;
	}
	struct cbor_decoder_result result = cbor_stream_decode(
		from->at, qe_reader_left(from), &callbacks, item);
	if (result.status != CBOR_DECODER_FINISHED || item->kind == QE_CBOR_BAD)
		return false;
	qe_read_skip(from, result.read);
	return true;
}

bool qe_cbor_skip(struct qe_reader *from, const struct qe_cbor_item *outer)
{
	uint64_t left = 0;
	struct qe_cbor_item item = *outer;

	for (;;) {
		uint64_t inside = item.kind == QE_CBOR_MAP                                 ? 2
				  : item.kind == QE_CBOR_ARRAY || item.kind == QE_CBOR_TAG ? 1
											   : 0;

		if (item.kind == QE_CBOR_TAG)
			item.value = 1;
		if (inside > 0 && item.value > qe_reader_left(from))
			return false;
		left += inside * item.value;
		if (left == 0)
			return true;
		if (!qe_cbor_next(from, &item))
			return false;
		left--;
	}
}
