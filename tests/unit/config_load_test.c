/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Where values come from: the layers, the search for the file, and back to a text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"
#include "net/addr.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const char full[] =
	"[node]\n"
	"name = \"laptop\"\n"
	"role = \"gateway\"\n"
	"key_file = \"keys/a.key\"\n"
	"[network]\n"
	"listen = \"0.0.0.0:9000\"\n"
	"tun_name = \"qe1\"\n"
	"tun_addr = [\"100.64.0.1/24\", \"fd00::1\"]\n"
	"advertise_subnets = [\"192.168.1.0/24\"]\n"
	"forward_subnets = [\"10.1.0.0/16\", \"0.0.0.0/0\"]\n"
	"masquerade = [\"10.1.2.0/24\"]\n"
	"exit = true\n"
	"probe = [\"192.168.1.1\", \"fd01::1\"]\n"
	"metric = 7\n"
	"mtu = 1280\n"
	"dscp = 46\n"
	"[overlay]\n"
	"default_gateway = \"" ID_B "\"\n"
	"accept_routes = [\"10.0.0.0/8\"]\n"
	"accept_routes_over_lan = true\n"
	"[vpn]\n"
	"enabled = true\n"
	"via = \"nas\"\n"
	"exclude = [\"198.51.100.64/26\"]\n"
	"include = [\"198.51.100.0/24\", \"2001:db8:1::/48\"]\n"
	"lan = \"allow\"\n"
	"kill_switch = false\n"
	"dns = [\"10.0.0.53\", \"fd00::53\"]\n"
	"captive_portal = \"http://[2001:db8::80]:8080/probe?x=1\"\n"
	"[dns]\n"
	"domains = {\"Corp.Example.\" = \"10.0.0.53\", \"x._sites.lab\" = \"[fd00::53]:5353\"}\n"
	"network = \"Home\"\n"
	"[security]\n"
	"audit_log = \"audit.jsonl\"\n"
	"pq = \"preferred\"\n"
	"cipher = \"chacha20-poly1305\"\n"
	"rotate_secs = 1\n"
	"policy_file = \"policy.toml\"\n"
	"[performance]\n"
	"workers = 2\n"
	"cpu_affinity = [3, 1]\n"
	"[monitoring]\n"
	"log_level = \"debug\"\n"
	"[[peers]]\n"
	"name = \"nas\"\n"
	"id = \"" ID_A "\"\n"
	"endpoints = [\"nas.example.net\", \"192.0.2.1:1\", \"[2001:db8::1]:2\", "
	"\"[fe80::1%eth0]:3\"]\n"
	"addresses = [\"100.64.0.2\", \"fd00::2\"]\n"
	"subnets = [\"10.0.0.0/8\"]\n"
	"gateway_subnets = [\"10.1.0.0/16\"]\n"
	"exit = true\n"
	"groups = [\"servers\", \"home\"]\n"
	"[[peers]]\n"
	"id = \"" ID_B "\"\n";

static struct qe_diagnostics diagnostics;

static struct qe_config *parse(const struct qe_config_inputs *inputs, const char *toml)
{
	struct qe_bytes bytes = {(const uint8_t *)toml, strlen(toml)};
	struct qe_config *config;

	enum qe_error error = qe_config_parse(&config, inputs, "/x/c.toml", bytes, &diagnostics);
	if (diagnostics.n)
		print_error("%s\n", diagnostics.items[0].text);
	assert_int_equal(error, QE_OK);
	return config;
}

static void assert_prefix(const struct qe_prefix *prefix, const char *expected)
{
	char text[QE_PREFIX_TEXT_SIZE];

	qe_prefix_format(text, prefix);
	assert_string_equal(text, expected);
}

