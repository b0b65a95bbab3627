/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The proxy as a node among others. */
#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "config/schema.h"
#include "crypto/key.h"
#include "daemon/advice.h"
#include "daemon/configured.h"
#include "net/addr.h"
#include "node/inspect.h"
#include "os/clock.h"
#include "proxy/proxy_internal.h"

/* ---- policy ---- */

static enum qe_error put_policy(void *ctx, struct qe_policy *policy)
{
	struct proxy *proxy = ctx;
	enum qe_error error = qe_node_set_policy(proxy->node, policy, qe_clock_now());

	if (error != QE_OK)
		qe_policy_free(policy);
	return error;
}

static enum qe_error draft_policy(struct proxy *proxy, struct qe_diagnostics *diagnostics)
{
	const struct qe_policy_keeper_settings settings = {
		.loop = proxy->loop,
		.log = &proxy->log,
		.directory = proxy->directory,
		.own = qe_key_get_id(proxy->key),
		.put = put_policy,
		.ctx = proxy,
	};

	QE_TRY(qe_policy_keeper_new(&proxy->policy, &settings));
	return qe_policy_keeper_draft(
		proxy->policy, &proxy->first_policy, proxy->config, diagnostics);
}

enum qe_error proxy_start_policy(struct proxy *proxy)
{
	struct qe_diagnostics diagnostics = {};
	enum qe_error error = draft_policy(proxy, &diagnostics);

	if (error != QE_OK && diagnostics.n == 0)
		return proxy_fail(
			proxy, error, "the policy cannot be used: %s", qe_error_text(error));
	for (size_t i = 0; i < diagnostics.n; i++) {
		char line[700];
		struct qe_text text = qe_text_init(line, sizeof(line));

		qe_diagnostic_format(&text, &diagnostics.items[i]);
		(void)proxy_fail(proxy, error, "%s", line);
	}
	return error;
}

void proxy_stop_policy(struct proxy *proxy)
{
	proxy->first_policy = qe_policy_draft_free(proxy->first_policy);
	proxy->policy = qe_policy_keeper_free(proxy->policy);
}

/* ---- node ---- */

static void on_published(void *ctx)
{
	struct proxy *proxy = ctx;

	if (proxy->workers)
		qe_workers_wake(proxy->workers);
}

/* Its own addresses are all that it has. */
static enum qe_error make_node(struct proxy *proxy)
{
	struct qe_policy_making making = {proxy->policy, proxy->first_policy, proxy->config};
	const struct qe_config *config = proxy->config;
	const struct qe_node_id *exit = config->vpn_gateway == SIZE_MAX
						? nullptr
						: &config->peers[config->vpn_gateway].id;
	struct qe_configured configured;
	enum qe_error error;

	QE_TRY(qe_configured_init(&configured, config, proxy->key, 1, exit));
	configured.settings.n_local = 1 + config->network.tun_addr.n;
	configured.settings.n_forward = 0;
	configured.settings.sink = (struct qe_node_sink){.ctx = proxy, .published = on_published};
	configured.settings.make_policy = qe_policy_make;
	configured.settings.make_policy_ctx = &making;
	error = qe_node_new(&proxy->node, &configured.settings);
	qe_configured_done(&configured);
	if (error == QE_OK) {
		qe_policy_keeper_adopt(proxy->policy, proxy->first_policy);
		proxy->first_policy = nullptr;
	}
	return error;
}

static enum qe_error make_verdicts(struct proxy *proxy)
{
	const struct qe_verdicts_settings settings = {
		.directory = proxy->directory,
		.keeper = proxy->policy,
		.log = &proxy->log,
		.node = proxy->node,
	};

	QE_TRY(qe_verdicts_new(&proxy->verdicts, &settings));
	const struct qe_gate_sink sink = qe_verdicts_sink(proxy->verdicts);

	qe_node_set_gate_sink(proxy->node, &sink);
	return QE_OK;
}

enum qe_error proxy_start_node(struct proxy *proxy)
{
	enum qe_error error = make_node(proxy);

	if (error == QE_OK)
		error = make_verdicts(proxy);
	if (error != QE_OK)
		return proxy_fail(
			proxy, error, "the node cannot be made: %s", qe_error_text(error));
	return QE_OK;
}

void proxy_stop_node(struct proxy *proxy)
{
	proxy->verdicts = qe_verdicts_free(proxy->verdicts);
	proxy->node = qe_node_free(proxy->node);
}

/* ---- the UDP socket ---- */

