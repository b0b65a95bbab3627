/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A reload either happens as a whole or not at all. First the next configuration is loaded and
 * checked, and its policy with it; then room is made in all that is indexed by slots; then the node
 * takes its peers, which is the last step that can fail. What follows tells everybody else. The
 * workers take the node's change up each at its next turn, and close the links of peers that are
 * gone.
 */
#include "daemon/reload.h"

#include <errno.h>

#include "config/change.h"
#include "crypto/key.h"
#include "daemon/configured.h"
#include "node/inspect.h"
#include "os/clock.h"
#include "rpc/diagnostics.h"

/* What is said of it afterwards: labels of peers and names of keys. */
struct outcome {
	json_t *added, *removed, *changed, *keys, *restart;
};

/* ---- what changes ---- */

static void add_label(json_t *list, const struct qe_config_peer *peer)
{
	char label[QE_NAME_MAX + 1];

	qe_peer_label(label, peer);
	json_array_append_new(list, json_string(label));
}

static json_t *names_json(const struct qe_schema_key *const *keys, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_sprintf("%s.%s", keys[i]->section, keys[i]->key));
	return list;
}

/* While the node has the peers of before. */
static struct outcome foresee(const struct qe_reload_parts *parts, const struct qe_config *next)
{
	struct qe_config_change change = qe_config_compare(
		qe_directory_config(parts->directory), next);
	struct outcome outcome = {
		.added = json_array(),
		.removed = json_array(),
		.changed = json_array(),
		.keys = names_json(change.keys, change.n_keys),
		.restart = names_json(change.restart, change.n_restart),
	};

	for (size_t i = 0; i < next->n_peers; i++) {
		size_t slot = qe_node_find_peer(parts->node, &next->peers[i].id);

		if (slot == SIZE_MAX)
			add_label(outcome.added, &next->peers[i]);
		else if (!qe_config_same_peer(
				 qe_directory_peer(parts->directory, slot), &next->peers[i]))
			add_label(outcome.changed, &next->peers[i]);
	}
	return outcome;
}

/* Once it has those of the next. */
static void note_removed(struct outcome *outcome, const struct qe_reload_parts *parts)
{
	const struct qe_config *before = qe_directory_config(parts->directory);

	for (size_t i = 0; i < before->n_peers; i++) {
		if (qe_node_find_peer(parts->node, &before->peers[i].id) == SIZE_MAX)
			add_label(outcome->removed, &before->peers[i]);
	}
}

/* ---- what is said of it ---- */

static void add_names(struct qe_text *text, const char *what, const json_t *names)
{
	size_t i;
	json_t *name;

	json_array_foreach((json_t *)names, i, name)
		qe_text_addf(text, "%s%s", i == 0 ? what : ", ", json_string_value(name));
}

static void log_outcome(const struct qe_reload_parts *parts, const struct outcome *outcome)
{
	char text[800] = "";
	struct qe_text to = qe_text_init(text, sizeof(text));

	add_names(&to, "; peers added: ", outcome->added);
	add_names(&to, "; peers removed: ", outcome->removed);
	add_names(&to, "; peers changed: ", outcome->changed);
	add_names(&to, "; changed: ", outcome->keys);
	qe_log(parts->log, QE_LOG_INFO, "config_changed", nullptr, "configuration reloaded%s",
		to.len > 0 ? text : ": nothing has changed");
	text[0] = '\0';
	to = qe_text_init(text, sizeof(text));
	add_names(&to, "", outcome->restart);
	if (to.len > 0)
		qe_log(parts->log, QE_LOG_WARN, "needs_restart", nullptr,
			"changes that count from the next start only: %s", text);
}

/* Takes what the outcome holds. */
static json_t *outcome_json(const struct outcome *outcome)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "added", outcome->added, "removed",
		outcome->removed, "changed", outcome->changed, "keys", outcome->keys, "restart",
		outcome->restart);
}

static bool is_any(const struct outcome *outcome)
{
	return json_array_size(outcome->added) || json_array_size(outcome->removed) ||
	       json_array_size(outcome->changed) || json_array_size(outcome->keys) ||
	       json_array_size(outcome->restart);
}

