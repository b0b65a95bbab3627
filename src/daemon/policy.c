/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/time.h"
#include "config/policy_load.h"
#include "config/policy_members.h"
#include "net/addr.h"
#include "os/clock.h"

/* The wall clock may be set while an alarm waits; so it is looked at now and then. Seconds. */
constexpr int64_t wait_max_s = 60;

struct qe_policy_draft {
	struct qe_policy_source source; /* without a file: no rules, which deny everything */
	char *file;                     /* NULL: there is none */
	bool open;                      /* no policy at all */
};

struct qe_policy_keeper {
	struct qe_policy_keeper_settings settings;
	struct qe_policy_draft *draft; /* the one in effect; NULL before the first */
	struct qe_alarm alarm;
	int64_t compiled, next_change; /* seconds since 1970 */
};

static int64_t wall_now(void)
{
	return qe_clock_wall_ms() / 1000;
}

/* ---- drafts ---- */

struct qe_policy_draft *qe_policy_draft_free(struct qe_policy_draft *draft)
{
	if (!draft)
		return nullptr;
	qe_policy_source_done(&draft->source);
	free(draft->file);
	free(draft);
	return nullptr;
}

static void log_findings(const struct qe_policy_keeper *keeper, enum qe_log_level level,
	const char *event, const char *words, const struct qe_diagnostics *diagnostics)
{
	for (size_t i = 0; i < diagnostics->n; i++) {
		char line[700];
		struct qe_text text = qe_text_init(line, sizeof(line));

		qe_diagnostic_format(&text, &diagnostics->items[i]);
		qe_log(keeper->settings.log, level, event, nullptr, "%s: %s", words, line);
	}
	if (diagnostics->dropped > 0)
		qe_log(keeper->settings.log, level, event, nullptr, "%s: and %zu more", words,
			diagnostics->dropped);
}

/* Failing tests keep a policy from taking another's place, but not from being the first. */
static enum qe_error judge(const struct qe_policy_keeper *keeper,
	const struct qe_policy_findings *findings, struct qe_diagnostics *diagnostics)
{
	log_findings(keeper, QE_LOG_WARN, "policy_warning", "policy", &findings->warnings);
	if (findings->failures.n == 0)
		return QE_OK;
	if (!keeper->draft) {
		log_findings(keeper, QE_LOG_ERROR, "policy_test_failed",
			"THE POLICY FAILS ITS OWN TESTS, and is used all the same",
			&findings->failures);
		return QE_OK;
	}
	*diagnostics = findings->failures;
	return QE_ERR_SYNTAX;
}

static enum qe_error load_judged(const struct qe_policy_keeper *keeper,
	struct qe_policy_draft *draft, const struct qe_policy_members *members,
	struct qe_policy_findings *findings, struct qe_diagnostics *diagnostics)
{
	enum qe_error error = qe_policy_load(
		&draft->source, draft->file, members->items, members->n, findings);

	if (error != QE_OK) {
		*diagnostics = findings->errors;
		return error;
	}
	return judge(keeper, findings, diagnostics);
}

static enum qe_error load(const struct qe_policy_keeper *keeper, struct qe_policy_draft *draft,
	const struct qe_config *config, struct qe_diagnostics *diagnostics)
{
	struct qe_policy_findings *findings = malloc(sizeof(*findings));
	struct qe_policy_members members;

	draft->file = strdup(config->security.policy_file);
	enum qe_error error = findings && draft->file ? qe_policy_members_init(&members, config,
								keeper->settings.own)
						      : -ENOMEM;
	if (error == QE_OK) {
		error = load_judged(keeper, draft, &members, findings, diagnostics);
		qe_policy_members_done(&members);
	}
	free(findings);
	return error;
}

enum qe_error qe_policy_keeper_draft(struct qe_policy_keeper *keeper,
	struct qe_policy_draft **ret_draft, const struct qe_config *config,
	struct qe_diagnostics *diagnostics)
{
	struct qe_policy_draft *draft = calloc(1, sizeof(*draft));
	enum qe_error error = draft ? QE_OK : -ENOMEM;

	*diagnostics = (struct qe_diagnostics){};
	if (draft)
		draft->open = !config->security.policy_file &&
			      config->node.role != QE_ROLE_ENTERPRISE;
	if (draft && config->security.policy_file)
		error = load(keeper, draft, config, diagnostics);
	if (error == QE_OK)
		*ret_draft = draft;
	else
		qe_policy_draft_free(draft);
	return error;
}

/* ---- in effect ---- */

/* The members with the slots that peers have now. */
static enum qe_error init_members(
	const struct qe_policy_keeper *keeper, struct qe_policy_members *members)
{
	const struct qe_directory *directory = keeper->settings.directory;
	const struct qe_config *config = qe_directory_config(directory);

	QE_TRY(qe_policy_members_init(members, config, keeper->settings.own));
	for (size_t i = 0; i < config->n_peers; i++)
		members->items[i].slot = (uint32_t)qe_directory_slot(directory, i);
	return QE_OK;
}

static enum qe_error compile(const struct qe_policy_keeper *keeper,
	const struct qe_policy_draft *draft, int64_t now, struct qe_policy **ret_policy)
{
	struct qe_policy_members members;

	QE_TRY(init_members(keeper, &members));
	enum qe_error error = qe_policy_compile(
		ret_policy, &draft->source, members.items, members.n, now, nullptr);
	qe_policy_members_done(&members);
	return error;
}

static enum qe_error put(
	struct qe_policy_keeper *keeper, const struct qe_policy_draft *draft, int64_t now)
{
	struct qe_policy *policy = nullptr;