/* Nobody has to find this node by its port: unless one is asked for, any will do, and a daemon may
 * have the usual one. */
static struct qe_endpoint where_to_listen(const struct qe_config *config)
{
	const struct qe_schema_key *key = qe_schema_find("network", "listen");
	struct qe_endpoint listen = config->network.listen;

	if (config->origins[qe_schema_origin(key)].source == QE_SOURCE_DEFAULT)
		listen.port = 0;
	return listen;
}

enum qe_error proxy_start_udp(struct proxy *proxy)
{
	static const struct qe_advice advice[] = {
		{-EADDRINUSE, "another program uses the port: leave network.listen out"},
		{-EADDRNOTAVAIL, "this host does not have the address"},
		{-EACCES, "the port is reserved: leave network.listen out"},
		{-EAFNOSUPPORT, "this host has no IPv6"},
		{},
	};
	const struct qe_endpoint listen = where_to_listen(proxy->config);
	enum qe_error error = qe_udp_new(&proxy->udp, &listen);
	char at[QE_ENDPOINT_TEXT_SIZE];

	if (error == QE_OK)
		error = qe_udp_set_dscp(proxy->udp, (uint8_t)proxy->config->network.dscp);
	if (error == QE_OK)
		return QE_OK;
	qe_endpoint_format(at, &listen);
	return proxy_fail(
		proxy, error, "cannot listen on UDP %s: %s", at, qe_find_advice(advice, error));
}

void proxy_stop_udp(struct proxy *proxy)
{
	proxy->udp = qe_udp_free(proxy->udp);
}

/* ---- the worker ---- */

static void wake(void *ctx)
{
	struct proxy *proxy = ctx;

	qe_loop_wake(proxy->loop);
}

enum qe_error proxy_start_workers(struct proxy *proxy)
{
	const struct qe_workers_settings settings = {
		.node = proxy->node,
		.n_peers = proxy->config->n_peers,
		.n = 1,
		.tuns = &proxy->ends[0],
		.udps = &proxy->udp,
		.notify = wake,
		.ctx = proxy,
	};
	enum qe_error error = qe_tun_new_cable(proxy->ends);

	if (error == QE_OK)
		error = qe_workers_new(&proxy->workers, &settings);
	if (error != QE_OK)
		return proxy_fail(
			proxy, error, "the worker cannot be started: %s", qe_error_text(error));
	return QE_OK;
}

void proxy_stop_workers(struct proxy *proxy)
{
	proxy->workers = qe_workers_free(proxy->workers);
	proxy->ends[0] = qe_tun_free(proxy->ends[0]);
	proxy->ends[1] = qe_tun_free(proxy->ends[1]);
}

/* ---- the host's network ---- */

/* Changes come in swarms: wait for the end of each. */
constexpr qe_time settles = QE_SECOND / 2;

static void network_settled(struct qe_alarm *alarm, qe_time now)
{
	struct proxy *proxy = QE_CONTAINER_OF(alarm, struct proxy, network_alarm);

	if (qe_workers_network_changed(proxy->workers) != QE_OK)
		(void)!qe_loop_set_alarm(proxy->loop, alarm, now + settles);
}

static void network_changes(struct qe_watch *watch, unsigned)
{
	struct proxy *proxy = QE_CONTAINER_OF(watch, struct proxy, network);

	if (qe_netlink_monitor_drain(proxy->monitor))
		(void)!qe_loop_set_alarm(
			proxy->loop, &proxy->network_alarm, qe_clock_now() + settles);
}

/* Links are looked at when ways have changed, and not only when they have been silent for long.
 * Where that cannot be known, as in some containers, they are all the same. */
enum qe_error proxy_start_network(struct proxy *proxy)
{
	enum qe_error error = qe_netlink_monitor_new(&proxy->monitor);

	if (error == QE_OK) {
		proxy->network_alarm.ring = network_settled;
		proxy->network = (struct qe_watch){
			qe_netlink_monitor_fd(proxy->monitor), network_changes};
		error = qe_loop_add(proxy->loop, &proxy->network, QE_READABLE);
	}
	if (error != QE_OK)
		qe_log(&proxy->log, QE_LOG_WARN, "no_monitor", nullptr,
			"changes of the host's network are not seen: %s", qe_error_text(error));
	return QE_OK;
}

void proxy_stop_network(struct proxy *proxy)
{
	if (proxy->monitor && proxy->network.ready)
		qe_loop_remove(proxy->loop, &proxy->network);
	(void)!qe_loop_set_alarm(proxy->loop, &proxy->network_alarm, QE_TIME_NEVER);
	proxy->monitor = qe_netlink_monitor_free(proxy->monitor);
}

