/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/addr.h"
#include "node/limiter.h"

static struct qe_addr addr(const char *text)
{
	struct qe_addr addr;

	assert_int_equal(qe_addr_parse(&addr, text), QE_OK);
	return addr;
}

static unsigned take_all(struct limiter *limiter, const struct qe_addr *source, qe_time now)
{
	unsigned n = 0;

	while (limiter_take(limiter, source, now))
		n++;
	return n;
}

static void gives_a_burst_then_a_rate(void **)
{
	struct limiter limiter;
	struct qe_addr source = addr("192.0.2.1");
	qe_time now = 7 * QE_SECOND;
	unsigned n = 0;

	limiter_init(&limiter, 1, 1);
	assert_int_equal(take_all(&limiter, &source, now), 8);
	for (unsigned i = 0; i < 1000; i++) {
		now += 10 * QE_MILLISECOND;
		n += limiter_take(&limiter, &source, now);
	}
	assert_in_range(n, 99, 101); /* 10 a second for 10 s */
	assert_int_equal(take_all(&limiter, &source, now + 3600 * QE_SECOND), 8);
}

static void an_ipv6_source_is_its_64(void **)
{
	struct limiter limiter;
	struct qe_addr a = addr("2001:db8::1"), b = addr("2001:db8::ffff:2"),
		       other = addr("2001:db8:0:1::1");

	limiter_init(&limiter, 2, 1);
	assert_int_equal(take_all(&limiter, &a, QE_SECOND), 8);
	assert_int_equal(take_all(&limiter, &b, QE_SECOND), 0);
	assert_int_equal(take_all(&limiter, &other, QE_SECOND), 8);
}

/* A flood from one source leaves nearly all others alone. */
static void sources_spread(void **)
{
	struct limiter limiter;
	struct qe_addr flood = addr("198.51.100.1");
	unsigned refused = 0;

	limiter_init(&limiter, 3, 1);
	take_all(&limiter, &flood, QE_SECOND);
	for (unsigned i = 0; i < 256; i++) {
		const uint8_t bytes[] = {203, 0, 113, (uint8_t)i};
		struct qe_addr source = qe_addr_ipv4(bytes);

		refused += !limiter_take(&limiter, &source, QE_SECOND);
	}
	assert_in_range(refused, 0, 3);
}

/* Limiters of a node's shards, all of which see the same source. */
static void parts_make_one_whole(void **)
{
	static struct limiter limiter;
	struct qe_addr source = addr("192.0.2.1");

	for (unsigned of = 1; of <= QE_WORKERS_MAX; of++) {
		unsigned burst = 0, n = 0;

		for (unsigned part = 0; part < of; part++) {
			limiter_init(&limiter, part, of);
			burst += take_all(&limiter, &source, QE_SECOND);
			for (unsigned i = 1; i <= 1000; i++)
				n += limiter_take(
					&limiter, &source, QE_SECOND + i * 100 * QE_MILLISECOND);
		}
		assert_in_range(burst, 8, 8 + of - 1);
		assert_in_range(n, 1000 - of, 1000 + of); /* 10 a second for 100 s */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_a_burst_then_a_rate),
		cmocka_unit_test(an_ipv6_source_is_its_64),
		cmocka_unit_test(sources_spread),
		cmocka_unit_test(parts_make_one_whole),
	};

	return cmocka_run_group_tests_name("node_limiter", tests, nullptr, nullptr);
}
