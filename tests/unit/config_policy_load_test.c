/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A policy judged as a whole, against the nodes of a configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/policy_load.h"
#include "config/policy_members.h"
#include "crypto/node_id.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_C "caaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_NOBODY "daaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const char toml[] = "[node]\nname = \"gateway\"\n"
			   "[network]\ntun_addr = [\"100.64.0.1\"]\n"
			   "[[peers]]\nname = \"laptop\"\nid = \"" ID_A
			   "\"\naddresses = [\"100.64.0.2\"]\n"
			   "groups = [\"people\"]\n"
			   "[[peers]]\nname = \"nas\"\nid = \"" ID_B
			   "\"\naddresses = [\"100.64.0.3\"]\n"
			   "subnets = [\"192.168.1.0/24\"]\ngroups = [\"servers\"]\n"
			   "[[peers]]\nname = \"twin\"\nid = \"" ID_C "\"\n";

#define RULE(id, subject, object, action) \
	"[[rules]]\nid = \"" id "\"\nsubject = " subject "\nobject = " object \
	"\naction = \"" action "\"\n"
#define TEST(from, to, port, expect) \
	"[[tests]]\nfrom = \"" from "\"\nto = \"" to "\"\nprotocol = \"tcp\"\nport = " port \
	"\nexpect = \"" expect "\"\n"

static struct qe_config *config;
static struct qe_policy_members members;
static struct qe_policy_findings findings;

static int set_up([[maybe_unused]] void **state)
{
	static struct qe_diagnostics diagnostics;
	static struct qe_node_id own;
	struct qe_bytes bytes = {(const uint8_t *)toml, sizeof toml - 1};

	memset(own.bytes, 0xff, sizeof own.bytes);
	assert_int_equal(qe_config_parse(&config, &(struct qe_config_inputs){}, "c.toml", bytes,
				 &diagnostics),
		QE_OK);
	return qe_policy_members_init(&members, config, &own);
}

static int tear_down([[maybe_unused]] void **state)
{
	qe_policy_members_done(&members);
	config = qe_config_free(config);
	return 0;
}

static const struct {
	const char *text;
	const char *errors, *failures, *warnings; /* one in a line */
} vectors[] = {
	{"", "", "", ""},
	{RULE("a", "[\"laptop\", \"" ID_B "\", \"group:people\"]",
		 "[\"node:nas\", \"group:servers\"]", "allow"),
		"", "", ""},
	{RULE("a", "\"lapto\"", "\"node:zzzzzz\"", "allow"),
		"p.toml:3:11: rules.subject: there is no node \"lapto\"; did you mean \"laptop\"?\n"
		"p.toml:4:10: rules.object: there is no node \"zzzzzz\"",
		"", ""},
	{RULE("a", "\"group:serves\"", "\"*\"", "allow"),
		"p.toml:3:11: rules.subject: there is no group \"serves\"; did you mean "
		"\"servers\"?",
		"", ""},
	{RULE("a", "\"" ID_NOBODY "\"", "\"*\"", "allow"), "", "",
		"p.toml:3:11: rules.subject: no node here has the NodeId " ID_NOBODY},
	/* groups */
	{"[groups.a]\nmembers = [\"nowhere\", \"group:b\"]\n[groups.b]\nmembers = []\n",
		"p.toml:2:12: groups.members: there is no node \"nowhere\"", "", ""},
	{"[groups.a]\nmembers = [\"group:a\"]\n",
		"p.toml:2:12: groups.members: group \"a\" contains itself", "", ""},
	{"[groups.a]\nmembers = [\"group:b\"]\n[groups.b]\nmembers = [\"group:c\"]\n"
	 "[groups.c]\nmembers = [\"nas\", \"group:a\"]\n",
		"p.toml:6:19: groups.members: group \"a\" contains \"c\" already", "", ""},
	{"[groups.a]\nmembers = [\"group:b\"]\n[groups.b]\nmembers = []\n" RULE(
		 "r", "\"group:a\"", "\"*\"", "deny"),
		"", "",
		"p.toml:7:11: rules.subject: rule \"r\" matches nothing, as nobody is in "
		"its groups"},
	{"[groups.a]\nmembers = [\"group:b\"]\n[groups.b]\nmembers = [\"group:people\"]\n" RULE(
		 "r", "\"group:a\"", "\"*\"", "deny"),
		"", "", ""},
	/* rules that no packet reaches */
	{RULE("a", "\"*\"", "\"10.0.0.0/8\"", "allow")
			RULE("b", "\"nas\"", "\"10.1.0.0/16\"", "deny"),
		"", "",
		"p.toml:6:1: rules: no packet reaches rule \"b\": rule \"a\" (line 1) takes all "
		"that "
		"it matches"},
	{RULE("a", "\"*\"", "\"0.0.0.0/1\"", "allow")
			RULE("b", "\"*\"", "[\"::/0\", \"128.0.0.0/1\"]", "allow")
				RULE("c", "\"nas\"", "\"*\"", "deny") "ports = 22\n",
		"", "",
		"p.toml:11:1: rules: no packet reaches rule \"c\": rules before it such as \"b\" "
		"(line "
		"6) take all that it matches"},
	{RULE("a", "\"*\"", "\"*\"", "allow") "protocols = [\"tcp\"]\nports = [22]\n" RULE(
		 "b", "\"*\"", "\"*\"", "allow") "protocols = [\"udp\"]\nports = [22]\n" RULE("c",
		 "\"*\"", "\"*\"", "deny") "ports = 22\n",
		"", "",
		"p.toml:15:1: rules: no packet reaches rule \"c\": rules before it such as \"b\" "
		"(line "
		"8) take all that it matches"},
	{RULE("a", "\"*\"", "\"*\"", "allow") "schedule = { days = \"mon\" }\n" RULE(
		 "b", "\"nas\"", "\"*\"", "deny"),
		"", "", ""},
	/* tests */
	{RULE("ssh", "\"laptop\"", "\"node:nas\"", "allow") TEST(
		 "laptop", "node:nas", "22", "allow") TEST("nas", "100.64.0.2", "22", "deny"),
		"", "", ""},
	{RULE("ssh", "\"laptop\"", "\"node:nas\"", "allow") TEST(
		 "laptop", "100.64.0.3", "22", "deny") TEST("nas", "10.0.0.1", "22", "allow"),
		"",
		"p.toml:6:1: tests: expected deny, but rule \"ssh\" allows 100.64.0.3\n"
		"p.toml:12:1: tests: expected allow, but no rule matches, which denies 10.0.0.1",
		""},
	/* each address of a node counts */
	{RULE("ssh", "\"laptop\"", "\"100.64.0.3\"", "allow")
			TEST("laptop", "node:nas", "22", "allow"),
		"",
		"p.toml:6:1: tests: expected allow, but no rule matches, which denies "
		"fd51:e708::",
		""},
	/* this node is one of them; nobody is a subject of its own */
	{RULE("out", "\"gateway\"", "\"*\"", "allow") TEST("gateway", "10.0.0.1", "1", "allow")
			TEST(ID_NOBODY, "10.0.0.1", "1", "deny"),
		"", "", "p.toml:13:8: tests.from: no node here has the NodeId " ID_NOBODY},
	/* a test without a time sees no rule with a schedule */
	{RULE("a", "\"*\"", "\"*\"",
		 "allow") "schedule = { days = \"mon-fri\", hours = "
			  "\"09:00-17:00\" }\n" TEST("laptop", "10.0.0.1", "1",
				  "deny") "[[tests]]\nfrom = \"laptop\"\nto = "
					  "\"10.0.0.1\"\nprotocol = \"icmp\"\n"
					  "at = \"fri 16:59\"\nexpect = \"allow\"\n"
					  "[[tests]]\nfrom = \"laptop\"\nto = "
					  "\"10.0.0.1\"\nprotocol = \"icmp\"\n"
					  "at = \"fri 17:00\"\nexpect = \"allow\"\n",
		"",
		"p.toml:19:1: tests: expected allow, but no rule matches, which denies 10.0.0.1",
		""},
};

