/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A policy file is read along three tables of keys: for groups, for rules and for tests. A row
 * gives a key its reader and the words that an error ends with. Each reader fills its member of the
 * source and says whether it could; errors are collected, and one anywhere means no policy at all.
 */
#include "config/policy_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/policy_values.h"
#include "config/text_file.h"
#include "net/packet.h"

/* ---- keys ---- */

#define EXPECTED_NAME "a name of up to 63 letters, digits, \".\", \"_\" and \"-\""
#define EXPECTED_NODES "names of nodes, NodeIds or \"group:NAME\""

static bool read_id(struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_rule *rule = to;

	return qe_policy_read_name(reader, &rule->id, value);
}

static bool read_subjects(
	struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_rule *rule = to;

	return qe_policy_read_terms(
		reader, QE_TERMS_SUBJECT, &rule->subjects, &rule->n_subjects, value);
}

static bool read_objects(
	struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_rule *rule = to;

	return qe_policy_read_terms(
		reader, QE_TERMS_OBJECT, &rule->objects, &rule->n_objects, value);
}

static bool read_protocols(
	struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_rule *rule = to;

	return qe_policy_read_protocols(reader, &rule->protocols, &rule->n_protocols, value);
}

static bool read_ports(struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_rule *rule = to;

	return qe_policy_read_ports(reader, &rule->ports, &rule->n_ports, value);
}

static bool read_action(
	struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_rule *rule = to;

	return qe_policy_read_action(reader, &rule->action, value);
}

static bool read_log(struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_rule *rule = to;

	if (value->type != QE_TOML_BOOLEAN)
		return qe_policy_refuse_type(reader, value);
	rule->log = value->integer;
	return true;
}

static bool read_days(struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_schedule *schedule = to;

	return qe_policy_read_days(reader, &schedule->days, value);
}

const struct qe_policy_key qe_policy_schedule_keys[] = {
	{"days", false, "days such as \"mon\" or \"mon-fri\"", read_days},
	{"hours", false, "a range such as \"09:00-17:30\"", qe_policy_read_hours},
	{"time_zone", false, "a name such as \"Europe/Berlin\"", qe_policy_read_zone},
	{},
};

static bool read_schedule(
	struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_rule *rule = to;

	rule->schedule = calloc(1, sizeof *rule->schedule);
	if (!rule->schedule)
		return qe_policy_out_of_memory(reader);
	*rule->schedule = (struct qe_policy_schedule){
		.days = QE_POLICY_EVERY_DAY, .until = 24 * 60};
	return qe_policy_read_table(
		reader, "rules.schedule", qe_policy_schedule_keys, rule->schedule, value);
}

static bool read_members(
	struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_group *group = to;

	return qe_policy_read_terms(
		reader, QE_TERMS_MEMBER, &group->members, &group->n_members, value);
}

static bool read_from(struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_test *test = to;

	return qe_policy_read_term(reader, QE_TERMS_FROM, &test->from, value);
}

static bool read_to(struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_test *test = to;

	return qe_policy_read_term(reader, QE_TERMS_TO, &test->to, value);
}

static bool read_protocol(
	struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_test *test = to;

	if (!qe_policy_read_protocol(reader, &test->protocol, value))
		return false;
	return test->protocol != QE_POLICY_PROTOCOL_ANY ||
	       qe_policy_refuse(reader, value, "\"any\" is none that a packet has");
}

static bool read_port(struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_test *test = to;
	struct qe_policy_ports ports;

	if (value->type != QE_TOML_INTEGER)
		return qe_policy_refuse_type(reader, value);
	if (!qe_policy_read_range(reader, &ports, value))
		return false;
	test->has_port = true;
	test->port = ports.first;
	return true;
}

static bool read_at(struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_test *test = to;

	return qe_policy_read_week_time(reader, &test->at, value);
}

static bool read_expect(
	struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_test *test = to;

	return qe_policy_read_action(reader, &test->expect, value);
}