static void assert_vpn(const struct qe_config *config)
{
	const struct qe_config_domain *domains = config->dns.domains.domains;
	char text[QE_ENDPOINT_TEXT_SIZE];

	assert_true(config->network.exit);
	assert_true(config->vpn.enabled);
	assert_string_equal(config->vpn.via, "nas");
	assert_int_equal(config->vpn_gateway, 0);
	assert_prefix(&config->vpn.exclude.prefixes[0], "198.51.100.64/26");
	assert_int_equal(config->vpn.include.n, 2);
	assert_prefix(&config->vpn.include.prefixes[1], "2001:db8:1::/48");
	assert_int_equal(config->vpn.lan, QE_VPN_LAN_ALLOW);
	assert_false(config->vpn.kill_switch);
	assert_int_equal(config->vpn.dns_mode, QE_VPN_DNS_SERVERS);
	assert_prefix(&config->vpn.dns.prefixes[1], "fd00::53/128");
	assert_string_equal(config->vpn.captive_portal, "http://[2001:db8::80]:8080/probe?x=1");
	/* TOML's tables are sorted by their keys. */
	assert_int_equal(config->dns.domains.n, 2);
	assert_string_equal(domains[0].suffix, "corp.example");
	qe_endpoint_format(text, &domains[0].server);
	assert_string_equal(text, "10.0.0.53:53");
	assert_string_equal(domains[1].suffix, "x._sites.lab");
	qe_endpoint_format(text, &domains[1].server);
	assert_string_equal(text, "[fd00::53]:5353");
	assert_string_equal(config->dns.network, "home");
}

/* Who resolves names is told by a word or by a list. */
static void vpn_dns_takes_words([[maybe_unused]] void **state)
{
	static const struct {
		const char *text;
		enum qe_vpn_dns mode;
	} cases[] = {{"", QE_VPN_DNS_GATEWAY}, {"[vpn]\ndns = \"gateway\"\n", QE_VPN_DNS_GATEWAY},
		{"[vpn]\ndns = \"off\"\n", QE_VPN_DNS_OFF},
		{"[vpn]\ndns = [\"10.0.0.53\"]\n", QE_VPN_DNS_SERVERS}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct qe_config *config = parse(&(struct qe_config_inputs){}, cases[i].text);
		assert_int_equal(config->vpn.dns_mode, cases[i].mode);
		assert_int_equal(config->vpn_gateway, SIZE_MAX);
		assert_true(config->vpn.kill_switch && !config->vpn.enabled);
		assert_string_equal(config->dns.network, "quicether");
		qe_config_free(config);
	}
}

/* Flags and environment as they are typed: --vpn --via nas, domains with "=" in between. */
static void vpn_comes_from_elsewhere([[maybe_unused]] void **state)
{
	static char off[] = "QUICETHER_VPN_DNS=off",
		    domains[] = "QUICETHER_DNS_DOMAINS=a.example=10.0.0.1, b.example=10.0.0.2:54";
	static char *const environment[] = {off, domains, nullptr};
	static const struct qe_config_flag flags[] = {{"vpn", "true"}, {"via", "nas"}};
	struct qe_config *config = parse(
		&(struct qe_config_inputs){
			.environment = environment, .flags = flags, .n_flags = 2},
		"[overlay]\ndefault_gateway = \"" ID_B "\"\n[[peers]]\nid = \"" ID_B "\"\n"
		"[[peers]]\nid = \"" ID_A "\"\nname = \"nas\"\nexit = true\n");

	assert_true(config->vpn.enabled);
	assert_int_equal(config->default_gateway, 0);
	assert_int_equal(config->vpn_gateway, 1);
	assert_int_equal(config->vpn.dns_mode, QE_VPN_DNS_OFF);
	assert_int_equal(config->dns.domains.n, 2);
	assert_string_equal(config->dns.domains.domains[1].suffix, "b.example");
	assert_int_equal(config->dns.domains.domains[1].server.port, 54);
	qe_config_free(config);
}

