/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Which routes get into the host's table, in a network namespace of the test's own. Needs root;
 * without it the tests are skipped. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/routes.h"
#include "isolated.h"
#include "os/tun.h"

static const struct qe_prefix everything[] = {
	{.addr.family = QE_FAMILY_IPV4}, {.addr.family = QE_FAMILY_IPV6}};

static struct qe_prefix to_prefix(const char *text)
{
	struct qe_prefix prefix;

	assert_int_equal(qe_prefix_parse(&prefix, text), QE_OK);
	return prefix;
}

/* The host has an interface "other", with 10.1.2.3/24, 2001:db8:1::3/64 and 10.2.0.0/16 by way of
 * 10.1.2.1, and a tunnel. */
struct host {
	struct qe_netlink *netlink;
	struct qe_helper *helper;
	struct qe_tun *other, *tunnel;
	struct qe_host_routes *routes;
	struct qe_log log;
};

static struct qe_tun *open_tun(struct host *host, const char *name)
{
	struct qe_tun *tun;
	unsigned index;

	assert_int_equal(qe_tun_new(&tun, name), QE_OK);
	assert_int_equal(qe_netlink_interface(host->netlink, name, &index), QE_OK);
	assert_int_equal(qe_netlink_up(host->netlink, index, 1500, 64), QE_OK);
	return tun;
}

static void add_addr(struct host *host, const char *text, uint8_t length)
{
	struct qe_prefix prefix = to_prefix(text);
	unsigned index;

	assert_int_equal(qe_netlink_interface(host->netlink, "other", &index), QE_OK);
	assert_int_equal(qe_netlink_add_addr(host->netlink, index, &prefix.addr, length), QE_OK);
}

static void open_host(struct host *host, const struct qe_host_routes_settings *settings)
{
	bool confined;

	*host = (struct host){.log = {.level = QE_LOG_ERROR}};
	assert_int_equal(
		qe_helper_new(&host->helper, "tunnel", nullptr, nullptr, nullptr, &confined),
		QE_OK);
	assert_int_equal(qe_netlink_new(&host->netlink), QE_OK);
	host->other = open_tun(host, "other");
	host->tunnel = open_tun(host, "tunnel");
	add_addr(host, "10.1.2.3", 24);
	add_addr(host, "2001:db8:1::3", 64);
	assert_int_equal(
		qe_host_routes_new(&host->routes, settings, host->helper, &host->log), QE_OK);
	qe_host_routes_start(host->routes, host->netlink);
}

static void close_host(struct host *host)
{
	qe_host_routes_free(host->routes);
	qe_tun_free(host->tunnel);
	qe_tun_free(host->other);
	qe_netlink_free(host->netlink);
	qe_helper_free(host->helper);
}

static void want(struct host *host, const char *text, bool wanted)
{
	struct qe_prefix prefix = to_prefix(text);

	assert_int_equal(qe_host_routes_set(host->routes, &prefix, wanted), QE_OK);
}

/* ---- what is there ---- */

struct search {
	struct qe_prefix prefix;
	struct qe_host_route found;
	unsigned n;
};

static void look_at_host(void *ctx, const struct qe_host_entry *entry)
{
	struct search *search = ctx;

	search->n += entry->is_route && strcmp(entry->interface, "tunnel") == 0 &&
		     qe_prefix_compare(&entry->prefix, &search->prefix) == 0;
}

static bool has(struct host *host, const char *text)
{
	struct search search = {.prefix = to_prefix(text)};

	assert_int_equal(qe_netlink_visit(host->netlink, look_at_host, &search), QE_OK);
	return search.n > 0;
}

static void look_at_routes(void *ctx, const struct qe_host_route *route)
{
	struct search *search = ctx;

	if (qe_prefix_compare(&route->prefix, &search->prefix) != 0)
		return;
	search->found = *route;
	search->n++;
}

static struct qe_host_route find(struct host *host, const char *text)
{
	struct search search = {.prefix = to_prefix(text)};

