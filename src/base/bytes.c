/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "base/bytes.h"

#include <string.h>

bool qe_bytes_equal(struct qe_bytes a, struct qe_bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool qe_bytes_equal_secret(struct qe_bytes a, struct qe_bytes b)
{
	/* Volatile, so that the compiler cannot leave the loop at the first difference. */
	volatile uint8_t difference = 0;

	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		difference = difference | (a.data[i] ^ b.data[i]);
	return difference == 0;
}

struct qe_reader qe_reader_init(struct qe_bytes bytes)
{
	static const uint8_t nothing[1];
	const uint8_t *at = bytes.data ? bytes.data : nothing;

	return (struct qe_reader){.at = at, .end = at + bytes.len};
}

size_t qe_reader_left(const struct qe_reader *reader)
{
	return (size_t)(reader->end - reader->at);
}

/* The place of the next len bytes, or NULL. An error leaves nothing to read. */
static const uint8_t *advance_reader(struct qe_reader *reader, size_t len)
{
	const uint8_t *at = reader->at;

	if (reader->error != QE_OK || len > qe_reader_left(reader)) {
		reader->error = QE_ERR_TRUNCATED;
		reader->at = reader->end;
		return nullptr;
	}
	reader->at += len;
	return at;
}

static uint64_t read_integer(struct qe_reader *reader, size_t size)
{
	const uint8_t *at = advance_reader(reader, size);
	uint64_t value = 0;

	for (size_t i = 0; at && i < size; i++)
		value = value << 8 | at[i];
	return value;
}

uint8_t qe_read_u8(struct qe_reader *reader)
{
	return (uint8_t)read_integer(reader, 1);
}

uint16_t qe_read_u16(struct qe_reader *reader)
{
	return (uint16_t)read_integer(reader, 2);
}

uint32_t qe_read_u32(struct qe_reader *reader)
{
	return (uint32_t)read_integer(reader, 4);
}

uint64_t qe_read_u64(struct qe_reader *reader)
{
	return read_integer(reader, 8);
}

struct qe_bytes qe_read_bytes(struct qe_reader *reader, size_t len)
{
	const uint8_t *at = advance_reader(reader, len);

	return (struct qe_bytes){.data = at, .len = at ? len : 0};
}

void qe_read_copy(struct qe_reader *reader, void *to, size_t len)
{
	const uint8_t *at = advance_reader(reader, len);

	if (len == 0)
		return;
	if (at)
		memcpy(to, at, len);
	else
		memset(to, 0, len);
}

void qe_read_skip(struct qe_reader *reader, size_t len)
{
	(void)advance_reader(reader, len);
}

struct qe_writer qe_writer_init(void *to, size_t capacity)
{
	uint8_t *begin = to;

	return (struct qe_writer){.begin = begin, .at = begin, .end = begin + capacity};
}

size_t qe_writer_len(const struct qe_writer *writer)
{
	return (size_t)(writer->at - writer->begin);
}

/* Room for len bytes, or NULL. After an error nothing more is written, not even what would fit. */
static uint8_t *advance_writer(struct qe_writer *writer, size_t len)
{
	uint8_t *at = writer->at;

	if (writer->error != QE_OK || len > (size_t)(writer->end - at)) {
		writer->error = QE_ERR_FULL;
		return nullptr;
	}
	writer->at += len;
	return at;
}

static void write_integer(struct qe_writer *writer, uint64_t value, size_t size)
{
	uint8_t *at = advance_writer(writer, size);

	for (size_t i = size; at && i-- > 0; value >>= 8)
		at[i] = (uint8_t)value;
}

void qe_write_u8(struct qe_writer *writer, uint8_t value)
{
	write_integer(writer, value, 1);
}

void qe_write_u16(struct qe_writer *writer, uint16_t value)
{
	write_integer(writer, value, 2);
}

void qe_write_u32(struct qe_writer *writer, uint32_t value)
{
	write_integer(writer, value, 4);
}

void qe_write_u64(struct qe_writer *writer, uint64_t value)
{
	write_integer(writer, value, 8);
}

void qe_write_bytes(struct qe_writer *writer, struct qe_bytes bytes)
{
	uint8_t *at = advance_writer(writer, bytes.len);

	if (at && bytes.len > 0)
		memcpy(at, bytes.data, bytes.len);
}