static void say(char *to, size_t size, const struct qe_diagnostics *diagnostics)
{
	struct qe_text text = qe_text_init(to, size);

	for (size_t i = 0; i < diagnostics->n; i++) {
		qe_text_add(&text, i ? "\n" : "");
		qe_diagnostic_format(&text, &diagnostics->items[i]);
	}
}

static enum qe_error parse(const char *text)
{
	struct qe_bytes bytes = {(const uint8_t *)text, strlen(text)};
	struct qe_policy_source source;
	enum qe_error error = qe_policy_parse(
		&source, "p.toml", bytes, members.items, members.n, &findings);

	if (error == QE_OK)
		qe_policy_source_done(&source);
	return error;
}

static void findings_say_where_and_what([[maybe_unused]] void **state)
{
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
		char said[4096];
		enum qe_error error = parse(vectors[i].text);

		say(said, sizeof said, &findings.errors);
		assert_string_equal(said, vectors[i].errors);
		assert_int_equal(error, findings.errors.n ? QE_ERR_SYNTAX : QE_OK);
		say(said, sizeof said, &findings.failures);
		assert_string_equal(said, vectors[i].failures);
		say(said, sizeof said, &findings.warnings);
		assert_string_equal(said, vectors[i].warnings);
	}
}

/* A peer may have the name that this node has. */
static void two_nodes_of_one_name_are_told_apart([[maybe_unused]] void **state)
{
	members.items[2].name = "gateway";
	assert_int_equal(parse(RULE("a", "\"gateway\"", "\"*\"", "allow")), QE_ERR_SYNTAX);
	assert_string_equal(findings.errors.items[0].text,
		"two nodes have the name \"gateway\"; expected a NodeId");
	members.items[2].name = "twin";
}

/* One group in the next, as deep as may be. */
static void a_chain_of_groups_is_followed([[maybe_unused]] void **state)
{
	const size_t n = QE_POLICY_GROUPS_MAX - 8;
	char *text = malloc(n * 64), *at = text;

	for (size_t i = 0; i < n; i++)
		at += sprintf(
			at, "[groups.g%05zu]\nmembers = [\"group:g%05zu\"]\n", i, (i + 1) % n);
	assert_int_equal(parse(text), QE_ERR_SYNTAX);
	assert_int_equal(findings.errors.n, 1);
	assert_string_equal(
		findings.errors.items[0].text, "group \"g00000\" contains \"g04087\" already");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(findings_say_where_and_what),
		cmocka_unit_test(two_nodes_of_one_name_are_told_apart),
		cmocka_unit_test(a_chain_of_groups_is_followed),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