	qe_host_routes_visit(host->routes, look_at_routes, &search);
	assert_int_equal(search.n, 1);
	return search.found;
}

static void check(struct host *host, const char *text, enum qe_host_route_state state)
{
	assert_int_equal(find(host, text).state, state);
	assert_int_equal(has(host, text), state == QE_HOST_ROUTE_INSTALLED);
}

/* ---- tests ---- */

static const struct qe_host_routes_settings accept_all = {
	.interface = "tunnel", .accept = everything, .n_accept = 2};

static void test_accepted(void **)
{
	struct qe_prefix list[] = {to_prefix("192.168.0.0/16"), to_prefix("2001:db8:8::/48")};
	struct qe_host_routes_settings settings = {
		.interface = "tunnel", .accept = list, .n_accept = 2};
	struct host host;

	if (!isolated)
		skip();
	open_host(&host, &settings);
	want(&host, "192.168.7.0/24", true);
	want(&host, "192.0.0.0/8", true);
	want(&host, "172.16.0.0/12", true);
	want(&host, "2001:db8:8:1::/64", true);
	want(&host, "0.0.0.0/0", true);
	want(&host, "203.0.113.0/24", true);
	want(&host, "203.0.113.0/24", false); /* the later one holds */
	qe_host_routes_run(host.routes);
	check(&host, "192.168.7.0/24", QE_HOST_ROUTE_INSTALLED);
	check(&host, "192.0.0.0/8", QE_HOST_ROUTE_NOT_ACCEPTED);
	check(&host, "172.16.0.0/12", QE_HOST_ROUTE_NOT_ACCEPTED);
	check(&host, "2001:db8:8:1::/64", QE_HOST_ROUTE_INSTALLED);
	check(&host, "0.0.0.0/0", QE_HOST_ROUTE_NOT_ACCEPTED);
	assert_false(has(&host, "203.0.113.0/24"));
	assert_int_equal(qe_host_routes_configure(host.routes, &accept_all), QE_OK);
	qe_host_routes_run(host.routes);
	check(&host, "192.0.0.0/8", QE_HOST_ROUTE_INSTALLED);
	check(&host, "0.0.0.0/0", QE_HOST_ROUTE_DEFAULT);
	settings.n_accept = 0;
	assert_int_equal(qe_host_routes_configure(host.routes, &settings), QE_OK);
	want(&host, "172.16.0.0/12", false);
	qe_host_routes_run(host.routes);
	check(&host, "192.168.7.0/24", QE_HOST_ROUTE_NOT_ACCEPTED);
	assert_false(has(&host, "172.16.0.0/12"));
	close_host(&host);
}

static void test_the_lan_wins(void **)
{
	static const char *const overlapping[] = {
		"10.1.2.0/24", "10.1.2.128/25", "10.1.2.9", "10.1.0.0/16", "2001:db8:1::/48"};
	struct host host;

	if (!isolated)
		skip();
	open_host(&host, &accept_all);
	for (size_t i = 0; i < sizeof(overlapping) / sizeof(overlapping[0]); i++)
		want(&host, overlapping[i], true);
	want(&host, "10.1.3.0/24", true);
	qe_host_routes_run(host.routes);
	for (size_t i = 0; i < sizeof(overlapping) / sizeof(overlapping[0]); i++) {
		struct qe_prefix lan = to_prefix(i < 4 ? "10.1.2.0/24" : "2001:db8:1::/64");
		struct qe_host_route route = find(&host, overlapping[i]);

		check(&host, overlapping[i], QE_HOST_ROUTE_OVERLAPS);
		assert_string_equal(route.interface, "other");
		assert_int_equal(qe_prefix_compare(&route.network, &lan), 0);
	}
	check(&host, "10.1.3.0/24", QE_HOST_ROUTE_INSTALLED);
	close_host(&host);
}

