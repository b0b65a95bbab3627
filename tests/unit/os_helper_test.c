/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the helper does and refuses, and that it gives the host back, in a network namespace of the
 * test's own. Needs root; without it the tests are skipped. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "isolated.h"
#include "os/helper_messages.h"
#include "os/host_dns.h"
#include "os/nft_run.h"
#include "os/sockaddr.h"
#include "os/tun.h"

#define IPV4 "/proc/sys/net/ipv4/"
#define IPV6 "/proc/sys/net/ipv6/"

static struct qe_helper *start(void)
{
	struct qe_helper *helper = nullptr;
	bool confined = false;

	assert_int_equal(
		qe_helper_new(&helper, "tunnel", nullptr, nullptr, nullptr, &confined), QE_OK);
	assert_true(qe_helper_is_alive(helper));
	return helper;
}

static struct qe_prefix to_prefix(const char *text)
{
	struct qe_prefix prefix;

	assert_int_equal(qe_prefix_parse(&prefix, text), QE_OK);
	return prefix;
}

static struct qe_tun *open_tun(struct qe_netlink *netlink, const char *name)
{
	struct qe_tun *tun;
	unsigned index;

	assert_int_equal(qe_tun_new(&tun, name), QE_OK);
	assert_int_equal(qe_netlink_interface(netlink, name, &index), QE_OK);
	assert_int_equal(qe_netlink_up(netlink, index, 1400, 64), QE_OK);
	return tun;
}

static size_t run(const char *command, char *to, size_t size)
{
	FILE *pipe = popen(command, "r");
	size_t n;

	assert_non_null(pipe);
	n = fread(to, 1, size - 1, pipe);
	to[n] = '\0';
	assert_int_equal(pclose(pipe), 0);
	return n;
}

/* ---- routes and addresses ---- */

struct search {
	struct qe_prefix prefix;
	bool is_route;
	unsigned found;
};

static void look(void *ctx, const struct qe_host_entry *entry)
{
	struct search *search = ctx;

	search->found += strcmp(entry->interface, "tunnel") == 0 &&
			 entry->is_route == search->is_route &&
			 qe_prefix_compare(&entry->prefix, &search->prefix) == 0;
}

static unsigned count(struct qe_netlink *netlink, bool is_route, const char *prefix)
{
	struct search search = {to_prefix(prefix), is_route, 0};

	assert_int_equal(qe_netlink_visit(netlink, look, &search), QE_OK);
	return search.found;
}

static void test_routes(void **)
{
	static const char *const texts[] = {"192.168.1.0/24", "2001:db8:1::/48", "10.0.0.0/8"};
	struct qe_prefix prefixes[3];
	enum qe_error errors[3];
	struct qe_netlink *netlink;
	struct qe_helper *helper;
	struct qe_tun *tun;

	if (!isolated)
		skip();
	for (size_t i = 0; i < 3; i++)
		prefixes[i] = to_prefix(texts[i]);
	helper = start();
	assert_int_equal(qe_helper_add_routes(helper, prefixes, 1, nullptr), -ENODEV);
	assert_int_equal(qe_netlink_new(&netlink), QE_OK);
	tun = open_tun(netlink, "tunnel");
	assert_int_equal(qe_helper_add_routes(helper, prefixes, 2, errors), QE_OK);
	assert_int_equal(qe_helper_add_routes(helper, prefixes, 3, errors), -EEXIST);
	assert_int_equal(errors[0], -EEXIST);
	assert_int_equal(errors[1], -EEXIST);
	assert_int_equal(errors[2], QE_OK);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(count(netlink, true, texts[i]), 1);
	assert_int_equal(qe_helper_remove_routes(helper, prefixes, 3, errors), QE_OK);
	assert_int_equal(qe_helper_remove_routes(helper, prefixes, 3, errors), QE_OK);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(count(netlink, true, texts[i]), 0);
	qe_tun_free(tun);
	qe_netlink_free(netlink);
	qe_helper_free(helper);
}

