/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Clashes with what the host has, and the set-up, in a network namespace of the test's own. Needs
 * root; without it the tests are skipped. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/gateway.h"
#include "daemon/host.h"
#include "isolated.h"
#include "net/addr.h"
#include "os/tun.h"
#include "parse.h"

/* The host has an interface "other" with an address and a route. */
struct host {
	struct qe_netlink *netlink;
	struct qe_tun *other;
};

static struct host open_host(void)
{
	struct host host = {};
	struct qe_addr addr;
	struct qe_prefix route;
	unsigned index;

	assert_int_equal(qe_netlink_new(&host.netlink), QE_OK);
	assert_int_equal(qe_tun_new(&host.other, "other"), QE_OK);
	assert_int_equal(qe_netlink_interface(host.netlink, "other", &index), QE_OK);
	assert_int_equal(qe_netlink_up(host.netlink, index, 1500, 64), QE_OK);
	assert_int_equal(qe_addr_parse(&addr, "10.1.2.3"), QE_OK);
	assert_int_equal(qe_netlink_add_addr(host.netlink, index, &addr, 24), QE_OK);
	assert_int_equal(qe_prefix_parse(&route, "172.20.0.0/16"), QE_OK);
	assert_int_equal(qe_netlink_add_route(host.netlink, index, &route), QE_OK);
	assert_int_equal(qe_prefix_parse(&route, "0.0.0.0/0"), QE_OK);
	assert_int_equal(qe_netlink_add_route(host.netlink, index, &route), QE_OK);
	return host;
}

static void close_host(struct host *host)
{
	qe_tun_free(host->other);
	qe_netlink_free(host->netlink);
}

#define PEER "[[peers]]\nname = \"nas\"\nid = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n"

static void test_clashes(void **)
{
	static const struct {
		const char *config;
		enum qe_error error;
		const char *ours, *theirs; /* both named */
	} cases[] = {
		{"", QE_OK, "", ""},
		{"[network]\ntun_addr = [\"100.64.0.1\"]\n" PEER "subnets = [\"192.168.1.0/24\"]\n",
			QE_OK, "", ""},
		{"[network]\ntun_name = \"other\"\n", -EBUSY, "", ""},
		{"[network]\ntun_addr = [\"10.1.2.3\"]\n", QE_ERR_CONFLICT, "10.1.2.3/32",
			"10.1.2.3/24 on other"},
		{"[network]\ntun_addr = [\"10.1.0.1/16\"]\n", QE_ERR_CONFLICT, "10.1.0.0/16",
			"10.1.2.3/24 on other"},
		{"[network]\ntun_addr = [\"172.20.5.1\"]\n", QE_ERR_CONFLICT, "172.20.5.1/32",
			"route to 172.20.0.0/16 on other"},
		{PEER "subnets = [\"172.20.5.0/24\"]\n", QE_OK, "", ""},
	};
	struct host host;

	if (!isolated)
		skip();
	host = open_host();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qe_config *config = parse(cases[i].config);
		char text[400] = "";
		struct qe_text why = qe_text_init(text, sizeof(text));

		assert_int_equal(qe_host_check(host.netlink, config, &why), cases[i].error);
		assert_non_null(strstr(text, cases[i].ours));
		assert_non_null(strstr(text, cases[i].theirs));
		qe_config_free(config);
	}
	close_host(&host);
}

