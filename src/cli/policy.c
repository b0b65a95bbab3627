/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* policy check and policy explain, which ask the files and not the daemon. */
#include <time.h>

#include "cli/settings.h"
#include "config/policy_load.h"
#include "config/policy_members.h"
#include "daemon/policy.h"
#include "rpc/diagnostics.h"

/* What both need: the nodes that a policy may name, and its file. */
struct setting {
	struct qe_config *config;
	struct qe_policy_members members;
	const char *file; /* NULL: there is no policy */
};

/* The key may not be there yet, or not be the caller's to read. */
static enum qe_error init_members(struct qe_policy_members *members, const struct qe_config *config)
{
	struct qe_key *key;

	if (qe_key_load(&key, config->node.key_file) != QE_OK)
		return qe_policy_members_init(members, config, nullptr);
	enum qe_error error = qe_policy_members_init(members, config, qe_key_get_id(key));
	qe_key_free(key);
	return error;
}

static enum qe_exit init(struct setting *setting, const struct qe_args *args, const char *file)
{
	enum qe_exit code = qe_settings_load(&setting->config, args);

	if (code != QE_EXIT_OK)
		return code;
	setting->file = file ? file : setting->config->security.policy_file;
	enum qe_error error = init_members(&setting->members, setting->config);
	if (error == QE_OK)
		return QE_EXIT_OK;
	qe_config_free(setting->config);
	return qe_fail(args, QE_EXIT_ERROR, "%s", qe_error_text(error));
}

static void done(struct setting *setting)
{
	qe_policy_members_done(&setting->members);
	qe_config_free(setting->config);
}

/* ---- check ---- */

struct check {
	const char *file;
	size_t n_rules, n_groups, n_tests;
	struct qe_policy_findings findings;
};

static enum qe_exit show_json(const struct check *check, bool ok)
{
	const struct qe_policy_findings *findings = &check->findings;

	qe_print_json(json_pack("{s:b, s:s, s:I, s:I, s:I, s:o, s:o, s:o}", "ok", ok, "file",
		check->file, "groups", (json_int_t)check->n_groups, "rules",
		(json_int_t)check->n_rules, "tests", (json_int_t)check->n_tests, "errors",
		qe_diagnostics_json(&findings->errors), "failures",
		qe_diagnostics_json(&findings->failures), "warnings",
		qe_diagnostics_json(&findings->warnings)));
	return ok ? QE_EXIT_OK : QE_EXIT_ERROR;
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static enum qe_exit show(const struct check *check, bool ok)
{
	const struct qe_policy_findings *findings = &check->findings;
	size_t failed = findings->failures.n + findings->failures.dropped;

	qe_print_diagnostics("", &findings->errors);
	qe_print_diagnostics("test failed: ", &findings->failures);
	qe_print_diagnostics("warning: ", &findings->warnings);
	if (ok)
		printf("%s: ok, %zu group%s, %zu rule%s, %zu test%s passed\n", check->file,
			check->n_groups, plural(check->n_groups), check->n_rules,
			plural(check->n_rules), check->n_tests, plural(check->n_tests));
	else if (failed)
		fprintf(stderr, "%s: %zu answer%s to tests are not what is expected\n", check->file,
			failed, plural(failed));
	return ok ? QE_EXIT_OK : QE_EXIT_ERROR;
}

static enum qe_exit check_file(const struct qe_args *args, const struct setting *setting)
{
	static struct check check;
	struct qe_policy_source source;

	check.file = setting->file;
	enum qe_error error = qe_policy_load(&source, setting->file, setting->members.items,
		setting->members.n, &check.findings);
	if (error != QE_OK && check.findings.errors.n == 0)
		return qe_fail(args, QE_EXIT_ERROR, "%s", qe_error_text(error));
	if (error == QE_OK) {
		check.n_groups = source.n_groups;
		check.n_rules = source.n_rules;
		check.n_tests = source.n_tests;
		qe_policy_source_done(&source);
	}
	bool ok = error == QE_OK && check.findings.failures.n == 0;
	enum qe_exit code = qe_args_get(args, "json") ? show_json(&check, ok) : show(&check, ok);
	return error == QE_OK || code == QE_EXIT_OK ? code : qe_exit_of(error);
}

enum qe_exit qe_command_policy_check(const struct qe_args *args)
{
	struct setting setting = {};
	enum qe_exit code = init(&setting, args, args->n_operands ? args->operands[0] : nullptr);

