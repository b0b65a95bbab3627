/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What bad input gets: every error word by word, with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PEER_A "[[peers]]\nid = \"" ID_A "\"\n"
#define PEER_B "[[peers]]\nid = \"" ID_B "\"\n"

static const struct {
	const char *text, *errors; /* one error in a line */
} vectors[] = {
	/* TOML itself */
	{"[node\n", "c.toml:1:6: Error while parsing table header: expected ']', saw '\\n'"},
	{"[\n", "c.toml:1:2: Error while parsing key: expected bare key starting character or "
		"string delimiter, saw '\\n'"},
	{"x\xc3\xa9 = 1\n",
		"c.toml:1:2: Error while parsing key-value pair: expected '=', saw '\\xc3\\xa9'"},
	{"x\xe2\x82\xac = 1\n", "c.toml:1:2: Error while parsing key-value pair: expected '=', saw "
				"'\\xe2\\x82\\xac'"},
	{"\xef\xbb\xbf\xef\xbb\xbfx = 1\n",
		"c.toml:1:1: Error while parsing root table: expected space or tab, saw '\\uFEFF'"},
	{"\xef\xbb\xbf# \xc3\xa9\n[node]\nkey_file = \"/\xc3\xa9\"\n", ""},
	{"[node]\nkey_file = '''\n/\xe2\x82\xac\xc3\xa9'''\n", ""},
	{"[node]\nkey_file = \"\"\"/\\\n\xe2\x80\x83 \xe2\x82\xac\xc3\xa9\"\"\"\n", ""},
	/* unknown things */
	{"[network]\nlisen = \"[::]:1\"\n",
		"c.toml:2:1: network.lisen: unknown key; did you mean \"listen\"?"},
	{"[network]\nzzzzzzzzz = 1\n", "c.toml:2:1: network.zzzzzzzzz: unknown key"},
	{"[netwrk]\nlisten = \"[::]:1\"\n",
		"c.toml:1:2: netwrk: unknown section; did you mean \"network\"?"},
	{"[peer]\n", "c.toml:1:2: peer: unknown section; did you mean \"peers\"?"},
	{"[[peer]]\n", "c.toml:1:3: peer: unknown section; did you mean \"peers\"?"},
	{"[zzzzzzzzz]\n", "c.toml:1:2: zzzzzzzzz: unknown section"},
	{"mtu = 1400\n", "c.toml:1:1: mtu: outside of its section; expected under network"},
	{"id = \"x\"\n", "c.toml:1:1: id: outside of its section; expected under [[peers]]"},
	/* wrong types */
	{"network = 1\n", "c.toml:1:11: network: is an integer; expected one table"},
	{"[[network]]\n", "c.toml:1:1: network: is an array; expected one table"},
	{"[peers]\n", "c.toml:1:1: peers: is a table; expected [[peers]], once for each peer"},
	{"peers = [1]\n", "c.toml:1:10: peers: is an integer; expected a table, [[peers]]"},
	{"[network]\nmtu = \"1400\"\n",
		"c.toml:2:7: network.mtu: is a string; expected an integer from 1280 to 9000"},
	{"[network]\nmtu = 1400.0\n",
		"c.toml:2:7: network.mtu: is a float; expected an integer from 1280 to 9000"},
	{"[network]\nlisten = 7844\n", "c.toml:2:10: network.listen: is an integer; expected an "
				       "address and a port such as "
				       "\"[::]:7844\""},
	{"[network]\ntun_addr = \"100.64.0.1\"\n",
		"c.toml:2:12: network.tun_addr: is a string; expected an array such as "
		"[\"100.64.0.1\"]"},
	{"[network]\ntun_addr = [true]\n", "c.toml:2:13: network.tun_addr: is a boolean; expected "
					   "an IPv4 or IPv6 address, with "
					   "or without a prefix length, such as \"100.64.0.1\""},
	/* ranges and words */
	{"[network]\nmtu = 1279\n",
		"c.toml:2:7: network.mtu: \"1279\" is out of range; expected an integer from 1280 "
		"to 9000"},
	{"[network]\nmtu = 9223372036854775807\n",
		"c.toml:2:7: network.mtu: \"9223372036854775807\" is out of range; expected an "
		"integer from 1280 to 9000"},
	{"[performance]\nworkers = 17\n", "c.toml:2:11: performance.workers: \"17\" is out of "
					  "range; expected an integer from "
					  "0 to 16 or \"auto\""},
	{"[performance]\ncpu_affinity = [\"0\"]\n",
		"c.toml:2:17: performance.cpu_affinity: is a string; expected an integer from 0 to "
		"1023"},
	{"[performance]\nworkers = 3\ncpu_affinity = [0, 1]\n",
		"c.toml:3:16: performance.cpu_affinity: has 2 CPUs for 3 workers; expected as many "
		"as there are workers"},
	{"[security]\nrotate_secs = 0\n",
		"c.toml:2:15: security.rotate_secs: \"0\" is out of range; expected an integer "
		"from 1 to 600"},
	{"[security]\npq = \"require\"\n",
		"c.toml:2:6: security.pq: \"require\" is unknown (did you mean \"required\"?); "
		"expected \"required\" or \"preferred\""},
	{"[monitoring]\nlog_level = \"loud\"\n",
		"c.toml:2:13: monitoring.log_level: \"loud\" is unknown; expected \"error\", "
		"\"warn\", \"info\" or \"debug\""},
	{"[network]\ntun_name = \"a-name-too-long-\"\n",
		"c.toml:2:12: network.tun_name: \"a-name-too-long-\" has 16 characters; expected "
		"an interface name of 1 to 15 characters without \"/\", \":\", \"%\" and spaces, "
		"such as \"quicether0\""},
	{"[network]\ntun_name = \"qe%d\"\n",
		"c.toml:2:12: network.tun_name: \"qe%d\" has a character that it cannot have; "
		"expected an interface name of 1 to 15 characters without \"/\", \":\", \"%\" and "
		"spaces, such as \"quicether0\""},
	{"[node]\nname = \"a b\"\n",
		"c.toml:2:8: node.name: \"a b\" is not a name; expected a name of up to 63 "
		"letters, digits, \".\", \"_\" and \"-\" such as \"laptop\""},
	{"[node]\nkey_file = \"\"\n",
		"c.toml:2:12: node.key_file: \"\" is empty; expected a path such as "
		"\"/etc/quicether/node.key\""},
	{"[network]\nlisten = \"example.net:1\"\n",
		"c.toml:2:10: network.listen: \"example.net:1\" has a name where an address "
		"belongs; expected an address and a port such as \"[::]:7844\""},
	{"[network]\nlisten = \":65536\"\n",
		"c.toml:2:10: network.listen: \":65536\" is not an address and a port from 1 to "
		"65535; expected an address and a port such as \"[::]:7844\""},
	/* prefixes and addresses */
	{"[network]\nadvertise_subnets = [\"10.0.0.0/8\", \"192.168.1.5/24\"]\n",
		"c.toml:2:36: network.advertise_subnets: \"192.168.1.5/24\" has host bits set (did "
		"you mean \"192.168.1.0/24\"?); expected a prefix such as \"192.168.1.0/24\""},
	{"[network]\ntun_addr = [\"224.0.0.1\"]\n",
		"c.toml:2:13: network.tun_addr: \"224.0.0.1\" is multicast, which does not cross "
		"the overlay; expected an IPv4 or IPv6 address, with or without a prefix length, "
		"such as \"100.64.0.1\""},
	{PEER_A "addresses = [\"10.0.0.0/8\"]\n",
		"c.toml:3:14: peers.addresses: \"10.0.0.0/8\" is more than one address: prefixes "
		"go into subnets; expected an IPv4 or IPv6 address such as \"100.64.0.2\""},
	{"[network]\ntun_addr = [\"fd51:e700::1\"]\n",
		"c.toml:2:13: network.tun_addr: fd51:e700::1/128 overlaps fd51:e700::/24, where "
		"every node has the address that its NodeId gives it; expected other addresses"},
	{PEER_A "subnets = [\"::/0\"]\ngateway_subnets = [\"0.0.0.0/0\"]\n",
		"c.toml:3:12: peers.subnets: ::/0 is a default route; expected exit = true to "
		"allow "
		"one\n"
		"c.toml:4:20: peers.gateway_subnets: 0.0.0.0/0 is a default route; expected exit = "
		"true to allow one"},
	{"[network]\nadvertise_subnets = [\"0.0.0.0/0\"]\n",
		"c.toml:2:22: network.advertise_subnets: 0.0.0.0/0 is a default route; expected it "
		"in forward_subnets"},
	{PEER_A "subnets = [\"fd51::/16\"]\n",
		"c.toml:3:12: peers.subnets: fd51::/16 overlaps fd51:e700::/24, where every node "
		"has the address that its NodeId gives it; expected other addresses"},
	/* peers */
	{"[[peers]]\nname = \"nas\"\n",
		"c.toml:1:1: peers.id: is missing; expected a NodeId such as "
		"\"oz2mrw5ugm4ttcsqcdlwk3ocehjqzjcp\""},
	{"[[peers]]\nid = \"abc\"\n",
		"c.toml:2:6: peers.id: \"abc\" has 3 characters, and a NodeId has 32; expected a "
		"NodeId such as \"oz2mrw5ugm4ttcsqcdlwk3ocehjqzjcp\""},
	{PEER_A "endpoints = [\"host:0\"]\n",
		"c.toml:3:14: peers.endpoints: \"host:0\" is not a host and a port from 1 to "
		"65535; expected a host and a port such as \"vpn.example.net:7844\""},
	{PEER_A "endpoints = [\"1.2.3:1\"]\n",
		"c.toml:3:14: peers.endpoints: \"1.2.3:1\" has neither an address nor a name of a "
		"host; expected a host and a port such as \"vpn.example.net:7844\""},
	{PEER_A "name = \"" ID_B "\"\n",
		"c.toml:3:8: peers.name: \"" ID_B "\" is a NodeId, which cannot be a name; "
		"expected a name of up to 63 letters, digits, \".\", \"_\" and \"-\" such as "
		"\"gateway\""},
	{PEER_A PEER_A, "c.toml:4:6: peers.id: is the id of peer \"" ID_A
			"\" (line 1) too; expected one that no other peer has"},
	{PEER_A "name = \"x\"\n" PEER_B "name = \"x\"\n",
		"c.toml:6:8: peers.name: is the name of peer \"x\" (line 1) too; expected one that "
		"no other peer has"},
	{PEER_A "addresses = [\"100.64.0.2\"]\n" PEER_B "addresses = [\"100.64.0.2\"]\n",
		"c.toml:6:14: peers.addresses: 100.64.0.2/32 belongs to peer \"" ID_A
		"\" (line 1) already; expected prefixes that belong to one node only"},
	{PEER_A "name = \"gw\"\nsubnets = [\"10.1.0.0/16\"]\n" PEER_B
		"subnets = [\"10.0.0.0/8\", \"10.1.0.0/16\"]\n",
		"c.toml:7:26: peers.subnets: 10.1.0.0/16 belongs to peer \"gw\" (line 1) already; "
		"expected prefixes that belong to one node only"},
	{"[network]\nadvertise_subnets = [\"192.168.0.0/16\"]\n" PEER_A
	 "subnets = [\"192.168.0.0/16\"]\n",
		"c.toml:5:12: peers.subnets: 192.168.0.0/16 belongs to this node "
		"(advertise_subnets) already; expected prefixes that belong to one node only"},
	/* prefixes that nest, and gateways, of which any number may lead to what others own */
	{"[network]\nadvertise_subnets = [\"10.1.2.0/24\"]\n" PEER_A
	 "subnets = [\"10.1.0.0/16\"]\ngateway_subnets = [\"10.2.0.0/16\"]\n" PEER_B
	 "subnets = [\"10.0.0.0/8\", \"10.2.0.0/16\"]\n"
	 "gateway_subnets = [\"10.1.0.0/16\", \"10.2.0.0/16\"]\nexit = true\n",
		""},
	{"[network]\nadvertise_subnets = [\"10.1.0.0/16\"]\n" PEER_A
	 "gateway_subnets = [\"10.1.0.0/16\"]\n",
		"c.toml:5:20: peers.gateway_subnets: 10.1.0.0/16 is this node's own "
		"(advertise_subnets); expected what others have"},
	{"[node]\nrole = \"gateway\"\n[network]\nadvertise_subnets = [\"10.1.0.0/16\"]\n"
	 "forward_subnets = [\"::/0\", \"10.1.0.0/16\"]\n",
		"c.toml:5:28: network.forward_subnets: 10.1.0.0/16 is this node's own "
		"(advertise_subnets); expected what others have"},
	{"[network]\nforward_subnets = [\"10.0.0.0/8\"]\n",
		"c.toml:2:19: network.forward_subnets: is for gateways; expected role = "
		"\"gateway\" under [node], or --role gateway"},
	{"[node]\nrole = \"enterprise\"\n[network]\nforward_subnets = [\"10.0.0.0/8\"]\n"
	 "masquerade = [\"10.1.0.0/16\", \"192.168.0.0/16\"]\n",
		"c.toml:5:30: network.masquerade: 192.168.0.0/16 reaches nothing that this node "
		"forwards to; expected a prefix of forward_subnets or advertise_subnets"},
	{"[network]\nmasquerade = 1\n", "c.toml:2:14: network.masquerade: is an integer; expected "
					"true, false or an array such as [\"10.0.0.0/8\"]"},
	{"[overlay]\naccept_routes = \"some\"\n",
		"c.toml:2:17: overlay.accept_routes: is a string; expected \"all\", \"none\" or an "
		"array such as [\"10.0.0.0/8\"]"},
	{"[overlay]\naccept_routes_over_lan = \"yes\"\n",
		"c.toml:2:26: overlay.accept_routes_over_lan: is a string; expected true or false"},
	{"[overlay]\ndefault_gateway = \"gw\"\n" PEER_A "name = \"gateway\"\n",
		"c.toml:2:19: overlay.default_gateway: there is no peer \"gw\"; expected the name "
		"or the NodeId of one of [[peers]]"},
	{"[network]\nexit = true\nmasquerade = true\n",
		"c.toml:2:8: network.exit: is for gateways; expected role = \"gateway\" under "
		"[node], or --role gateway"},
	/* VPN mode */
	{"[vpn]\nenabled = true\n",
		"c.toml:2:11: vpn.enabled: needs a peer to send through; expected via under [vpn], "
		"--via, or default_gateway under [overlay]"},
	{"[vpn]\nvia = \"gatewya\"\n" PEER_A "name = \"gateway\"\nexit = true\n",
		"c.toml:2:7: vpn.via: there is no peer \"gatewya\" (did you mean \"gateway\"?); "
		"expected the name or the NodeId of one of [[peers]]"},
	{"[vpn]\nvia = \"gw\"\n" PEER_A "name = \"gw\"\n",
		"c.toml:2:7: vpn.via: peer \"gw\" (line 3) may not advertise a default route; "
		"expected a peer with exit = true"},
	{"[vpn]\nenabled = true\n[overlay]\ndefault_gateway = \"gw\"\n" PEER_A "name = \"gw\"\n",
		""},
	{"[vpn]\nexclude = [\"0.0.0.0/0\"]\ninclude = [\"::/0\"]\n",
		"c.toml:2:12: vpn.exclude: 0.0.0.0/0 is everything; expected enabled = false for "
		"that\n"
		"c.toml:3:12: vpn.include: ::/0 is everything; expected no include at all for "
		"that"},
	{"[vpn]\nexclude = [\"10.1.0.0/16\"]\ninclude = [\"10.0.0.0/8\", \"10.1.0.0/16\"]\n",
		"c.toml:3:26: vpn.include: 10.1.0.0/16 is in exclude, too (line 2); expected it in "
		"one of them"},
	{"[vpn]\ninclude = [\"10.1.0.0/16\"]\nexclude = [\"10.0.0.0/8\"]\n",
		"c.toml:2:12: vpn.include: 10.1.0.0/16 lies in 10.0.0.0/8 of exclude (line 3); "
		"expected what is not excluded"},
	{"[vpn]\ninclude = [\"10.0.0.0/8\"]\nexclude = [\"10.1.0.0/16\", \"192.168.1.0/24\"]\n",
		"c.toml:3:27: vpn.exclude: 192.168.1.0/24 lies in nothing of include (line 2), and "
		"so is not tunnelled anyhow; expected a part of that"},
	{"[vpn]\nlan = true\n",
		"c.toml:2:7: vpn.lan: is a boolean; expected \"block\" or \"allow\""},
	{"[vpn]\ndns = \"gatewy\"\n", "c.toml:2:7: vpn.dns: is a string; expected \"gateway\", "
				      "\"off\" or an array such as [\"10.0.0.53\"]"},
	{"[vpn]\ndns = []\n",
		"c.toml:2:7: vpn.dns: is empty; expected \"gateway\", \"off\" or an array such as "
		"[\"10.0.0.53\"]"},
	{"[vpn]\ndns = [\"127.0.0.1\"]\n",
		"c.toml:2:8: vpn.dns: \"127.0.0.1\" is the host's loopback; expected an IPv4 or "
		"IPv6 address such as \"10.0.0.53\""},
	{"[vpn]\ncaptive_portal = \"https://x.example/\"\n",
		"c.toml:2:18: vpn.captive_portal: \"https://x.example/\" does not begin with "
		"http://; expected a URL of a page over HTTP, of a host by its address, such as "
		"\"http://203.0.113.80/\""},
	{"[vpn]\ncaptive_portal = \"http://a@b/\"\n",
		"c.toml:2:18: vpn.captive_portal: \"http://a@b/\" has no address where the host "
		"belongs; expected a URL of "
		"a page over HTTP, of a host by its address, such as \"http://203.0.113.80/\""},
	{"[vpn]\ncaptive_portal = \"http://203.0.113.80/ x\"\n",
		"c.toml:2:18: vpn.captive_portal: \"http://203.0.113.80/ x\" has a character that "
		"it cannot "
		"have; expected a URL of a page over HTTP, of a host by its address, such as "
		"\"http://203.0.113.80/\""},
	/* domains */
	{"[dns]\ndomains = [\"corp.example\"]\n",
		"c.toml:2:11: dns.domains: is an array; expected a table of domains and the "
		"addresses of their servers, as in {\"corp.example\" = \"10.0.0.53\"}"},
	{"[dns]\ndomains = {corp.example = \"10.0.0.53\"}\n",
		"c.toml:2:12: dns.domains: \"corp\" is a table; expected a name with dots in "
		"quotes"},
	{"[dns]\ndomains = {\"corp.example\" = 53}\n",
		"c.toml:2:29: dns.domains: is an integer; expected a table of domains and the "
		"addresses of their servers, as in {\"corp.example\" = \"10.0.0.53\"}"},
	{"[dns]\ndomains = {\"corp.example\" = \"ns.corp.example\"}\n",
		"c.toml:2:12: dns.domains: \"corp.example=ns.corp.example\" ends with no address "
		"that can be asked, with or without a port; expected a table of domains and the "
		"addresses of their servers, as in {\"corp.example\" = \"10.0.0.53\"}"},
	{"[dns.domains]\n\"*.corp\" = \"10.0.0.53\"\n",
		"c.toml:2:1: dns.domains: \"*.corp=10.0.0.53\" begins with no domain; expected a "
		"table of domains and the addresses of their servers, as in {\"corp.example\" = "
		"\"10.0.0.53\"}"},
	{"[dns.domains]\n\"corp\" = \"10.0.0.53\"\n\"Corp.\" = \"10.0.0.54\"\n",
		"c.toml:2:1: dns.domains: corp has a server already (line 3); expected one for "
		"each "
		"domain"},
	{"[dns]\nnetwork = \"home\"\ndomains = {\"a.home.internal\" = \"10.0.0.53\"}\n",
		"c.toml:3:12: dns.domains: a.home.internal lies in home.internal, whose names this "
		"node answers itself; expected another domain, or network"},
	{"[dns]\nnetwork = \"a.b\"\n",
		"c.toml:2:11: dns.network: \"a.b\" is not a label; expected one label of up to 63 "
		"letters, digits and \"-\" such as \"home\""},
	/* several at once, in the order of the file; bytes that a terminal would act upon */
	{"[network]\nmtu = 1\n[security]\npq = \"\\u001b[2J\"\nx = 1\n",
		"c.toml:2:7: network.mtu: \"1\" is out of range; expected an integer from 1280 to "
		"9000\n"
		"c.toml:4:6: security.pq: \"\\x1b[2J\" is unknown; expected \"required\" or "
		"\"preferred\"\n"
		"c.toml:5:1: security.x: unknown key"},
	{"[node]\nname = \"a\\u0000b\"\n", "c.toml:2:8: a text with a zero byte in it"},
};

