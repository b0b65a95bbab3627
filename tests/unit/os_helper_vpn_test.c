/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the helper makes of a host in VPN mode, what of it outlives the daemon, and that all of it
 * goes again, in a network namespace of the test's own. Needs root and nft; skipped without. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "isolated.h"
#include "os/helper.h"
#include "os/journal.h"
#include "os/namespace_lock.h"
#include "os/nft_run.h"
#include "os/tun.h"

#define MARK_SETTING "/proc/sys/net/ipv4/conf/all/src_valid_mark"

static char folder[] = "/tmp/qe-vpn-XXXXXX";
static char socket_path[64], journal_path[64];
static struct qe_netlink *netlink;
static struct qe_tun *tun, *other;

static bool is_usable(void)
{
	return isolated && qe_nft_find() && access(MARK_SETTING, W_OK) == 0;
}

static struct qe_tun *open_tun(const char *name)
{
	struct qe_tun *opened;
	unsigned index;

	assert_int_equal(qe_tun_new(&opened, name), QE_OK);
	assert_int_equal(qe_netlink_interface(netlink, name, &index), QE_OK);
	assert_int_equal(qe_netlink_up(netlink, index, 1400, 64), QE_OK);
	return opened;
}

static struct qe_prefix to_prefix(const char *text)
{
	struct qe_prefix prefix;

	assert_int_equal(qe_prefix_parse(&prefix, text), QE_OK);
	return prefix;
}

static void set_up_host(void)
{
	struct qe_prefix all[] = {to_prefix("0.0.0.0/0"), to_prefix("::/0")};
	unsigned index;

	assert_int_equal(qe_netlink_new(&netlink), QE_OK);
	other = open_tun("other");
	assert_int_equal(qe_netlink_interface(netlink, "other", &index), QE_OK);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(qe_netlink_add_route(netlink, index, &all[i]), QE_OK);
}

static int set_up(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/socket", folder);
	snprintf(journal_path, sizeof(journal_path), "%s/" QE_JOURNAL_NAME, folder);
	if (isolate(state) != 0)
		return -1;
	if (is_usable())
		set_up_host();
	return 0;
}

static int tear_down(void **)
{
	qe_tun_free(other);
	qe_netlink_free(netlink);
	return rmdir(folder);
}

static char *run(const char *command)
{
	static char outputs[2][65536];
	static unsigned turn;
	char *to = outputs[++turn % 2];
	FILE *pipe = popen(command, "r");
	size_t n;

	assert_non_null(pipe);
	n = fread(to, 1, sizeof(outputs[0]) - 1, pipe);
	to[n] = '\0';
	assert_int_equal(pclose(pipe), 0);
	return to;
}

/* All that VPN mode may touch, and does not go with the interface. */
static char *host_state(void)
{
	return run("{ ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; "
		   "nft list ruleset; cat " MARK_SETTING "; "
		   "sysctl -a 2>/dev/null | grep -e forwarding -e ip_forward; } | "
		   "grep -v tunnel");
}

static bool says(const char *command, const char *what)
{
	return strstr(run(command), what);
}

static bool leads(const char *words, const char *interface)
{
	char command[128];

	snprintf(command, sizeof(command), "ip route get %s 2>&1 || true", words);
	return says(command, interface);
}

static struct qe_helper *start(void)
{
	struct qe_helper *helper;
	bool confined;

	assert_int_equal(
		qe_helper_new(&helper, "tunnel", socket_path, nullptr, nullptr, &confined), QE_OK);
	return helper;
}

static struct qe_vpn_plan plan_all(void)
{
	struct qe_vpn_plan plan = {.system = true, .kill_switch = true};

	plan.n_exclude = 1;
	plan.exclude[0] = to_prefix("198.51.100.0/24");
	plan.n_lan = 1;
	plan.lan[0].prefix = to_prefix("192.168.7.0/24");
	strcpy(plan.lan[0].interface, "other");
	return plan;
}

static char why_text[700], via_text[QE_NODE_ID_TEXT_SIZE];

static enum qe_error set(struct qe_helper *helper, const struct qe_vpn_plan *plan)
{
	struct qe_text why = qe_text_init(why_text, sizeof(why_text));

	return qe_helper_vpn(helper, plan, &why);
}

static enum qe_error recover(struct qe_helper *helper, bool keep)
{
	struct qe_text why = qe_text_init(why_text, sizeof(why_text));