static void test_addresses(void **)
{
	struct qe_prefix ipv4 = to_prefix("100.64.0.1"), ipv6 = to_prefix("fd64::1");
	struct qe_netlink *netlink;
	struct qe_helper *helper;
	struct qe_tun *tun;

	if (!isolated)
		skip();
	assert_int_equal(qe_netlink_new(&netlink), QE_OK);
	tun = open_tun(netlink, "tunnel");
	helper = start();
	assert_int_equal(qe_helper_add_addr(helper, &ipv4.addr, 24), QE_OK);
	assert_int_equal(qe_helper_add_addr(helper, &ipv6.addr, 128), QE_OK);
	assert_int_equal(count(netlink, false, "100.64.0.0/24"), 1);
	assert_int_equal(count(netlink, false, "fd64::1"), 1);
	assert_int_equal(qe_helper_remove_addr(helper, &ipv4.addr, 24), QE_OK);
	assert_int_equal(qe_helper_remove_addr(helper, &ipv6.addr, 128), QE_OK);
	assert_int_equal(count(netlink, false, "100.64.0.0/24"), 0);
	assert_int_equal(count(netlink, false, "fd64::1"), 0);
	qe_helper_free(helper);
	qe_tun_free(tun);
	qe_netlink_free(netlink);
}

/* What no daemon asks for, but somebody who has taken one over may. */
static void test_refused(void **)
{
	static const char *const texts[] = {"0.0.0.0/0", "::/0", "127.0.0.0/8", "224.0.0.0/4"};
	struct qe_prefix odd[] = {to_prefix("10.0.0.1"), to_prefix("10.0.0.1"), {}};
	struct qe_prefix none = {};
	struct qe_helper *helper;

	if (!isolated)
		skip();
	helper = start();
	odd[0].length = 8;
	odd[1].length = 33;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct qe_prefix prefix = to_prefix(texts[i]);

		assert_int_equal(qe_helper_add_routes(helper, &prefix, 1, nullptr), QE_ERR_RANGE);
	}
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		assert_int_equal(qe_helper_add_routes(helper, &odd[i], 1, nullptr), QE_ERR_RANGE);
		assert_int_equal(
			qe_helper_remove_routes(helper, &odd[i], 1, nullptr), QE_ERR_RANGE);
	}
	assert_int_equal(qe_helper_add_addr(helper, &none.addr, 0), QE_ERR_RANGE);
	assert_int_equal(qe_helper_add_addr(helper, &odd[1].addr, 33), QE_ERR_RANGE);
	assert_true(qe_helper_is_alive(helper));
	/* No request at all: it ends rather than guess. */
	assert_int_equal(write(qe_helper_fd(helper), "nonsense", 8), 8);
	assert_int_equal(qe_helper_forward(helper, true, true), -EPIPE);
	assert_false(qe_helper_is_alive(helper));
	qe_helper_free(helper);
}

/* ---- default routes ---- */

#define RULES \
	"ip rule; ip -6 rule; for f in -4 -6; do ip $f route show table all; done | grep 20805; :"

static bool leads(const char *words, const char *interface)
{
	char command[128], found[256];

	snprintf(command, sizeof(command), "ip route get %s || true", words);
	run(command, found, sizeof(found));
	return strstr(found, interface);
}

/* All packets but those with our mark, and those that have a route of their own. */
static void check_default(const char *addr, const char *known)
{
	char marked[64];

	snprintf(marked, sizeof(marked), "%s mark 20805", addr);
	assert_true(leads(addr, "dev tunnel"));
	assert_true(leads(marked, "dev other"));
	assert_true(leads(known, "dev other"));
}

static void add_way(struct qe_netlink *netlink, const char *prefix)
{
	struct qe_prefix way = to_prefix(prefix);
	unsigned index;

	assert_int_equal(qe_netlink_interface(netlink, "other", &index), QE_OK);
	assert_int_equal(qe_netlink_add_route(netlink, index, &way), QE_OK);
}

