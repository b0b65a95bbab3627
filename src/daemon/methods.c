/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Each method that needs to know what goes on in the workers sends them a query and is continued
 * when the query comes back: struct question carries the call over. A ping goes to a worker first,
 * and when its answer has come, a query asks for the link that it came by.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "crypto/node_id.h"
#include "daemon/methods.h"
#include "daemon/report.h"
#include "daemon/report_routes.h"
#include "net/addr.h"
#include "os/clock.h"

constexpr unsigned ping_timeout_ms = 5000;
constexpr unsigned ping_timeout_max_ms = 30000;
constexpr size_t pings_max = 1024;
constexpr json_int_t no_port = INT64_MIN; /* that nobody can ask for */

struct question;
typedef json_t *report_fn(const struct qe_service *service, const struct qe_worker_query *query,
	const struct question *question);

struct question {
	struct qe_rpc_call *call;
	report_fn *report;
	qe_time rtt;         /* of a ping */
	struct qe_addr addr; /* to be reached */
	json_t *policy;      /* what it says to that */
};

struct ping {
	struct qe_list node;
	struct qe_alarm alarm;
	struct qe_service *service;
	struct qe_rpc_call *call;
	size_t peer;
	uint64_t cookie;
	unsigned timeout_ms;
};

struct qe_service {
	struct qe_service_settings settings;
	struct qe_rpc_methods methods;
	struct qe_list pings;
	size_t n_pings;
	uint64_t next_cookie;
};

/* ---- queries ---- */

static void ask_workers(
	struct qe_service *service, const struct question *question, size_t first, size_t n)
{
	struct qe_worker_query *query = calloc(1, sizeof(*query) + n * sizeof(query->peers[0]));
	struct question *copy = malloc(sizeof(*copy));
	enum qe_error error = query && copy ? QE_OK : -ENOMEM;

	if (error == QE_OK) {
		*copy = *question;
		query->ctx = copy;
		query->first = first;
		query->n = n;
		error = qe_workers_query(service->settings.workers, query);
	}
	if (error == QE_OK)
		return;
	qe_rpc_fail(
		question->call, error, "the daemon cannot answer now: %s", qe_error_text(error));
	json_decref(question->policy);
	free(copy);
	free(query);
}

void qe_service_take_queries(struct qe_service *service)
{
	struct qe_worker_query *query;

	while ((query = qe_workers_take_query(service->settings.workers))) {
		struct question *question = query->ctx;

		qe_rpc_answer(question->call, question->report(service, query, question));
		free(question);
		free(query);
	}
}

static json_t *report_status(const struct qe_service *service, const struct qe_worker_query *query,
	const struct question *)
{
	const struct qe_service_settings *settings = &service->settings;
	const struct qe_report_facts facts = {
		.directory = settings->directory,
		.id = qe_node_get_id(settings->node),
		.crypto_provider = qe_node_crypto_provider(settings->node),
		.listen = settings->listen,
		.tun_segments_udp = settings->tun_segments_udp,
		.routes = qe_node_count_routes(settings->node),
		.host_routes = settings->routes,
		.audit_lost = qe_audit_lost(settings->audit),
		.started = settings->started,
	};

	json_t *result = qe_report_status(&facts, query);
	json_object_set_new(result, "vpn", qe_vpn_status(settings->vpn));
	json_object_set_new(result, "dns", qe_naming_json(settings->naming));
	return result;
}

static json_t *report_peers(const struct qe_service *service, const struct qe_worker_query *query,
	const struct question *)
{
	return qe_report_peers(service->settings.directory, query);
}

static json_t *report_pong(const struct qe_service *service, const struct qe_worker_query *query,
	const struct question *question)
{
	return qe_report_pong(service->settings.directory, query, question->rtt);
}

static void ask_about_all(struct qe_service *service, struct qe_rpc_call *call, report_fn *report)
{
	ask_workers(service, &(struct question){.call = call, .report = report}, 0,
		qe_directory_slots(service->settings.directory));
}

static void handle_status(void *ctx, struct qe_rpc_call *call, const json_t *)
{
	ask_about_all(ctx, call, report_status);
}

static void handle_peers(void *ctx, struct qe_rpc_call *call, const json_t *)
{
	ask_about_all(ctx, call, report_peers);
}

