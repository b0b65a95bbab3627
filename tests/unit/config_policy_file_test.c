/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The policy file: what every key becomes, and every error word by word, with its place. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/policy_file.h"
#include "crypto/node_id.h"
#include "net/addr.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
/* Rule and test whose keys are all right, up to the ones that a vector adds. */
#define RULE "[[rules]]\nid = \"r\"\nsubject = \"*\"\nobject = \"*\"\naction = \"allow\"\n"
#define TEST "[[tests]]\nfrom = \"a\"\nto = \"10.0.0.1\"\nexpect = \"deny\"\n"

static const char full[] =
	"[groups.servers]\n"
	"members = [\"nas\", \"" ID_A "\", \"group:more\"]\n"
	"[groups.more]\n"
	"members = []\n"
	"[[rules]]\n"
	"id = \"ssh\"\n"
	"subject = \"group:servers\"\n"
	"object = [\"node:nas\", \"192.168.1.0/24\", \"fd00::1\", \"*\", \"node:" ID_A "\"]\n"
	"protocols = [\"tcp\", 17]\n"
	"ports = [22, \"8000-8080\"]\n"
	"action = \"allow\"\n"
	"log = true\n"
	"schedule = { days = [\"fri-mon\", \"wed\"], hours = \"22:30-06:00\", "
	"time_zone = \"Europe/Berlin\" }\n"
	"[[rules]]\n"
	"id = \"rest\"\n"
	"subject = [\"*\"]\n"
	"object = \"*\"\n"
	"protocols = \"any\"\n"
	"action = \"deny\"\n"
	"[[tests]]\n"
	"from = \"" ID_A "\"\n"
	"to = \"node:nas\"\n"
	"protocol = \"tcp\"\n"
	"port = 22\n"
	"expect = \"allow\"\n"
	"[[tests]]\n"
	"from = \"node:laptop\"\n"
	"to = \"10.0.0.1\"\n"
	"protocol = \"icmp\"\n"
	"at = \"tue 10:30\"\n"
	"expect = \"deny\"\n";

static struct qe_diagnostics diagnostics;

static enum qe_error parse(struct qe_policy_source *ret_source, const char *text)
{
	struct qe_bytes bytes = {(const uint8_t *)text, strlen(text)};

	return qe_policy_file_parse(ret_source, "p.toml", bytes, &diagnostics);
}

static void assert_rule(const struct qe_policy_rule *rule)
{
	assert_string_equal(rule->id, "ssh");
	assert_int_equal(rule->n_subjects, 1);
	assert_int_equal(rule->subjects[0].kind, QE_POLICY_GROUP);
	assert_string_equal(rule->subjects[0].name, "servers");
	assert_int_equal(rule->n_objects, 5);
	assert_int_equal(rule->objects[0].kind, QE_POLICY_NODE);
	assert_string_equal(rule->objects[0].name, "nas");
	assert_int_equal(rule->objects[0].place.line, 8);
	assert_int_equal(rule->objects[0].place.column, 11);
	assert_int_equal(rule->objects[1].kind, QE_POLICY_PREFIX);
	assert_int_equal(rule->objects[1].prefix.length, 24);
	assert_int_equal(rule->objects[2].prefix.length, 128);
	assert_int_equal(rule->objects[3].kind, QE_POLICY_ANY);
	assert_int_equal(rule->objects[4].kind, QE_POLICY_NODE_ID);
	assert_int_equal(rule->n_protocols, 2);
	assert_int_equal(rule->protocols[0], 6);
	assert_int_equal(rule->protocols[1], 17);
	assert_int_equal(rule->n_ports, 2);
	assert_int_equal(rule->ports[0].first, 22);
	assert_int_equal(rule->ports[0].last, 22);
	assert_int_equal(rule->ports[1].last, 8080);
	assert_int_equal(rule->action, QE_ACTION_ALLOW);
	assert_true(rule->log);
	assert_int_equal(rule->place.line, 5);
}

