/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/report_routes.h"

#include <stdio.h>

#include "daemon/host.h"
#include "daemon/report_parts.h"
#include "net/addr.h"

/* What is made of routes on the way into a list. */
struct collection {
	const struct qe_report_routes *about;
	const struct qe_worker_query *query;
	const struct qe_prefix *only; /* of this prefix; NULL: all */
	json_t *host;                 /* what this host makes of each prefix */
	json_t *list;
};

static const char *next_hop_name(enum qe_next_hop next_hop)
{
	switch (next_hop) {
	case QE_NEXT_HOP_LOCAL:
		return "local";
	case QE_NEXT_HOP_NODE:
		return "node";
	case QE_NEXT_HOP_GATEWAY:
		return "gateway";
	}
	return "unknown";
}

static const char *route_state_name(enum qe_route_state state)
{
	switch (state) {
	case QE_ROUTE_BEST:
		return "best";
	case QE_ROUTE_STANDBY:
		return "standby";
	case QE_ROUTE_UNREACHABLE:
		return "unreachable";
	case QE_ROUTE_HELD_DOWN:
		return "held_down";
	case QE_ROUTE_DAMPED:
		return "damped";
	}
	return "unknown";
}

/* ---- what this host makes of them ---- */

static void add_host_route(void *ctx, const struct qe_host_route *route)
{
	json_t *host = ctx;
	char prefix[QE_PREFIX_TEXT_SIZE];

	qe_prefix_format(prefix, &route->prefix);
	json_object_set_new(host, prefix, json_string(qe_report_host_route(route->state)));
}

static json_t *collect_host(const struct qe_report_routes *about)
{
	json_t *host = json_object();

	qe_host_routes_visit(about->host_routes, add_host_route, host);
	return host;
}

/* Only the best of a prefix is the host's; overlay addresses have one route together. */
static json_t *host_json(const struct collection *to, const struct qe_route_status *status)
{
	char prefix[QE_PREFIX_TEXT_SIZE];

	if (status->state != QE_ROUTE_BEST || status->route.next_hop == QE_NEXT_HOP_LOCAL)
		return json_null();
	qe_prefix_format(prefix, &status->route.prefix);
	if (qe_host_is_overlay(&status->route.prefix))
		return json_string("installed");
	json_t *state = json_object_get(to->host, prefix);
	return state ? json_incref(state) : json_null();
}

/* ---- routes ---- */

static json_t *id_of(const struct qe_report_routes *about, const struct qe_route *route)
{
	const struct qe_config_peer *peer = qe_directory_peer(about->directory, route->peer);

	if (route->next_hop == QE_NEXT_HOP_LOCAL)
		return qe_report_id(about->id);
	return peer ? qe_report_id(&peer->id) : json_null();
}

static void label_of(const struct qe_report_routes *about, const struct qe_route *route,
	char to[QE_NAME_MAX + 1])
{
	if (route->next_hop == QE_NEXT_HOP_LOCAL)
		snprintf(to, QE_NAME_MAX + 1, "%s",
			qe_directory_config(about->directory)->node.name);
	else
		qe_directory_label(about->directory, route->peer, to);
}

static void add_route(void *ctx, const struct qe_route_status *status)
{
	const struct collection *to = ctx;
	const struct qe_route *route = &status->route;
	char label[QE_NAME_MAX + 1];

	if (to->only && qe_prefix_compare(&route->prefix, to->only) != 0)
		return;
	label_of(to->about, route, label);
	json_array_append_new(to->list,
		json_pack("{s:o, s:s, s:s, s:o, s:s, s:s, s:i, s:o, s:o, s:s}", "prefix",
			qe_report_prefix(&route->prefix), "next_hop",
			next_hop_name(route->next_hop), "node", label, "id",
			id_of(to->about, route), "state", route_state_name(status->state), "source",
			status->announced ? "announced" : "configured", "metric", status->metric,
			"rtt_ms", status->rtt ? qe_report_ms(status->rtt) : json_null(), "host",
			host_json(to, status), "why", status->why));
}

/* NULL without memory. */
static json_t *collect(const struct qe_report_routes *about, const struct qe_prefix *only)
{
	struct collection to = {
		.about = about,
		.only = only,
		.host = collect_host(about),
		.list = json_array(),
	};
	enum qe_error error = qe_node_visit_routes(about->node, add_route, &to);

	json_decref(to.host);
	if (error == QE_OK)
		return to.list;
	json_decref(to.list);
	return nullptr;
}

json_t *qe_report_routes(const struct qe_report_routes *about)
{
	return json_pack("{s:o}", "routes", collect(about, nullptr));
}

/* ---- one address ---- */

json_t *qe_report_route(const struct qe_report_routes *about, const struct qe_addr *addr,
	const struct qe_worker_query *query)
{
	char text[QE_ADDR_TEXT_SIZE];
	struct qe_route route;

	qe_addr_format(text, addr);
	if (qe_node_find_route(about->node, addr, &route) != QE_OK)
		return json_pack(
			"{s:s, s:n, s:[], s:n}", "address", text, "route", "candidates", "link");
	json_t *candidates = collect(about, &route.prefix);
	return json_pack("{s:s, s:O, s:o, s:o}", "address", text, "route",
		json_array_get(candidates, 0), "candidates", candidates, "link",
		query->n > 0 ? qe_report_link(&query->peers[0], query->now) : json_null());
}

/* ---- what is refused ---- */

static void add_refusal(void *ctx, const struct qe_route_refusal *refusal)
{
	const struct collection *to = ctx;
	const struct qe_config_peer *peer = qe_directory_peer(to->about->directory, refusal->peer);
	char label[QE_NAME_MAX + 1];

	if (!peer)
		return;
	qe_peer_label(label, peer);
	json_array_append_new(to->list, json_pack("{s:o, s:s, s:s, s:o, s:i, s:s}", "prefix",
						qe_report_prefix(&refusal->prefix), "next_hop",
						refusal->gateway ? "gateway" : "node", "node",
						label, "id", qe_report_id(&peer->id), "metric",
						refusal->metric, "reason", refusal->reason));
}

json_t *qe_report_rejected(const struct qe_report_routes *about)
{
	struct collection to = {.about = about, .list = json_array()};

	qe_node_visit_refusals(about->node, add_refusal, &to);
	return json_pack("{s:o}", "rejected", to.list);
}