/* Our own interface's doings leave the fingerprint as it is; another's change it, and back. */
static void test_set_up_and_fingerprint(void **)
{
	struct qe_config *config = parse("[network]\ntun_addr = [\"100.64.0.1/24\"]\n" PEER
					 "addresses = [\"100.64.0.2\"]\nsubnets = "
					 "[\"192.168.1.0/24\", \"100.64.7.0/24\"]\n");
	uint64_t before, during, other, after;
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));
	struct qe_netlink *netlink;
	struct qe_helper *helper;
	struct qe_tun *tun;
	struct qe_addr overlay;
	struct host host;
	bool has_overlay = false, confined;

	if (!isolated)
		skip();
	assert_int_equal(qe_addr_parse(&overlay, "fd51:e712::1"), QE_OK);
	assert_int_equal(qe_helper_new(&helper, config->network.tun_name, nullptr, nullptr, nullptr,
				 &confined),
		QE_OK);
	assert_int_equal(qe_netlink_new(&netlink), QE_OK);
	assert_int_equal(qe_host_fingerprint(netlink, config, &before), QE_OK);
	assert_int_equal(qe_tun_new(&tun, config->network.tun_name), QE_OK);
	assert_int_equal(
		qe_host_set_up(netlink, helper, config, &overlay, &has_overlay, &why), QE_OK);
	assert_true(has_overlay);
	assert_int_equal(qe_host_fingerprint(netlink, config, &during), QE_OK);
	assert_int_equal(during, before);
	host = open_host();
	assert_int_equal(qe_host_fingerprint(netlink, config, &other), QE_OK);
	assert_int_not_equal(other, before);
	close_host(&host);
	assert_int_equal(qe_host_fingerprint(netlink, config, &after), QE_OK);
	assert_int_equal(after, before);
	assert_int_not_equal(
		qe_host_set_up(netlink, helper, config, &overlay, &has_overlay, &why), QE_OK);
	assert_non_null(strstr(text, "fd51:e712::1/128"));
	qe_helper_free(helper);
	qe_tun_free(tun);
	qe_netlink_free(netlink);
	qe_config_free(config);
}

static char get(const char *sysctl)
{
	FILE *file = fopen(sysctl, "r");
	int value;

	assert_non_null(file);
	value = fgetc(file);
	assert_int_equal(fclose(file), 0);
	return (char)value;
}

/* Only the families that it forwards for. */
static void test_forwarding(void **)
{
	static const char ipv4[] = "/proc/sys/net/ipv4/ip_forward";
	static const char ipv6[] = "/proc/sys/net/ipv6/conf/all/forwarding";
	static const struct {
		const char *network;
		char ipv4, ipv6;
	} rows[] = {
		{"", '0', '0'},
		{"advertise_subnets = [\"192.168.1.0/24\"]\n", '1', '0'},
		{"advertise_subnets = [\"2001:db8::/48\"]\n", '0', '1'},
		{"forward_subnets = [\"10.0.0.0/8\", \"2001:db8::/48\"]\n", '1', '1'},
		{"exit = true\n", '1', '1'},
	};

	if (!isolated || access(ipv4, W_OK) != 0 || access(ipv6, W_OK) != 0)
		skip();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char toml[128], text[256] = "";
		struct qe_text why = qe_text_init(text, sizeof(text));
		struct qe_config *config;
		struct qe_helper *helper;
		struct qe_netlink *netlink;
		struct qe_gateway *gateway;
		bool confined;

		snprintf(toml, sizeof(toml), "[node]\nrole = \"gateway\"\n[network]\n%s",
			rows[i].network);
		config = parse(toml);
		assert_int_equal(
			qe_helper_new(&helper, "tunnel", nullptr, nullptr, nullptr, &confined),
			QE_OK);
		assert_int_equal(qe_netlink_new(&netlink), QE_OK);
		assert_int_equal(qe_gateway_new(&gateway, helper, netlink), QE_OK);
		assert_int_equal(qe_gateway_forward(gateway, config, &why), QE_OK);
		assert_int_equal(get(ipv4), rows[i].ipv4);
		assert_int_equal(get(ipv6), rows[i].ipv6);
		qe_gateway_free(gateway);
		qe_netlink_free(netlink);
		qe_helper_free(helper);
		assert_int_equal(get(ipv4), '0');
		assert_int_equal(get(ipv6), '0');
		qe_config_free(config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clashes),
		cmocka_unit_test(test_set_up_and_fingerprint),
		cmocka_unit_test(test_forwarding),
	};

	return cmocka_run_group_tests(tests, isolate, nullptr);
}
