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
	char *text;                     /* that stood in it, to be compared */
	size_t len;
	bool open; /* no policy at all */
	/* Once it is compiled, in seconds since 1970: when, and until when that holds. */
	int64_t compiled, next_change;
};

struct qe_policy_keeper {
	struct qe_policy_keeper_settings settings;
	struct qe_policy_draft *draft; /* the one in effect; NULL before the first */
	struct qe_alarm alarm;
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
	free(draft->text);
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
	QE_TRY(qe_policy_file_read(&draft->text, &draft->len, draft->file, diagnostics));
	struct qe_bytes text = {(const uint8_t *)draft->text, draft->len};
	enum qe_error error = qe_policy_parse(
		&draft->source, draft->file, text, members->items, members->n, findings);
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

static bool is_same_file(const struct qe_policy_draft *a, const struct qe_policy_draft *b)
{
	if (!a->file || !b->file)
		return a->file == b->file;
	return strcmp(a->file, b->file) == 0 && a->len == b->len &&
	       memcmp(a->text, b->text, a->len) == 0;
}

bool qe_policy_keeper_differs(
	const struct qe_policy_keeper *keeper, const struct qe_policy_draft *draft)
{
	return !keeper->draft || keeper->draft->open != draft->open ||
	       !is_same_file(keeper->draft, draft);
}

/* ---- in effect ---- */

/* slots: of the peers of the configuration; NULL: those that they have now. */
static enum qe_error init_members(const struct qe_policy_keeper *keeper,
	const struct qe_config *config, const uint32_t *slots, struct qe_policy_members *members)
{
	const struct qe_directory *directory = keeper->settings.directory;

	QE_TRY(qe_policy_members_init(members, config, keeper->settings.own));
	for (size_t i = 0; i < config->n_peers; i++)
		members->items[i].slot = slots ? slots[i]
					       : (uint32_t)qe_directory_slot(directory, i);
	return QE_OK;
}

static enum qe_error compile(const struct qe_policy_members *members, struct qe_policy_draft *draft,
	int64_t now, struct qe_policy **ret_policy)
{
	struct qe_policy *policy = nullptr;

	if (!draft->open)
		QE_TRY(qe_policy_compile(
			&policy, &draft->source, members->items, members->n, now, nullptr));
	draft->compiled = now;
	draft->next_change = qe_policy_next_change(&draft->source, now);
	*ret_policy = policy;
	return QE_OK;
}

enum qe_error qe_policy_make(void *ctx, const uint32_t *slots, struct qe_policy **ret_policy)
{
	const struct qe_policy_making *making = ctx;
	struct qe_policy_members members;

	QE_TRY(init_members(making->keeper, making->config, slots, &members));
	enum qe_error error = compile(&members, making->draft, wall_now(), ret_policy);
	qe_policy_members_done(&members);
	return error;
}

struct qe_policy_making qe_policy_keeper_making(struct qe_policy_keeper *keeper)
{
	return (struct qe_policy_making){
		keeper, keeper->draft, qe_directory_config(keeper->settings.directory)};
}

/* For the configuration in effect. */
static enum qe_error put(
	const struct qe_policy_keeper *keeper, struct qe_policy_draft *draft, int64_t now)
{
	const struct qe_config *config = qe_directory_config(keeper->settings.directory);
	struct qe_policy_members members;
	struct qe_policy *policy;

	QE_TRY(init_members(keeper, config, nullptr, &members));
	enum qe_error error = compile(&members, draft, now, &policy);
	qe_policy_members_done(&members);
	return error == QE_OK ? keeper->settings.put(keeper->settings.ctx, policy) : error;
}

static enum qe_error set_alarm(struct qe_policy_keeper *keeper)
{
	int64_t left = keeper->draft ? keeper->draft->next_change - wall_now() : INT64_MAX;
	qe_time wait = left > 0 && left < wait_max_s ? (qe_time)left : (qe_time)wait_max_s;

	return qe_loop_set_alarm(
		keeper->settings.loop, &keeper->alarm, qe_clock_now() + wait * QE_SECOND);
}

/* A clock that was set back changes what holds, too. */
void qe_policy_keeper_check(struct qe_policy_keeper *keeper, int64_t now)
{
	struct qe_policy_draft *draft = keeper->draft;

	if (!draft || (now < draft->next_change && now >= draft->compiled))
		return;
	enum qe_error error = put(keeper, draft, now);
	if (error == QE_OK)
		return;
	draft->next_change = now; /* still to be done */
	qe_log(keeper->settings.log, QE_LOG_ERROR, "policy_stale", nullptr,
		"a schedule has begun or ended, but the policy cannot be compiled: %s; trying "
		"again",
		qe_error_text(error));
}

/* Of the room that the alarm has had before. */
static void alarm_rang(struct qe_alarm *alarm, qe_time)
{
	struct qe_policy_keeper *keeper = QE_CONTAINER_OF(alarm, struct qe_policy_keeper, alarm);

	qe_policy_keeper_check(keeper, wall_now());
	(void)!set_alarm(keeper);
}

void qe_policy_keeper_adopt(struct qe_policy_keeper *keeper, struct qe_policy_draft *draft)
{
	qe_policy_draft_free(keeper->draft);
	keeper->draft = draft;
	(void)!set_alarm(keeper); /* has its room */
}

enum qe_error qe_policy_keeper_take(struct qe_policy_keeper *keeper, struct qe_policy_draft *draft)
{
	enum qe_error error = put(keeper, draft, wall_now());

	if (error == QE_OK)
		qe_policy_keeper_adopt(keeper, draft);
	else
		qe_policy_draft_free(draft);
	return error;
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
	const struct qe_config *config = qe_directory_config(keeper->settings.directory);
	struct qe_policy_members members;

	QE_TRY(init_members(keeper, config, nullptr, &members));
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
	*keeper = (struct qe_policy_keeper){.settings = *settings, .alarm.ring = alarm_rang};
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
