/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* That nft and the kernel take the table of VPN mode for whatever plan, in a network namespace of
 * the test's own. What it does to packets is tests/net/kill_switch_test.py's. Needs root and nft;
 * without them the tests are skipped. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "isolated.h"
#include "os/kill_switch.h"
#include "os/nft_run.h"

constexpr unsigned plans = 60;

static struct qe_vpn_plan plan; /* large */

static void need_nft(void)
{
	if (!isolated || !qe_nft_find())
		skip();
}

static enum qe_error set(const char *tun)
{
	char text[300] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));
	enum qe_error error = qe_kill_switch_set(tun, &plan, &why);

	if (error != QE_OK)
		print_message("%s\n", text);
	return error;
}

static bool exists(void)
{
	char text[300];
	struct qe_text why = qe_text_init(text, sizeof(text));
	bool result;

	assert_int_equal(qe_kill_switch_exists(&result, &why), QE_OK);
	return result;
}

static void remove_table(void)
{
	char text[300];
	struct qe_text why = qe_text_init(text, sizeof(text));

	assert_int_equal(qe_kill_switch_remove(&why), QE_OK);
}

static size_t list(char *to, size_t size)
{
	FILE *pipe = popen("nft list ruleset", "r");
	size_t n;

	assert_non_null(pipe);
	n = fread(to, 1, size - 1, pipe);
	to[n] = '\0';
	assert_int_equal(pclose(pipe), 0);
	return n;
}

static struct qe_addr random_addr(void)
{
	struct qe_addr addr = {.family = random_below(2) ? QE_FAMILY_IPV4 : QE_FAMILY_IPV6};

	random_fill(addr.bytes, qe_addr_bits(&addr) / 8);
	/* Some of them in one another. */
	if (random_below(2))
		memset(addr.bytes, 10, 3);
	return addr;
}

static struct qe_prefix random_prefix(void)
{
	struct qe_prefix prefix = {.addr = random_addr()};

	prefix.length = (uint8_t)random_below(qe_addr_bits(&prefix.addr) + 1);
	qe_prefix_mask(&prefix);
	return prefix;
}

/* None, some, or as many as there may be. */
static uint16_t random_count(size_t most)
{
	static const size_t kinds[] = {0, 1, 4};
	size_t kind = random_below(4);

	return (uint16_t)(kind < 3 ? kinds[kind] : most);
}

static void draw_plan(void)
{
	static const char *const interfaces[] = {"eth0", "wlan0", "br-1a2b3c4d5e6f", "eth0.100"};

	memset(&plan, 0, sizeof(plan));
	plan.system = random_below(4) > 0;
	plan.only = random_below(2);
	plan.kill_switch = random_below(4) > 0;
	plan.dns = random_below(2);
	plan.multicast = random_below(2);
	plan.portal_seconds = random_below(3) ? 0 : 1 + (uint32_t)random_below(900);
	plan.n_exclude = random_count(QE_VPN_PREFIXES_MAX);
	plan.n_include = random_count(QE_VPN_PREFIXES_MAX);
	plan.n_lan = random_count(QE_VPN_LANS_MAX);
	plan.n_servers = random_count(QE_VPN_SERVERS_MAX);
	plan.n_addresses = random_count(QE_VPN_ADDRESSES_MAX);
	for (size_t i = 0; i < plan.n_exclude; i++)
		plan.exclude[i] = random_prefix();
	for (size_t i = 0; i < plan.n_include; i++)
		plan.include[i] = random_prefix();
	for (size_t i = 0; i < plan.n_lan; i++) {
		plan.lan[i].prefix = random_prefix();
		strcpy(plan.lan[i].interface, interfaces[random_below(4)]);
	}
	for (size_t i = 0; i < plan.n_servers; i++)
		plan.servers[i] = random_addr();
	for (size_t i = 0; i < plan.n_addresses; i++)
		plan.addresses[i] = random_addr();
}

static void test_any_plan(void **)
{
	static char before[4096], after[4096];

	need_nft();
	assert_int_equal(system("nft 'table inet others { chain postrouting { type nat hook "
				"postrouting priority srcnat; }; }'"),
		0);
	list(before, sizeof(before));
	assert_false(exists());
	for (unsigned i = 0; i < plans; i++) {
		draw_plan();
		assert_int_equal(set("quicether0"), QE_OK);
		assert_true(exists());
	}
	remove_table();
	assert_false(exists());
	remove_table();
	list(after, sizeof(after));
	assert_string_equal(before, after);
}

/* What a user reads who lists the table. */
static void test_listing(void **)
{
	static char listed[16384];
	static const char *const lines[] = {"comment \"quicether: VPN mode by way of quicether0\"",
		"type filter hook output priority 200; policy drop;",
		"meta mark 0x00005145 accept comment \"the tunnel itself, and quicether bypass\"",
		"oifname \"quicether0\" goto inside", "oifname \"lo\" accept",
		"meta mark 0x00005146 goto refused",
		"oifname \"eth0\" ip daddr 192.168.1.0/24 accept",
		"oifname \"eth0\" ip6 daddr ff02::/16 accept"};

	need_nft();
	plan = (struct qe_vpn_plan){.system = true,
		.kill_switch = true,
		.only = true,
		.multicast = true,
		.n_lan = 1,
		.lan[0] = {.prefix = {{QE_FAMILY_IPV4, {192, 168, 1}}, 24}, .interface = "eth0"}};
	assert_int_equal(set("quicether0"), QE_OK);
	list(listed, sizeof(listed));
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (!strstr(listed, lines[i]))
			fail_msg("%s: not in\n%s", lines[i], listed);
	}
	remove_table();
}

/* What stood before goes on standing. */
static void test_bad_names(void **)
{
	need_nft();
	plan = (struct qe_vpn_plan){.system = true, .kill_switch = true, .n_lan = 1};
	assert_int_equal(set("tun\" accept"), QE_ERR_RANGE);
	assert_int_equal(set("tun*"), QE_ERR_RANGE);
	assert_int_equal(set("tun"), QE_ERR_RANGE); /* the LAN's interface has no name */
	assert_false(exists());
	plan.n_lan = 0;
	assert_int_equal(set("tun"), QE_OK);
	plan.n_lan = 1;
	assert_int_equal(set("tun"), QE_ERR_RANGE);
	assert_true(exists());
	remove_table();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_plan),
		cmocka_unit_test(test_listing),
		cmocka_unit_test(test_bad_names),
	};

	return cmocka_run_group_tests(tests, isolate, nullptr);
}
