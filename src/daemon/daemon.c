/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The daemon wires the library, which does no I/O, to the host: a TUN interface, a UDP socket,
 * addresses, routes, names, a control socket. It starts in stages, each of which may fail with a
 * sentence that says what to do, and whatever has been started is ended in reverse. Nothing is
 * changed on the host before everything that can be checked has been; and all that is changed hangs
 * on descriptors, or is undone by the helper (os/helper.h), so that a crash undoes it too.
 *
 * Two kinds of threads matter. The control thread (this file, and all others of this folder but
 * worker.c) runs an event loop: signals, JSON-RPC, netlink, names, timers. Each worker (worker.c)
 * owns a shard and moves packets. They share only rings, and the node. Two more threads are
 * for names: one answers and forwards questions (dns.c), one waits for the system's resolver
 * (os/resolver.c).
 *
 * Privileges are needed up to the stage "sandbox"; threads are made after it, and so never have
 * any. What takes some later is the helper's to do, which is made first of all, so that it knows
 * nothing and has nothing open.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "crypto/key.h"
#include "daemon/configured.h"
#include "daemon/daemon.h"
#include "daemon/report.h"
#include "daemon/stages.h"
#include "net/addr.h"
#include "node/inspect.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/signals.h"

/* How long the last answers may take to leave. */
constexpr qe_time goodbye = QE_SECOND;

/* ---- loop and signals ---- */

static void stop(void *ctx, bool hold)
{
	struct daemon *daemon = ctx;

	daemon->stopping = true;
	daemon->goodbye = hold ? QE_GOODBYE_HOLD : QE_GOODBYE;
}

static json_t *reload(void *ctx)
{
	struct daemon *daemon = ctx;
	json_t *result = qe_reload(&daemon->reload);

	daemon->config = qe_directory_config(daemon->directory);
	qe_underlay_changed(daemon->underlay);
	return result;
}

static json_t *reload_policy(void *ctx)
{
	struct daemon *daemon = ctx;

	return qe_reload_policy(&daemon->reload);
}

static void signal_came(struct qe_watch *watch, unsigned)
{
	struct daemon *daemon = QE_CONTAINER_OF(watch, struct daemon, signals);
	const char *name;

	/* All that have come so far are one: what comes later, while it stops, ends it at once. */
	while ((name = qe_signals_read(watch->fd))) {
		if (strcmp(name, "HUP") == 0) {
			qe_audit_reopen(daemon->audit);
			json_decref(reload(daemon));
			continue;
		}
		qe_log(&daemon->log, QE_LOG_INFO, "signal", nullptr, "SIG%s: stopping", name);
		stop(daemon, false);
	}
}

static enum qe_error start_loop(struct daemon *daemon)
{
	enum qe_error error = qe_loop_new(&daemon->loop);

	daemon->signals.ready = signal_came;
	if (error == QE_OK)
		daemon->shed = qe_shed_init(daemon->loop);
	if (error == QE_OK)
		error = qe_signals_take(&daemon->signals.fd);
	if (error == QE_OK)
		error = qe_loop_add(daemon->loop, &daemon->signals, QE_READABLE);
	if (error == QE_OK)
		error = qe_event_log_new(
			&daemon->event_log, &daemon->log, daemon->directory, daemon->loop);
	if (error != QE_OK)
		return daemon_fail(daemon, error, "the event loop cannot be started: %s",
			qe_error_text(error));
	return QE_OK;
}

static void release_signals(struct daemon *daemon)
{
	if (daemon->signals.fd >= 0)
		qe_signals_release(daemon->signals.fd);
	daemon->signals.fd = -1;
}

static void stop_loop(struct daemon *daemon)
{
	daemon->event_log = qe_event_log_free(daemon->event_log);
	qe_shed_done(&daemon->shed);
	release_signals(daemon);
	daemon->loop = qe_loop_free(daemon->loop);
}

/* ---- workers, names ---- */

static void wake(void *ctx)
{
	struct daemon *daemon = ctx;

	qe_loop_wake(daemon->loop);
}