/* What the host gets later wins too, and what it gives up is given to the overlay. */
static void test_the_lan_changes(void **)
{
	struct host host;

	if (!isolated)
		skip();
	open_host(&host, &accept_all);
	want(&host, "192.168.7.0/24", true);
	want(&host, "10.1.2.0/24", true);
	qe_host_routes_run(host.routes);
	add_addr(&host, "192.168.7.3", 25);
	qe_host_routes_host_changed(host.routes);
	qe_host_routes_run(host.routes);
	check(&host, "192.168.7.0/24", QE_HOST_ROUTE_OVERLAPS);
	check(&host, "10.1.2.0/24", QE_HOST_ROUTE_OVERLAPS);
	host.other = qe_tun_free(host.other);
	qe_host_routes_host_changed(host.routes);
	qe_host_routes_run(host.routes);
	check(&host, "192.168.7.0/24", QE_HOST_ROUTE_INSTALLED);
	check(&host, "10.1.2.0/24", QE_HOST_ROUTE_INSTALLED);
	close_host(&host);
}

static void test_over_lan(void **)
{
	struct qe_host_routes_settings settings = accept_all;
	struct host host;

	if (!isolated)
		skip();
	settings.over_lan = true;
	open_host(&host, &settings);
	want(&host, "10.1.2.0/24", true);
	want(&host, "10.1.0.0/16", true);
	want(&host, "2001:db8:1::/64", true);
	qe_host_routes_run(host.routes);
	assert_int_equal(find(&host, "10.1.2.0/24").state, QE_HOST_ROUTE_INSTALLED);
	assert_true(has(&host, "10.1.2.0/25") && has(&host, "10.1.2.128/25"));
	assert_true(has(&host, "2001:db8:1::/65") && has(&host, "2001:db8:1:0:8000::/65"));
	check(&host, "10.1.0.0/16", QE_HOST_ROUTE_INSTALLED);
	want(&host, "10.1.2.0/24", false);
	assert_int_equal(qe_host_routes_configure(host.routes, &accept_all), QE_OK);
	qe_host_routes_run(host.routes);
	assert_false(has(&host, "10.1.2.0/25") || has(&host, "10.1.2.128/25"));
	assert_false(has(&host, "2001:db8:1::/65") || has(&host, "2001:db8:1:0:8000::/65"));
	check(&host, "10.1.0.0/16", QE_HOST_ROUTE_OVERLAPS);
	close_host(&host);
}

/* By rules, which have no place in the main table. */
static void test_defaults(void **)
{
	struct qe_host_routes_settings settings = accept_all;
	struct host host;

	if (!isolated)
		skip();
	settings.defaults = true;
	open_host(&host, &settings);
	want(&host, "0.0.0.0/0", true);
	want(&host, "::/0", true);
	qe_host_routes_run(host.routes);
	assert_int_equal(find(&host, "0.0.0.0/0").state, QE_HOST_ROUTE_INSTALLED);
	assert_int_equal(find(&host, "::/0").state, QE_HOST_ROUTE_INSTALLED);
	assert_false(has(&host, "0.0.0.0/0") || has(&host, "::/0"));
	assert_int_equal(system("ip rule | grep -q 'not from all fwmark 0x5145 lookup 20805'"), 0);
	want(&host, "0.0.0.0/0", false);
	qe_host_routes_run(host.routes);
	assert_int_not_equal(system("ip rule | grep -q 20805"), 0);
	assert_int_equal(system("ip -6 rule | grep -q 20805"), 0);
	assert_int_equal(qe_host_routes_configure(host.routes, &accept_all), QE_OK);
	qe_host_routes_run(host.routes);
	check(&host, "::/0", QE_HOST_ROUTE_DEFAULT);
	assert_int_not_equal(system("ip -6 rule | grep -q 20805"), 0);
	close_host(&host);
}

static void set_underlay(struct host *host, const char *const *texts, size_t n)
{
	struct qe_prefix hosts[8];

	for (size_t i = 0; i < n; i++)
		hosts[i] = to_prefix(texts[i]);
	assert_int_equal(qe_host_routes_set_underlay(host->routes, hosts, n), QE_OK);
	qe_host_routes_run(host->routes);
}

