/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "config/policy_explain.h"

#include <stdlib.h>

#include "config/policy_names.h"
#include "policy/tests.h"

struct asking {
	struct qe_policy_answers *answers;
	const size_t *rules; /* as qe_policy_compile_for gives them */
	size_t n;
};

static void take_answer(void *ctx, const struct qe_addr *to, const struct qe_policy_result *result)
{
	struct qe_policy_answers *answers = ctx;

	if (answers->n < QE_POLICY_ANSWERS_MAX)
		answers->items[answers->n++] = (struct qe_policy_answer){
			*to, *result, QE_POLICY_NO_RULE};
}

/* The same packets in the same order, asked as if every schedule held: where another rule decides
 * now, it is one that comes first but waits for its time. */
static void take_waiting(void *ctx, const struct qe_addr *, const struct qe_policy_result *result)
{
	struct asking *asking = ctx;
	struct qe_policy_answer *answer = &asking->answers->items[asking->n];

	if (asking->n++ >= asking->answers->n || result->rule == answer->result.rule)
		return;
	answer->waiting = (uint32_t)asking->rules[result->rule];
}

static enum qe_error ask(struct qe_policy_answers *answers, const struct qe_policy_source *source,
	const struct qe_policy_member *members, size_t n_members, const struct qe_policy_test *test,
	int64_t now)
{
	struct asking asking = {.answers = answers};
	struct qe_policy *policy;
	size_t *rules;

	QE_TRY(qe_policy_compile(&policy, source, members, n_members, now, nullptr));
	enum qe_error error = qe_policy_ask(policy, members, n_members, test, take_answer, answers);
	qe_policy_free(policy);
	QE_TRY(error);
	QE_TRY(qe_policy_compile_for(
		&policy, &rules, source, members, n_members, QE_POLICY_ALL_TIMES));
	asking.rules = rules;
	error = qe_policy_ask(policy, members, n_members, test, take_waiting, &asking);
	qe_policy_free(policy);
	free(rules);
	return error;
}

enum qe_error qe_policy_explain(struct qe_policy_answers *ret_answers,
	const struct qe_policy_source *source, const struct qe_policy_member *members,
	size_t n_members, const struct qe_policy_question *question, int64_t now,
	struct qe_diagnostics *diagnostics)
{
	struct qe_diagnostics warnings = {};
	struct qe_policy_test test;
	struct qe_policy_source alone = {.tests = &test, .n_tests = 1};

	QE_TRY(qe_policy_question_parse(&test, question, diagnostics));
	enum qe_error error = qe_policy_check_names(
		&alone, "question", members, n_members, diagnostics, &warnings);
	if (error == QE_OK && diagnostics->n)
		error = QE_ERR_SYNTAX;
	*ret_answers = (struct qe_policy_answers){};
	if (error == QE_OK)
		error = ask(ret_answers, source, members, n_members, &test, now);
	free(test.from.name);
	free(test.to.name);
	return error;
}

static const char *action_of(const struct qe_policy_rule *rule)
{
	return rule->action == QE_ACTION_ALLOW ? "allow" : "deny";
}

void qe_policy_answer_add_reason(struct qe_text *to, const struct qe_policy_source *source,
	const struct qe_policy_answer *answer)
{
	uint32_t rule = answer->result.rule;

	if (rule == QE_POLICY_NO_RULE)
		qe_text_add(to, "no rule matches");
	else
		qe_text_addf(to, "rule \"%s\" (line %u) is the first that matches",
			source->rules[rule].id, source->rules[rule].place.line);
	if (answer->waiting == QE_POLICY_NO_RULE)
		return;
	const struct qe_policy_rule *waiting = &source->rules[answer->waiting];
	qe_text_addf(to, "; rule \"%s\" (line %u) would %s it at another time", waiting->id,
		waiting->place.line, action_of(waiting));
}
