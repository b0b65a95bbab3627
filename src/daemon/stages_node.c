/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The stages of the daemon's start that make the node, and the policy that it begins with. */
#include "crypto/key.h"
#include "daemon/configured.h"
#include "daemon/stages.h"
#include "node/inspect.h"
#include "os/clock.h"

/* ---- policy ---- */

static enum qe_error put_policy(void *ctx, struct qe_policy *policy)
{
	struct daemon *daemon = ctx;
	enum qe_error error = qe_node_set_policy(daemon->node, policy, qe_clock_now());

	if (error != QE_OK)
		qe_policy_free(policy);
	return error;
}

static enum qe_error draft_policy(struct daemon *daemon, struct qe_diagnostics *diagnostics)
{
	const struct qe_policy_keeper_settings settings = {
		.loop = daemon->loop,
		.log = &daemon->log,
		.directory = daemon->directory,
		.own = qe_key_get_id(daemon->key),
		.put = put_policy,
		.ctx = daemon,
	};

	QE_TRY(qe_policy_keeper_new(&daemon->policy, &settings));
	return qe_policy_keeper_draft(
		daemon->policy, &daemon->first_policy, daemon->config, diagnostics);
}

enum qe_error daemon_start_policy(struct daemon *daemon)
{
	struct qe_diagnostics diagnostics = {};
	enum qe_error error = draft_policy(daemon, &diagnostics);

	if (error != QE_OK && diagnostics.n == 0)
		return daemon_fail(
			daemon, error, "the policy cannot be used: %s", qe_error_text(error));
	for (size_t i = 0; i < diagnostics.n; i++) {
		char line[700];
		struct qe_text text = qe_text_init(line, sizeof(line));

		qe_diagnostic_format(&text, &diagnostics.items[i]);
		(void)daemon_fail(daemon, error, "%s", line);
	}
	return error;
}

void daemon_stop_policy(struct daemon *daemon)
{
	daemon->first_policy = qe_policy_draft_free(daemon->first_policy);
	daemon->policy = qe_policy_keeper_free(daemon->policy);
}

/* ---- node ---- */

static void on_published(void *ctx)
{
	struct daemon *daemon = ctx;

	if (daemon->workers)
		qe_workers_wake(daemon->workers);
}

static void on_route(void *ctx, const struct qe_prefix *prefix, const struct qe_route *route)
{
	struct daemon *daemon = ctx;

	qe_router_set_route(daemon->router, prefix, route && route->next_hop != QE_NEXT_HOP_LOCAL);
}

static void on_judged(void *ctx, size_t peer, const struct qe_prefix *prefix, bool gateway,
	uint16_t metric, const char *reason)
{
	const struct daemon *daemon = ctx;

	qe_audit_route(daemon->audit, daemon->directory,
		&(struct qe_route_refusal){peer, *prefix, gateway, metric, reason});
}

static enum qe_error make_node(struct daemon *daemon)
{
	struct qe_policy_making making = {daemon->policy, daemon->first_policy, daemon->config};
	struct qe_configured configured;
	enum qe_error error;

	QE_TRY(qe_configured_init(&configured, daemon->config, daemon->key, daemon->devices.n,
		qe_vpn_configured_exit(daemon->config)));
	configured.settings.sink = (struct qe_node_sink){daemon, on_published, on_route, on_judged};
	configured.settings.account = daemon->audit != nullptr;
	configured.settings.make_policy = qe_policy_make;
	configured.settings.make_policy_ctx = &making;
	error = qe_node_new(&daemon->node, &configured.settings);
	qe_configured_done(&configured);
	if (error == QE_OK) {
		qe_policy_keeper_adopt(daemon->policy, daemon->first_policy);
		daemon->first_policy = nullptr;
	}
	return error;
}

static enum qe_error make_verdicts(struct daemon *daemon)
{
	const struct qe_verdicts_settings settings = {
		.directory = daemon->directory,
		.keeper = daemon->policy,
		.log = &daemon->log,
		.audit = daemon->audit,
		.node = daemon->node,
	};

	QE_TRY(qe_verdicts_new(&daemon->verdicts, &settings));
	const struct qe_gate_sink sink = qe_verdicts_sink(daemon->verdicts);

	qe_node_set_gate_sink(daemon->node, &sink);
	return QE_OK;
}

enum qe_error daemon_start_node(struct daemon *daemon)
{
	enum qe_error error = make_node(daemon);

	if (error == QE_OK)
		error = make_verdicts(daemon);
	if (error != QE_OK)
		return daemon_fail(
			daemon, error, "the node cannot be made: %s", qe_error_text(error));
	return QE_OK;
}

/* The workers are gone: what flowed is told to its end. */
void daemon_stop_node(struct daemon *daemon)
{
	if (daemon->verdicts && qe_node_gate(daemon->node)) {
		const struct qe_gate_sink sink = qe_verdicts_sink(daemon->verdicts);

		qe_gate_stop(qe_node_gate(daemon->node), qe_clock_now(), &sink);
	}
	daemon->verdicts = qe_verdicts_free(daemon->verdicts);
	daemon->node = qe_node_free(daemon->node);
}