static bool leads_to(const struct host *host, const char *text)
{
	struct qe_prefix prefix = to_prefix(text);

	return qe_host_routes_lead_to(host->routes, &prefix.addr);
}

/* What leads to a peer outside of the tunnel stays outside. */
static void test_underlay(void **)
{
	static const char *const all[] = {"203.0.113.5/32", "198.51.100.7/32", "2001:db8:9::1/128"};
	static const char *const wide[] = {"198.51.100.0/24", "198.51.100.7/32", "2001:db8:9::/48"};
	static const char *const other[] = {
		"198.51.100.8/29", "198.51.101.0/24", "2001:db8:a::/48"};
	struct host host;

	if (!isolated)
		skip();
	open_host(&host, &accept_all);
	for (size_t i = 0; i < 3; i++) {
		want(&host, wide[i], true);
		want(&host, other[i], true);
	}
	qe_host_routes_run(host.routes);
	assert_false(leads_to(&host, all[0]));
	for (size_t i = 0; i < 3; i++) {
		check(&host, wide[i], QE_HOST_ROUTE_INSTALLED);
		assert_true(leads_to(&host, wide[i]));
	}
	set_underlay(&host, all, 3);
	for (size_t i = 0; i < 3; i++) {
		check(&host, wide[i], QE_HOST_ROUTE_UNDERLAY);
		check(&host, other[i], QE_HOST_ROUTE_INSTALLED);
		assert_false(leads_to(&host, wide[i]));
		assert_true(leads_to(&host, other[i]));
	}
	set_underlay(&host, all, 1);
	for (size_t i = 0; i < 3; i++)
		check(&host, wide[i], QE_HOST_ROUTE_INSTALLED);
	close_host(&host);
}

/* One that cannot be added is told, kept, and tried again when the host has changed. */
static void test_failure(void **)
{
	struct qe_prefix prefix = to_prefix("192.168.9.0/24");
	struct host host;

	if (!isolated)
		skip();
	open_host(&host, &accept_all);
	assert_int_equal(qe_helper_add_routes(host.helper, &prefix, 1, nullptr), QE_OK);
	want(&host, "192.168.9.0/24", true);
	qe_host_routes_run(host.routes);
	assert_int_equal(find(&host, "192.168.9.0/24").state, QE_HOST_ROUTE_FAILED);
	assert_int_equal(find(&host, "192.168.9.0/24").error, -EEXIST);
	qe_host_routes_host_changed(host.routes);
	qe_host_routes_run(host.routes);
	check(&host, "192.168.9.0/24", QE_HOST_ROUTE_INSTALLED);
	close_host(&host);
}

/* Against a plain list: any changes in any order leave what was wanted last. */
static void test_many_changes(void **)
{
	bool wanted[256] = {};
	struct host host;

	if (!isolated)
		skip();
	open_host(&host, &accept_all);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 200; i++) {
			uint8_t third = (uint8_t)random_below(256);
			struct qe_prefix prefix = {
				.addr = {QE_FAMILY_IPV4, {192, 168, third}}, .length = 24};

			wanted[third] = random_below(2) == 0;
			assert_int_equal(
				qe_host_routes_set(host.routes, &prefix, wanted[third]), QE_OK);
		}
		qe_host_routes_run(host.routes);
	}
	for (unsigned i = 0; i < 256; i++) {
		char text[QE_PREFIX_TEXT_SIZE];
		struct qe_prefix prefix = {
			.addr = {QE_FAMILY_IPV4, {192, 168, (uint8_t)i}}, .length = 24};

		qe_prefix_format(text, &prefix);
		assert_int_equal(has(&host, text), wanted[i]);
	}
	close_host(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_the_lan_wins),
		cmocka_unit_test(test_the_lan_changes),
		cmocka_unit_test(test_over_lan),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_underlay),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_many_changes),
	};

	return cmocka_run_group_tests(tests, isolate, nullptr);
}
