/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Bytes with their length, and cursors over them. A cursor keeps the first error: parse or write
 * everything, then ask once. After an error reads give zeros and empty bytes, and writes do
 * nothing. All integers on the wire are big-endian.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct qe_bytes {
	const uint8_t *data;
	size_t len;
};

bool qe_bytes_equal(struct qe_bytes a, struct qe_bytes b);
/* Constant time in the contents (not in the length). For anything a stranger could guess at. */
bool qe_bytes_equal_secret(struct qe_bytes a, struct qe_bytes b);

struct qe_reader {
	const uint8_t *at, *end;
	enum qe_error error; /* QE_OK or QE_ERR_TRUNCATED */
};

struct qe_reader qe_reader_init(struct qe_bytes bytes);
size_t qe_reader_left(const struct qe_reader *reader);
uint8_t qe_read_u8(struct qe_reader *reader);
uint16_t qe_read_u16(struct qe_reader *reader);
uint32_t qe_read_u32(struct qe_reader *reader);
uint64_t qe_read_u64(struct qe_reader *reader);
struct qe_bytes qe_read_bytes(struct qe_reader *reader, size_t len); /* points into the input */
void qe_read_copy(struct qe_reader *reader, void *to, size_t len);   /* zeros after an error */
void qe_read_skip(struct qe_reader *reader, size_t len);

struct qe_writer {
	uint8_t *begin, *at, *end;
	enum qe_error error; /* QE_OK or QE_ERR_FULL */
};

struct qe_writer qe_writer_init(void *to, size_t capacity);
size_t qe_writer_len(const struct qe_writer *writer);
void qe_write_u8(struct qe_writer *writer, uint8_t value);
void qe_write_u16(struct qe_writer *writer, uint16_t value);
void qe_write_u32(struct qe_writer *writer, uint32_t value);
void qe_write_u64(struct qe_writer *writer, uint64_t value);
void qe_write_bytes(struct qe_writer *writer, struct qe_bytes bytes);

/* Big-endian loads and stores at fixed places, for the packet path; the caller has checked the
 * length. */
static inline uint16_t qe_load_u16(const uint8_t *at)
{
	return (uint16_t)((unsigned)at[0] << 8 | at[1]);
}

static inline uint32_t qe_load_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void qe_store_u16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void qe_store_u32(uint8_t *at, uint32_t value)
{
	qe_store_u16(at, (uint16_t)(value >> 16));
	qe_store_u16(at + 2, (uint16_t)value);
}