/* ---- where peers are ---- */

static enum qe_error ask_for_peer(void *ctx, uint64_t cookie, const char *host, uint16_t port)
{
	return qe_resolver_ask(((struct proxy *)ctx)->resolver, cookie, host, port);
}

enum qe_error proxy_start_endpoints(struct proxy *proxy)
{
	const struct qe_endpoints_source source = {ask_for_peer, proxy};
	enum qe_error error = qe_resolver_new(&proxy->resolver, wake, proxy);

	if (error == QE_OK)
		error = qe_endpoints_new(&proxy->endpoints, proxy->directory, &proxy->log,
			proxy->loop, &source, proxy->workers, qe_clock_now());
	if (error != QE_OK)
		return proxy_fail(
			proxy, error, "peers cannot be looked for: %s", qe_error_text(error));
	return QE_OK;
}

void proxy_stop_endpoints(struct proxy *proxy)
{
	proxy->endpoints = qe_endpoints_free(proxy->endpoints);
	proxy->resolver = qe_resolver_free(proxy->resolver);
}

/* ---- news ---- */

static void set_up(struct proxy *proxy, size_t peer, bool up)
{
	const uint64_t bit = UINT64_C(1) << (peer % 64);

	if (up)
		proxy->up[peer / 64] |= bit;
	else
		proxy->up[peer / 64] &= ~bit;
}

static void take_event(struct proxy *proxy, const struct qe_event *event)
{
	qe_event_log_add(proxy->event_log, event);
	if (event->type == QE_EVENT_PEER_UP) {
		set_up(proxy, event->peer, true);
		qe_endpoints_peer_up(proxy->endpoints, event->peer);
	} else if (event->type == QE_EVENT_PEER_DOWN) {
		set_up(proxy, event->peer, false);
		qe_endpoints_peer_down(proxy->endpoints, event->peer, event->time);
	}
}

void proxy_take_news(struct proxy *proxy)
{
	struct qe_worker_event event;
	struct qe_resolved resolved;
	const qe_time now = qe_clock_now();

	while (qe_workers_take_event(proxy->workers, &event))
		take_event(proxy, &event.event);
	while (qe_resolver_take(proxy->resolver, &resolved))
		qe_endpoints_resolved(proxy->endpoints, &resolved, now);
	if (qe_node_deadline(proxy->node) <= now)
		qe_node_run(proxy->node, now);
}

/* ---- ways ---- */

bool proxy_is_connected(const struct proxy *proxy)
{
	for (size_t i = 0; i < sizeof(proxy->up) / sizeof(proxy->up[0]); i++)
		if (proxy->up[i])
			return true;
	return false;
}

/* A name may resolve to anything: what is this host's, or nobody's, is not asked for through the
 * tunnel either. */
static bool is_elsewhere(const struct proxy *proxy, const struct qe_addr *addr)
{
	static const struct qe_prefix mapped = {
		.addr = {QE_FAMILY_IPV6, {[10] = 0xff, [11] = 0xff}}, .length = 96};

	return !qe_addr_is_loopback(addr) && !qe_addr_is_unspecified(addr) &&
	       !qe_addr_is_multicast(addr) && !qe_addr_is_broadcast(addr) &&
	       !qe_addr_is_link_local(addr) && !qe_prefix_contains(&mapped, addr) &&
	       !qe_stack_owns(proxy->stack, addr);
}

enum qe_error proxy_check(void *ctx, const struct qe_addr *addr)
{
	const struct proxy *proxy = ctx;
	struct qe_route route;

	if (!is_elsewhere(proxy, addr))
		return -EADDRNOTAVAIL;
	if (!qe_stack_has_family(proxy->stack, addr->family))
		return -ENETUNREACH;
	if (qe_node_find_route(proxy->node, addr, &route) != QE_OK)
		return proxy_is_connected(proxy) ? -ENETUNREACH : -EAGAIN;
	return route.next_hop == QE_NEXT_HOP_LOCAL ? -EADDRNOTAVAIL : QE_OK;
}

bool proxy_is_up(void *ctx, const struct qe_addr *addr)
{
	const struct proxy *proxy = ctx;
	struct qe_route route;

	return qe_node_find_route(proxy->node, addr, &route) == QE_OK &&
	       proxy->up[route.peer / 64] & UINT64_C(1) << (route.peer % 64);
}