	return qe_helper_recover(helper, keep, via_text, &why);
}

/* ---- on, changed, off ---- */

static void check_all_on(void)
{
	assert_true(leads("203.0.113.1", "dev tunnel"));
	assert_true(leads("2001:db8::1", "dev tunnel"));
	assert_true(leads("203.0.113.1 mark 20805", "dev other"));
	assert_true(leads("2001:db8::1 mark 20805", "dev other"));
	assert_true(leads("198.51.100.1", "dev other"));
	assert_true(leads("192.168.7.1", "dev other"));
	assert_true(says("nft list tables", "inet quicether_vpn"));
	assert_true(says("cat " MARK_SETTING, "1"));
	assert_true(says("cat ${JOURNAL}", "rule ipv4/unmarked"));
}

static void test_on_and_off(void **)
{
	char before[65536];
	struct qe_vpn_plan plan = plan_all();
	struct qe_helper *helper;

	if (!is_usable())
		skip();
	setenv("JOURNAL", journal_path, 1);
	snprintf(before, sizeof(before), "%s", host_state());
	helper = start();
	/* Nothing leaves before there is a tunnel, either. */
	assert_int_equal(set(helper, &plan), QE_OK);
	assert_false(leads("8.8.8.8", "dev"));
	assert_false(leads("2001:db8::1", "dev"));
	assert_true(leads("8.8.8.8 mark 20805", "dev other"));
	assert_true(says("nft list chain inet quicether_vpn leaving", "policy drop"));
	assert_int_equal(set(helper, nullptr), QE_OK);
	assert_string_equal(host_state(), before);
	assert_int_equal(set(helper, &plan), QE_OK);
	tun = open_tun("tunnel");
	assert_int_equal(set(helper, &plan), QE_OK);
	check_all_on();
	/* Less, then other, then all again. */
	plan.n_include = 1;
	plan.include[0] = to_prefix("203.0.113.0/24");
	plan.n_exclude = 0;
	plan.only = true;
	assert_int_equal(set(helper, &plan), QE_OK);
	assert_true(leads("203.0.113.1", "dev tunnel"));
	assert_true(leads("8.8.8.8", "dev other"));
	assert_true(leads("8.8.8.8 mark 20806", "dev tunnel"));
	assert_true(leads("2001:db8::1", "dev other"));
	plan = plan_all();
	assert_int_equal(set(helper, &plan), QE_OK);
	check_all_on();
	assert_true(leads("8.8.8.8 mark 20806", "dev tunnel"));
	assert_false(says("ip rule", "20806"));
	assert_int_equal(set(helper, nullptr), QE_OK);
	assert_string_equal(host_state(), before);
	assert_int_equal(set(helper, nullptr), QE_OK);
	qe_helper_free(helper);
	tun = qe_tun_free(tun);
	assert_string_equal(host_state(), before);
	assert_int_not_equal(access(journal_path, F_OK), 0);
}

/* A default route that was taken before becomes a part of VPN mode. */
static void test_after_defaults(void **)
{
	char before[65536];
	struct qe_vpn_plan plan = plan_all();
	struct qe_helper *helper;

	if (!is_usable())
		skip();
	snprintf(before, sizeof(before), "%s", host_state());
	tun = open_tun("tunnel");
	helper = start();
	assert_int_equal(qe_helper_take_defaults(helper, true, true), QE_OK);
	assert_int_equal(set(helper, &plan), QE_OK);
	check_all_on();
	assert_false(says("ip rule", "suppress"));
	assert_int_equal(qe_helper_take_defaults(helper, true, false), QE_ERR_CONFLICT);
	assert_int_equal(set(helper, nullptr), QE_OK);
	assert_string_equal(host_state(), before);
	qe_helper_free(helper);
	tun = qe_tun_free(tun);
	assert_string_equal(host_state(), before);
}

/* ---- the daemon's death ---- */

/* In a process of its own, which is killed; its helper gives back what it does. */
static void kill_daemon_with(const struct qe_vpn_plan *plan)
{
	struct qe_journal *journal;
	int directory, status;
	enum qe_error error;
	pid_t daemon = fork();

	assert_true(daemon >= 0);
	if (daemon == 0) {
		struct qe_helper *helper = start();

		tun = open_tun("tunnel");
		if (qe_helper_forward(helper, true, false) != QE_OK || set(helper, plan) != QE_OK)
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(daemon, &status, 0), daemon);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(qe_journal_open_folder(&directory, socket_path), QE_OK);
	do
		error = qe_journal_open(&journal, directory);
	while (error == -EBUSY && usleep(1000) == 0);
	assert_int_equal(error, QE_OK);
	qe_journal_close(journal);
	qe_journal_close_folder(directory);
}

