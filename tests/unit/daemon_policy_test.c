/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Which policy is in effect after what, and when it is compiled again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/policy.h"
#include "net/addr.h"

#define TOML(security) \
	"[node]\nname = \"gateway\"\n" security \
	"[[peers]]\nname = \"laptop\"\nid = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n" \
	"addresses = [\"100.64.0.2\"]\n" \
	"[[peers]]\nname = \"nas\"\nid = \"baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n" \
	"addresses = [\"100.64.0.3\"]\n"
#define RULE(id, subject, action) \
	"[[rules]]\nid = \"" id "\"\nsubject = \"" subject \
	"\"\nobject = \"*\"\naction = \"" action "\"\n"
#define TEST(expect) \
	"[[tests]]\nfrom = \"laptop\"\nto = \"10.0.0.1\"\nprotocol = \"icmp\"\nexpect = \"" expect \
	"\"\n"
#define MONDAY INT64_C(1774224000) /* 0:00 UTC */

enum { LAPTOP, NAS };

static struct fixture {
	struct qe_loop *loop;
	struct qe_log log;
	struct qe_directory *directory;
	struct qe_policy_keeper *keeper;
	struct qe_policy *policy; /* that was put last */
	unsigned n_put;
	char file[64];
	struct qe_diagnostics diagnostics;
} t;

static enum qe_error put(void *ctx, struct qe_policy *policy)
{
	struct fixture *fixture = ctx;

	qe_policy_free(fixture->policy);
	fixture->policy = policy;
	fixture->n_put++;
	return QE_OK;
}

static struct qe_config *parse(const char *toml)
{
	struct qe_bytes bytes = {(const uint8_t *)toml, strlen(toml)};
	struct qe_config *config;

	assert_int_equal(qe_config_parse(&config, &(struct qe_config_inputs){}, "c.toml", bytes,
				 &t.diagnostics),
		QE_OK);
	return config;
}

