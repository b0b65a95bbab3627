/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A node as the daemon makes one (daemon/daemon.c), but where that has a TUN interface, here a
 * cable leads to an IP stack in this process, and that to clients. Nothing of the host is changed
 * or watched, and no right is needed: a UDP socket, two that listen, and what the user may read.
 *
 *   program --SOCKS, HTTP--> client --stream--> lwIP --cable--> worker --QUIC--> gateway
 *
 * Two threads matter: the worker, which has the links, and this one, which has all the rest. Both
 * are as busy as the traffic wants. One more waits for the host's resolver, which is asked for
 * nothing but the endpoints of peers.
 *
 * It is a node like any other: policy and grants hold for what it sends, and others see its
 * NodeId. But it has nothing behind it: it announces no subnets and forwards for nobody. Its key is
 * locked, as two nodes with one key would take each other's links away.
 */
#include "proxy/proxy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "crypto/key.h"
#include "daemon/advice.h"
#include "net/addr.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/sandbox.h"
#include "os/signals.h"
#include "os/tcp.h"
#include "proxy/proxy_internal.h"

enum qe_error proxy_fail(struct proxy *proxy, enum qe_error error, const char *format, ...)
{
	char message[700];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	qe_log(&proxy->log, QE_LOG_ERROR, "start_failed", nullptr, "%s", message);
	proxy->exit_code = error == -EPERM || error == -EACCES ? 4 : 1;
	return error;
}

/* ---- loop and signals ---- */

static void signal_came(struct qe_watch *watch, unsigned)
{
	struct proxy *proxy = QE_CONTAINER_OF(watch, struct proxy, signals);
	const char *name;

	while ((name = qe_signals_read(watch->fd))) {
		if (strcmp(name, "HUP") == 0) {
			qe_log(&proxy->log, QE_LOG_WARN, "signal", nullptr,
				"SIGHUP: a proxy reads its configuration at the start only");
			continue;
		}
		qe_log(&proxy->log, QE_LOG_INFO, "signal", nullptr, "SIG%s: stopping", name);
		proxy->stopping = true;
	}
}

static enum qe_error start_loop(struct proxy *proxy)
{
	enum qe_error error = qe_loop_new(&proxy->loop);

	proxy->signals.ready = signal_came;
	if (error == QE_OK)
		error = qe_signals_take(&proxy->signals.fd);
	if (error == QE_OK)
		error = qe_loop_add(proxy->loop, &proxy->signals, QE_READABLE);
	if (error == QE_OK)
		error = qe_event_log_new(
			&proxy->event_log, &proxy->log, proxy->directory, proxy->loop);
	if (error != QE_OK)
		return proxy_fail(
			proxy, error, "the event loop cannot be started: %s", qe_error_text(error));
	return QE_OK;
}

static void release_signals(struct proxy *proxy)
{
	if (proxy->signals.fd >= 0)
		qe_signals_release(proxy->signals.fd);
	proxy->signals.fd = -1;
}

static void stop_loop(struct proxy *proxy)
{
	proxy->event_log = qe_event_log_free(proxy->event_log);
	release_signals(proxy);
	proxy->loop = qe_loop_free(proxy->loop);
}

/* ---- listening ---- */

/* Who comes when there is no room waits in the kernel's queue. */
static void pause_listener(struct listener *listener)
{
	if (listener->paused || listener->watch.fd < 0)
		return;
	qe_loop_remove(listener->proxy->loop, &listener->watch);
	listener->paused = true;
}

static void resume_listener(struct listener *listener)
{
	if (listener->paused &&
		qe_loop_add(listener->proxy->loop, &listener->watch, QE_READABLE) == QE_OK)
		listener->paused = false;
}

static void on_left(void *ctx)
{
	struct proxy *proxy = ctx;

	if (proxy->stopping)
		return;
	resume_listener(&proxy->listeners[0]);
	resume_listener(&proxy->listeners[1]);
}

/* At most once a minute. */
static void say_full(struct proxy *proxy)
{
	if (qe_time_take(&proxy->said_full, 1, 60 * QE_SECOND, qe_clock_now()))
		qe_log(&proxy->log, QE_LOG_WARN, "full", nullptr,
			"%zu clients are there: others wait", proxy->clients->n);
}

/* Without descriptors, too, the next one comes when another has left. */
static void somebody_comes(struct qe_watch *watch, unsigned)
{
	struct listener *listener = QE_CONTAINER_OF(watch, struct listener, watch);
	struct qe_clients *clients = listener->proxy->clients;
	enum qe_error error = QE_OK;
	int fd;

	while (clients->n < QE_CLIENTS_MAX && error == QE_OK) {
		error = qe_tcp_accept(watch->fd, &fd);
		if (error == QE_OK)
			(void)!qe_client_new(clients, listener->protocol, fd, qe_clock_now());
	}
	if (error == -EAGAIN)
		return;
	say_full(listener->proxy);
	pause_listener(&listener->proxy->listeners[0]);
	pause_listener(&listener->proxy->listeners[1]);
}