static void every_key_is_read([[maybe_unused]] void **state)
{
	struct qe_config *config = parse(&(struct qe_config_inputs){}, full);
	const struct qe_config_peer *nas = &config->peers[0];
	char text[QE_ENDPOINT_TEXT_SIZE];

	assert_string_equal(config->node.name, "laptop");
	assert_int_equal(config->node.role, QE_ROLE_GATEWAY);
	assert_string_equal(config->node.key_file, "/x/keys/a.key");
	qe_endpoint_format(text, &config->network.listen);
	assert_string_equal(text, "0.0.0.0:9000");
	assert_string_equal(config->network.tun_name, "qe1");
	assert_int_equal(config->network.tun_addr.n, 2);
	assert_prefix(&config->network.tun_addr.addrs[0].prefix, "100.64.0.0/24");
	assert_int_equal(config->network.mtu, 1280);
	assert_int_equal(config->network.dscp, 46);
	assert_int_equal(config->network.forward_subnets.n, 2);
	assert_prefix(&config->network.forward_subnets.prefixes[1], "0.0.0.0/0");
	assert_prefix(&config->network.masquerade.prefixes[0], "10.1.2.0/24");
	assert_prefix(&config->network.probe.prefixes[1], "fd01::1/128");
	assert_int_equal(config->network.metric, 7);
	assert_string_equal(config->overlay.default_gateway, ID_B);
	assert_int_equal(config->default_gateway, 1);
	assert_int_equal(config->overlay.accept_routes.n, 1);
	assert_true(config->overlay.accept_routes_over_lan);
	assert_vpn(config);
	assert_string_equal(config->security.audit_log, "/x/audit.jsonl");
	assert_int_equal(config->security.pq, QE_PQ_PREFERRED);
	assert_int_equal(config->security.cipher, QE_CIPHER_CHACHA20_POLY1305);
	assert_int_equal(config->security.rotate_secs, 1);
	assert_string_equal(config->security.policy_file, "/x/policy.toml");
	assert_int_equal(config->performance.workers, 2);
	assert_int_equal(config->performance.cpu_affinity.n, 2);
	assert_int_equal(config->performance.cpu_affinity.integers[0], 3);
	assert_int_equal(config->monitoring.log_level, QE_LOG_DEBUG);
	assert_int_equal(config->n_local, 3);
	assert_prefix(&config->local[0], "100.64.0.1/32");
	assert_prefix(&config->local[2], "192.168.1.0/24");
	assert_int_equal(config->n_peers, 2);
	assert_string_equal(nas->name, "nas");
	assert_string_equal(nas->endpoints.endpoints[0].host, "nas.example.net");
	assert_int_equal(nas->endpoints.endpoints[0].port, QE_PORT_DEFAULT);
	assert_string_equal(nas->endpoints.endpoints[2].host, "2001:db8::1");
	assert_int_equal(nas->endpoints.endpoints[2].port, 2);
	assert_string_equal(nas->endpoints.endpoints[3].host, "fe80::1%eth0");
	assert_int_equal(nas->n_prefixes, 3);
	assert_prefix(&nas->prefixes[1], "fd00::2/128");
	assert_prefix(&nas->prefixes[2], "10.0.0.0/8");
	assert_prefix(&nas->gateway_subnets.prefixes[0], "10.1.0.0/16");
	assert_true(nas->exit);
	assert_string_equal(nas->groups.names[1], "home");
	assert_false(config->peers[1].exit);
	assert_null(config->peers[1].name);
	qe_config_free(config);
}

/* A word for a whole list, from wherever it comes. */
static void lists_have_short_forms([[maybe_unused]] void **state)
{
	static char none[] = "QUICETHER_OVERLAY_ACCEPT_ROUTES=none";
	static char *const environment[] = {none, nullptr};
	static const struct qe_config_flag flags[] = {{"role", "gateway"},
		{"forward-subnet", "10.0.0.0/8"}, {"forward-subnet", "fd00:1::/32"}};
	struct qe_config *config = parse(&(struct qe_config_inputs){}, "");

	assert_int_equal(config->overlay.accept_routes.n, 2);
	assert_prefix(&config->overlay.accept_routes.prefixes[0], "0.0.0.0/0");
	assert_prefix(&config->overlay.accept_routes.prefixes[1], "::/0");
	assert_int_equal(config->network.masquerade.n, 0);
	assert_null(config->overlay.default_gateway);
	assert_int_equal(config->default_gateway, SIZE_MAX);
	qe_config_free(config);

	config = parse(&(struct qe_config_inputs){.environment = environment}, "");
	assert_int_equal(config->overlay.accept_routes.n, 0);
	qe_config_free(config);

	config = parse(&(struct qe_config_inputs){.flags = flags, .n_flags = 3},
		"[network]\nmasquerade = true\nforward_subnets = []\n"
		"[overlay]\naccept_routes = \"none\"\n");
	assert_int_equal(config->node.role, QE_ROLE_GATEWAY);
	assert_int_equal(config->network.forward_subnets.n, 2);
	assert_int_equal(config->network.masquerade.n, 2);
	assert_int_equal(config->overlay.accept_routes.n, 0);
	qe_config_free(config);
}

