/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Random input that can be had again: each program prints its seed, and takes one from QE_SEED. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static uint64_t random_state;

static inline int random_setup(void **state)
{
	const char *given = getenv("QE_SEED");
	struct timespec now;

	(void)state;
	timespec_get(&now, TIME_UTC);
	random_state = given ? strtoull(given, nullptr, 0)
			     : (uint64_t)now.tv_sec * UINT64_C(1000000007) + (uint64_t)now.tv_nsec;
	print_message("QE_SEED=%#llx\n", (unsigned long long)random_state);
	return 0;
}

/* SplitMix64. */
static inline uint64_t random_u64(void)
{
	uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* 0 to n - 1. */
static inline size_t random_below(size_t n)
{
	return (size_t)(random_u64() % n);
}

static inline void random_fill(void *to, size_t len)
{
	uint8_t *at = to;

	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)random_u64();
}