static enum qe_error listen_at(
	struct proxy *proxy, struct listener *listener, const struct qe_endpoint *at)
{
	static const struct qe_advice advice[] = {
		{-EADDRINUSE, "another program uses the port"},
		{-EADDRNOTAVAIL, "this host does not have the address"},
		{-EACCES, "the port is reserved: choose one above 1023"},
		{-EAFNOSUPPORT, "this host has no IPv6"},
		{},
	};
	const bool is_socks = listener->protocol == QE_CLIENT_SOCKS;
	struct qe_endpoint local;
	enum qe_error error = qe_tcp_listen(&listener->watch.fd, at, &local);
	char text[QE_ENDPOINT_TEXT_SIZE];

	qe_endpoint_format(text, error == QE_OK ? &local : at);
	if (error != QE_OK)
		return proxy_fail(proxy, error,
			"cannot listen on TCP %s: %s; choose another with %s", text,
			qe_find_advice(advice, error), is_socks ? "--socks" : "--http");
	qe_log(&proxy->log, QE_LOG_INFO, "listening", nullptr, "%s on %s",
		is_socks ? "SOCKS 5" : "HTTP", text);
	if (!qe_addr_is_loopback(&at->addr) && !proxy->users)
		qe_log(&proxy->log, QE_LOG_WARN, "open_proxy", nullptr,
			"whoever reaches %s may use this node: see --password-file", text);
	return QE_OK;
}

/* Early, as this is what fails most often. Who comes already waits. */
static enum qe_error start_listeners(struct proxy *proxy)
{
	const struct qe_endpoint *const at[] = {&proxy->settings->socks, &proxy->settings->http};

	for (unsigned i = 0; i < 2; i++) {
		proxy->listeners[i].watch.ready = somebody_comes;
		proxy->listeners[i].proxy = proxy;
		proxy->listeners[i].paused = true;
		proxy->listeners[i].protocol = i == 0 ? QE_CLIENT_SOCKS : QE_CLIENT_HTTP;
		if (at[i]->addr.family != QE_FAMILY_NONE)
			QE_TRY(listen_at(proxy, &proxy->listeners[i], at[i]));
	}
	return QE_OK;
}

static void stop_listeners(struct proxy *proxy)
{
	for (unsigned i = 0; i < 2; i++) {
		struct listener *listener = &proxy->listeners[i];

		if (listener->watch.fd < 0)
			continue;
		pause_listener(listener);
		qe_tcp_close(listener->watch.fd, false);
		listener->watch.fd = -1;
	}
}

/* ---- users ---- */

static enum qe_error start_users(struct proxy *proxy)
{
	char why_text[400] = "";
	struct qe_text why = qe_text_init(why_text, sizeof(why_text));
	enum qe_error error = QE_OK;

	if (proxy->settings->password_file)
		error = qe_users_load(&proxy->users, proxy->settings->password_file, &why);
	return error == QE_OK ? QE_OK : proxy_fail(proxy, error, "%s", why_text);
}

static void stop_users(struct proxy *proxy)
{
	proxy->users = qe_users_free(proxy->users);
}

/* ---- the stack, and its clients ---- */

/* Addresses that programs and people know come first, the one that every node has last. */
static enum qe_error make_stack(struct proxy *proxy)
{
	const struct qe_config_list *own = &proxy->config->network.tun_addr;
	struct qe_addr addrs[QE_TUN_ADDRS_MAX + 1];
	const struct qe_stack_settings settings = {
		.loop = proxy->loop,
		.tun = proxy->ends[1],
		.mtu = proxy->config->network.mtu,
		.addrs = addrs,
		.n_addrs = own->n + 1,
	};

	addrs[0] = qe_node_id_overlay_addr(qe_key_get_id(proxy->key));
	for (size_t i = 0; i < own->n; i++)
		addrs[i + 1] = own->addrs[i].addr;
	QE_TRY(qe_stack_new(&proxy->stack, &settings));
	return qe_names_new(&proxy->names, proxy->loop, proxy->stack, proxy->config);
}

static enum qe_error start_stack(struct proxy *proxy)
{
	enum qe_error error = make_stack(proxy);

	if (error == QE_OK) {
		proxy->clients = calloc(1, sizeof(*proxy->clients));
		error = proxy->clients ? QE_OK : -ENOMEM;
	}
	if (error != QE_OK)
		return proxy_fail(
			proxy, error, "the IP stack cannot be started: %s", qe_error_text(error));
	*proxy->clients = (struct qe_clients){
		.loop = proxy->loop,
		.stack = proxy->stack,
		.names = proxy->names,
		.users = proxy->users,
		.check = proxy_check,
		.is_up = proxy_is_up,
		.left = on_left,
		.ctx = proxy,
	};
	qe_clients_init(proxy->clients);
	return QE_OK;
}