static void every_key_is_read([[maybe_unused]] void **state)
{
	struct qe_policy_source source;

	assert_int_equal(parse(&source, full), QE_OK);
	assert_int_equal(source.n_groups, 2);
	assert_string_equal(source.groups[0].name, "more");
	assert_int_equal(source.groups[0].n_members, 0);
	assert_int_equal(source.groups[1].n_members, 3);
	assert_int_equal(source.groups[1].members[1].kind, QE_POLICY_NODE_ID);
	assert_int_equal(source.groups[1].members[2].kind, QE_POLICY_GROUP);
	assert_int_equal(source.n_rules, 2);
	assert_rule(&source.rules[0]);
	assert_int_equal(source.rules[0].schedule->days, 1 << 4 | 1 << 5 | 1 << 6 | 1 | 1 << 2);
	assert_int_equal(source.rules[0].schedule->from, 22 * 60 + 30);
	assert_int_equal(source.rules[0].schedule->until, 6 * 60);
	assert_string_equal(source.rules[0].schedule->zone_name, "Europe/Berlin");
	assert_non_null(source.rules[0].schedule->zone);
	assert_int_equal(source.rules[1].n_protocols, 0);
	assert_null(source.rules[1].schedule);
	assert_int_equal(source.n_tests, 2);
	assert_int_equal(source.tests[0].from.kind, QE_POLICY_NODE_ID);
	assert_int_equal(source.tests[0].to.kind, QE_POLICY_NODE);
	assert_true(source.tests[0].has_port);
	assert_int_equal(source.tests[0].port, 22);
	assert_int_equal(source.tests[1].to.kind, QE_POLICY_PREFIX);
	assert_int_equal(source.tests[0].at, QE_POLICY_NO_TIME);
	assert_int_equal(source.tests[1].at, (24 + 10) * 60 + 30);
	assert_int_equal(source.tests[1].protocol, QE_POLICY_PROTOCOL_ICMP);
	assert_int_equal(source.tests[1].expect, QE_ACTION_DENY);
	qe_policy_source_done(&source);
}

#define EXPECTED_NODES "names of nodes, NodeIds or \"group:NAME\""
#define EXPECTED_OBJECTS "\"*\", or prefixes, \"node:NAME\" or \"group:NAME\""
#define EXPECTED_PORTS "numbers from 0 to 65535 or ranges such as \"8000-8080\""
#define EXPECTED_NAME "a name of up to 63 letters, digits, \".\", \"_\" and \"-\""

