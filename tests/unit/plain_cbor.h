/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A plain CBOR writer: the oracle for messages, and what newer versions may say. */
#pragma once

#include "random.h"

/* Small and large numbers alike: each width of a CBOR integer. */
static inline uint64_t random_number(void)
{
	return random_u64() >> random_below(64);
}

struct cbor {
	uint8_t bytes[4096];
	size_t len;
};

static inline void put_byte(struct cbor *to, unsigned byte)
{
	assert_true(to->len < sizeof(to->bytes));
	to->bytes[to->len++] = (uint8_t)byte;
}

static inline void put_head(struct cbor *to, unsigned major, uint64_t value)
{
	unsigned width = value < 24 ? 0 : value <= 0xff ? 1 : value <= 0xffff ? 2 : 4;

	if (value > 0xffffffff)
		width = 8;
	unsigned info = width == 0 ? (unsigned)value : width == 1 ? 24 : width == 2 ? 25 : 26;

	put_byte(to, major << 5 | (width == 8 ? 27 : info));
	while (width-- > 0)
		put_byte(to, value >> 8 * width & 0xff);
}

static inline void put_uint(struct cbor *to, uint64_t value)
{
	put_head(to, 0, value);
}

/* A float, or a simple value, most of which have no meaning yet. */
static inline void put_simple(struct cbor *to)
{
	switch (random_below(3)) {
	case 0:
		put_byte(to, 0xfb);
		put_byte(to, (unsigned)random_below(256));
		for (unsigned i = 1; i < 8; i++)
			put_byte(to, i);
		break;
	case 1:
		put_byte(to, 0xe0 + (unsigned)random_below(24));
		break;
	case 2:
		put_byte(to, 0xf8);
		put_byte(to, 32 + (unsigned)random_below(224));
		break;
	}
}

static inline void put_random_item(struct cbor *to, unsigned depth)
{
	unsigned major = (unsigned)random_below(depth > 0 ? 8 : 4);
	size_t n = random_below(4);

	switch (major) {
	case 0:
	case 1:
		put_head(to, major, random_number());
		break;
	case 2:
	case 3:
		put_head(to, major, n);
		for (size_t i = 0; i < n; i++)
			put_byte(to, 'a');
		break;
	case 4:
	case 5:
		put_head(to, major, n);
		for (size_t i = 0; i < (major - 3) * n; i++)
			put_random_item(to, depth - 1);
		break;
	case 6:
		put_head(to, major, random_number());
		put_random_item(to, depth - 1);
		break;
	case 7:
		put_simple(to);
		break;
	}
}

static inline void put_pair(struct cbor *to, uint64_t key, uint64_t value)
{
	put_uint(to, key);
	put_uint(to, value);
}