static enum qe_error start_workers(struct daemon *daemon)
{
	const struct qe_config_list *cpus = &daemon->config->performance.cpu_affinity;
	const struct qe_workers_settings settings = {
		.node = daemon->node,
		.n_peers = daemon->config->n_peers,
		.n = daemon->devices.n,
		.tuns = daemon->devices.tuns,
		.udps = daemon->devices.udps,
		.cpus = cpus->n > 0 ? cpus->integers : nullptr,
		.notify = wake,
		.ctx = daemon,
	};
	enum qe_error error = qe_workers_new(&daemon->workers, &settings);
	if (error == QE_OK)
		error = qe_pulse_new(
			&daemon->pulse, daemon->loop, daemon->node, daemon->vpn, daemon->workers);
	if (error != QE_OK)
		return daemon_fail(
			daemon, error, "the workers cannot be started: %s", qe_error_text(error));
	qe_network_set_workers(daemon->network, daemon->workers);
	return QE_OK;
}

static void stop_workers(struct daemon *daemon)
{
	daemon->pulse = qe_pulse_free(daemon->pulse);
	daemon->workers = qe_workers_free(daemon->workers);
}

static enum qe_error start_naming(struct daemon *daemon)
{
	const struct qe_naming_settings settings = {
		.directory = daemon->directory,
		.node = daemon->node,
		.router = daemon->router,
		.loop = daemon->loop,
		.log = &daemon->log,
		.wake = wake,
		.ctx = daemon,
	};

	QE_TRY(qe_naming_new(&daemon->naming, &settings));
	qe_network_set_naming(daemon->network, daemon->naming);
	qe_vpn_set_naming(daemon->vpn, daemon->naming);
	return qe_peer_names_new(&daemon->peer_names, daemon->naming,
		qe_router_helper(daemon->router), wake, daemon);
}

static enum qe_error ask_for_peer(void *ctx, uint64_t cookie, const char *host, uint16_t port)
{
	return qe_peer_names_ask(((struct daemon *)ctx)->peer_names, cookie, host, port);
}

/* In VPN mode peers are looked for beside the tunnel, also at first. */
static enum qe_error start_names(struct daemon *daemon)
{
	const struct qe_endpoints_source source = {ask_for_peer, daemon};
	enum qe_error error = start_naming(daemon);

	if (error == QE_OK)
		error = qe_endpoints_new(&daemon->endpoints, daemon->directory, &daemon->log,
			daemon->loop, &source, daemon->workers, qe_clock_now());
	if (error == QE_OK)
		error = qe_underlay_new(&daemon->underlay, daemon->node, daemon->directory,
			daemon->endpoints, daemon->router, daemon->loop);
	if (error != QE_OK)
		return daemon_fail(
			daemon, error, "names cannot be resolved: %s", qe_error_text(error));
	qe_vpn_set_endpoints(daemon->vpn, daemon->endpoints);
	qe_network_set_endpoints(daemon->network, daemon->endpoints);
	return QE_OK;
}

static void stop_names(struct daemon *daemon)
{
	daemon->underlay = qe_underlay_free(daemon->underlay);
	daemon->endpoints = qe_endpoints_free(daemon->endpoints);
	daemon->peer_names = qe_peer_names_free(daemon->peer_names);
	qe_vpn_set_naming(daemon->vpn, nullptr);
	daemon->naming = qe_naming_free(daemon->naming);
}

/* ---- JSON-RPC ---- */

static enum qe_error start_rpc(struct daemon *daemon)
{
	const struct qe_service_settings settings = {
		.directory = daemon->directory,
		.node = daemon->node,
		.loop = daemon->loop,
		.workers = daemon->workers,
		.policy = daemon->policy,
		.verdicts = daemon->verdicts,
		.audit = daemon->audit,
		.listen = qe_udp_local(daemon->devices.udps[0]),
		.tun_segments_udp = qe_tun_segments_udp(daemon->devices.tuns[0]),
		.routes = qe_router_routes(daemon->router),
		.vpn = daemon->vpn,
		.pulse = daemon->pulse,
		.naming = daemon->naming,
		.started = daemon->started,
		.stop = stop,
		.reload = reload,
		.reload_policy = reload_policy,
		.ctx = daemon,
	};
	enum qe_error error;

	daemon->reload = (struct qe_reload_parts){daemon->inputs, daemon->key, &daemon->log,
		daemon->directory, daemon->node, daemon->workers, daemon->endpoints,
		daemon->event_log, daemon->audit, daemon->policy, daemon->verdicts, daemon->router,
		daemon->vpn, daemon->devices.n};
	error = qe_service_new(&daemon->service, &settings);

