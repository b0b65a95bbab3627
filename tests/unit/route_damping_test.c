/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Damping: random changes, with the penalty summed up from all of them as the oracle. */
#include "random.h"
#include "route/damping.h"

#define ROUNDS 2000
#define CHANGES 40

static const qe_time S = QE_SECOND;

/* What is left of a penalty after some time: halves every 30 s, on a straight line in between. */
static double left_of(double penalty, qe_time age)
{
	for (; age >= 30 * S; age -= 30 * S)
		penalty /= 2;
	return penalty * (1 - (double)age / (60.0 * (double)S));
}

static void agrees_with_the_sum(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct damping damping = {};
		double penalty = 0;
		bool suppressed = false;
		qe_time now = random_below(1000 * S), gap = 1 + random_below(60 * S);

		for (unsigned i = 0; i < CHANGES; i++) {
			qe_time step = random_below(gap);

			now += step;
			penalty = left_of(penalty, step);
			/* The library rounds; where it is close, either is right. */
			if (penalty < 1.4999)
				suppressed = false;
			if (penalty < 1.4999 || penalty > 1.5001)
				assert_int_equal(damping_is_suppressed(&damping, now), suppressed);
			else
				suppressed = damping_is_suppressed(&damping, now);
			damping_add(&damping, now);
			penalty = penalty + 1 > 12 ? 12 : penalty + 1;
			if (penalty > 5.9999 && penalty < 6.0001)
				suppressed = damping.suppressed;
			else
				suppressed = suppressed || penalty > 6;
			assert_int_equal(damping.suppressed, suppressed);
			assert_true(damping.penalty > 1e6 * penalty - 100 &&
				    damping.penalty < 1e6 * penalty + 100);
		}
	}
}

static void ends_when_it_says(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct damping damping = {};
		qe_time now = random_below(1000 * S);

		for (size_t i = 7 + random_below(10); i > 0; i--)
			damping_add(&damping, now);
		assert_true(damping.suppressed);
		qe_time end = damping_ends(&damping), forgets = damping_forgets(&damping);

		assert_in_range(end - now, 60 * S, 91 * S);
		assert_true(forgets > end);
		assert_true(damping_is_suppressed(&damping, end - S));
		assert_false(damping_is_suppressed(&damping, end));
		assert_int_equal(damping_ends(&damping), QE_TIME_NEVER);
		assert_in_range(damping_forgets(&damping), forgets, forgets + 10 * S);
	}
}

static unsigned changes_until_suppressed(qe_time gap)
{
	struct damping damping = {};

	for (unsigned i = 1; i <= 1000; i++) {
		damping_add(&damping, i * gap);
		if (damping.suppressed)
			return i;
	}
	return 0;
}

static void six_a_minute_is_the_limit(void **)
{
	assert_int_equal(changes_until_suppressed(S / 10), 7);
	assert_in_range(changes_until_suppressed(5 * S), 7, 12);
	assert_true(changes_until_suppressed(10 * S - S / 10) > 0);
	assert_int_equal(changes_until_suppressed(10 * S + S / 10), 0);
}

static void nothing_to_forget(void **)
{
	struct damping damping = {};

	assert_int_equal(damping_forgets(&damping), 0);
	assert_int_equal(damping_ends(&damping), QE_TIME_NEVER);
	assert_false(damping_is_suppressed(&damping, 5));
	damping_add(&damping, 5);
	assert_false(damping_is_suppressed(&damping, QE_TIME_NEVER));
	assert_in_range(damping_forgets(&damping), 60 * S, 61 * S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_sum),
		cmocka_unit_test(ends_when_it_says),
		cmocka_unit_test(six_a_minute_is_the_limit),
		cmocka_unit_test(nothing_to_forget),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
