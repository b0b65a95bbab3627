/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/addr.h"
#include "node/loops.h"

static struct loops loops;
static qe_time now;

static struct qe_addr addr(uint8_t last)
{
	const uint8_t bytes[4] = {192, 0, 2, last};

	return qe_addr_ipv4(bytes);
}

static void end_hops(size_t slot, struct qe_addr to, unsigned n)
{
	while (n-- > 0)
		loops_note(&loops, slot, &to, now);
}

static unsigned allowed(size_t slot, struct qe_addr to, unsigned of)
{
	unsigned n = 0;

	while (of-- > 0)
		n += loops_allow(&loops, slot, &to, now);
	return n;
}

static int open_table(void **)
{
	loops_init(&loops, 7);
	now = 1000 * QE_SECOND;
	return 0;
}

static void a_few_ends_are_traceroute(void **)
{
	for (unsigned i = 0; i < 100; i++, now += QE_SECOND)
		end_hops(1, addr(1), LOOPS_MAX);
	assert_int_equal(allowed(1, addr(1), 1000), 1000);
}

static void more_are_a_circle(void **)
{
	end_hops(1, addr(1), LOOPS_MAX + 1);
	for (unsigned i = 0; i < 3; i++, now += QE_SECOND)
		assert_in_range(allowed(1, addr(1), 1000), LOOPS_MAX, 2 * LOOPS_MAX);
	/* Of others nothing is known. */
	assert_int_equal(allowed(2, addr(1), 100), 100);
	assert_int_equal(allowed(1, addr(2), 100), 100);
	now += 4 * QE_SECOND;
	assert_int_equal(allowed(1, addr(1), 1000), 1000);
}

/* As long as what is let through ends its hops too. */
static void a_circle_stays_one(void **)
{
	end_hops(1, addr(1), LOOPS_MAX + 1);
	for (unsigned i = 0; i < 100; i++, now += QE_SECOND) {
		assert_in_range(allowed(1, addr(1), 1000), 1, LOOPS_MAX);
		end_hops(1, addr(1), 1);
	}
}

/* Whoever takes a place over is not suspected for what the other did. */
static void places_are_shared(void **)
{
	for (unsigned i = 0; i < 256; i++) {
		end_hops(i, addr((uint8_t)i), LOOPS_MAX + 1);
		assert_in_range(allowed(i, addr((uint8_t)i), 100), 1, LOOPS_MAX);
	}
	end_hops(1000, addr(1), 1);
	assert_int_equal(allowed(1000, addr(1), 100), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_few_ends_are_traceroute, open_table),
		cmocka_unit_test_setup(more_are_a_circle, open_table),
		cmocka_unit_test_setup(a_circle_stays_one, open_table),
		cmocka_unit_test_setup(places_are_shared, open_table),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