/* ---- policy ---- */

/* port: no_port if there is none. NULL: the call has failed. */
static json_t *ask_policy(const struct qe_service *service, struct qe_rpc_call *call,
	struct qe_policy_question *question, json_int_t port)
{
	struct qe_diagnostics diagnostics;
	char port_text[24];
	json_t *result;

	snprintf(port_text, sizeof(port_text), "%lld", (long long)port);
	question->port = port != no_port ? port_text : nullptr;
	result = qe_policy_keeper_explain(service->settings.policy, question, &diagnostics);
	if (!result && diagnostics.n > 0)
		qe_rpc_fail(call, QE_RPC_INVALID_PARAMS, "%s: %s", diagnostics.items[0].where,
			diagnostics.items[0].text);
	else if (!result)
		qe_rpc_answer(call, nullptr);
	return result;
}

/* ---- routes ---- */

static struct qe_report_routes about_routes(const struct qe_service *service)
{
	const struct qe_service_settings *settings = &service->settings;

	return (struct qe_report_routes){
		.node = settings->node,
		.id = qe_node_get_id(settings->node),
		.directory = settings->directory,
		.host_routes = settings->routes,
	};
}

static void handle_routes(void *ctx, struct qe_rpc_call *call, const json_t *)
{
	const struct qe_report_routes about = about_routes(ctx);

	qe_rpc_answer(call, qe_report_routes(&about));
}

static void handle_rejected(void *ctx, struct qe_rpc_call *call, const json_t *)
{
	const struct qe_report_routes about = about_routes(ctx);

	qe_rpc_answer(call, qe_report_rejected(&about));
}

static json_t *report_route(const struct qe_service *service, const struct qe_worker_query *query,
	const struct question *question)
{
	const struct qe_report_routes about = about_routes(service);
	json_t *result = qe_report_route(&about, &question->addr, query);

	/* Takes the reference also when there is no result. */
	json_object_set_new(result, "policy", question->policy);
	return result;
}

static void ask_about_route(struct qe_service *service, const struct question *question)
{
	struct qe_route route;
	bool has_peer = qe_node_find_route(service->settings.node, &question->addr, &route) ==
				QE_OK &&
			route.next_hop != QE_NEXT_HOP_LOCAL;

	/* It may be another one by the time that the workers have told of the peer's link. */
	ask_workers(service, question, has_peer ? route.peer : 0, has_peer);
}

/* For a packet of this node; an echo request, if nothing else is said. */
static void handle_route_get(void *ctx, struct qe_rpc_call *call, const json_t *params)
{
	struct qe_service *service = ctx;
	struct question question = {.call = call, .report = report_route};
	struct qe_policy_question asked = {.protocol = "icmp"};
	char own[QE_NODE_ID_TEXT_SIZE];
	json_int_t port = no_port;

	if (json_unpack((json_t *)params, "{s:s, s?s, s?I}", "address", &asked.to, "protocol",
		    &asked.protocol, "port", &port) != 0 ||
		qe_addr_parse(&question.addr, asked.to) != QE_OK) {
		qe_rpc_fail(call, QE_RPC_INVALID_PARAMS,
			"route.get wants {\"address\": an IPv4 or IPv6 address, \"protocol\": "
			"TEXT, "
			"\"port\": NUMBER}");
		return;
	}
	qe_node_id_format(own, qe_node_get_id(service->settings.node));
	asked.from = own;
	question.policy = ask_policy(service, call, &asked, port);
	if (question.policy)
		ask_about_route(service, &question);
}

/* ---- ping ---- */

/* Takes it off every list and gives back its call. */
static struct qe_rpc_call *end_ping(struct ping *ping)
{
	struct qe_rpc_call *call = ping->call;

	qe_list_remove(&ping->node);
	(void)!qe_loop_set_alarm(ping->service->settings.loop, &ping->alarm, QE_TIME_NEVER);
	ping->service->n_pings--;
	free(ping);
	return call;
}

static void ping_timed_out(struct qe_alarm *alarm, qe_time)
{
	struct ping *ping = QE_CONTAINER_OF(alarm, struct ping, alarm);
	unsigned timeout_ms = ping->timeout_ms;
	char label[QE_NAME_MAX + 1];

	qe_directory_label(ping->service->settings.directory, ping->peer, label);
	qe_rpc_fail(
		end_ping(ping), -ETIMEDOUT, "%s did not answer within %u ms", label, timeout_ms);
}