static void add_errors(struct qe_text *to, const struct qe_diagnostics *diagnostics)
{
	for (size_t i = 0; i < diagnostics->n; i++) {
		qe_text_add(to, i ? "\n" : "");
		qe_diagnostic_format(to, &diagnostics->items[i]);
	}
}

static enum qe_error parse(
	const struct qe_config_inputs *inputs, const char *toml, struct qe_diagnostics *diagnostics)
{
	struct qe_bytes bytes = {(const uint8_t *)toml, strlen(toml)};
	struct qe_config *config = nullptr;

	*diagnostics = (struct qe_diagnostics){};
	enum qe_error error = qe_config_parse(&config, inputs, "c.toml", bytes, diagnostics);
	if (error != QE_OK)
		assert_null(config);
	qe_config_free(config);
	return error;
}

static void assert_errors(
	const struct qe_config_inputs *inputs, const char *toml, const char *errors)
{
	static struct qe_diagnostics diagnostics;
	char text[8192];
	struct qe_text to = qe_text_init(text, sizeof text);

	enum qe_error error = parse(inputs, toml, &diagnostics);
	add_errors(&to, &diagnostics);
	assert_string_equal(text, errors);
	assert_int_equal(error, errors[0] ? QE_ERR_SYNTAX : QE_OK);
}

