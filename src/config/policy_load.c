/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "config/policy_load.h"

#include <stdlib.h>

#include "config/policy_file.h"
#include "config/policy_names.h"
#include "net/addr.h"
#include "policy/tests.h"
#include "policy/unreachable.h"

static const char *word_of(enum qe_action action)
{
	return action == QE_ACTION_ALLOW ? "allow" : "deny";
}

struct judge {
	const struct qe_policy_source *source;
	const char *file;
	struct qe_policy_findings *findings;
};

static void test_failed(void *ctx, const struct qe_policy_failure *failure)
{
	const struct judge *judge = ctx;
	const struct qe_policy_test *test = &judge->source->tests[failure->test];
	const struct qe_policy_rule *rule = failure->result.rule == QE_POLICY_NO_RULE
						    ? nullptr
						    : &judge->source->rules[failure->result.rule];
	char to[QE_ADDR_TEXT_SIZE];

	qe_addr_format(to, &failure->to);
	qe_diagnostics_add(&judge->findings->failures, judge->file, test->place.line,
		test->place.column, "tests", "expected %s, but %s%s%s %s %s", word_of(test->expect),
		rule ? "rule \"" : "no rule matches, which", rule ? rule->id : "", rule ? "\"" : "",
		failure->result.action == QE_ACTION_ALLOW ? "allows" : "denies", to);
}

static void rule_is_unreachable(void *ctx, const struct qe_policy_shadow *shadow)
{
	const struct judge *judge = ctx;
	const struct qe_policy_rule *rule = &judge->source->rules[shadow->rule];
	const struct qe_policy_rule *by = &judge->source->rules[shadow->by];

	qe_diagnostics_add(&judge->findings->warnings, judge->file, rule->place.line,
		rule->place.column, "rules",
		"no packet reaches rule \"%s\": %s \"%s\" (line %u) %s all that it matches",
		rule->id, shadow->alone ? "rule" : "rules before it such as", by->id,
		by->place.line, shadow->alone ? "takes" : "take");
}

static enum qe_error judge_source(
	const struct judge *judge, const struct qe_policy_member *members, size_t n_members)
{
	struct qe_policy_findings *findings = judge->findings;

	QE_TRY(qe_policy_check_names(judge->source, judge->file, members, n_members,
		&findings->errors, &findings->warnings));
	if (findings->errors.n)
		return QE_ERR_SYNTAX;
	QE_TRY(qe_policy_find_unreachable(
		judge->source, members, n_members, rule_is_unreachable, (void *)judge));
	return qe_policy_run_tests(judge->source, members, n_members, test_failed, (void *)judge);
}

/* Of a source that has been read. */
static enum qe_error judge_all(
	const struct judge *judge, const struct qe_policy_member *members, size_t n_members)
{
	struct qe_policy_findings *findings = judge->findings;
	enum qe_error error = judge_source(judge, members, n_members);

	if (error == QE_ERR_FULL)
		qe_diagnostics_add(&findings->errors, judge->file, 0, 0, nullptr,
			"more than %d groups, or tests that ask about more than %d times",
			QE_POLICY_GROUPS_MAX, QE_POLICY_TEST_TIMES_MAX);
	qe_diagnostics_sort(&findings->errors);
	qe_diagnostics_sort(&findings->failures);
	qe_diagnostics_sort(&findings->warnings);
	return error;
}

enum qe_error qe_policy_parse(struct qe_policy_source *ret_source, const char *name,
	struct qe_bytes text, const struct qe_policy_member *members, size_t n_members,
	struct qe_policy_findings *findings)
{
	struct qe_policy_source source;
	const struct judge judge = {&source, name, findings};

	*findings = (struct qe_policy_findings){};
	QE_TRY(qe_policy_file_parse(&source, name, text, &findings->errors));
	enum qe_error error = judge_all(&judge, members, n_members);
	if (error == QE_OK)
		*ret_source = source;
	else
		qe_policy_source_done(&source);
	return error;
}

enum qe_error qe_policy_load(struct qe_policy_source *ret_source, const char *path,
	const struct qe_policy_member *members, size_t n_members,
	struct qe_policy_findings *findings)
{
	char *text;
	size_t len;

	*findings = (struct qe_policy_findings){};
	QE_TRY(qe_policy_file_read(&text, &len, path, &findings->errors));
	struct qe_bytes bytes = {(const uint8_t *)text, len};
	enum qe_error error = qe_policy_parse(
		ret_source, path, bytes, members, n_members, findings);
	free(text);
	return error;
}