	if (code != QE_EXIT_OK)
		return code;
	if (setting.file)
		code = check_file(args, &setting);
	else
		code = qe_fail(args, QE_EXIT_USAGE,
			"no policy file was given, and the configuration names none");
	done(&setting);
	return code;
}

/* ---- explain ---- */

static enum qe_exit show_answers(const struct qe_args *args, const char *file,
	const struct qe_policy_source *source, const struct qe_policy_answers *answers)
{
	json_t *list = qe_policy_answers_json(source, answers);

	if (qe_args_get(args, "json"))
		return qe_print_json(json_pack("{s:s, s:o}", "file", file, "answers", list));
	for (size_t i = 0; i < answers->n; i++) {
		json_t *answer = json_array_get(list, i);
		printf("%-5s  %s: %s\n", qe_get_text(answer, "verdict"), qe_get_text(answer, "to"),
			qe_get_text(answer, "reason"));
	}
	json_decref(list);
	return QE_EXIT_OK;
}

static enum qe_exit explain(const struct qe_args *args, const struct setting *setting)
{
	static struct qe_policy_findings findings;
	static struct qe_diagnostics diagnostics;
	static struct qe_policy_answers answers;
	const struct qe_policy_question question = {qe_args_get(args, "from"),
		qe_args_get(args, "to"), qe_args_get(args, "protocol"), qe_args_get(args, "port")};
	struct qe_policy_source source;
	enum qe_exit code;

	enum qe_error error = qe_policy_load(
		&source, setting->file, setting->members.items, setting->members.n, &findings);
	if (error != QE_OK && findings.errors.n)
		return qe_fail_diagnostics(args, qe_exit_of(error), &findings.errors);
	if (error != QE_OK)
		return qe_fail(args, QE_EXIT_ERROR, "%s", qe_error_text(error));
	error = qe_policy_explain(&answers, &source, setting->members.items, setting->members.n,
		&question, time(nullptr), &diagnostics);
	if (error == QE_OK)
		code = show_answers(args, setting->file, &source, &answers);
	else if (diagnostics.n)
		code = qe_fail_diagnostics(args, QE_EXIT_USAGE, &diagnostics);
	else
		code = qe_fail(args, QE_EXIT_ERROR, "%s", qe_error_text(error));
	qe_policy_source_done(&source);
	return code;
}

enum qe_exit qe_command_policy_explain(const struct qe_args *args)
{
	struct setting setting = {};

	if (!qe_args_get(args, "from") || !qe_args_get(args, "to") ||
		!qe_args_get(args, "protocol"))
		return qe_fail(
			args, QE_EXIT_USAGE, "policy explain needs --from, --to and --protocol");
	enum qe_exit code = init(&setting, args, qe_args_get(args, "policy"));
	if (code != QE_EXIT_OK)
		return code;
	if (setting.file)
		code = explain(args, &setting);
	else
		code = qe_fail(args, QE_EXIT_USAGE,
			"no policy file was given, and the configuration names none: %s",
			setting.config->node.role == QE_ROLE_ENTERPRISE
				? "an enterprise node then denies everything"
				: "then whatever is routed is allowed");
	done(&setting);
	return code;
}

/* ---- as a part of a configuration ---- */

enum qe_exit qe_settings_check_policy(const struct qe_args *args, const struct qe_config *config)
{
	static struct qe_policy_findings findings;
	struct qe_policy_members members;
	struct qe_policy_source source;

	if (!config->security.policy_file)
		return QE_EXIT_OK;
	enum qe_error error = init_members(&members, config);
	if (error == QE_OK) {
		error = qe_policy_load(
			&source, config->security.policy_file, members.items, members.n, &findings);
		qe_policy_members_done(&members);
	}
	if (error == QE_OK)
		qe_policy_source_done(&source);
	if (error == QE_OK && findings.failures.n)
		return qe_fail_diagnostics(args, QE_EXIT_ERROR, &findings.failures);
	if (error != QE_OK && findings.errors.n)
		return qe_fail_diagnostics(args, qe_exit_of(error), &findings.errors);
	return error == QE_OK ? QE_EXIT_OK
			      : qe_fail(args, QE_EXIT_ERROR, "%s", qe_error_text(error));
}