static void test_defaults(void **)
{
	struct qe_netlink *netlink;
	struct qe_tun *tun, *other;
	char before[4096], after[4096];
	struct qe_helper *helper;

	if (!isolated)
		skip();
	assert_int_equal(qe_netlink_new(&netlink), QE_OK);
	tun = open_tun(netlink, "tunnel");
	other = open_tun(netlink, "other");
	add_way(netlink, "0.0.0.0/0");
	add_way(netlink, "192.0.2.0/24");
	add_way(netlink, "::/0");
	add_way(netlink, "2001:db8:2::/48");
	run(RULES, before, sizeof(before));
	helper = start();
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(qe_helper_take_defaults(helper, true, true), QE_OK);
	check_default("203.0.113.1", "192.0.2.1");
	check_default("2001:db8:1::1", "2001:db8:2::1");
	assert_int_equal(qe_helper_take_defaults(helper, false, true), QE_OK);
	assert_true(leads("203.0.113.1", "dev other"));
	check_default("2001:db8:1::1", "2001:db8:2::1");
	assert_int_equal(qe_helper_take_defaults(helper, false, false), QE_OK);
	run(RULES, after, sizeof(after));
	assert_string_equal(before, after);
	assert_int_equal(qe_helper_take_defaults(helper, true, true), QE_OK);
	qe_tun_free(tun); /* and still the rules go */
	qe_helper_free(helper);
	run(RULES, after, sizeof(after));
	assert_string_equal(before, after);
	qe_tun_free(other);
	qe_netlink_free(netlink);
}

/* ---- forwarding ---- */