static void test_killed(void **)
{
	char before[65536];
	struct qe_vpn_plan plan = plan_all();
	struct qe_helper *helper;

	if (!is_usable())
		skip();
	snprintf(before, sizeof(before), "%s", host_state());
	kill_daemon_with(&plan);
	assert_true(leads("203.0.113.1", "No route to host"));
	assert_true(leads("2001:db8::1", "No route to host"));
	assert_true(says("nft list tables", "inet quicether_vpn"));
	assert_true(says("cat /proc/sys/net/ipv4/ip_forward", "0"));
	/* The next one goes on, fails to start, goes on, and gives all back in the end. */
	helper = start();
	assert_int_equal(recover(helper, true), QE_OK);
	qe_helper_goodbye(helper, QE_GOODBYE_AS_FOUND);
	qe_helper_free(helper);
	assert_true(leads("203.0.113.1", "No route to host"));
	assert_true(says("nft list tables", "inet quicether_vpn"));
	helper = start();
	assert_int_equal(recover(helper, true), QE_OK);
	assert_string_equal(why_text, "");
	tun = open_tun("tunnel");
	assert_int_equal(set(helper, &plan), QE_OK);
	check_all_on();
	qe_helper_goodbye(helper, QE_GOODBYE_HOLD);
	qe_helper_free(helper);
	tun = qe_tun_free(tun);
	assert_true(leads("203.0.113.1", "No route to host"));
	helper = start();
	assert_int_equal(recover(helper, false), QE_OK);
	assert_non_null(strstr(why_text, "src_valid_mark is 0 again"));
	assert_string_equal(host_state(), before);
	qe_helper_free(helper);
}

/* Whose gateway is known is not given back by the next one that has nothing else in mind. */
static void test_killed_and_remembered(void **)
{
	static const char first[] = "e3coklbr6ruygqis6jvnkrt5epggkhli",
			  second[] = "owkmdth5osm64hy7pkfhhhe7g3ro6pme";
	char before[65536];
	struct qe_vpn_plan plan = plan_all();
	struct qe_helper *helper;

	if (!is_usable())
		skip();
	snprintf(before, sizeof(before), "%s", host_state());
	strcpy(plan.via, first);
	kill_daemon_with(&plan);
	helper = start();
	assert_int_equal(recover(helper, false), QE_OK);
	assert_string_equal(via_text, first);
	assert_string_equal(why_text, "");
	assert_true(leads("203.0.113.1", "No route to host"));
	assert_true(says("nft list tables", "inet quicether_vpn"));
	strcpy(plan.via, second);
	assert_int_equal(set(helper, &plan), QE_OK);
	qe_helper_goodbye(helper, QE_GOODBYE_HOLD);
	qe_helper_free(helper);
	helper = start();
	assert_int_equal(recover(helper, false), QE_OK);
	assert_string_equal(via_text, second);
	memset(plan.via, 'a', sizeof(plan.via)); /* no word, and no end */
	assert_int_equal(set(helper, &plan), QE_ERR_RANGE);
	assert_int_equal(set(helper, nullptr), QE_OK);
	assert_string_equal(host_state(), before);
	qe_helper_free(helper);
	helper = start();
	assert_int_equal(recover(helper, false), QE_OK);
	assert_string_equal(via_text, "");
	qe_helper_free(helper);
}

static void test_killed_without_kill_switch(void **)
{
	char before[65536];
	struct qe_vpn_plan plan = plan_all();

	if (!is_usable())
		skip();
	snprintf(before, sizeof(before), "%s", host_state());
	plan.kill_switch = false;
	kill_daemon_with(&plan);
	assert_string_equal(host_state(), before);
	assert_int_not_equal(access(journal_path, F_OK), 0);
}

/* ---- others ---- */

static void check_conflict(struct qe_helper *helper, const char *command, const char *undo)
{
	char before[65536];
	struct qe_vpn_plan plan = plan_all();

	assert_int_equal(system(command), 0);
	snprintf(before, sizeof(before), "%s", host_state());
	assert_int_equal(set(helper, &plan), QE_ERR_CONFLICT);
	assert_true(strlen(why_text) > 20);
	assert_string_equal(host_state(), before);
	assert_int_equal(system(undo), 0);
}