static json_t *report(const struct qe_reload_parts *parts, const struct outcome *outcome)
{
	bool differs = is_any(outcome);
	json_t *result;

	log_outcome(parts, outcome);
	result = outcome_json(outcome);
	if (differs)
		qe_audit_add(parts->audit, "config_changed", json_deep_copy(result));
	if (result)
		json_object_set_new(result, "ok", json_true());
	return result;
}

static void log_refusal(const struct qe_reload_parts *parts, const char *what,
	const struct qe_diagnostics *diagnostics)
{
	for (size_t i = 0; i < diagnostics->n; i++) {
		char line[700];
		struct qe_text text = qe_text_init(line, sizeof(line));

		qe_diagnostic_format(&text, &diagnostics->items[i]);
		qe_log(parts->log, QE_LOG_ERROR, "reload_refused", nullptr,
			"the %s stays as it was: %s", what, line);
	}
}

static json_t *refuse(const struct qe_reload_parts *parts, const char *what, enum qe_error error,
	struct qe_diagnostics *diagnostics)
{
	if (diagnostics->n == 0)
		qe_diagnostics_add(
			diagnostics, "reload", 0, 0, nullptr, "%s", qe_error_text(error));
	log_refusal(parts, what, diagnostics);
	return qe_diagnostics_answer(diagnostics);
}

/* ---- the policy ---- */

static json_t *policy_json(const struct qe_policy_keeper *keeper)
{
	const struct qe_policy_source *source = qe_policy_keeper_source(keeper);

	return json_pack("{s:s?, s:I}", "file", qe_policy_keeper_file(keeper), "rules",
		(json_int_t)(source ? source->n_rules : 0));
}

static void report_policy(const struct qe_reload_parts *parts)
{
	const char *file = qe_policy_keeper_file(parts->policy);
	uint64_t generation;

	qe_node_policy(parts->node, &generation);
	qe_verdicts_changed(parts->verdicts, generation);
	qe_log(parts->log, QE_LOG_INFO, "policy_changed", nullptr, "policy changed: %s",
		file ? file : "none");
	qe_audit_add(parts->audit, "policy_changed", policy_json(parts->policy));
}

json_t *qe_reload_policy(const struct qe_reload_parts *parts)
{
	struct qe_diagnostics diagnostics = {};
	struct qe_policy_draft *draft;
	enum qe_error error = qe_policy_keeper_draft(
		parts->policy, &draft, qe_directory_config(parts->directory), &diagnostics);

	bool differs = error == QE_OK && qe_policy_keeper_differs(parts->policy, draft);
	if (error == QE_OK)
		error = qe_policy_keeper_take(parts->policy, draft);
	if (error != QE_OK)
		return refuse(parts, "policy", error, &diagnostics);
	if (differs)
		report_policy(parts);
	json_t *result = policy_json(parts->policy);
	if (result) {
		json_object_set_new(result, "ok", json_true());
		json_object_set_new(result, "changed", json_boolean(differs));
	}
	return result;
}

/* ---- doing it ---- */

/* What is to be in effect. */
struct plan {
	struct qe_config *config;
	struct qe_policy_draft *policy;
};

static enum qe_error admit(const struct qe_reload_parts *parts, const struct qe_config *next,
	struct qe_diagnostics *diagnostics)
{
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));
	enum qe_error error = qe_router_admit(parts->router, next, &why);

	if (error != QE_OK && text[0])
		qe_diagnostics_add(diagnostics, "reload", 0, 0, nullptr, "network.exit: %s", text);
	return error;
}

static enum qe_error load(const struct qe_reload_parts *parts, struct plan *ret_plan,
	struct qe_diagnostics *diagnostics)
{
	struct plan plan;
	enum qe_error error;

	QE_TRY(qe_config_load(&plan.config, parts->inputs, diagnostics));
	error = qe_config_check_identity(plan.config, qe_key_get_id(parts->key), diagnostics);
	if (error == QE_OK)
		error = admit(parts, plan.config, diagnostics);
	if (error == QE_OK)
		error = qe_policy_keeper_draft(
			parts->policy, &plan.policy, plan.config, diagnostics);
	if (error == QE_OK)
		*ret_plan = plan;
	else
		qe_config_free(plan.config);
	return error;
}