static void every_error_is_clear([[maybe_unused]] void **state)
{
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
		assert_errors(&(struct qe_config_inputs){}, vectors[i].text, vectors[i].errors);
}

static void environment_is_named([[maybe_unused]] void **state)
{
	static const struct {
		const char *variable, *errors;
	} cases[] = {
		{"QUICETHER_NETWORK_MTU=1",
			"QUICETHER_NETWORK_MTU: \"1\" is out of range; expected an integer "
			"from 1280 to 9000"},
		{"QUICETHER_NETWORK_TUN_ADDR=100.64.0.1,x",
			"QUICETHER_NETWORK_TUN_ADDR: \"x\" is not an address; expected an IPv4 or "
			"IPv6 "
			"address, with or without a prefix length, such as \"100.64.0.1\""},
		{"QUICETHER_NETWORK_LISTN=x",
			"QUICETHER_NETWORK_LISTN: unknown variable; did you mean "
			"\"QUICETHER_NETWORK_LISTEN\"?"},
		{"QUICETHER_PEERS_NAME=x", "QUICETHER_PEERS_NAME: unknown variable; did you mean "
					   "\"QUICETHER_NODE_NAME\"?"},
		{"QUICETHER_DNS_DOMAINS=corp.example",
			"QUICETHER_DNS_DOMAINS: \"corp.example\" is not of the form "
			"DOMAIN=SERVER; expected a table of domains and the addresses of their "
			"servers, as in {\"corp.example\" = \"10.0.0.53\"}"},
		{"QUICETHER_SOMETHING=x", ""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *environment[] = {(char *)cases[i].variable, nullptr};
		assert_errors(&(struct qe_config_inputs){.environment = environment}, "",
			cases[i].errors);
	}
}

static void flags_are_named([[maybe_unused]] void **state)
{
	static const struct {
		struct qe_config_flag flag;
		const char *errors;
	} cases[] = {
		{{"rotate-secs", "601"}, "--rotate-secs: \"601\" is out of range; expected an "
					 "integer from 1 to 600"},
		{{"peer", "abc@host:1"}, "--peer: \"abc\" has 3 characters, and a NodeId has 32; "
					 "expected a NodeId such "
					 "as \"oz2mrw5ugm4ttcsqcdlwk3ocehjqzjcp\""},
		{{"peer", ID_A "@"}, "--peer: \"\" has neither an address nor a name of a host; "
				     "expected a host and "
				     "a port such as \"vpn.example.net:7844\""},
		{{"vpn", "yes"}, "--vpn: \"yes\" is not a boolean; expected true or false"},
		{{"via", ID_B}, "--via: peer \"" ID_B "\" (line 1) may not advertise a default "
				"route; expected a peer with exit = true"},
		{{"advertise-subnet", "10.1.0.0/16"},
			"--advertise-subnet: 10.1.0.0/16 belongs to peer \"" ID_B
			"\" (line 1) already; expected prefixes that belong to one node only"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_errors(&(struct qe_config_inputs){.flags = &cases[i].flag, .n_flags = 1},
			PEER_B "subnets = [\"10.1.0.0/16\"]\n", cases[i].errors);
}

static void only_so_many_are_kept([[maybe_unused]] void **state)
{
	static struct qe_diagnostics diagnostics;
	char toml[1024] = "[node]\n";

	for (size_t i = 0; i < 30; i++)
		snprintf(toml + strlen(toml), sizeof toml - strlen(toml), "x%zu = 1\n", i);
	assert_int_equal(parse(&(struct qe_config_inputs){}, toml, &diagnostics), QE_ERR_SYNTAX);
	assert_int_equal(diagnostics.n, QE_DIAGNOSTICS_MAX);
	assert_int_equal(diagnostics.dropped, 30 - QE_DIAGNOSTICS_MAX);
}

/* What toml++ would answer with a recursion as deep as the key. */
static void deep_keys_are_refused([[maybe_unused]] void **state)
{
	static struct qe_diagnostics diagnostics;
	static const char *const begins[] = {"", "[", "x = {", "a = 'it''s \"' \n# it's\n"};
	const size_t n = 200000;
	char *toml = malloc(2 * n + 64);

	for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
		char *at = stpcpy(toml, begins[i]);
		for (size_t part = 0; part < n; part++)
			at = stpcpy(at, "a.");
		stpcpy(at, "a = 1\n");
		assert_int_equal(
			parse(&(struct qe_config_inputs){}, toml, &diagnostics), QE_ERR_SYNTAX);
	}
	for (size_t i = 0; i < n; i++)
		memcpy(toml + 2 * i, i ? "[[" : "a=", 2);
	toml[2 * n] = '\0';
	assert_int_equal(parse(&(struct qe_config_inputs){}, toml, &diagnostics), QE_ERR_SYNTAX);
	free(toml);
}

static void the_own_key_is_no_peer([[maybe_unused]] void **state)
{
	static struct qe_diagnostics diagnostics;
	struct qe_bytes text = {(const uint8_t *)PEER_A PEER_B, strlen(PEER_A PEER_B)};
	struct qe_node_id own = {};
	struct qe_config *config;
	char line[600];

	assert_int_equal(qe_config_parse(&config, &(struct qe_config_inputs){}, "c.toml", text,
				 &diagnostics),
		QE_OK);
	own.bytes[19] = 1;
	assert_int_equal(qe_config_check_identity(config, &own, &diagnostics), QE_OK);
	own.bytes[19] = 0; /* ID_A */
	assert_int_equal(qe_config_check_identity(config, &own, &diagnostics), QE_ERR_SYNTAX);
	struct qe_text to = qe_text_init(line, sizeof line);
	qe_diagnostic_format(&to, &diagnostics.items[0]);
	assert_string_equal(line, "c.toml:2:6: peers.id: is this node's own NodeId (key in "
				  "/etc/quicether/node.key); expected another node's");
	qe_config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_is_clear),
		cmocka_unit_test(environment_is_named),
		cmocka_unit_test(flags_are_named),
		cmocka_unit_test(only_so_many_are_kept),
		cmocka_unit_test(deep_keys_are_refused),
		cmocka_unit_test(the_own_key_is_no_peer),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
