/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "daemon/gateway.h"
#include "daemon/host.h"
#include "daemon/lan.h"
#include "daemon/router.h"

struct qe_router {
	const struct qe_config *config;
	const struct qe_log *log;
	struct qe_helper *helper;
	struct qe_loop *loop;
	struct qe_watch watch;
	struct qe_host_routes *routes;
	struct qe_gateway *gateway;
	struct qe_lan *lan;
	struct qe_router_sink sink;
	struct qe_addr overlay; /* the node's own */
};

/* "All", which is what is accepted where nothing is said, does not go that far. */
static bool names_default(const struct qe_config_list *accept)
{
	for (size_t i = 0; i < accept->n; i++) {
		if (accept->prefixes[i].length == 0 &&
			accept->origins[i].source != QE_SOURCE_DEFAULT)
			return true;
	}
	return false;
}

static struct qe_host_routes_settings routes_settings(const struct qe_config *config)
{
	return (struct qe_host_routes_settings){
		.interface = config->network.tun_name,
		.accept = config->overlay.accept_routes.prefixes,
		.n_accept = config->overlay.accept_routes.n,
		.defaults = names_default(&config->overlay.accept_routes),
		.over_lan = config->overlay.accept_routes_over_lan,
	};
}

/* ---- the helper ---- */

enum qe_error qe_router_new(struct qe_router **ret_router, const struct qe_config *config,
	const struct qe_log *log, void (*forget)(void *ctx), void *ctx)
{
	const struct qe_host_routes_settings settings = routes_settings(config);
	struct qe_router *router = malloc(sizeof(*router));
	bool confined = false;
	enum qe_error error;

	if (!router)
		return -ENOMEM;
	*router = (struct qe_router){.config = config, .log = log};
	error = qe_helper_new(&router->helper, config->network.tun_name, config->socket_path,
		forget, ctx, &confined);
	if (error == QE_OK)
		error = qe_host_routes_new(&router->routes, &settings, router->helper, log);
	if (error != QE_OK) {
		qe_router_free(router);
		return error;
	}
	*ret_router = router;
	return QE_OK;
}

static const char *explain_journal(enum qe_error error, const char *said)
{
	if (error == -EBUSY)
		return "another daemon, whose control socket is in the same folder, has it open";
	if (error == QE_ERR_SYNTAX)
		return "it is damaged, or of another version: \"quicether repair\" says more";
	return said[0] ? said : qe_error_text(error);
}

enum qe_error qe_router_recover(
	struct qe_router *router, char ret_via[static QE_NODE_ID_TEXT_SIZE], struct qe_text *why)
{
	char text[700] = "";
	struct qe_text undone = qe_text_init(text, sizeof(text));
	enum qe_error error = qe_helper_recover(
		router->helper, router->config->vpn.enabled, ret_via, &undone);

	if (error != QE_OK)
		qe_text_addf(why,
			"the journal beside %s, of what is changed on the host, cannot be used: %s",
			router->config->socket_path, explain_journal(error, text));
	else if (undone.len > 0)
		qe_log(router->log, QE_LOG_WARN, "recovered", nullptr,
			"a daemon before has left changes behind: %s", text);
	return error;
}

void qe_router_give_back(struct qe_router *router, enum qe_goodbye goodbye)
{
	qe_helper_goodbye(router->helper, goodbye);
	router->helper = qe_helper_free(router->helper);
}

struct qe_router *qe_router_free(struct qe_router *router)
{
	if (!router)
		return nullptr;
	qe_gateway_free(router->gateway);
	qe_host_routes_free(router->routes);
	qe_helper_free(router->helper);
	free(router);
	return nullptr;
}

/* The tunnel goes on with the routes that there are. */
static void helper_says(struct qe_watch *watch, unsigned)
{
	struct qe_router *router = QE_CONTAINER_OF(watch, struct qe_router, watch);

	if (qe_helper_is_alive(router->helper))
		return;
	qe_loop_remove(router->loop, watch);
	watch->ready = nullptr;
	qe_log(router->log, QE_LOG_ERROR, "helper_ended", nullptr,
		"the process that changes the host's network has ended: all stays as it is, after "
		"the end, too; start again, or \"quicether repair\"");
}

static enum qe_error watch_helper(struct qe_router *router)
{
	struct qe_watch watch = {qe_helper_fd(router->helper), helper_says};
	enum qe_error error;

	router->watch = watch;
	error = qe_loop_add(router->loop, &router->watch, QE_READABLE);
	if (error != QE_OK)
		router->watch.ready = nullptr;
	return error;
}

/* ---- for others ---- */

/* Without it the node still serves its own host. */
static void forward(struct qe_router *router)
{
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));

	if (qe_gateway_forward(router->gateway, router->config, &why) != QE_OK)
		qe_log(router->log, QE_LOG_WARN, "no_forwarding", nullptr, "%s", text);
}

static void guard(struct qe_router *router)
{
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));

	if (qe_gateway_guard(router->gateway, router->config, &why) != QE_OK)
		qe_log(router->log, QE_LOG_ERROR, "no_translation", nullptr, "%s", text);
}

enum qe_error qe_router_admit(
	struct qe_router *router, const struct qe_config *config, struct qe_text *why)
{
	return config->network.exit ? qe_gateway_guard(router->gateway, config, why) : QE_OK;
}

/* ---- routes ---- */

