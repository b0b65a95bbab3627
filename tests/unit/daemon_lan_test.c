/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What leads where, and who answers, in a network namespace of the test's own: interfaces whose
 * other end is this program, which answers nothing. Needs root; without it the tests are skipped.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "daemon/lan.h"
#include "isolated.h"
#include "os/clock.h"
#include "os/tun.h"

struct host {
	struct qe_loop *loop;
	struct qe_netlink *netlink;
	struct qe_lan *lan;
	struct qe_log log;
	struct qe_prefix unreachable[16];
	size_t n;
	unsigned calls;
};

static struct qe_prefix to_prefix(const char *text)
{
	struct qe_prefix prefix;

	assert_int_equal(qe_prefix_parse(&prefix, text), QE_OK);
	return prefix;
}

static struct qe_tun *open_tun(struct host *host, const char *name, const char *addr)
{
	struct qe_tun *tun;
	struct qe_addr its;
	struct qe_prefix net;
	unsigned index;

	assert_int_equal(qe_tun_new(&tun, name), QE_OK);
	assert_int_equal(qe_netlink_interface(host->netlink, name, &index), QE_OK);
	assert_int_equal(qe_netlink_up(host->netlink, index, 1500, 64), QE_OK);
	assert_int_equal(qe_interface_addr_parse(&its, &net, addr), QE_OK);
	assert_int_equal(qe_netlink_add_addr(host->netlink, index, &its, net.length), QE_OK);
	return tun;
}

static void set_route(struct host *host, const char *name, const char *prefix)
{
	struct qe_prefix to = to_prefix(prefix);
	unsigned index;

	assert_int_equal(qe_netlink_interface(host->netlink, name, &index), QE_OK);
	assert_int_equal(qe_netlink_add_route(host->netlink, index, &to), QE_OK);
}

static void open_host(struct host *host)
{
	*host = (struct host){.log = {.level = QE_LOG_ERROR}};
	assert_int_equal(qe_loop_new(&host->loop), QE_OK);
	assert_int_equal(qe_netlink_new(&host->netlink), QE_OK);
	assert_int_equal(qe_lan_new(&host->lan, host->loop, host->netlink, &host->log), QE_OK);
}

static void close_host(struct host *host)
{
	qe_lan_free(host->lan);
	qe_netlink_free(host->netlink);
	qe_loop_free(host->loop);
}

static void note(void *ctx, const struct qe_prefix *unreachable, size_t n)
{
	struct host *host = ctx;

	assert_true(n <= sizeof(host->unreachable) / sizeof(host->unreachable[0]));
	if (n > 0)
		memcpy(host->unreachable, unreachable, n * sizeof(*unreachable));
	host->n = n;
	host->calls++;
}

/* Lists of words. */
static size_t parse(struct qe_prefix to[16], const char *text)
{
	char copy[256], *at = copy, *word;
	size_t n = 0;

	strcpy(copy, text);
	while ((word = strsep(&at, " ")))
		if (word[0])
			to[n++] = to_prefix(word);
	return n;
}

static void configure(struct host *host, const char *prefixes, const char *probes)
{
	struct qe_prefix offers[16], hosts[16];
	const struct qe_lan_settings settings = {
		.tun_name = "tunnel",
		.prefixes = offers,
		.n = parse(offers, prefixes),
		.probes = hosts,
		.n_probes = parse(hosts, probes),
		.changed = note,
		.ctx = host,
	};
	unsigned before = host->calls;

	assert_int_equal(qe_lan_configure(host->lan, &settings), QE_OK);
	assert_true(host->calls > before);
}

static bool is_unreachable(const struct host *host, const char *text)
{
	struct qe_prefix list[16];
	size_t n = parse(list, text);

	if (n != host->n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (qe_prefix_compare(&list[i], &host->unreachable[i]) != 0)
			return false;
	}
	return true;
}

static void await(struct host *host, const char *unreachable)
{
	qe_time end = qe_clock_now() + 5 * QE_SECOND;

	while (!is_unreachable(host, unreachable) && qe_clock_now() < end)
		qe_loop_turn(host->loop, end);
	assert_true(is_unreachable(host, unreachable));
}

static void set_down(struct host *host, const char *name)
{
	char command[64];

	snprintf(command, sizeof(command), "ip link set %s down", name);
	assert_int_equal(system(command), 0);
	qe_lan_host_changed(host->lan);
}

static void test_carrier(void **)
{
	struct qe_tun *one, *two;
	struct host host;

	if (!isolated)
		skip();
	open_host(&host);
	one = open_tun(&host, "one", "192.168.1.1/24");
	two = open_tun(&host, "two", "192.168.2.1/24");
	set_route(&host, "two", "0.0.0.0/0");
	set_route(&host, "one", "10.7.0.0/16");
	/* In order: its own network; one in it; by way of a router; nowhere but by the default
	 * route; everything; and what nothing leads to, which is left to the operator. */
	configure(&host,
		"192.168.1.0/24 192.168.0.0/23 10.7.7.0/24 203.0.113.0/24 0.0.0.0/0 2001:db8::/32",
		"");
	assert_true(is_unreachable(&host, ""));
	set_down(&host, "one");
	await(&host, "192.168.1.0/24 192.168.0.0/23 10.7.7.0/24");
	one = qe_tun_free(one); /* not even the address is left */
	qe_lan_host_changed(host.lan);
	set_down(&host, "two");
	await(&host, "192.168.1.0/24 192.168.0.0/23 10.7.7.0/24 203.0.113.0/24 0.0.0.0/0");
	one = open_tun(&host, "one", "192.168.1.1/24");
	qe_lan_host_changed(host.lan);
	await(&host, "10.7.7.0/24 203.0.113.0/24 0.0.0.0/0");
	qe_tun_free(one);
	qe_tun_free(two);
	close_host(&host);
}

/* The host itself answers, at an address in the prefix; nobody does at another one. */
static void test_probes(void **)
{
	struct qe_tun *one;
	struct host host;

	if (!isolated)
		skip();
	open_host(&host);
	one = open_tun(&host, "one", "192.168.1.1/24");
	configure(&host, "192.168.1.0/24", "192.168.1.9");
	assert_true(is_unreachable(&host, "192.168.1.0/24"));
	configure(&host, "192.168.1.0/24", "192.168.1.9 192.168.1.1");
	await(&host, "");
	/* It was reached, and is taken at that until it is asked again. */
	configure(&host, "192.168.1.0/24", "192.168.1.1");
	assert_true(is_unreachable(&host, ""));
	/* Probes in a prefix speak for it, all of them for others. */
	configure(&host, "192.168.1.0/30 192.168.1.8/30 10.0.0.0/8", "192.168.1.1 192.168.1.9");
	await(&host, "192.168.1.8/30");
	configure(&host, "192.168.1.0/24", "192.168.1.9");
	assert_true(is_unreachable(&host, "192.168.1.0/24"));
	configure(&host, "192.168.1.0/24", "");
	assert_true(is_unreachable(&host, ""));
	qe_tun_free(one);
	close_host(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_carrier),
		cmocka_unit_test(test_probes),
	};

	return cmocka_run_group_tests(tests, isolate, nullptr);
}