	if (error == QE_OK)
		error = qe_rpc_server_new(&daemon->server, daemon->loop, daemon->listener,
			qe_service_methods(daemon->service));
	if (error != QE_OK)
		return daemon_fail(daemon, error, "the control socket cannot be served: %s",
			qe_error_text(error));
	return QE_OK;
}

/* No question is taken any more; the workers are stopped, so that each one under way has its
 * answer; then the answers get a moment to leave. */
static void stop_rpc(struct daemon *daemon)
{
	qe_time end = qe_clock_now() + goodbye;

	if (daemon->server)
		qe_rpc_server_finish(daemon->server);
	qe_workers_stop(daemon->workers);
	daemon->service = qe_service_free(daemon->service);
	while (daemon->server && qe_rpc_server_is_busy(daemon->server) && qe_clock_now() < end)
		qe_loop_turn(daemon->loop, end);
	daemon->server = qe_rpc_server_free(daemon->server);
}

/* ---- ready, and running ---- */

static enum qe_error start_work(struct daemon *daemon)
{
	struct qe_endpoint listen = qe_udp_local(daemon->devices.udps[0]);
	char id[QE_NODE_ID_TEXT_SIZE], at[QE_ENDPOINT_TEXT_SIZE];

	qe_node_id_format(id, qe_node_get_id(daemon->node));
	qe_endpoint_format(at, &listen);
	qe_log(&daemon->log, QE_LOG_INFO, "ready", nullptr,
		"%s (%s) listens on UDP %s; interface %s, MTU %u; %zu %s; %u %s; "
		"%s",
		daemon->config->node.name, id, at, daemon->config->network.tun_name,
		daemon->config->network.mtu, daemon->config->n_peers,
		daemon->config->n_peers == 1 ? "peer" : "peers", daemon->devices.n,
		daemon->devices.n == 1 ? "worker" : "workers",
		qe_node_crypto_provider(daemon->node));
	if (daemon->background) {
		qe_log_detach(&daemon->log);
		qe_process_ready(daemon->ready);
	}
	qe_process_shed();
	qe_process_notify_manager();
	return QE_OK;
}

/* To those who have subscribed to them. */
static void tell_of_peer(struct daemon *daemon, const struct qe_event *event, const char *state)
{
	json_t *params;

	if (!qe_rpc_server_is_heard(daemon->server, "peers"))
		return;
	params = qe_report_event_peer(daemon->directory, event);
	json_object_set_new(params, "state", json_string(state));
	if (event->reason)
		json_object_set_new(params, "reason", json_string(event->reason));
	qe_rpc_server_notify(daemon->server, "peers", params);
}

static void take_event(struct daemon *daemon, const struct qe_event *event)
{
	qe_event_log_add(daemon->event_log, event);
	qe_audit_event(daemon->audit, daemon->directory, event);
	switch (event->type) {
	case QE_EVENT_PEER_UP:
		qe_endpoints_peer_up(daemon->endpoints, event->peer);
		tell_of_peer(daemon, event, "connected");
		break;
	case QE_EVENT_PEER_DOWN:
		qe_endpoints_peer_down(daemon->endpoints, event->peer, event->time);
		tell_of_peer(daemon, event, "disconnected");
		break;
	case QE_EVENT_PONG:
	case QE_EVENT_PING_LOST:
		qe_service_take_pong(daemon->service, event);
		break;
	case QE_EVENT_LINK_UP:
		qe_shed_later(&daemon->shed, event->time);
		[[fallthrough]];
	case QE_EVENT_PEER_MOVED:
		qe_underlay_seen(daemon->underlay, event->peer, &event->path.remote.addr);
		break;
	case QE_EVENT_LINK_DOWN:
	case QE_EVENT_DIAL_FAILED:
	case QE_EVENT_PEER_SILENT:
	case QE_EVENT_PEER_ANSWERS:
	case QE_EVENT_PEER_RTT:
	case QE_EVENT_ROUTES:
	case QE_EVENT_STRANGER:
		break;
	}
}

static void run_node(struct daemon *daemon)
{
	const qe_time now = qe_clock_now();

	if (qe_node_deadline(daemon->node) <= now)
		qe_node_run(daemon->node, now);
}