static void listen_takes_short_forms([[maybe_unused]] void **state)
{
	static const char *const forms[] = {"9000", ":9000", "[::]:9000"};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		struct qe_config_flag flag = {"listen", forms[i]};
		struct qe_config *config = parse(
			&(struct qe_config_inputs){.flags = &flag, .n_flags = 1}, "");
		assert_int_equal(config->network.listen.addr.family, QE_FAMILY_IPV6);
		assert_true(qe_addr_is_unspecified(&config->network.listen.addr));
		assert_int_equal(config->network.listen.port, 9000);
		qe_config_free(config);
	}
}

/* Each layer covers the one below, and each value knows its layer. */
static void layers_cover_one_another([[maybe_unused]] void **state)
{
	static char home[] = "HOME=/nowhere", mtu[] = "QUICETHER_NETWORK_MTU=1500",
		    rotate[] = "QUICETHER_SECURITY_ROTATE_SECS=20",
		    addrs[] = "QUICETHER_NETWORK_TUN_ADDR= 100.64.1.1 , fd00::9 ",
		    subnets[] = "QUICETHER_NETWORK_ADVERTISE_SUBNETS=";
	static char *const environment[] = {home, mtu, rotate, addrs, subnets, nullptr};
	static const struct qe_config_flag flags[] = {{"rotate-secs", "30"},
		{"tun-addr", "100.64.2.1"}, {"tun-addr", "100.64.2.2,100.64.2.3"}};
	struct qe_config_inputs inputs = {.environment = environment};
	char where[200];

	struct qe_config *config = parse(&inputs, full);
	assert_int_equal(config->network.mtu, 1500);
	assert_int_equal(config->security.rotate_secs, 20);
	assert_int_equal(config->network.tun_addr.n, 2);
	assert_int_equal(config->network.advertise_subnets.n, 0);
	assert_string_equal(config->network.tun_name, "qe1");
	qe_config_where(config, "network.mtu", where, sizeof where);
	assert_string_equal(where, "QUICETHER_NETWORK_MTU");
	qe_config_where(config, "network.listen", where, sizeof where);
	assert_string_equal(where, "/x/c.toml:6:10: network.listen");
	qe_config_where_endpoint(config, 0, 1, where, sizeof where);
	assert_string_equal(where, "/x/c.toml:47:33: peers.endpoints");
	qe_config_free(config);

	inputs.flags = flags;
	inputs.n_flags = 3;
	config = parse(&inputs, "");
	assert_int_equal(config->security.rotate_secs, 30);
	assert_int_equal(config->network.tun_addr.n, 3);
	qe_config_where(config, "security.rotate_secs", where, sizeof where);
	assert_string_equal(where, "--rotate-secs");
	qe_config_where(config, "network.listen", where, sizeof where);
	assert_string_equal(where, "network.listen (default)");
	qe_config_free(config);
}