static void set(const char *path, const char *value)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(value, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int get(const char *path)
{
	FILE *file = fopen(path, "r");
	int value;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d", &value), 1);
	assert_int_equal(fclose(file), 0);
	return value;
}

static bool may_set(void)
{
	return isolated && access(IPV4 "ip_forward", W_OK) == 0 &&
	       access(IPV6 "conf/all/forwarding", W_OK) == 0;
}

/* What the operator has set, interface by interface. */
static void set_mixed(void)
{
	set(IPV4 "ip_forward", "0");
	set(IPV4 "conf/all/accept_redirects", "0");
	set(IPV4 "conf/other/forwarding", "1");
	set(IPV6 "conf/all/forwarding", "0");
	set(IPV6 "conf/other/forwarding", "1");
	set(IPV6 "conf/other/accept_ra", "1");
}

static void check_mixed(void)
{
	assert_int_equal(get(IPV4 "ip_forward"), 0);
	assert_int_equal(get(IPV4 "conf/all/accept_redirects"), 0);
	assert_int_equal(get(IPV4 "conf/other/forwarding"), 1);
	assert_int_equal(get(IPV4 "conf/lo/forwarding"), 0);
	assert_int_equal(get(IPV6 "conf/all/forwarding"), 0);
	assert_int_equal(get(IPV6 "conf/other/forwarding"), 1);
	assert_int_equal(get(IPV6 "conf/lo/forwarding"), 0);
	assert_int_equal(get(IPV6 "conf/other/accept_ra"), 1);
}

static void test_forwarding(void **)
{
	struct qe_netlink *netlink;
	struct qe_helper *helper;
	struct qe_tun *other;

	if (!may_set())
		skip();
	assert_int_equal(qe_netlink_new(&netlink), QE_OK);
	other = open_tun(netlink, "other");
	set_mixed();
	helper = start();
	assert_int_equal(qe_helper_forward(helper, true, true), QE_OK);
	assert_int_equal(get(IPV4 "conf/lo/forwarding"), 1);
	assert_int_equal(get(IPV6 "conf/lo/forwarding"), 1);
	assert_int_equal(get(IPV6 "conf/other/accept_ra"), 2);
	assert_int_equal(qe_helper_forward(helper, true, false), QE_OK);
	assert_int_equal(get(IPV4 "ip_forward"), 1);
	assert_int_equal(get(IPV6 "conf/all/forwarding"), 0);
	assert_int_equal(qe_helper_forward(helper, false, false), QE_OK);
	check_mixed();
	assert_int_equal(qe_helper_forward(helper, true, true), QE_OK);
	qe_helper_free(helper);
	check_mixed();
	set(IPV4 "ip_forward", "1");
	helper = start();
	assert_int_equal(qe_helper_forward(helper, true, false), QE_OK);
	qe_helper_free(helper);
	assert_int_equal(get(IPV4 "ip_forward"), 1); /* was on before */
	set(IPV4 "ip_forward", "0");
	qe_tun_free(other);
	qe_netlink_free(netlink);
}

/* The daemon is killed, and another one starts at once. */
static void test_after_a_crash(void **)
{
	struct qe_helper *helper;
	int status;
	pid_t daemon;

	if (!may_set())
		skip();
	set(IPV4 "ip_forward", "0");
	daemon = fork();
	assert_true(daemon >= 0);
	if (daemon == 0) {
		helper = start();
		if (qe_helper_forward(helper, true, false) != QE_OK)
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(daemon, &status, 0), daemon);
	assert_true(WIFSIGNALED(status));
	helper = start();
	assert_int_equal(qe_helper_forward(helper, true, false), QE_OK);
	assert_int_equal(get(IPV4 "ip_forward"), 1);
	qe_helper_free(helper);
	assert_int_equal(get(IPV4 "ip_forward"), 0);
}

/* ---- address translation ---- */

#define OTHERS \
	"table inet others {\n" \
	"	chain c { type filter hook forward priority 0; counter accept; }\n" \
	"	set s { type ipv4_addr; elements = { 10.0.0.1 }; }\n" \
	"}\n"

static struct qe_nft_gateway gateway; /* large */

static void test_gateway(void **)
{
	static const char *const rules[] = {"table inet quicether_tunnel",
		"type nat hook postrouting", "iifname != \"tunnel\" accept",
		"ip daddr 192.168.1.0/24 masquerade", "meta nfproto ipv6 masquerade"};
	char before[4096], during[16384], after[4096], text[200] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));
	struct qe_helper *helper;

	if (!isolated || !qe_nft_find() || system("printf '%s' '" OTHERS "' | nft -f -") != 0)
		skip();
	gateway = (struct qe_nft_gateway){.n_masquerade = 3,
		.masquerade = {to_prefix("192.168.1.0/24"), to_prefix("192.168.0.0/16"),
			to_prefix("::/0")}};
	run("nft list ruleset", before, sizeof(before));
	helper = start();
	assert_int_equal(qe_helper_gateway(helper, nullptr, &why), QE_OK);
	run("nft list ruleset", after, sizeof(after));
	assert_string_equal(before, after);
	for (unsigned i = 0; i < 2; i++) /* the second one replaces */
		assert_int_equal(qe_helper_gateway(helper, &gateway, &why), QE_OK);
	run("nft list ruleset", during, sizeof(during));
	assert_memory_equal(before, during, strlen(before));
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const char *found = strstr(during, rules[i]);

		assert_non_null(found);
		assert_null(strstr(found + 1, rules[i]));
	}
	gateway = (struct qe_nft_gateway){.exit = true,
		.n_named = 1,
		.named = {to_prefix("192.168.1.0/24")},
		.n_networks = 2,
		.networks = {to_prefix("198.51.100.0/24"), to_prefix("198.51.0.0/16")}};
	assert_int_equal(qe_helper_gateway(helper, &gateway, &why), QE_OK);
	run("nft list ruleset", during, sizeof(during));
	assert_non_null(strstr(during, "ip daddr != @named4 masquerade"));
	assert_non_null(strstr(during, "elements = { 198.51.0.0/16 }"));
	qe_helper_free(helper);
	run("nft list ruleset", after, sizeof(after));
	assert_string_equal(before, after);
}

