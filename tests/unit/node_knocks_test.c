/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/knocks.h"
#include "quic/cid.h"

static void make(uint8_t to[static QE_KNOCK_SIZE], uint32_t number)
{
	for (size_t i = 0; i < QE_KNOCK_SIZE; i++)
		to[i] = (uint8_t)(i + 1);
	qe_store_u32(to, number);
}

static bool contain(const struct knocks *knocks, uint32_t number)
{
	uint8_t knock[QE_KNOCK_SIZE];

	make(knock, number);
	return knocks_contain(knocks, (struct qe_bytes){knock, sizeof(knock)});
}

static void add(struct knocks *knocks, uint32_t number)
{
	uint8_t knock[QE_KNOCK_SIZE];

	make(knock, number);
	knocks_add(knocks, (struct qe_bytes){knock, sizeof(knock)});
}

/* Exactly the last ones are remembered, whatever came before. */
static void remembers_the_last_ones(void **)
{
	struct knocks knocks;

	knocks_init(&knocks, 42);
	assert_false(contain(&knocks, 1));
	for (uint32_t n = 1; n <= 3 * KNOCKS_MAX + 7; n++) {
		add(&knocks, n);
		assert_true(contain(&knocks, n));
		assert_false(contain(&knocks, n + 1));
		if (n >= KNOCKS_MAX) {
			assert_true(contain(&knocks, n - KNOCKS_MAX + 1));
			assert_false(contain(&knocks, n - KNOCKS_MAX));
		}
	}
	knocks_done(&knocks);
}

static void one_twice_is_one(void **)
{
	struct knocks knocks;

	knocks_init(&knocks, 43);
	for (uint32_t n = 1; n < KNOCKS_MAX; n++)
		add(&knocks, n);
	for (unsigned i = 0; i < 10; i++)
		add(&knocks, 5);
	assert_true(contain(&knocks, 1));
	add(&knocks, KNOCKS_MAX);
	assert_true(contain(&knocks, 1));
	add(&knocks, KNOCKS_MAX + 1);
	assert_false(contain(&knocks, 1));
	assert_true(contain(&knocks, 5));
	knocks_done(&knocks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(remembers_the_last_ones),
		cmocka_unit_test(one_twice_is_one),
	};

	return cmocka_run_group_tests_name("node_knocks", tests, nullptr, nullptr);
}