static void write_policy(const char *text)
{
	FILE *file = fopen(t.file, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int set_up(void **state)
{
	static struct qe_node_id own;
	struct qe_policy_keeper_settings settings = {.own = &own, .put = put, .ctx = &t};

	(void)state;
	t = (struct fixture){.log = {.level = QE_LOG_ERROR}, .file = "/tmp/quicether-XXXXXX"};
	close(mkstemp(t.file));
	assert_int_equal(qe_loop_new(&t.loop), QE_OK);
	assert_int_equal(qe_directory_new(&t.directory, parse(TOML(""))), QE_OK);
	settings.loop = t.loop;
	settings.log = &t.log;
	settings.directory = t.directory;
	return qe_policy_keeper_new(&t.keeper, &settings);
}

static int tear_down(void **state)
{
	(void)state;
	qe_policy_keeper_free(t.keeper);
	qe_policy_free(t.policy);
	qe_directory_free(t.directory);
	qe_loop_free(t.loop);
	return unlink(t.file);
}

/* With the configuration of the directory, but for what it says of policy. */
static enum qe_error take(const char *toml)
{
	struct qe_config *config = parse(toml);
	struct qe_policy_draft *draft;

	if (strstr(toml, "[security]"))
		snprintf(config->security.policy_file, strlen(t.file) + 1, "%s", t.file);
	enum qe_error error = qe_policy_keeper_draft(t.keeper, &draft, config, &t.diagnostics);
	if (error == QE_OK)
		error = qe_policy_keeper_take(t.keeper, draft);
	qe_config_free(config);
	return error;
}

/* The name is as long as that of the file. */
#define WITH_FILE TOML("[security]\npolicy_file = \"/tmp/quicether-000000\"\n")

static enum qe_error take_policy(const char *text)
{
	write_policy(text);
	return take(WITH_FILE);
}

static bool allows(uint32_t subject)
{
	struct qe_policy_packet packet = {
		.subject = subject,
		.source = {.family = QE_FAMILY_IPV4},
		.destination = {.family = QE_FAMILY_IPV4, .bytes = {10, 0, 0, 1}},
		.protocol = 1,
	};
	struct qe_policy_result result;

	assert_non_null(t.policy);
	qe_policy_evaluate(t.policy, &packet, &result);
	return result.action == QE_ACTION_ALLOW;
}

static void without_a_file_only_an_enterprise_node_denies(void **state)
{
	(void)state;
	assert_int_equal(take(TOML("")), QE_OK);
	assert_int_equal(t.n_put, 1);
	assert_null(t.policy);
	assert_null(qe_policy_keeper_source(t.keeper));
	assert_int_equal(take(TOML("role = \"enterprise\"\n")), QE_OK);
	assert_false(allows(QE_POLICY_SELF));
	assert_false(allows(LAPTOP));
}

static void subjects_are_slots(void **state)
{
	(void)state;
	assert_int_equal(take_policy(RULE("a", "laptop", "allow")), QE_OK);
	assert_true(allows(LAPTOP));
	assert_false(allows(NAS));
	assert_false(allows(QE_POLICY_SELF));
	assert_string_equal(qe_policy_keeper_file(t.keeper), t.file);
	assert_int_equal(take_policy(RULE("a", "gateway", "allow")), QE_OK);
	assert_false(allows(LAPTOP));
	assert_true(allows(QE_POLICY_SELF));
}

static void a_policy_that_is_wrong_leaves_the_former(void **state)
{
	(void)state;
	assert_int_equal(take_policy(RULE("a", "laptop", "allow") TEST("allow")), QE_OK);
	assert_int_equal(take_policy(RULE("a", "laptop", "deny") TEST("allow")), QE_ERR_SYNTAX);
	assert_int_equal(t.diagnostics.n, 1);
	assert_string_equal(
		t.diagnostics.items[0].text, "expected allow, but rule \"a\" denies 10.0.0.1");
	assert_int_equal(take_policy(RULE("a", "lapdog", "deny")), QE_ERR_SYNTAX);
	assert_int_equal(take_policy("[[rules]"), QE_ERR_SYNTAX);
	assert_int_equal(t.diagnostics.n, 1);
	assert_int_equal(t.n_put, 1);
	assert_true(allows(LAPTOP));
	assert_string_equal(qe_policy_keeper_source(t.keeper)->rules[0].id, "a");
}

/* What it says of it on standard error is for operators. */
static void the_first_policy_may_fail_its_tests(void **state)
{
	(void)state;
	assert_int_equal(take_policy(RULE("a", "laptop", "deny") TEST("allow")), QE_OK);
	assert_false(allows(LAPTOP));
	assert_int_equal(take_policy(RULE("b", "laptop", "deny") TEST("allow")), QE_ERR_SYNTAX);
}

static void but_not_be_wrong_otherwise(void **state)
{
	(void)state;
	assert_int_equal(take_policy(RULE("a", "lapdog", "deny")), QE_ERR_SYNTAX);
	assert_int_equal(t.n_put, 0);
}

static void schedules_begin_and_end(void **state)
{
	const int64_t hour = 3600;

	(void)state;
	assert_int_equal(
		take_policy(RULE("a", "laptop", "allow") "schedule = { days = \"mon\", hours = "
							 "\"09:00-17:00\" }\n"),
		QE_OK);
	/* The clock is set back, and then goes on. */
	qe_policy_keeper_check(t.keeper, MONDAY + 8 * hour);
	assert_false(allows(LAPTOP));
	qe_policy_keeper_check(t.keeper, MONDAY + 9 * hour - 1);
	assert_false(allows(LAPTOP));
	qe_policy_keeper_check(t.keeper, MONDAY + 9 * hour);
	assert_true(allows(LAPTOP));
	qe_policy_keeper_check(t.keeper, MONDAY + 17 * hour - 1);
	assert_true(allows(LAPTOP));
	qe_policy_keeper_check(t.keeper, MONDAY + 17 * hour);
	assert_false(allows(LAPTOP));
	unsigned n_put = t.n_put;
	qe_policy_keeper_check(t.keeper, MONDAY + 17 * hour + 1);
	assert_int_equal(t.n_put, n_put);
	qe_policy_keeper_check(t.keeper, MONDAY + 10 * hour);
	assert_true(allows(LAPTOP));
}

static void questions_are_answered(void **state)
{
	const struct qe_policy_question question = {"laptop", "node:nas", "tcp", "22"};
	const struct qe_policy_question wrong = {"lapdog", "node:nas", "tcp", "22"};

	(void)state;
	assert_int_equal(take_policy(RULE("a", "laptop", "allow")), QE_OK);
	json_t *result = qe_policy_keeper_explain(t.keeper, &question, &t.diagnostics);
	json_t *answer = json_array_get(json_object_get(result, "answers"), 1);
	assert_string_equal(json_string_value(json_object_get(answer, "to")), "100.64.0.3");
	assert_string_equal(json_string_value(json_object_get(answer, "verdict")), "allow");
	assert_string_equal(json_string_value(json_object_get(answer, "rule")), "a");
	assert_string_equal(json_string_value(json_object_get(answer, "reason")),
		"rule \"a\" (line 1) is the first that matches");
	json_decref(result);
	assert_null(qe_policy_keeper_explain(t.keeper, &wrong, &t.diagnostics));
	assert_int_equal(t.diagnostics.n, 1);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(without_a_file_only_an_enterprise_node_denies),
		ROW(subjects_are_slots),
		ROW(a_policy_that_is_wrong_leaves_the_former),
		ROW(the_first_policy_may_fail_its_tests),
		ROW(but_not_be_wrong_otherwise),
		ROW(schedules_begin_and_end),
		ROW(questions_are_answered),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