static enum qe_error make_room(const struct qe_reload_parts *parts, const struct qe_config *next)
{
	QE_TRY(qe_directory_reserve(parts->directory, next, parts->node));
	QE_TRY(qe_event_log_reserve(parts->event_log));
	QE_TRY(qe_endpoints_reserve(parts->endpoints));
	return qe_workers_reserve(parts->workers, qe_directory_slots(parts->directory));
}

static enum qe_error tell_node(const struct qe_reload_parts *parts, struct qe_policy_making *making,
	const struct qe_node_id *exit, qe_time now)
{
	struct qe_configured configured;

	QE_TRY(qe_configured_init(&configured, making->config, parts->key, parts->n_workers, exit));
	configured.settings.make_policy = qe_policy_make;
	configured.settings.make_policy_ctx = making;
	enum qe_error error = qe_node_reconfigure(parts->node, &configured.settings, now);

	qe_configured_done(&configured);
	return error;
}

static enum qe_error change_node(
	const struct qe_reload_parts *parts, const struct plan *plan, qe_time now)
{
	struct qe_policy_making making = {parts->policy, plan->policy, plan->config};

	return tell_node(parts, &making, qe_vpn_exit(parts->vpn), now);
}

enum qe_error qe_reload_exit(const struct qe_reload_parts *parts, const struct qe_node_id *exit)
{
	struct qe_policy_making making = qe_policy_keeper_making(parts->policy);
	enum qe_error error = tell_node(parts, &making, exit, qe_clock_now());

	if (error == QE_OK && parts->workers) /* there are none yet at the start */
		qe_workers_wake(parts->workers);
	return error;
}

/* A slot may have been another peer's before. */
static void forget_former(const struct qe_reload_parts *parts, const struct qe_config *next)
{
	for (size_t i = 0; i < next->n_peers; i++) {
		size_t slot = qe_node_find_peer(parts->node, &next->peers[i].id);

		if (!qe_directory_peer(parts->directory, slot))
			qe_event_log_forget(parts->event_log, slot);
	}
}

static void tell_all(const struct qe_reload_parts *parts, struct qe_config *next, qe_time now)
{
	struct qe_config *before;

	forget_former(parts, next);
	before = qe_directory_change(parts->directory, next, parts->node);
	qe_config_keep(before, next);
	parts->log->level = next->monitoring.log_level;
	if (qe_endpoints_change(parts->endpoints, now) != QE_OK)
		qe_log(parts->log, QE_LOG_ERROR, "no_memory", nullptr,
			"without memory: some peers have no endpoints until the next reload");
	qe_workers_wake(parts->workers);
	qe_router_reconfigure(parts->router, next);
	qe_vpn_reconfigure(parts->vpn);
	qe_config_free(before);
}

/* The plan is taken. */
static enum qe_error apply(
	const struct qe_reload_parts *parts, const struct plan *plan, struct outcome *ret_outcome)
{
	qe_time now = qe_clock_now();
	struct outcome outcome = foresee(parts, plan->config);
	enum qe_error error = make_room(parts, plan->config);

	if (error == QE_OK)
		error = change_node(parts, plan, now);
	if (error != QE_OK) {
		json_decref(outcome_json(&outcome));
		qe_config_free(plan->config);
		qe_policy_draft_free(plan->policy);
		return error;
	}
	note_removed(&outcome, parts);
	tell_all(parts, plan->config, now);
	bool differs = qe_policy_keeper_differs(parts->policy, plan->policy);
	qe_policy_keeper_adopt(parts->policy, plan->policy);
	if (differs)
		report_policy(parts);
	*ret_outcome = outcome;
	return QE_OK;
}

json_t *qe_reload(const struct qe_reload_parts *parts)
{
	struct qe_diagnostics diagnostics = {};
	struct outcome outcome;
	struct plan plan;
	enum qe_error error = load(parts, &plan, &diagnostics);

	if (error == QE_OK)
		error = apply(parts, &plan, &outcome);
	if (error != QE_OK)
		return refuse(parts, "configuration", error, &diagnostics);
	return report(parts, &outcome);
}