static const struct {
	const char *text, *errors; /* one error in a line */
} vectors[] = {
	{"", ""},
	{"[rules\n", "p.toml:1:7: Error while parsing table header: expected ']', saw '\\n'"},
	{"[[rule]]\n", "p.toml:1:3: rule: unknown section; did you mean \"rules\"?"},
	{"[zzzzzz]\n", "p.toml:1:2: zzzzzz: unknown section"},
	{"[rules]\n", "p.toml:1:1: rules: is a table; expected [[rules]], once for each rule"},
	{"rules = [1]\n", "p.toml:1:10: rules: is an integer; expected a table"},
	{"groups = 1\n",
		"p.toml:1:10: groups: is an integer; expected [groups.NAME], once for each group"},
	{"[groups]\na = [\"b\"]\n", "p.toml:2:5: groups: is an array; expected a table"},
	{"[groups.-a]\nmembers = []\n",
		"p.toml:1:9: groups.NAME: \"-a\" is not a name; expected " EXPECTED_NAME},
	{"[groups.a]\n",
		"p.toml:1:1: groups.members: is missing; expected a list of " EXPECTED_NODES},
	{"[groups.a]\nmembers = [\"*\"]\n", "p.toml:2:12: groups.members: \"*\" is not a name; "
					    "expected a list of " EXPECTED_NODES},
	{RULE "porst = 1\n", "p.toml:6:1: rules.porst: unknown key; did you mean \"ports\"?"},
	{RULE "zzzzzzz = 1\n", "p.toml:6:1: rules.zzzzzzz: unknown key"},
	{"[[rules]]\nid = 1\nsubject = \"*\"\nobject = \"*\"\naction = \"allow\"\n",
		"p.toml:2:6: rules.id: is an integer; expected " EXPECTED_NAME},
	{"[[rules]]\nid = \"r\"\nsubject = \"*\"\n",
		"p.toml:1:1: rules.object: is missing; expected " EXPECTED_OBJECTS "\n"
		"p.toml:1:1: rules.action: is missing; expected \"allow\" or \"deny\""},
	{"[[rules]]\nid = \"r\"\nsubject = []\nobject = \"*\"\naction = \"allow\"\n",
		"p.toml:3:11: rules.subject: is empty, so that nothing can match; expected \"*\", "
		"or " EXPECTED_NODES},
	{"[[rules]]\nid = \"r\"\nsubject = \"10.0.0.0/8\"\nobject = \"*\"\naction = \"allow\"\n",
		"p.toml:3:11: rules.subject: \"10.0.0.0/8\" is not a name; expected \"*\", "
		"or " EXPECTED_NODES},
	{"[[rules]]\nid = \"r\"\nsubject = \"group:\"\nobject = \"*\"\naction = \"alow\"\n",
		"p.toml:3:11: rules.subject: \"\" is not a name; expected \"*\", "
		"or " EXPECTED_NODES "\n"
		"p.toml:5:10: rules.action: \"alow\" is unknown (did you mean \"allow\"?); "
		"expected \"allow\" or \"deny\""},
	{"[[rules]]\nid = \"r\"\nsubject = \"*\"\nobject = [\"10.0.0.1/8\", \"nas\", true]\n"
	 "action = \"deny\"\n",
		"p.toml:4:11: rules.object: \"10.0.0.1/8\" has host bits set (did you mean "
		"\"10.0.0.0/8\"?); expected " EXPECTED_OBJECTS "\n"
		"p.toml:4:25: rules.object: \"nas\" is not a prefix (did you mean \"node:nas\"?); "
		"expected " EXPECTED_OBJECTS "\n"
		"p.toml:4:32: rules.object: is a boolean; expected " EXPECTED_OBJECTS},
	{"[[rules]]\nid = \"r\"\nsubject = \"*\"\nobject = \"224.0.0.0/4\"\naction = \"deny\"\n",
		"p.toml:4:10: rules.object: \"224.0.0.0/4\" is multicast, which does not cross the "
		"overlay; expected " EXPECTED_OBJECTS},
	{"[[rules]]\nid = \"r\"\nsubject = \"*\"\nobject = [\"0.0.0.0/0\", \"::/0\"]\naction = "
	 "\"deny\"\n",
		""},
	{RULE "protocols = [\"tpc\", 256]\n",
		"p.toml:6:14: rules.protocols: \"tpc\" is unknown (did you mean \"tcp\"?); "
		"expected "
		"\"any\", or \"tcp\", \"udp\", \"icmp\" or numbers from 0 to 255"},
	{RULE "protocols = [\"tcp\", 256]\n",
		"p.toml:6:21: rules.protocols: 256 is out of range; expected "
		"\"any\", or \"tcp\", \"udp\", \"icmp\" or numbers from 0 to 255"},
	{RULE "protocols = [\"tcp\", \"any\"]\n",
		"p.toml:6:21: rules.protocols: \"any\" stands alone; expected "
		"\"any\", or \"tcp\", \"udp\", \"icmp\" or numbers from 0 to 255"},
	{RULE "ports = [22]\n", ""},
	{RULE "protocols = 6\nports = 22\n", ""},
	{RULE "protocols = [\"tcp\", \"icmp\"]\nports = [22]\n",
		"p.toml:1:1: rules.ports: a protocol of rule \"r\" has no ports; expected ports "
		"with \"tcp\" and \"udp\" only"},
	{RULE "ports = [65536, \"9-8\", \"1-\", \"1-65536\", 1.0, -1]\n",
		"p.toml:6:10: rules.ports: 65536 is out of range; expected " EXPECTED_PORTS "\n"
		"p.toml:6:17: rules.ports: \"9-8\" ends before it begins; expected " EXPECTED_PORTS
		"\n"
		"p.toml:6:24: rules.ports: \"1-\" is not a range of ports; expected " EXPECTED_PORTS
		"\n"
		"p.toml:6:30: rules.ports: \"1-65536\" is not a range of ports; "
		"expected " EXPECTED_PORTS "\n"
		"p.toml:6:41: rules.ports: is a float; expected " EXPECTED_PORTS "\n"
		"p.toml:6:46: rules.ports: -1 is out of range; expected " EXPECTED_PORTS},
	{RULE "ports = []\n", "p.toml:6:9: rules.ports: is empty, so that nothing can match; "
			      "expected " EXPECTED_PORTS},
	{RULE "log = \"yes\"\n", "p.toml:6:7: rules.log: is a string; expected true or false"},
	{RULE "schedule = \"always\"\n",
		"p.toml:6:12: rules.schedule: is a string; expected a table"},
	{RULE "[rules.schedule]\ndays = [\"mo\", \"tue-\", \"mon-day\"]\n",
		"p.toml:7:9: rules.schedule.days: \"mo\" is unknown; "
		"expected days such as \"mon\" or \"mon-fri\"\n"
		"p.toml:7:15: rules.schedule.days: \"tue-\" is unknown (did you mean \"tue\"?); "
		"expected days such as \"mon\" or \"mon-fri\"\n"
		"p.toml:7:23: rules.schedule.days: \"day\" is unknown; expected days such as "
		"\"mon\" or \"mon-fri\""},
	{RULE "[rules.schedule]\nhours = \"9-17\"\n",
		"p.toml:7:9: rules.schedule.hours: \"9-17\" is not a range of hours; expected a "
		"range such as \"09:00-17:30\""},
	{RULE "[rules.schedule]\nhours = \"00:00-24:01\"\n",
		"p.toml:7:9: rules.schedule.hours: \"00:00-24:01\" is not a range of hours; "
		"expected a range such as \"09:00-17:30\""},
	{RULE "[rules.schedule]\nhours = \"10:00-10:00\"\n",
		"p.toml:7:9: rules.schedule.hours: \"10:00-10:00\" is empty; expected a range such "
		"as \"09:00-17:30\""},
	{RULE "[rules.schedule]\ntime_zone = \"../../../etc/shadow\"\n",
		"p.toml:7:13: rules.schedule.time_zone: \"../../../etc/shadow\" is not a time "
		"zone; expected a name such as \"Europe/Berlin\""},
	{RULE "[rules.schedule]\ntime_zone = \"Europe/Nowhere\"\n",
		"p.toml:7:13: rules.schedule.time_zone: \"Europe/Nowhere\" is unknown here: "
		"/usr/share/zoneinfo/ lacks it; expected a name such as \"Europe/Berlin\""},
	{RULE "[rules.schedule]\nhour = 1\n",
		"p.toml:7:1: rules.schedule.hour: unknown key; did you mean \"hours\"?"},
	{RULE RULE, "p.toml:6:1: rules.id: \"r\" is the id of the rule in line 1 too; expected one "
		    "that no other rule has"},
	{TEST "protocol = \"udp\"\n",
		"p.toml:1:1: tests.port: is missing; expected a number from 0 to 65535"},
	{TEST "protocol = \"any\"\n",
		"p.toml:5:12: tests.protocol: \"any\" is none that a packet has; expected \"tcp\", "
		"\"udp\", \"icmp\" or a number from 0 to 255"},
	{TEST "protocol = 47\nport = 1\n",
		"p.toml:1:1: tests.port: the protocol has no ports; expected a port with \"tcp\" "
		"and \"udp\" only"},
	{"[[tests]]\nfrom = \"*\"\nto = \"10.0.0.0/8\"\nprotocol = 1\nexpect = \"deny\"\n",
		"p.toml:2:8: tests.from: \"*\" is not a name; expected the name of a node or its "
		"NodeId\n"
		"p.toml:3:6: tests.to: \"10.0.0.0/8\" is more than one address; expected an "
		"address or \"node:NAME\""},
};

