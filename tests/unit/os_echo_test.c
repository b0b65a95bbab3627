/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Both kinds of sockets, on the loopback interface of a network namespace of the test's own. Needs
 * root; without it the tests are skipped. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "isolated.h"
#include "os/echo.h"

#define MAY "/proc/sys/net/ipv4/ping_group_range"

static struct qe_addr to_addr(const char *text)
{
	struct qe_addr addr;

	assert_int_equal(qe_addr_parse(&addr, text), QE_OK);
	return addr;
}

static void allow(const char *groups)
{
	FILE *file = fopen(MAY, "w");

	assert_non_null(file);
	assert_true(fputs(groups, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static bool waits(const struct qe_echo *echo)
{
	struct pollfd poller = {.fd = qe_echo_fd(echo), .events = POLLIN};

	return poll(&poller, 1, 5000) == 1;
}

/* Another one's answers, which a raw socket gets too, are not its own. */
static void check(const char *text)
{
	struct qe_addr addr = to_addr(text), from = {};
	struct qe_echo *echo, *other;
	unsigned interface = 0;

	assert_int_equal(qe_echo_new(&echo, (enum qe_family)addr.family), QE_OK);
	assert_int_equal(qe_echo_new(&other, (enum qe_family)addr.family), QE_OK);
	assert_false(qe_echo_receive(echo, &from, &interface));
	qe_echo_send(other, &addr);
	assert_true(waits(other));
	assert_true(qe_echo_receive(other, &from, &interface));
	assert_false(qe_echo_receive(echo, &from, &interface));
	for (unsigned i = 0; i < 3; i++) {
		qe_echo_send(echo, &addr);
		assert_true(waits(echo));
		assert_true(qe_echo_receive(echo, &from, &interface));
		assert_true(qe_addr_equal(&from, &addr));
		assert_int_equal(interface, 1);
	}
	assert_false(qe_echo_receive(echo, &from, &interface));
	qe_echo_free(echo);
	qe_echo_free(other);
}

static void test_both_kinds(void **)
{
	static const char *const groups[] = {"1 0", "0 2147483647"};

	if (!isolated || access(MAY, W_OK) != 0)
		skip();
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		allow(groups[i]);
		check("127.0.0.1");
		check("::1");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_both_kinds)};

	return cmocka_run_group_tests(tests, isolate, nullptr);
}