static void test_private(void **)
{
	static const struct {
		const char *prefix;
		bool is_private;
	} rows[] = {{"10.1.0.0/16", true}, {"8.0.0.0/6", false}, {"100.127.255.255", true},
		{"100.128.0.0/9", false}, {"169.254.169.254", true}, {"172.31.0.0/16", true},
		{"172.32.0.0/16", false}, {"192.168.0.0/15", false}, {"198.19.0.0/16", true},
		{"224.0.0.251", true}, {"255.255.255.255", true}, {"203.0.113.0/24", false},
		{"::1", true}, {"::ffff:10.0.0.1", true}, {"64:ff9b::a9fe:a9fe", true},
		{"64:ff9b::c0a8:101", true}, {"64:ff9b::cb00:7109", false},
		{"64:ff9b:1::/48", true}, {"fd00:ec2::254", true}, {"fe80::/64", true},
		{"ff02::fb", true}, {"2001:db8::/32", false}, {"::/0", false}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct qe_prefix prefix = {};

		assert_int_equal(qe_prefix_parse(&prefix, rows[i].prefix), QE_OK);
		if (qe_nft_is_private(&prefix) != rows[i].is_private)
			fail_msg("%s", rows[i].prefix);
	}
}

/* As many as may be asked for, what nobody may ask for, and a name that would make another rule. */
static void test_gateway_bounds(void **)
{
	constexpr size_t most = sizeof(gateway.masquerade) / sizeof(gateway.masquerade[0]);
	char text[200] = "", rules[64];
	struct qe_text why = qe_text_init(text, sizeof(text));
	struct qe_helper *helper;
	bool confined;

	if (!isolated || !qe_nft_find())
		skip();
	gateway = (struct qe_nft_gateway){.exit = true, .n_masquerade = most};
	for (size_t i = 0; i < most; i++)
		gateway.masquerade[i] = (struct qe_prefix){
			.addr = {QE_FAMILY_IPV4, {10, (uint8_t)(i / 256), (uint8_t)i}},
			.length = 24};
	helper = start();
	assert_int_equal(qe_helper_gateway(helper, &gateway, &why), QE_OK);
	run("nft list table inet quicether_tunnel | grep -c /24.masquerade", rules, sizeof(rules));
	assert_int_equal(atoi(rules), most);
	gateway.n_masquerade++;
	assert_int_equal(qe_helper_gateway(helper, &gateway, &why), QE_ERR_RANGE);
	gateway = (struct qe_nft_gateway){
		.exit = true, .n_named = 1, .named = {to_prefix("0.0.0.0/0")}};
	assert_int_equal(qe_helper_gateway(helper, &gateway, &why), QE_ERR_RANGE);
	gateway.n_named = 0;
	gateway.n_networks = QE_NFT_NETWORKS_MAX + 1;
	assert_int_equal(qe_helper_gateway(helper, &gateway, &why), QE_ERR_RANGE);
	qe_helper_free(helper);
	gateway.n_networks = 0;
	assert_int_equal(
		qe_helper_new(&helper, "a\"b*", nullptr, nullptr, nullptr, &confined), QE_OK);
	assert_int_equal(qe_helper_gateway(helper, &gateway, &why), QE_ERR_RANGE);
	assert_non_null(strstr(text, "a\"b*"));
	qe_helper_free(helper);
}

/* ---- sockets ---- */

static int option(int fd, int name)
{
	socklen_t size = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, name, &value, &size), 0);
	return value;
}

static void check_bound(int fd, const char *device, const char *at)
{
	char text[QE_ENDPOINT_TEXT_SIZE], found[QE_INTERFACE_NAME_SIZE] = "";
	struct sockaddr_storage address;
	struct qe_endpoint endpoint;
	socklen_t size = sizeof(address);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	endpoint = qe_sockaddr_to_endpoint(&address);
	qe_endpoint_format(text, &endpoint);
	assert_string_equal(text, at);
	size = sizeof(found);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, found, &size), 0);
	assert_string_equal(found, device);
}