static void fail_ping(struct ping *ping, const char *reason)
{
	char label[QE_NAME_MAX + 1];

	qe_directory_label(ping->service->settings.directory, ping->peer, label);
	qe_rpc_fail(end_ping(ping), -ETIMEDOUT, "%s did not answer%s%s", label, reason ? ": " : "",
		reason ? reason : "");
}

static void start_ping(
	struct qe_service *service, struct qe_rpc_call *call, size_t peer, unsigned timeout_ms)
{
	struct ping *ping = service->n_pings < pings_max ? malloc(sizeof(*ping)) : nullptr;
	qe_time end = qe_clock_now() + timeout_ms * QE_MILLISECOND;
	enum qe_error error;

	if (!ping) {
		qe_rpc_fail(call, QE_ERR_FULL, "too many pings are under way");
		return;
	}
	*ping = (struct ping){
		.alarm.ring = ping_timed_out,
		.service = service,
		.call = call,
		.peer = peer,
		.cookie = service->next_cookie++,
		.timeout_ms = timeout_ms,
	};
	qe_list_init(&ping->node);
	qe_list_append(&service->pings, &ping->node);
	service->n_pings++;
	error = qe_loop_set_alarm(service->settings.loop, &ping->alarm, end);
	if (error == QE_OK)
		error = qe_workers_ping(service->settings.workers, peer, ping->cookie);
	if (error != QE_OK)
		fail_ping(ping, qe_error_text(error));
}

static void handle_ping(void *ctx, struct qe_rpc_call *call, const json_t *params)
{
	struct qe_service *service = ctx;
	json_int_t timeout_ms = ping_timeout_ms;
	const char *text = nullptr;
	size_t peer;
	enum qe_error error;

	if (json_unpack((json_t *)params, "{s:s, s?I}", "peer", &text, "timeout_ms", &timeout_ms) !=
			0 ||
		timeout_ms < 1 || timeout_ms > ping_timeout_max_ms) {
		qe_rpc_fail(call, QE_RPC_INVALID_PARAMS,
			"ping wants {\"peer\": TEXT, \"timeout_ms\": 1 to %u}",
			ping_timeout_max_ms);
		return;
	}
	error = qe_directory_find(service->settings.directory, text, &peer);
	if (error == QE_ERR_AMBIGUOUS)
		qe_rpc_fail(call, error, "more than one peer's NodeId begins with \"%.64s\"", text);
	else if (error != QE_OK)
		qe_rpc_fail(call, error, "no peer has the name or NodeId \"%.64s\"", text);
	else
		start_ping(service, call, peer, (unsigned)timeout_ms);
}

static struct ping *find_ping(struct qe_service *service, uint64_t cookie)
{
	QE_LIST_FOR_EACH (node, &service->pings) {
		struct ping *ping = QE_CONTAINER_OF(node, struct ping, node);

		if (ping->cookie == cookie)
			return ping;
	}
	return nullptr;
}

void qe_service_take_pong(struct qe_service *service, const struct qe_event *event)
{
	struct ping *ping = find_ping(service, event->cookie);
	size_t peer;

	if (!ping)
		return; /* it had timed out */
	peer = ping->peer;
	if (event->type == QE_EVENT_PONG)
		ask_workers(service,
			&(struct question){
				.call = end_ping(ping), .report = report_pong, .rtt = event->rtt},
			peer, 1);
	else
		fail_ping(ping, event->reason);
}

/* ---- the rest ---- */

static void handle_stop(void *ctx, struct qe_rpc_call *call, const json_t *params)
{
	struct qe_service *service = ctx;
	int hold = 0;

	if (params && json_unpack((json_t *)params, "{s?b}", "hold", &hold) != 0) {
		qe_rpc_fail(call, QE_RPC_INVALID_PARAMS, "hold is to be a boolean");
		return;
	}
	qe_rpc_answer(
		call, json_pack("{s:b}", "blocks", hold && qe_vpn_blocks(service->settings.vpn)));
	service->settings.stop(service->settings.ctx, hold);
}

static void handle_reload(void *ctx, struct qe_rpc_call *call, const json_t *)
{
	struct qe_service *service = ctx;

	qe_rpc_answer(call, service->settings.reload(service->settings.ctx));
}