/* What the other threads have brought since the last turn. */
static void take_news(struct daemon *daemon)
{
	struct qe_worker_event event;
	struct qe_resolved resolved;

	while (qe_workers_take_event(daemon->workers, &event))
		take_event(daemon, &event.event);
	qe_service_take_queries(daemon->service);
	while (qe_peer_names_take(daemon->peer_names, &resolved)) {
		qe_endpoints_resolved(daemon->endpoints, &resolved, qe_clock_now());
		qe_underlay_changed(daemon->underlay);
	}
	run_node(daemon);
	qe_router_run(daemon->router);
	qe_vpn_run(daemon->vpn);
	qe_pulse_run(daemon->pulse);
}

/* ---- all of it ---- */

static const struct stage {
	enum qe_error (*start)(struct daemon *daemon); /* has said why, when it fails */
	void (*stop)(struct daemon *daemon);           /* also after a start that failed half way */
} stages[] = {
	{daemon_start_helper,
		daemon_stop_helper}, /* before there is anything that it could inherit */
	{start_loop, stop_loop},
	{daemon_start_audit, daemon_stop_audit},
	{daemon_start_policy, daemon_stop_policy},
	{daemon_start_node, daemon_stop_node},
	{daemon_start_listener,
		daemon_stop_listener}, /* first of all to notice a daemon that runs already */
	{daemon_start_recovery,
		daemon_give_back}, /* while it listens, as who has told it to stop waits for that */
	{daemon_start_check, daemon_stop_check},
	{daemon_start_vpn, daemon_stop_vpn},
	{daemon_start_udp, daemon_stop_udp},
	{daemon_start_tun, daemon_stop_tun},
	{daemon_start_network, daemon_stop_network},
	{daemon_start_router, daemon_stop_router},
	{daemon_enter_vpn, nullptr},
	{daemon_start_sandbox, nullptr},
	{daemon_start_audit_writer, nullptr},
	{start_workers, stop_workers},
	{start_names, stop_names},
	{start_rpc, stop_rpc},
	{start_work, nullptr},
};
constexpr size_t n_stages = sizeof(stages) / sizeof(stages[0]);

static void run(struct daemon *daemon)
{
	size_t started = 0;
	enum qe_error error = QE_OK;

	while (started < n_stages && error == QE_OK)
		error = stages[started++].start(daemon);
	if (error != QE_OK)
		daemon->goodbye = QE_GOODBYE_AS_FOUND;
	while (error == QE_OK && !daemon->stopping) {
		qe_loop_turn(daemon->loop, qe_node_deadline(daemon->node));
		take_news(daemon);
	}
	release_signals(daemon); /* a second one ends what may hang from here on */
	while (started > 0) {
		started--;
		if (stages[started].stop)
			stages[started].stop(daemon);
	}
	if (error == QE_OK)
		qe_log(&daemon->log, QE_LOG_INFO, "stopped", nullptr, "stopped");
}

static int run_here(struct daemon *daemon)
{
	bool is_child = false;
	int exit_code = 1;

	if (daemon->background) {
		enum qe_error error = qe_process_background(&is_child, &daemon->ready, &exit_code);

		if (error != QE_OK) {
			(void)daemon_fail(daemon, error, "cannot go to the background: %s",
				qe_error_text(error));
			return daemon->exit_code;
		}
		if (!is_child)
			return exit_code;
	}
	daemon->started = qe_clock_now();
	run(daemon);
	return daemon->exit_code;
}

int qe_daemon_run(struct qe_config *config, const struct qe_config_inputs *inputs,
	struct qe_key *key, bool background)
{
	struct daemon daemon = {
		.inputs = inputs,
		.config = config,
		.key = key,
		.log = qe_log_init(config->monitoring.log_level),
		.background = background,
		.devices = qe_devices_init(config),
		.signals.fd = -1,
	};
	enum qe_error error = qe_directory_new(&daemon.directory, config);
	int exit_code;

	if (error != QE_OK) {
		(void)daemon_fail(&daemon, error, "%s", qe_error_text(error));
		qe_config_free(config);
		return daemon.exit_code;
	}
	exit_code = run_here(&daemon);
	qe_directory_free(daemon.directory);
	return exit_code;
}