static void test_marked_sockets(void **)
{
	struct qe_helper *helper;
	int fd;

	if (!isolated)
		skip();
	helper = start();
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(qe_helper_marked_socket(helper,
					 i & 1 ? QE_FAMILY_IPV6 : QE_FAMILY_IPV4, i & 2, &fd),
			QE_OK);
		assert_int_equal(option(fd, SO_MARK), QE_DEFAULT_TABLE);
		assert_int_equal(option(fd, SO_DOMAIN), i & 1 ? AF_INET6 : AF_INET);
		assert_int_equal(option(fd, SO_TYPE), i & 2 ? SOCK_STREAM : SOCK_DGRAM);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		close(fd);
	}
	qe_helper_free(helper);
}

static void test_names_sockets(void **)
{
	static const char *const refused[] = {"127.0.0.1", "0.0.0.0", "::", "::1", "192.0.2.1",
		"203.0.113.1", "fd64::2", "224.0.0.1"};
	struct qe_addr addr = to_prefix("100.64.0.1").addr, ipv6 = to_prefix("fd64::1").addr;
	const struct qe_addr others = to_prefix("192.0.2.1").addr;
	const struct qe_addr local = QE_HOST_DNS_SERVER;
	struct qe_tun *tun, *other;
	struct qe_netlink *netlink;
	struct qe_helper *helper;
	unsigned index;
	int fds[3], fd;

	if (!isolated)
		skip();
	assert_int_equal(qe_netlink_new(&netlink), QE_OK);
	tun = open_tun(netlink, "tunnel");
	other = open_tun(netlink, "other");
	assert_int_equal(qe_netlink_interface(netlink, "other", &index), QE_OK);
	assert_int_equal(qe_netlink_add_addr(netlink, index, &others, 24), QE_OK);
	helper = start();
	assert_int_equal(qe_helper_add_addr(helper, &addr, 24), QE_OK);
	assert_int_equal(qe_helper_add_addr(helper, &ipv6, 128), QE_OK);
	for (unsigned stream = 0; stream < 2; stream++) {
		assert_int_equal(qe_helper_names_socket(helper, &local, stream, &fds[0]), QE_OK);
		assert_int_equal(qe_helper_names_socket(helper, &addr, stream, &fds[1]), QE_OK);
		assert_int_equal(qe_helper_names_socket(helper, &ipv6, stream, &fds[2]), QE_OK);
		check_bound(fds[0], "lo", "127.0.0.84:53");
		check_bound(fds[1], "tunnel", "100.64.0.1:53");
		check_bound(fds[2], "tunnel", "[fd64::1]:53");
		assert_int_equal(option(fds[0], SO_ACCEPTCONN), stream);
		assert_int_equal(qe_helper_names_socket(helper, &addr, stream, &fd), -EADDRINUSE);
		for (size_t i = 0; i < 3; i++)
			close(fds[i]);
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		addr = to_prefix(refused[i]).addr;
		assert_int_equal(qe_helper_names_socket(helper, &addr, false, &fd), QE_ERR_RANGE);
	}
	qe_helper_free(helper);
	qe_tun_free(other);
	qe_tun_free(tun);
	qe_netlink_free(netlink);
}

/* ---- birth ---- */

static void note(void *ctx)
{
	*(bool *)ctx = true;
}

/* In the new process and not in ours. */
static void test_forgets(void **)
{
	bool *shared = mmap(nullptr, sizeof(*shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool own = false, confined = false;
	struct qe_helper *helper;

	assert_ptr_not_equal(shared, MAP_FAILED);
	assert_int_equal(qe_helper_new(&helper, "tunnel", nullptr, note, shared, &confined), QE_OK);
	assert_true(*shared);
	qe_helper_free(helper);
	assert_int_equal(qe_helper_new(&helper, "tunnel", nullptr, note, &own, &confined), QE_OK);
	assert_false(own);
	qe_helper_free(helper);
	munmap(shared, sizeof(*shared));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_forwarding),
		cmocka_unit_test(test_after_a_crash),
		cmocka_unit_test(test_gateway),
		cmocka_unit_test(test_gateway_bounds),
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_marked_sockets),
		cmocka_unit_test(test_names_sockets),
		cmocka_unit_test(test_forgets),
	};

	return cmocka_run_group_tests(tests, isolate, nullptr);
}