static void handle_policy_reload(void *ctx, struct qe_rpc_call *call, const json_t *)
{
	struct qe_service *service = ctx;

	qe_rpc_answer(call, service->settings.reload_policy(service->settings.ctx));
}

static void handle_policy_explain(void *ctx, struct qe_rpc_call *call, const json_t *params)
{
	struct qe_policy_question question = {};
	json_int_t port = no_port;
	json_t *result;

	if (json_unpack((json_t *)params, "{s:s, s:s, s:s, s?I}", "from", &question.from, "to",
		    &question.to, "protocol", &question.protocol, "port", &port) != 0) {
		qe_rpc_fail(call, QE_RPC_INVALID_PARAMS,
			"policy.explain wants {\"from\": NODE, \"to\": ADDRESS, \"protocol\": "
			"TEXT, \"port\": NUMBER}");
		return;
	}
	result = ask_policy(ctx, call, &question, port);
	if (result)
		qe_rpc_answer(call, result);
}

static void handle_policy_status(void *ctx, struct qe_rpc_call *call, const json_t *)
{
	const struct qe_service *service = ctx;

	qe_rpc_answer(call, qe_verdicts_status(service->settings.verdicts));
}

static void handle_config_show(void *ctx, struct qe_rpc_call *call, const json_t *)
{
	struct qe_service *service = ctx;
	char *text = nullptr;
	enum qe_error error = qe_config_show(
		&text, qe_directory_config(service->settings.directory), QE_CONFIG_JSON);

	if (error != QE_OK)
		qe_rpc_fail(
			call, error, "the configuration cannot be shown: %s", qe_error_text(error));
	else
		qe_rpc_answer(call, json_loads(text, 0, nullptr));
	free(text);
}

static void handle_list(void *ctx, struct qe_rpc_call *call, const json_t *)
{
	struct qe_service *service = ctx;

	qe_rpc_answer(call, qe_rpc_methods_list(&service->methods));
}

/* ---- VPN mode ---- */

static void answer_vpn(const struct qe_service *service, struct qe_rpc_call *call,
	enum qe_error error, const char *why)
{
	if (error == QE_OK)
		qe_rpc_answer(call, qe_vpn_status(service->settings.vpn));
	else
		qe_rpc_fail(call, error, "%s", why[0] ? why : qe_error_text(error));
}

static void handle_vpn_up(void *ctx, struct qe_rpc_call *call, const json_t *params)
{
	const struct qe_service *service = ctx;
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));
	const char *via = nullptr;

	if (params && json_unpack((json_t *)params, "{s?s}", "via", &via) != 0)
		qe_rpc_fail(
			call, QE_RPC_INVALID_PARAMS, "vpn.up wants {\"via\": NODE}, or nothing");
	else
		answer_vpn(service, call, qe_vpn_up(service->settings.vpn, via, &why), text);
}

static void handle_vpn_down(void *ctx, struct qe_rpc_call *call, const json_t *)
{
	const struct qe_service *service = ctx;
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));

	answer_vpn(service, call, qe_vpn_down(service->settings.vpn, &why), text);
}

static void handle_vpn_portal(void *ctx, struct qe_rpc_call *call, const json_t *params)
{
	const struct qe_service *service = ctx;
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));
	json_int_t seconds = 0;

	if (json_unpack((json_t *)params, "{s:I}", "seconds", &seconds) != 0 || seconds < 1 ||
		seconds > QE_VPN_PORTAL_SECONDS_MAX)
		qe_rpc_fail(call, QE_RPC_INVALID_PARAMS, "vpn.portal wants {\"seconds\": 1 to %d}",
			QE_VPN_PORTAL_SECONDS_MAX);
	else
		answer_vpn(service, call,
			qe_vpn_open_portal(service->settings.vpn, (unsigned)seconds, &why), text);
}

/* Who looks is told within seconds if a gateway that nothing is sent to does not answer. */
static void handle_vpn_status(void *ctx, struct qe_rpc_call *call, const json_t *)
{
	const struct qe_service *service = ctx;

	qe_pulse_ask(service->settings.pulse);
	answer_vpn(ctx, call, QE_OK, "");
}

