/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Whose an address is, against a walk over all prefixes. */
#include "dns/owners.h"
#include "random.h"

constexpr size_t PREFIXES = 400;

/* Close together, so that many lie in one another. */
static struct qe_prefix some_prefix(void)
{
	struct qe_prefix prefix = {};
	unsigned bits;

	prefix.addr.family = random_below(2) ? QE_FAMILY_IPV4 : QE_FAMILY_IPV6;
	bits = qe_addr_bits(&prefix.addr);
	for (size_t i = 0; i < bits / 8; i++)
		prefix.addr.bytes[i] = (uint8_t)(random_below(3) * 0x7f);
	prefix.length = (uint8_t)random_below(bits + 1);
	qe_prefix_mask(&prefix);
	return prefix;
}

/* The longest; one prefix may have several owners, of which any will do. */
static bool is_right(
	const struct qe_dns_owner *all, size_t n, const struct qe_prefix *host, uint32_t found)
{
	int longest = -1, of_found = -1;

	for (size_t i = 0; i < n; i++) {
		if (!qe_prefix_covers(&all[i].prefix, host))
			continue;
		if (all[i].prefix.length > longest)
			longest = all[i].prefix.length;
		if (all[i].owner == found && all[i].prefix.length > of_found)
			of_found = all[i].prefix.length;
	}
	return longest < 0 ? found == 0 : found != 0 && of_found == longest;
}

static void test_random(void **)
{
	struct qe_dns_owner all[PREFIXES];
	size_t found = 0;

	for (size_t n = 0; n <= PREFIXES; n += 1 + n / 2) {
		struct qe_dns_owners owners = {};

		for (size_t i = 0; i < n; i++)
			all[i] = (struct qe_dns_owner){
				some_prefix(), 1 + (uint32_t)random_below(20)};
		assert_int_equal(qe_dns_owners_init(&owners, all, n), QE_OK);
		for (size_t i = 0; i < 3000; i++) {
			const struct qe_addr addr = some_prefix().addr;
			const struct qe_prefix host = qe_prefix_host(&addr);
			uint32_t owner = qe_dns_owners_find(&owners, &addr);

			assert_true(is_right(all, n, &host, owner));
			found += owner != 0;
		}
		qe_dns_owners_done(&owners);
	}
	assert_true(found > 1000);
}

static void test_nobody(void **)
{
	const struct qe_dns_owners owners = {};
	const struct qe_addr addr = some_prefix().addr;

	assert_int_equal(qe_dns_owners_find(&owners, &addr), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_nobody),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
