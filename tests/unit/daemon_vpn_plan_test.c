/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Which networks of a host count as its LAN, and what else a plan is made of. In a network
 * namespace of the test's own: needs root; without it the tests are skipped. */
#define _GNU_SOURCE
#include <string.h>

#include "daemon/vpn_plan.h"
#include "isolated.h"
#include "net/addr.h"
#include "os/tun.h"
#include "parse.h"

#define GATE \
	"[[peers]]\nname = \"gate\"\nid = \"oz2mrw5ugm4ttcsqcdlwk3ocehjqzjcp\"\n" \
	"addresses = [\"100.64.0.2\"]\nexit = true\n"
#define OWN "[network]\ntun_addr = [\"10.77.0.1/24\"]\n"

static struct qe_vpn_plan plan_of(const char *text, struct qe_netlink *netlink)
{
	const struct qe_addr overlay = {QE_FAMILY_IPV6, {0xfd, 0x51, 0xe7, [15] = 1}};
	struct qe_config *config = parse(text);
	const struct qe_vpn_facts facts = {&overlay, &config->peers[0]};
	struct qe_vpn_plan plan;

	assert_int_equal(qe_vpn_make_plan(&plan, config, &facts, netlink), QE_OK);
	qe_config_free(config);
	return plan;
}

static bool has_lan(const struct qe_vpn_plan *plan, const char *text)
{
	struct qe_prefix prefix;

	assert_int_equal(qe_prefix_parse(&prefix, text), QE_OK);
	for (size_t i = 0; i < plan->n_lan; i++) {
		if (qe_prefix_compare(&plan->lan[i].prefix, &prefix) == 0 &&
			strcmp(plan->lan[i].interface, "lan0") == 0)
			return true;
	}
	return false;
}

static void add_addr(struct qe_netlink *netlink, unsigned index, const char *text)
{
	struct qe_prefix prefix;
	struct qe_addr addr;

	assert_int_equal(qe_interface_addr_parse(&addr, &prefix, text), QE_OK);
	assert_int_equal(qe_netlink_add_addr(netlink, index, &addr, prefix.length), QE_OK);
}

static void private_networks_are_lan(void **)
{
	static const char *const addrs[] = {"192.168.7.5/24", "10.1.2.3/16", "172.16.9.1/30",
		"169.254.3.4/16", "fd12:3456::5/64", "203.0.113.9/24", "100.64.9.9/10",
		"192.168.200.1/32", "10.77.0.9/28", "fd51:e7ab::1/64", "2001:db8::5/64",
		"172.16.0.1/11"};
	const char *text = OWN "[vpn]\nvia = \"gate\"\nlan = \"allow\"\n" GATE;
	struct qe_netlink *netlink;
	struct qe_tun *interface;
	struct qe_vpn_plan plan;
	struct qe_prefix route;
	unsigned index;

	if (!isolated)
		skip();
	assert_int_equal(qe_netlink_new(&netlink), QE_OK);
	assert_int_equal(qe_tun_new(&interface, "lan0"), QE_OK);
	assert_int_equal(qe_netlink_interface(netlink, "lan0", &index), QE_OK);
	assert_int_equal(qe_netlink_up(netlink, index, 1500, 64), QE_OK);
	for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++)
		add_addr(netlink, index, addrs[i]);
	/* As somebody on the cable can make it: no address lies in it. */
	assert_int_equal(qe_prefix_parse(&route, "10.200.0.0/16"), QE_OK);
	assert_int_equal(qe_netlink_add_route(netlink, index, &route), QE_OK);

	plan = plan_of(text, netlink);
	assert_true(has_lan(&plan, "192.168.7.0/24"));
	assert_true(has_lan(&plan, "10.1.0.0/16"));
	assert_true(has_lan(&plan, "172.16.9.0/30"));
	assert_true(has_lan(&plan, "169.254.0.0/16"));
	assert_true(has_lan(&plan, "fd12:3456::/64"));
	assert_int_equal(plan.n_lan, 5);
	assert_true(plan.multicast);

	plan = plan_of(OWN "[vpn]\nvia = \"gate\"\n" GATE, netlink);
	assert_int_equal(plan.n_lan, 0);
	assert_false(plan.multicast);
	qe_tun_free(interface);
	qe_netlink_free(netlink);
}

static void names_are_asked_of_the_gateway(void **)
{
	struct qe_netlink *netlink;
	struct qe_vpn_plan plan;

	assert_int_equal(qe_netlink_new(&netlink), QE_OK);
	plan = plan_of(OWN "[vpn]\nvia = \"gate\"\n" GATE, netlink);
	assert_true(plan.dns);
	assert_int_equal(plan.n_servers, 2); /* its overlay address, and 100.64.0.2 */
	assert_int_equal(plan.n_addresses, 2);
	plan = plan_of(OWN "[vpn]\nvia = \"gate\"\ndns = [\"10.0.0.53\"]\n"
			   "[dns]\ndomains = {\"a.example\" = \"10.0.0.53\", "
			   "\"b.example\" = \"10.0.0.54\"}\n" GATE,
		netlink);
	assert_int_equal(plan.n_servers, 2);
	plan = plan_of(OWN "[vpn]\nvia = \"gate\"\ndns = \"off\"\n" GATE, netlink);
	assert_false(plan.dns);
	assert_int_equal(plan.n_servers, 0);
	qe_netlink_free(netlink);
}

static void a_plan_is_the_same_as_itself(void **)
{
	const char *text = OWN "[vpn]\nvia = \"gate\"\nexclude = [\"203.0.113.0/24\"]\n" GATE;
	struct qe_netlink *netlink;
	struct qe_vpn_plan a, b;

	assert_int_equal(qe_netlink_new(&netlink), QE_OK);
	a = plan_of(text, netlink);
	b = plan_of(text, netlink);
	assert_true(qe_vpn_same_plan(&a, &b));
	b.exclude[0].length = 25;
	assert_false(qe_vpn_same_plan(&a, &b));
	b = a;
	b.kill_switch = !b.kill_switch;
	assert_false(qe_vpn_same_plan(&a, &b));
	qe_netlink_free(netlink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(private_networks_are_lan),
		cmocka_unit_test(names_are_asked_of_the_gateway),
		cmocka_unit_test(a_plan_is_the_same_as_itself),
	};

	return cmocka_run_group_tests(tests, isolate, nullptr);
}