static void say_what_was(const struct proxy *proxy)
{
	const struct qe_clients *clients = proxy->clients;

	qe_log(&proxy->log, QE_LOG_INFO, "stopped", nullptr,
		"stopped: %" PRIu64 " clients, %" PRIu64 " connections, %" PRIu64
		" requests in vain; %" PRIu64 " bytes up, %" PRIu64 " down",
		clients->accepted, clients->connected, clients->failed, clients->bytes_up,
		clients->bytes_down);
}

static void stop_stack(struct proxy *proxy)
{
	if (proxy->clients)
		qe_clients_done(proxy->clients);
	if (proxy->stopping)
		say_what_was(proxy);
	free(proxy->clients);
	proxy->names = qe_names_free(proxy->names);
	proxy->stack = qe_stack_free(proxy->stack);
}

/* ---- all of it ---- */

static enum qe_error start_sandbox(struct proxy *proxy)
{
	bool confined;
	enum qe_error error = qe_sandbox_enter(nullptr, 0, &confined);

	if (error != QE_OK)
		return proxy_fail(
			proxy, error, "rights cannot be given up: %s", qe_error_text(error));
	return QE_OK;
}

static enum qe_error start_work(struct proxy *proxy)
{
	resume_listener(&proxy->listeners[0]);
	resume_listener(&proxy->listeners[1]);
	return QE_OK;
}

static enum qe_error say_ready(struct proxy *proxy)
{
	const struct qe_config *config = proxy->config;
	char id[QE_NODE_ID_TEXT_SIZE], gateway[QE_NAME_MAX + 1] = "no gateway";

	qe_node_id_format(id, qe_node_get_id(proxy->node));
	if (config->vpn_gateway == SIZE_MAX)
		qe_log(&proxy->log, QE_LOG_WARN, "no_gateway", nullptr,
			"only nodes and their subnets can be reached, and no names but theirs be "
			"resolved: name a gateway with --via");
	else
		qe_peer_label(gateway, &config->peers[config->vpn_gateway]);
	qe_log(&proxy->log, QE_LOG_INFO, "ready", nullptr, "%s (%s) is ready; via %s",
		config->node.name, id, gateway);
	qe_process_shed();
	qe_process_notify_manager();
	return QE_OK;
}

static const struct stage {
	enum qe_error (*start)(struct proxy *proxy); /* has said why, when it fails */
	void (*stop)(struct proxy *proxy);           /* also after a start that failed half way */
} stages[] = {
	{start_loop, stop_loop},
	{start_users, stop_users},
	{start_listeners, stop_listeners},
	{proxy_start_policy, proxy_stop_policy},
	{proxy_start_node, proxy_stop_node},
	{proxy_start_udp, proxy_stop_udp},
	{proxy_start_network, proxy_stop_network},
	{start_sandbox, nullptr}, /* before there is another thread */
	{proxy_start_workers, proxy_stop_workers},
	{proxy_start_endpoints, proxy_stop_endpoints},
	{start_stack, stop_stack},
	{start_work, nullptr},
	{say_ready, nullptr},
};
constexpr size_t n_stages = sizeof(stages) / sizeof(stages[0]);

static void run(struct proxy *proxy)
{
	size_t started = 0;
	enum qe_error error = QE_OK;

	while (started < n_stages && error == QE_OK)
		error = stages[started++].start(proxy);
	while (error == QE_OK && !proxy->stopping) {
		qe_loop_turn(proxy->loop, qe_node_deadline(proxy->node));
		proxy_take_news(proxy);
	}
	release_signals(proxy); /* a second one ends what may hang from here on */
	while (started > 0) {
		started--;
		if (stages[started].stop)
			stages[started].stop(proxy);
	}
}

int qe_proxy_run(
	struct qe_config *config, struct qe_key *key, const struct qe_proxy_settings *settings)
{
	struct proxy *proxy = malloc(sizeof(*proxy));
	enum qe_error error = -ENOMEM;
	int exit_code = 1;

	if (proxy) {
		*proxy = (struct proxy){
			.config = config,
			.key = key,
			.settings = settings,
			.log = qe_log_init(config->monitoring.log_level),
			.signals.fd = -1,
			.listeners = {{.watch.fd = -1}, {.watch.fd = -1}},
		};
		error = qe_directory_new(&proxy->directory, config);
	}
	if (error == QE_OK) {
		run(proxy);
		exit_code = proxy->exit_code;
		qe_directory_free(proxy->directory);
	} else {
		qe_config_free(config);
	}
	free(proxy);
	return exit_code;
}