static void check_vector(size_t i)
{
	char said[8192] = "";
	struct qe_text text = qe_text_init(said, sizeof said);
	struct qe_policy_source source;
	enum qe_error error = parse(&source, vectors[i].text);

	for (size_t k = 0; k < diagnostics.n; k++) {
		qe_text_add(&text, k ? "\n" : "");
		qe_diagnostic_format(&text, &diagnostics.items[k]);
	}
	if (strcmp(said, vectors[i].errors) != 0)
		print_error("vector %zu:\n%s\n", i, vectors[i].text);
	assert_string_equal(said, vectors[i].errors);
	assert_int_equal(error, diagnostics.n ? QE_ERR_SYNTAX : QE_OK);
	if (error == QE_OK)
		qe_policy_source_done(&source);
}

static void errors_say_where_and_what([[maybe_unused]] void **state)
{
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
		check_vector(i);
}

static void a_file_that_is_not_there_is_an_error([[maybe_unused]] void **state)
{
	char *text;
	size_t len;

	assert_int_equal(
		qe_policy_file_read(&text, &len, "/nowhere/p.toml", &diagnostics), -ENOENT);
	assert_int_equal(diagnostics.n, 1);
	assert_string_equal(diagnostics.items[0].text, "cannot be read: No such file or directory");
}

static void bounds_hold([[maybe_unused]] void **state)
{
	size_t n = (QE_POLICY_RULES_MAX + 1) * 8;
	char *text = malloc(n + 32), *at = text;
	struct qe_policy_source source;

	at += sprintf(at, "rules = [");
	for (size_t i = 0; i <= QE_POLICY_RULES_MAX; i++)
		at += sprintf(at, "{},");
	sprintf(at, "]\n");
	assert_int_equal(parse(&source, text), QE_ERR_SYNTAX);
	assert_string_equal(diagnostics.items[0].text, "more than 16384 of them");
	free(text);

	text = malloc(128 + (QE_POLICY_LIST_MAX + 1) * 2);
	at = text + sprintf(text, "%sports = [", RULE);
	for (size_t i = 0; i <= QE_POLICY_LIST_MAX; i++)
		at += sprintf(at, "1,");
	sprintf(at, "]\n");
	assert_int_equal(parse(&source, text), QE_ERR_SYNTAX);
	assert_string_equal(
		diagnostics.items[0].text, "has more than 4096 items; expected " EXPECTED_PORTS);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_is_read),
		cmocka_unit_test(errors_say_where_and_what),
		cmocka_unit_test(a_file_that_is_not_there_is_an_error),
		cmocka_unit_test(bounds_hold),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
