/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The routes of a node, for people to read. */
#include "node/node.h"

static_assert((int)QE_ROUTE_BEST == QE_RIB_BEST && (int)QE_ROUTE_STANDBY == QE_RIB_STANDBY &&
	      (int)QE_ROUTE_UNREACHABLE == QE_RIB_UNREACHABLE &&
	      (int)QE_ROUTE_HELD_DOWN == QE_RIB_HELD_DOWN && (int)QE_ROUTE_DAMPED == QE_RIB_DAMPED);

struct routes_visit {
	void (*visit)(void *ctx, const struct qe_route_status *status);
	void *ctx;
};

static void visit_entry(void *ctx, const struct qe_rib_entry *entry)
{
	const struct routes_visit *to = ctx;

	to->visit(to->ctx, &(struct qe_route_status){
				   .route = entry->route,
				   .state = (enum qe_route_state)entry->state,
				   .announced = entry->source == QE_RIB_ANNOUNCED,
				   .metric = entry->metric,
				   .rtt = entry->rtt,
				   .why = entry->why,
			   });
}

enum qe_error qe_node_visit_routes(const struct qe_node *node,
	void (*visit)(void *ctx, const struct qe_route_status *status), void *ctx)
{
	struct routes_visit to = {visit, ctx};

	return qe_rib_visit(node->routing.rib, visit_entry, &to);
}

struct refusals_visit {
	void (*visit)(void *ctx, const struct qe_route_refusal *refusal);
	void *ctx;
};

static void visit_rejection(void *ctx, const struct qe_rib_rejection *rejection)
{
	const struct refusals_visit *to = ctx;

	to->visit(to->ctx, &(struct qe_route_refusal){
				   .peer = rejection->slot,
				   .prefix = rejection->announcement.prefix,
				   .gateway = rejection->announcement.gateway,
				   .metric = rejection->announcement.metric,
				   .reason = rejection->reason,
			   });
}

void qe_node_visit_refusals(const struct qe_node *node,
	void (*visit)(void *ctx, const struct qe_route_refusal *refusal), void *ctx)
{
	struct refusals_visit to = {visit, ctx};

	qe_rib_visit_rejected(node->routing.rib, visit_rejection, &to);
}

struct qe_route_counts qe_node_count_routes(const struct qe_node *node)
{
	struct qe_rib_counts rib = qe_rib_counts(node->routing.rib);
	struct qe_route_counts counts = {
		.prefixes = rib.prefixes,
		.ways = rib.candidates,
		.changes = rib.changes,
		.malformed = node->routing.malformed,
	};

	for (size_t i = 0; i < node->routing.n_slots; i++)
		counts.refused += qe_rib_rejected(node->routing.rib, (uint32_t)i);
	return counts;
}

struct qe_exit_status qe_node_exit_status(const struct qe_node *node, size_t peer)
{
	const struct qe_prefix ipv4 = {.addr = {.family = QE_FAMILY_IPV4}};
	const struct qe_prefix ipv6 = {.addr = {.family = QE_FAMILY_IPV6}};
	const struct routing *routing = &node->routing;

	if (peer >= routing->n_slots)
		return (struct qe_exit_status){};
	return (struct qe_exit_status){
		.up = routing->peers[peer].up != 0,
		.answers = routing->peers[peer].up != 0 && routing->peers[peer].silent == 0,
		.announced = qe_rib_has_announced(routing->rib, (uint32_t)peer),
		.ipv4 = qe_rib_forwards(routing->rib, (uint32_t)peer, &ipv4),
		.ipv6 = qe_rib_forwards(routing->rib, (uint32_t)peer, &ipv6),
	};
}

enum qe_error qe_node_find_route(
	const struct qe_node *node, const struct qe_addr *addr, struct qe_route *ret_route)
{
	const struct qe_route *route = qe_route_lookup(node->views.list->routes, addr);

	if (route == nullptr)
		return QE_ERR_NOT_FOUND;
	*ret_route = *route;
	return QE_OK;
}