static void test_conflicts(void **)
{
	struct qe_helper *helper, *second;
	struct qe_vpn_plan plan = plan_all();
	char before[65536];
	bool confined;

	if (!is_usable())
		skip();
	tun = open_tun("tunnel");
	snprintf(before, sizeof(before), "%s", host_state());
	helper = start();
	check_conflict(
		helper, "ip rule add pref 100 fwmark 20805 lookup 100", "ip rule del pref 100");
	check_conflict(helper, "ip -6 rule add pref 100 lookup 20806", "ip -6 rule del pref 100");
	check_conflict(helper, "ip route add 192.0.2.0/24 dev other table 20805",
		"ip route flush table 20805");
	check_conflict(helper, "ip -6 route add unreachable 2001:db8::/32 table 20806",
		"ip -6 route flush table 20806");
	assert_int_equal(set(helper, &plan), QE_OK);
	assert_int_equal(
		qe_helper_new(&second, "other", nullptr, nullptr, nullptr, &confined), QE_OK);
	plan.n_lan = 0;
	assert_int_equal(set(second, &plan), QE_ERR_CONFLICT);
	qe_helper_free(second);
	plan = plan_all();
	check_all_on();
	/* What comes meanwhile stays. */
	assert_int_equal(system("ip route add 192.0.2.0/24 dev other table 20805; "
				"echo 2 >" MARK_SETTING),
		0);
	assert_int_equal(set(helper, nullptr), QE_OK);
	assert_true(says("ip route show table 20805", "192.0.2.0/24"));
	assert_true(says("cat " MARK_SETTING, "2"));
	assert_int_equal(system("ip route flush table 20805; echo 0 >" MARK_SETTING), 0);
	qe_helper_free(helper);
	tun = qe_tun_free(tun);
	assert_string_equal(host_state(), before);
}

/* ---- what no daemon asks for ---- */

static void test_refused(void **)
{
	struct qe_vpn_plan good = plan_all(), bad[12];
	const uint8_t odd = 2;
	struct qe_helper *helper;

	if (!is_usable())
		skip();
	tun = open_tun("tunnel");
	helper = start();
	for (size_t i = 0; i < 12; i++)
		bad[i] = good;
	memcpy(&bad[0].system, &odd, 1);
	bad[1].n_exclude = QE_VPN_PREFIXES_MAX + 1;
	bad[2].exclude[0].length = 0;
	bad[3].exclude[0].addr.bytes[3] = 1;
	bad[4].lan[0].prefix = to_prefix("203.0.113.0/24");
	strcpy(bad[5].lan[0].interface, "a\"b");
	memset(bad[6].lan[0].interface, 'a', sizeof(bad[6].lan[0].interface));
	strcpy(bad[7].lan[0].interface, "tunnel");
	bad[8].n_servers = 1;
	bad[9].n_addresses = 1;
	bad[9].addresses[0] = to_prefix("127.0.0.1").addr;
	bad[10].portal_seconds = QE_VPN_PORTAL_SECONDS_MAX + 1;
	bad[11].lan[0].prefix = to_prefix("0.0.0.0/0");
	for (size_t i = 0; i < 12; i++)
		assert_int_equal(set(helper, &bad[i]), QE_ERR_RANGE);
	assert_false(says("nft list tables; :", "quicether"));
	assert_int_equal(set(helper, &good), QE_OK);
	qe_helper_free(helper);
	tun = qe_tun_free(tun);
	assert_false(says("nft list tables; :", "quicether"));
}

/* It is what a daemon waits for: nobody else is to keep it. */
static void test_lock_of_root_alone(void **)
{
	int lock, status = 0;
	pid_t child;

	if (!isolated)
		skip();
	child = fork();
	if (child == 0)
		_exit(setuid(65534) < 0 ? 2 : qe_namespace_lock() >= 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_not_equal(WEXITSTATUS(status), 1);
	lock = qe_namespace_lock();
	assert_true(lock >= 0);
	assert_int_equal(qe_namespace_lock(), -1);
	qe_namespace_unlock(lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_on_and_off),
		cmocka_unit_test(test_after_defaults),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_killed_and_remembered),
		cmocka_unit_test(test_killed_without_kill_switch),
		cmocka_unit_test(test_conflicts),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lock_of_root_alone),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