static void handle_vpn_only(void *ctx, struct qe_rpc_call *call, const json_t *)
{
	const struct qe_service *service = ctx;
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));
	json_t *answer = nullptr;
	enum qe_error error = qe_vpn_only(service->settings.vpn, &answer, &why);

	if (error == QE_OK)
		qe_rpc_answer(call, answer);
	else
		qe_rpc_fail(call, error, "%s", text[0] ? text : qe_error_text(error));
}

static void handle_vpn_bypass(void *ctx, struct qe_rpc_call *call, const json_t *)
{
	const struct qe_service *service = ctx;

	qe_rpc_answer(call, qe_vpn_bypass(service->settings.vpn));
}

/* ---- events ---- */

static const char *const events[] = {"vpn", "peers", nullptr};

static void handle_subscribe(void *, struct qe_rpc_call *call, const json_t *params)
{
	const json_t *names = json_object_get(params, "events"), *name;
	enum qe_error error = json_array_size(names) > 0 ? QE_OK : QE_ERR_NOT_FOUND;
	size_t i;

	json_array_foreach(names, i, name)
	{
		const char *text = json_string_value(name);

		if (error == QE_OK)
			error = text ? qe_rpc_server_subscribe(call, text) : QE_ERR_NOT_FOUND;
	}
	if (error == QE_ERR_FULL)
		qe_rpc_fail(
			call, error, "there are %d subscribers already", QE_RPC_SUBSCRIBERS_MAX);
	else if (error != QE_OK)
		qe_rpc_fail(call, QE_RPC_INVALID_PARAMS,
			"events.subscribe wants {\"events\": [\"vpn\", \"peers\"]}, or one of "
			"them");
	else
		qe_rpc_answer(call, json_object());
}

static const struct qe_rpc_method methods[] = {
	{"status", handle_status, "The node, its interface, its crypto and its counters"},
	{"peers", handle_peers, "The peers, with the link in use to each"},
	{"routes", handle_routes, "All ways to each prefix, and which is used"},
	{"routes.rejected", handle_rejected, "What peers announce and are not believed"},
	{"route.get", handle_route_get, "Where packets to an address go, and why there"},
	{"ping", handle_ping, "A round trip to a peer over the control stream"},
	{"stop", handle_stop, "Close all links and end the daemon"},
	{"reload", handle_reload, "Read the configuration anew and apply what has changed"},
	{"policy.reload", handle_policy_reload, "Read the policy file anew and apply it"},
	{"policy.explain", handle_policy_explain, "What the policy says to a packet, and why"},
	{"policy.status", handle_policy_status, "The policy in effect, and what it has denied"},
	{"vpn.up", handle_vpn_up,
		"Send what this host sends through a gateway, and nothing beside it"},
	{"vpn.down", handle_vpn_down, "Give the host back"},
	{"vpn.portal", handle_vpn_portal,
		"Let web pages and names past the tunnel for a while, to log in somewhere"},
	{"vpn.status", handle_vpn_status, "How VPN mode stands"},
	{"vpn.only", handle_vpn_only, "Make a way for programs that only the tunnel is for"},
	{"vpn.bypass", handle_vpn_bypass, "What programs beside the tunnel need to know"},
	{"config.show", handle_config_show, "The configuration in effect"},
	{"events.subscribe", handle_subscribe, "Get notifications from here on: vpn, peers"},
	{"rpc.methods", handle_list, "These methods"},
};

enum qe_error qe_service_new(
	struct qe_service **ret_service, const struct qe_service_settings *settings)
{
	struct qe_service *service = malloc(sizeof(*service));

	if (!service)
		return -ENOMEM;
	*service = (struct qe_service){
		.settings = *settings,
		.methods = {methods, sizeof(methods) / sizeof(methods[0]), service, events},
	};
	qe_list_init(&service->pings);
	*ret_service = service;
	return QE_OK;
}

struct qe_service *qe_service_free(struct qe_service *service)
{
	if (!service)
		return nullptr;
	qe_service_take_queries(service);
	while (!qe_list_empty(&service->pings))
		fail_ping(QE_CONTAINER_OF(service->pings.next, struct ping, node),
			"the daemon is stopping");
	free(service);
	return nullptr;
}

const struct qe_rpc_methods *qe_service_methods(const struct qe_service *service)
{
	return &service->methods;
}