const struct qe_policy_key qe_policy_group_keys[] = {
	{"members", true, "a list of " EXPECTED_NODES, read_members},
	{},
};
const struct qe_policy_key qe_policy_rule_keys[] = {
	{"id", true, EXPECTED_NAME, read_id},
	{"subject", true, "\"*\", or " EXPECTED_NODES, read_subjects},
	{"object", true, "\"*\", or prefixes, \"node:NAME\" or \"group:NAME\"", read_objects},
	{"protocols", false, "\"any\", or \"tcp\", \"udp\", \"icmp\" or numbers from 0 to 255",
		read_protocols},
	{"ports", false, "numbers from 0 to 65535 or ranges such as \"8000-8080\"", read_ports},
	{"action", true, "\"allow\" or \"deny\"", read_action},
	{"log", false, "true or false", read_log},
	{"schedule", false, "a table with days, hours and time_zone", read_schedule},
	{},
};
const struct qe_policy_key qe_policy_test_keys[] = {
	{"from", true, "the name of a node or its NodeId", read_from},
	{"to", true, "an address or \"node:NAME\"", read_to},
	{"protocol", true, "\"tcp\", \"udp\", \"icmp\" or a number from 0 to 255", read_protocol},
	{"port", false, "a number from 0 to 65535", read_port},
	{"at", false, "a day and a time such as \"tue 10:30\"", read_at},
	{"expect", true, "\"allow\" or \"deny\"", read_expect},
	{},
};

/* ---- what the keys of one rule or test say together ---- */

static bool has_ports(uint16_t protocol)
{
	return protocol == QE_IP_TCP || protocol == QE_IP_UDP;
}

[[gnu::format(printf, 4, 5)]] static bool report(struct qe_policy_reader *reader,
	struct qe_policy_place place, const char *key, const char *format, ...)
{
	char text[sizeof reader->diagnostics->items[0].text];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	qe_diagnostics_add(
		reader->diagnostics, reader->file, place.line, place.column, key, "%s", text);
	return false;
}

/* A rule whose protocols are open means those that have ports. */
static bool check_rule(struct qe_policy_reader *reader, const struct qe_policy_rule *rule)
{
	for (size_t i = 0; rule->n_ports && i < rule->n_protocols; i++)
		if (!has_ports(rule->protocols[i]))
			return report(reader, rule->place, "rules.ports",
				"a protocol of rule \"%s\" has no ports; expected ports with "
				"\"tcp\" and \"udp\" only",
				rule->id);
	return true;
}

static bool check_test(struct qe_policy_reader *reader, const struct qe_policy_test *test)
{
	if (test->has_port && !has_ports(test->protocol))
		return report(reader, test->place, "tests.port",
			"the protocol has no ports; expected a port with \"tcp\" and \"udp\" only");
	if (!test->has_port && has_ports(test->protocol))
		return report(reader, test->place, "tests.port",
			"is missing; expected a number from 0 to 65535");
	return true;
}

static int compare_ids(const void *a, const void *b)
{
	const struct qe_policy_rule *const *x = a, *const *y = b;
	int order = strcmp((*x)->id, (*y)->id);

	return order ? order : (*x > *y) - (*x < *y);
}

static bool check_twins(struct qe_policy_reader *reader, const struct qe_policy_source *source)
{
	const struct qe_policy_rule **rules = calloc(source->n_rules + 1, sizeof *rules);
	bool ok = true;

	if (!rules)
		return qe_policy_out_of_memory(reader);
	for (size_t i = 0; i < source->n_rules; i++)
		rules[i] = &source->rules[i];
	qsort(rules, source->n_rules, sizeof *rules, compare_ids);
	for (size_t i = 1; i < source->n_rules; i++)
		if (strcmp(rules[i - 1]->id, rules[i]->id) == 0)
			ok = report(reader, rules[i]->place, "rules.id",
				"\"%s\" is the id of the rule in line %u too; expected one that no "
				"other rule has",
				rules[i]->id, rules[i - 1]->place.line);
	free(rules);
	return ok;
}

/* ---- sections ---- */

