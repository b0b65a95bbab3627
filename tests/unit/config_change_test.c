/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What differs between two configurations, key by key, and what stays until the next start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/change.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PEER "[[peers]]\nid = \"" ID_A "\"\nname = \"nas\"\n"
#define PEERS PEER "exit = true\n[[peers]]\nid = \"" ID_B "\"\nexit = true\n"
/* What some keys need to be valid. */
#define BASE \
	"[node]\nname = \"a\"\nkey_file = \"/k\"\nrole = \"gateway\"\n[network]\n" \
	"forward_subnets = [\"10.0.0.0/8\"]\n" \
	"[vpn]\nvia = \"" ID_B "\"\n"

/* Each key, and a value that is not what BASE makes of it. */
static const struct {
	const char *name, *value;
} others[] = {
	{"node.name", "\"b\""},
	{"node.role", "\"enterprise\""},
	{"node.key_file", "\"/l\""},
	{"network.listen", "\"[::]:9\""},
	{"network.tun_name", "\"qe9\""},
	{"network.tun_addr", "[\"100.64.0.1\"]"},
	{"network.advertise_subnets", "[\"192.168.1.0/24\"]"},
	{"network.forward_subnets", "[\"10.0.0.0/8\", \"::/0\"]"},
	{"network.masquerade", "true"},
	{"network.exit", "true"},
	{"network.probe", "[\"10.0.0.1\"]"},
	{"network.metric", "7"},
	{"network.mtu", "1300"},
	{"network.dscp", "1"},
	{"overlay.default_gateway", "\"nas\""},
	{"overlay.accept_routes", "[\"0.0.0.0/0\"]"},
	{"overlay.accept_routes_over_lan", "true"},
	{"vpn.enabled", "true"},
	{"vpn.via", "\"nas\""},
	{"vpn.exclude", "[\"203.0.113.0/24\"]"},
	{"vpn.include", "[\"198.51.100.0/24\"]"},
	{"vpn.lan", "\"allow\""},
	{"vpn.kill_switch", "false"},
	{"vpn.dns", "\"off\""}, /* as empty a list as "gateway" */
	{"vpn.captive_portal", "\"http://203.0.113.80/\""},
	{"dns.domains", "corp.example=10.0.0.53"},
	{"dns.network", "\"home\""},
	{"security.pq", "\"preferred\""},
	{"security.cipher", "\"aes-128-gcm\""},
	{"security.rotate_secs", "5"},
	{"security.policy_file", "\"/p\""},
	{"security.audit_log", "\"/a\""},
	{"performance.workers", "2"},
	{"performance.cpu_affinity", "[0]"},
	{"monitoring.log_level", "\"debug\""},
};
static_assert(sizeof others / sizeof *others == QE_CONFIG_KEYS);

static struct qe_config *parse(const char *toml, char *const *environment)
{
	static struct qe_diagnostics diagnostics;
	const struct qe_config_inputs inputs = {.environment = environment};
	struct qe_bytes bytes = {(const uint8_t *)toml, strlen(toml)};
	struct qe_config *config;

	enum qe_error error = qe_config_parse(&config, &inputs, "/c.toml", bytes, &diagnostics);
	if (diagnostics.n)
		print_error("%s: %s\n", diagnostics.items[0].where, diagnostics.items[0].text);
	assert_int_equal(error, QE_OK);
	return config;
}

/* "network.mtu" and "[1, 2]" as QUICETHER_NETWORK_MTU=1,2. */
static void format_variable(struct qe_text *to, size_t i)
{
	qe_schema_add_environment(to, &qe_schema[i]);
	qe_text_add(to, "=");
	for (const char *at = others[i].value; *at; at++)
		if (*at != '"' && (!strchr("[] ", *at) || !qe_schema[i].list_max))
			qe_text_addf(to, "%c", *at);
}

static void every_key_is_compared([[maybe_unused]] void **state)
{
	struct qe_config *now = parse(BASE PEERS, nullptr);

	for (size_t i = 0; i < QE_CONFIG_KEYS; i++) {
		char variable[200], name[64];
		char *environment[] = {variable, nullptr};
		struct qe_text to = qe_text_init(variable, sizeof variable);
		struct qe_text to_name = qe_text_init(name, sizeof name);
		qe_schema_add_name(&to_name, &qe_schema[i]);
		assert_string_equal(others[i].name, name);
		format_variable(&to, i);

		struct qe_config *next = parse(BASE PEERS, environment);
		struct qe_config_change change = qe_config_compare(now, next);
		if (change.n_keys + change.n_restart != 1)
			print_error("%s\n", variable);
		assert_int_equal(change.n_keys, !qe_schema[i].restart);
		assert_int_equal(change.n_restart, qe_schema[i].restart);
		assert_ptr_equal(
			qe_schema[i].restart ? change.restart[0] : change.keys[0], &qe_schema[i]);

		/* Then nothing that counts from the next start differs any more. */
		qe_config_keep(now, next);
		struct qe_config *again = parse(BASE PEERS, nullptr);
		change = qe_config_compare(again, next);
		qe_config_keep(now, next);
		qe_config_free(again);
		assert_int_equal(change.n_restart, 0);
		assert_int_equal(change.n_keys, !qe_schema[i].restart);
		qe_config_free(next);
	}
	qe_config_free(now);
}

static void peers_are_compared([[maybe_unused]] void **state)
{
	static const char *const more[] = {"endpoints = [\"h:1\"]\n",
		"addresses = [\"10.1.1.1\"]\n", "subnets = [\"10.2.0.0/16\"]\n",
		"gateway_subnets = [\"10.2.0.0/16\"]\n", "exit = true\n", "groups = [\"g\"]\n"};
	struct qe_config *now = parse(PEER, nullptr), *same = parse("\n" PEER, nullptr);
	struct qe_config *unnamed = parse("[[peers]]\nid = \"" ID_A "\"\n", nullptr);

	assert_true(qe_config_same_peer(&now->peers[0], &same->peers[0]));
	assert_false(qe_config_same_peer(&now->peers[0], &unnamed->peers[0]));
	for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
		char toml[400];
		snprintf(toml, sizeof toml, PEER "%s", more[i]);
		struct qe_config *next = parse(toml, nullptr);
		assert_false(qe_config_same_peer(&now->peers[0], &next->peers[0]));
		qe_config_free(next);
	}
	qe_config_free(now);
	qe_config_free(same);
	qe_config_free(unnamed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_is_compared),
		cmocka_unit_test(peers_are_compared),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