static void say_routes_failed(const struct qe_router *router, enum qe_error error)
{
	qe_log(router->log, QE_LOG_ERROR, "routes_failed", nullptr,
		"the host's routes cannot be changed: %s", qe_error_text(error));
}

static void say_addresses_failed(const struct qe_router *router, const char *why)
{
	qe_log(router->log, QE_LOG_ERROR, "addresses_failed", nullptr, "%s", why);
}

void qe_router_set_route(struct qe_router *router, const struct qe_prefix *prefix, bool wanted)
{
	enum qe_error error;

	if (qe_host_is_overlay(prefix))
		return;
	error = qe_host_routes_set(router->routes, prefix, wanted);
	if (error != QE_OK)
		say_routes_failed(router, error);
}

void qe_router_host_changed(struct qe_router *router)
{
	qe_host_routes_host_changed(router->routes);
	if (router->config->network.exit)
		guard(router);
}

enum qe_error qe_router_restore(struct qe_router *router)
{
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));
	enum qe_error error = qe_host_restore(
		router->helper, router->config, &router->overlay, &why);

	if (error != QE_OK)
		say_addresses_failed(router, text);
	qe_host_routes_lost(router->routes);
	qe_router_run(router);
	return error;
}

void qe_router_run(struct qe_router *router)
{
	qe_host_routes_run(router->routes);
}

enum qe_error qe_router_set_underlay(
	struct qe_router *router, const struct qe_prefix *hosts, size_t n)
{
	return qe_host_routes_set_underlay(router->routes, hosts, n);
}

const struct qe_host_routes *qe_router_routes(const struct qe_router *router)
{
	return router->routes;
}

void qe_router_set_vpn(struct qe_router *router, bool on)
{
	qe_host_routes_set_vpn(router->routes, on);
}

struct qe_helper *qe_router_helper(struct qe_router *router)
{
	return router->helper;
}

/* ---- what is offered ---- */

static void lan_changed(void *ctx, const struct qe_prefix *unreachable, size_t n)
{
	const struct qe_router *router = ctx;

	router->sink.withdraw(router->sink.ctx, unreachable, n);
}

static size_t copy_offers(struct qe_prefix *to, const struct qe_config *config)
{
	const struct qe_config_list *advertised = &config->network.advertise_subnets;
	size_t n = 0;

	for (size_t i = 0; i < advertised->n; i++)
		to[n++] = advertised->prefixes[i];
	for (size_t i = 0; i < config->n_forward; i++)
		to[n++] = config->forward[i];
	return n;
}

static enum qe_error configure_lan(struct qe_router *router)
{
	const struct qe_config *config = router->config;
	size_t most = config->network.advertise_subnets.n + config->n_forward;
	struct qe_prefix *offers = calloc(most + 1, sizeof(*offers));
	struct qe_lan_settings settings = {
		.tun_name = config->network.tun_name,
		.prefixes = offers,
		.probes = config->network.probe.prefixes,
		.n_probes = config->network.probe.n,
		.changed = lan_changed,
		.ctx = router,
	};
	enum qe_error error;

	if (!offers)
		return -ENOMEM;
	settings.n = copy_offers(offers, config);
	error = qe_lan_configure(router->lan, &settings);
	free(offers);
	return error;
}

void qe_router_link_changed(struct qe_router *router)
{
	qe_lan_host_changed(router->lan);
}

/* ---- start and changes ---- */

static enum qe_error start_watching(struct qe_router *router, struct qe_netlink *netlink)
{
	QE_TRY(watch_helper(router));
	QE_TRY(qe_lan_new(&router->lan, router->loop, netlink, router->log));
	return configure_lan(router);
}

enum qe_error qe_router_start(struct qe_router *router, struct qe_loop *loop,
	struct qe_netlink *netlink, const struct qe_addr *overlay,
	const struct qe_router_sink *sink, struct qe_text *why)
{
	bool has_overlay;
	enum qe_error error;

	router->loop = loop;
	router->sink = *sink;
	router->overlay = *overlay;
	QE_TRY(qe_host_set_up(netlink, router->helper, router->config, overlay, &has_overlay, why));
	if (!has_overlay)
		qe_log(router->log, QE_LOG_WARN, "no_ipv6", nullptr,
			"this host has no IPv6: overlay addresses cannot be reached from it");
	QE_TRY(qe_gateway_new(&router->gateway, router->helper, netlink));
	QE_TRY(qe_router_admit(router, router->config, why));
	guard(router);
	forward(router);
	qe_host_routes_start(router->routes, netlink);
	qe_router_run(router);
	error = start_watching(router, netlink);
	if (error != QE_OK)
		qe_text_addf(why, "the host's network cannot be watched: %s", qe_error_text(error));
	return error;
}

void qe_router_stop(struct qe_router *router)
{
	router->lan = qe_lan_free(router->lan);
	if (router->watch.ready)
		qe_loop_remove(router->loop, &router->watch);
	router->watch.ready = nullptr;
}

void qe_router_reconfigure(struct qe_router *router, const struct qe_config *config)
{
	const struct qe_host_routes_settings settings = routes_settings(config);
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));
	enum qe_error error;

	if (qe_host_change_addrs(router->helper, router->config, config, &why) != QE_OK)
		say_addresses_failed(router, text);
	router->config = config;
	guard(router);
	forward(router);
	error = qe_host_routes_configure(router->routes, &settings);
	if (error == QE_OK)
		error = configure_lan(router);
	if (error != QE_OK)
		say_routes_failed(router, error);
}