static bool read_group_name(struct qe_policy_reader *reader, struct qe_policy_group *group,
	const struct qe_toml_value *table)
{
	static const struct qe_policy_key key = {"NAME", .expected = EXPECTED_NAME};
	const struct qe_toml_value name = {
		.type = QE_TOML_STRING, .string = table->key, .place = table->key_place};

	reader->section = "groups";
	reader->key = &key;
	return qe_policy_read_name(reader, &group->name, &name);
}

static bool read_groups(struct qe_policy_reader *reader, struct qe_policy_source *source,
	const struct qe_toml_value *value)
{
	source->groups = calloc(value->n + 1, sizeof *source->groups);
	if (!source->groups)
		return qe_policy_out_of_memory(reader);
	for (size_t i = 0; i < value->n; i++) {
		const struct qe_toml_value *table = &value->children[i];
		struct qe_policy_group *group = &source->groups[source->n_groups++];

		group->place = qe_policy_place_of(table->key_place);
		read_group_name(reader, group, table);
		qe_policy_read_table(reader, "groups", qe_policy_group_keys, group, table);
	}
	return true;
}

static bool read_rules(struct qe_policy_reader *reader, struct qe_policy_source *source,
	const struct qe_toml_value *value)
{
	source->rules = calloc(value->n + 1, sizeof *source->rules);
	if (!source->rules)
		return qe_policy_out_of_memory(reader);
	for (size_t i = 0; i < value->n; i++) {
		const struct qe_toml_value *table = &value->children[i];
		struct qe_policy_rule *rule = &source->rules[source->n_rules++];

		rule->place = qe_policy_place_of(table->place);
		if (qe_policy_read_table(reader, "rules", qe_policy_rule_keys, rule, table))
			check_rule(reader, rule);
	}
	return true;
}

static bool read_tests(struct qe_policy_reader *reader, struct qe_policy_source *source,
	const struct qe_toml_value *value)
{
	source->tests = calloc(value->n + 1, sizeof *source->tests);
	if (!source->tests)
		return qe_policy_out_of_memory(reader);
	for (size_t i = 0; i < value->n; i++) {
		const struct qe_toml_value *table = &value->children[i];
		struct qe_policy_test *test = &source->tests[source->n_tests++];

		test->place = qe_policy_place_of(table->place);
		test->at = QE_POLICY_NO_TIME;
		if (qe_policy_read_table(reader, "tests", qe_policy_test_keys, test, table))
			check_test(reader, test);
	}
	return true;
}

static const struct section {
	const char *name;
	enum qe_toml_type type;
	size_t max;
	const char *expected;
	bool (*read)(struct qe_policy_reader *reader, struct qe_policy_source *source,
		const struct qe_toml_value *value);
} sections[] = {
	{"groups", QE_TOML_TABLE, QE_POLICY_GROUPS_MAX, "[groups.NAME], once for each group",
		read_groups},
	{"rules", QE_TOML_ARRAY, QE_POLICY_RULES_MAX, "[[rules]], once for each rule", read_rules},
	{"tests", QE_TOML_ARRAY, QE_POLICY_TESTS_MAX, "[[tests]], once for each test", read_tests},
};

#define N_SECTIONS (sizeof sections / sizeof *sections)

static void report_unknown_section(
	struct qe_policy_reader *reader, const struct qe_toml_value *value)
{
	const char *names[N_SECTIONS];