	if (!draft->open)
		QE_TRY(compile(keeper, draft, now, &policy));
	QE_TRY(keeper->settings.put(keeper->settings.ctx, policy));
	keeper->compiled = now;
	keeper->next_change = qe_policy_next_change(&draft->source, now);
	return QE_OK;
}

static enum qe_error set_alarm(struct qe_policy_keeper *keeper)
{
	int64_t left = keeper->next_change - wall_now();
	qe_time wait = left > 0 && left < wait_max_s ? (qe_time)left : (qe_time)wait_max_s;

	return qe_loop_set_alarm(
		keeper->settings.loop, &keeper->alarm, qe_clock_now() + wait * QE_SECOND);
}

/* A clock that was set back changes what holds, too. */
void qe_policy_keeper_check(struct qe_policy_keeper *keeper, int64_t now)
{
	if (!keeper->draft || (now < keeper->next_change && now >= keeper->compiled))
		return;
	enum qe_error error = put(keeper, keeper->draft, now);
	if (error != QE_OK)
		qe_log(keeper->settings.log, QE_LOG_ERROR, "policy_stale", nullptr,
			"a schedule has begun or ended, but the policy cannot be compiled: %s; "
			"trying again",
			qe_error_text(error));
}

/* Of the room that the alarm has had before. */
static void alarm_rang(struct qe_alarm *alarm, qe_time)
{
	struct qe_policy_keeper *keeper = QE_CONTAINER_OF(alarm, struct qe_policy_keeper, alarm);

	qe_policy_keeper_check(keeper, wall_now());
	(void)!set_alarm(keeper);
}

enum qe_error qe_policy_keeper_take(struct qe_policy_keeper *keeper, struct qe_policy_draft *draft)
{
	enum qe_error error = put(keeper, draft, wall_now());

	if (error != QE_OK) {
		qe_policy_draft_free(draft);
		return error;
	}
	qe_policy_draft_free(keeper->draft);
	keeper->draft = draft;
	(void)!set_alarm(keeper); /* has its room */
	return QE_OK;
}

/* ---- questions ---- */

const struct qe_policy_source *qe_policy_keeper_source(const struct qe_policy_keeper *keeper)
{
	return keeper->draft && !keeper->draft->open ? &keeper->draft->source : nullptr;
}

const char *qe_policy_keeper_file(const struct qe_policy_keeper *keeper)
{
	return keeper->draft ? keeper->draft->file : nullptr;
}

static json_t *answer_json(
	const struct qe_policy_source *source, const struct qe_policy_answer *answer)
{
	const struct qe_policy_result *result = &answer->result;
	char to[QE_ADDR_TEXT_SIZE], reason[400];
	struct qe_text text = qe_text_init(reason, sizeof(reason));
	json_t *json;

	qe_addr_format(to, &answer->to);
	qe_policy_answer_add_reason(&text, source, answer);
	json = json_pack("{s:s, s:s, s:b, s:s}", "to", to, "verdict",
		result->action == QE_ACTION_ALLOW ? "allow" : "deny", "log", result->log, "reason",
		reason);
	if (result->rule == QE_POLICY_NO_RULE)
		return json;
	json_object_set_new(json, "rule", json_string(source->rules[result->rule].id));
	json_object_set_new(json, "line", json_integer(source->rules[result->rule].place.line));
	return json;
}

json_t *qe_policy_answers_json(
	const struct qe_policy_source *source, const struct qe_policy_answers *answers)
{
	json_t *list = json_array();

	for (size_t i = 0; i < answers->n; i++)
		json_array_append_new(list, answer_json(source, &answers->items[i]));
	return list;
}

static enum qe_error ask(const struct qe_policy_keeper *keeper, struct qe_policy_answers *answers,
	const struct qe_policy_question *question, struct qe_diagnostics *diagnostics)
{
	struct qe_policy_members members;

	QE_TRY(init_members(keeper, &members));
	enum qe_error error = qe_policy_explain(answers, &keeper->draft->source, members.items,
		members.n, question, wall_now(), diagnostics);
	qe_policy_members_done(&members);
	return error;
}

json_t *qe_policy_keeper_explain(const struct qe_policy_keeper *keeper,
	const struct qe_policy_question *question, struct qe_diagnostics *diagnostics)
{
	struct qe_policy_answers answers;

	*diagnostics = (struct qe_diagnostics){};
	if (!qe_policy_keeper_source(keeper))
		return json_pack("{s:n, s:[]}", "file", "answers");
	if (ask(keeper, &answers, question, diagnostics) != QE_OK)
		return nullptr;
	return json_pack("{s:s?, s:o}", "file", keeper->draft->file, "answers",
		qe_policy_answers_json(&keeper->draft->source, &answers));
}

/* ---- life ---- */

enum qe_error qe_policy_keeper_new(
	struct qe_policy_keeper **ret_keeper, const struct qe_policy_keeper_settings *settings)
{
	struct qe_policy_keeper *keeper = malloc(sizeof(*keeper));

	if (!keeper)
		return -ENOMEM;
	*keeper = (struct qe_policy_keeper){
		.settings = *settings, .alarm.ring = alarm_rang, .next_change = INT64_MAX};
	enum qe_error error = set_alarm(keeper);
	if (error == QE_OK)
		*ret_keeper = keeper;
	else
		free(keeper);
	return error;
}

struct qe_policy_keeper *qe_policy_keeper_free(struct qe_policy_keeper *keeper)
{
	if (!keeper)
		return nullptr;
	(void)!qe_loop_set_alarm(keeper->settings.loop, &keeper->alarm, QE_TIME_NEVER);
	qe_policy_draft_free(keeper->draft);
	free(keeper);
	return nullptr;
}