static void peer_flags_add([[maybe_unused]] void **state)
{
	static const struct qe_config_flag flags[] = {{"peer", ID_A "@192.0.2.9"},
		{"peer", "caaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@[2001:db8::9]:9"},
		{"peer", "daaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}};
	struct qe_config *config = parse(
		&(struct qe_config_inputs){.flags = flags, .n_flags = 3}, full);

	assert_int_equal(config->n_peers, 4);
	assert_int_equal(config->peers[0].endpoints.n, 5);
	assert_string_equal(config->peers[0].endpoints.endpoints[4].host, "192.0.2.9");
	assert_string_equal(config->peers[2].endpoints.endpoints[0].host, "2001:db8::9");
	assert_int_equal(config->peers[2].endpoints.endpoints[0].port, 9);
	assert_int_equal(config->peers[3].endpoints.n, 0);
	qe_config_free(config);
}

/* What is shown loads again, and then shows the same but for the comments. */
static void shown_text_loads_again([[maybe_unused]] void **state)
{
	static const char *const texts[] = {full,
		"[node]\nname=\"a\"\nkey_file=\"/a\\\"\\u0007\"\n",
		"[overlay]\naccept_routes=\"none\"\n[vpn]\ndns=\"off\"\n[dns]\ndomains={}\n"};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		char *shown[2], *json[2];
		struct qe_config *config = parse(&(struct qe_config_inputs){}, texts[i]);
		struct qe_config *again;

		assert_int_equal(qe_config_show(&shown[0], config, QE_CONFIG_TOML), QE_OK);
		assert_int_equal(qe_config_show(&json[0], config, QE_CONFIG_JSON), QE_OK);
		again = parse(&(struct qe_config_inputs){}, shown[0]);
		assert_int_equal(qe_config_show(&shown[1], again, QE_CONFIG_TOML), QE_OK);
		assert_int_equal(qe_config_show(&json[1], again, QE_CONFIG_JSON), QE_OK);
		assert_int_equal(config->vpn.dns_mode, again->vpn.dns_mode);
		*strstr(json[0], "\"sources\"") = '\0';
		*strstr(json[1], "\"sources\"") = '\0';
		assert_string_equal(json[0], json[1]);
		for (size_t j = 0; j < 2; j++) {
			free(shown[j]);
			free(json[j]);
		}
		qe_config_free(config);
		qe_config_free(again);
	}
}

/* ---- the file ---- */

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void the_file_is_found([[maybe_unused]] void **state)
{
	char home[] = "/tmp/quicether-XXXXXX", folder[100], path[120], variable[140], named[140];
	char *environment[] = {variable, nullptr, nullptr};
	struct qe_config_inputs inputs = {.environment = environment};
	struct qe_config *config;

	if (access("/etc/quicether/config.toml", F_OK) == 0)
		skip();
	assert_non_null(mkdtemp(home));
	snprintf(variable, sizeof variable, "HOME=%s", home);
	assert_int_equal(qe_config_load(&config, &inputs, &diagnostics), QE_OK);
	assert_null(config->file);
	assert_string_equal(config->node.key_file, "/etc/quicether/node.key");
	qe_config_free(config);

	snprintf(folder, sizeof folder, "%s/.config", home);
	assert_int_equal(mkdir(folder, 0700), 0);
	snprintf(folder, sizeof folder, "%s/.config/quicether", home);
	assert_int_equal(mkdir(folder, 0700), 0);
	snprintf(path, sizeof path, "%s/config.toml", folder);
	write_file(path, "[node]\nname = \"mine\"\n");
	assert_int_equal(qe_config_load(&config, &inputs, &diagnostics), QE_OK);
	assert_string_equal(config->file, path);
	assert_string_equal(config->node.name, "mine");
	snprintf(path, sizeof path, "%s/node.key", folder);
	assert_string_equal(config->node.key_file, path);
	qe_config_free(config);

	snprintf(named, sizeof named, "QUICETHER_CONFIG=%s/none.toml", home);
	environment[1] = named;
	assert_int_equal(qe_config_load(&config, &inputs, &diagnostics), -ENOENT);
	assert_int_equal(diagnostics.n, 1);
	snprintf(path, sizeof path, "%s/config.toml", folder);
	inputs.file = path;
	assert_int_equal(qe_config_load(&config, &inputs, &diagnostics), QE_OK);
	qe_config_free(config);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
	*strrchr(folder, '/') = '\0';
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(rmdir(home), 0);
}

static void a_file_that_is_too_large_is_refused([[maybe_unused]] void **state)
{
	struct qe_config_inputs inputs = {.file = "/dev/zero"};
	struct qe_config *config;

	assert_int_equal(qe_config_load(&config, &inputs, &diagnostics), QE_ERR_TOO_BIG);
	assert_int_equal(diagnostics.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_is_read),
		cmocka_unit_test(lists_have_short_forms),
		cmocka_unit_test(vpn_dns_takes_words),
		cmocka_unit_test(vpn_comes_from_elsewhere),
		cmocka_unit_test(listen_takes_short_forms),
		cmocka_unit_test(layers_cover_one_another),
		cmocka_unit_test(peer_flags_add),
		cmocka_unit_test(shown_text_loads_again),
		cmocka_unit_test(the_file_is_found),
		cmocka_unit_test(a_file_that_is_too_large_is_refused),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