	for (size_t i = 0; i < N_SECTIONS; i++)
		names[i] = sections[i].name;
	const char *nearest = qe_text_nearest(value->key, names, N_SECTIONS);
	report(reader, qe_policy_place_of(value->key_place), value->key, "unknown section%s%s%s",
		nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

static void read_section(struct qe_policy_reader *reader, struct qe_policy_source *source,
	const struct qe_toml_value *value)
{
	const struct section *section = sections;

	while (section < sections + N_SECTIONS && strcmp(section->name, value->key) != 0)
		section++;
	if (section == sections + N_SECTIONS)
		report_unknown_section(reader, value);
	else if (value->type != section->type)
		report(reader, qe_policy_place_of(value->place), value->key, "is %s; expected %s",
			qe_toml_type_name(value->type), section->expected);
	else if (value->n > section->max)
		report(reader, qe_policy_place_of(value->place), value->key,
			"more than %zu of them", section->max);
	else
		section->read(reader, source, value);
}

/* ---- the file ---- */

static void read_source(
	struct qe_policy_reader *reader, struct qe_policy_source *source, struct qe_bytes text)
{
	struct qe_toml_error error;
	struct qe_toml *toml;

	if (qe_toml_parse(&toml, text, &error) != QE_OK) {
		report(reader, qe_policy_place_of(error.place), nullptr, "%s", error.text);
		return;
	}
	const struct qe_toml_value *root = qe_toml_root(toml);
	for (size_t i = 0; i < root->n; i++)
		read_section(reader, source, &root->children[i]);
	qe_toml_free(toml);
	/* Half-read rules would only add errors that are none. */
	if (reader->diagnostics->n == 0 && reader->error == QE_OK)
		check_twins(reader, source);
}

enum qe_error qe_policy_file_parse(struct qe_policy_source *ret_source, const char *name,
	struct qe_bytes text, struct qe_diagnostics *diagnostics)
{
	struct qe_policy_reader reader = {.file = name, .diagnostics = diagnostics};
	struct qe_policy_source source = {};

	*diagnostics = (struct qe_diagnostics){};
	read_source(&reader, &source, text);
	qe_diagnostics_sort(diagnostics);
	if (reader.error == QE_OK && diagnostics->n)
		reader.error = QE_ERR_SYNTAX;
	if (reader.error == QE_OK)
		*ret_source = source;
	else
		qe_policy_source_done(&source);
	return reader.error;
}

enum qe_error qe_policy_file_read(
	char **ret_text, size_t *ret_len, const char *path, struct qe_diagnostics *diagnostics)
{
	enum qe_error error = qe_text_file_read(ret_text, ret_len, path, QE_POLICY_FILE_MAX);

	*diagnostics = (struct qe_diagnostics){};
	if (error == QE_ERR_TOO_BIG)
		qe_diagnostics_add(diagnostics, path, 0, 0, nullptr,
			"more than %d bytes; a policy is smaller", QE_POLICY_FILE_MAX);
	else if (error != QE_OK)
		qe_diagnostics_add(diagnostics, path, 0, 0, nullptr, "cannot be read: %s",
			qe_error_text(error));
	return error;
}

/* ---- a question ---- */

static struct qe_toml_value value_of(const char *key, const char *text)
{
	struct qe_toml_value value = {.type = QE_TOML_STRING, .key = key, .string = text};
	size_t len = strlen(text);

	if (len == 0 || len > 5 || strspn(text, "0123456789") < len)
		return value;
	value.type = QE_TOML_INTEGER;
	value.integer = strtol(text, nullptr, 10);
	return value;
}

enum qe_error qe_policy_question_parse(struct qe_policy_test *ret_test,
	const struct qe_policy_question *question, struct qe_diagnostics *diagnostics)
{
	const char *const words[][2] = {{"from", question->from}, {"to", question->to},
		{"protocol", question->protocol}, {"port", question->port}};
	struct qe_policy_reader reader = {.diagnostics = diagnostics, .section = "question"};
	struct qe_policy_test test = {.at = QE_POLICY_NO_TIME};
	bool ok = true;

	*diagnostics = (struct qe_diagnostics){};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (!words[i][1])
			continue;
		struct qe_toml_value value = value_of(words[i][0], words[i][1]);
		reader.file = words[i][0];
		reader.key = qe_policy_find_key(qe_policy_test_keys, words[i][0]);
		ok &= reader.key->read(&reader, &test, &value);
	}
	reader.file = "port";
	if (ok && reader.error == QE_OK && check_test(&reader, &test)) {
		*ret_test = test;
		return QE_OK;
	}
	free(test.from.name);
	free(test.to.name);
	return reader.error != QE_OK ? reader.error : QE_ERR_SYNTAX;
}
