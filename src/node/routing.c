/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "node/routing.h"

#include <errno.h>
#include <stdlib.h>

#include "crypto/node_id.h"
#include "crypto/random.h"

static_assert(QE_WORKERS_MAX <= 16, "a bit for each");

/* ---- the table ---- */

/* What cannot be noted for want of memory is made good by repair(). */
static void on_changed(void *ctx, const struct qe_prefix *prefix, const struct qe_route *route)
{
	struct routing *routing = ctx;
	enum qe_error error = route != nullptr ? qe_route_table_set(routing->table, route)
					       : qe_route_table_remove(routing->table, prefix);

	routing->changed = true;
	routing->damaged |= error != QE_OK && error != QE_ERR_NOT_FOUND;
	if (routing->sink->route != nullptr)
		routing->sink->route(routing->sink->ctx, prefix, route);
}

static void on_judged(
	void *ctx, uint32_t slot, const struct qe_announcement *announcement, const char *reason)
{
	const struct qe_node_sink *sink = ((struct routing *)ctx)->sink;

	if (sink->judged != nullptr)
		sink->judged(sink->ctx, slot, &announcement->prefix, announcement->gateway,
			announcement->metric, reason);
}

struct repair {
	struct qe_route_table *table;
	enum qe_error error;
};

static void repair_remove(void *ctx, const struct qe_route *route)
{
	struct repair *repair = ctx;

	if (repair->error == QE_OK)
		repair->error = qe_route_table_remove(repair->table, &route->prefix);
}

static void repair_set(void *ctx, const struct qe_rib_entry *entry)
{
	struct repair *repair = ctx;

	if (repair->error == QE_OK && entry->state == QE_RIB_BEST)
		repair->error = qe_route_table_set(repair->table, &entry->route);
}

/* No view sees the table until this has succeeded. */
static enum qe_error repair(struct routing *routing)
{
	const struct qe_route_snapshot *before;
	struct repair repair = {routing->table, QE_OK};

	QE_TRY(qe_route_table_publish(routing->table, &before));
	qe_route_visit(before, repair_remove, &repair);
	qe_route_table_release(routing->table, before);
	QE_TRY(repair.error);
	QE_TRY(qe_rib_visit(routing->rib, repair_set, &repair));
	return repair.error;
}

/* ---- life ---- */

enum qe_error routing_init(struct routing *routing, const struct qe_node_sink *sink)
{
	*routing = (struct routing){.sink = sink};
	QE_TRY(qe_route_table_new(&routing->table));
	return qe_rib_new(&routing->rib, &(struct qe_rib_settings){.ctx = routing,
						 .changed = on_changed,
						 .judged = on_judged,
						 .seed = qe_random_u64()});
}

void routing_done(struct routing *routing)
{
	for (size_t i = 0; i < routing->n_slots; i++)
		qe_routes_set_done(&routing->peers[i].set);
	free(routing->peers);
	free(routing->withdrawn);
	qe_rib_free(routing->rib);
	qe_route_table_free(routing->table);
}

/* ---- what the configuration says ---- */

static enum qe_error reserve(struct routing *routing, size_t n)
{
	if (n <= routing->n_slots)
		return QE_OK;
	struct routing_peer *peers = realloc(routing->peers, n * sizeof(*peers));

	if (peers == nullptr)
		return -ENOMEM;
	routing->peers = peers;
	for (; routing->n_slots < n; routing->n_slots++) {
		peers[routing->n_slots] = (struct routing_peer){};
		qe_routes_set_init(&peers[routing->n_slots].set);
	}
	return QE_OK;
}

static void forget_set(struct routing_peer *peer)
{
	qe_routes_set_done(&peer->set);
	qe_routes_set_init(&peer->set);
}

static bool is_owned(const struct directory *directory, const struct qe_prefix *prefix)
{
	const struct prefix_map *owners = &directory->grants.owners;

	return qe_route_find(owners->snapshot, prefix) != nullptr;
}

/* What this node forwards for goes to the TUN, but for what is a peer's, exactly: there the peer
 * is where it goes. */
static enum qe_error configure_local(struct routing *routing, const struct directory *directory)
{
	struct qe_prefix *local = calloc(directory->n_local + directory->n_forward, sizeof(*local));
	size_t n = 0;

	if (local == nullptr)
		return -ENOMEM;
	while (n < directory->n_local) {
		local[n] = directory->local[n];
		n++;
	}
	for (size_t i = 0; i < directory->n_forward; i++)
		if (!is_owned(directory, &directory->forward[i]))
			local[n++] = directory->forward[i];
	enum qe_error error = qe_rib_set_local(routing->rib, local, n);

	free(local);
	return error;
}

static enum qe_error configure_peer(
	struct routing *routing, const struct directory *directory, size_t slot, qe_time now)
{
	const struct directory_slot *peer = directory_get(directory, slot);

	if (peer != nullptr)
		return qe_rib_set_peer(routing->rib,
			&(struct qe_rib_peer){.slot = (uint32_t)slot,
				.own = peer->own,
				.n_own = peer->n_own,
				.gateway = peer->gateway,
				.n_gateway = peer->n_gateway,
				.exit = peer->exit,
				.default_gateway = peer->default_gateway},
			now);
	qe_rib_remove_peer(routing->rib, (uint32_t)slot);
	routing->peers[slot].up = routing->peers[slot].silent = 0;
	forget_set(&routing->peers[slot]);
	return QE_OK;
}

static enum qe_error configure(
	struct routing *routing, const struct directory *directory, qe_time now)
{
	QE_TRY(reserve(routing, directory->n_slots));
	QE_TRY(configure_local(routing, directory));
	for (size_t i = 0; i < routing->n_slots; i++)
		QE_TRY(configure_peer(routing, directory, i, now));
	return QE_OK;
}

enum qe_error routing_configure(
	struct routing *routing, const struct directory *directory, qe_time now)
{
	enum qe_error error = configure(routing, directory, now);

	routing->stale = error != QE_OK;
	return error;
}

/* ---- what happens ---- */

static void note_up(struct routing *routing, uint32_t slot, uint16_t bit, qe_time now)
{
	routing->peers[slot].up |= bit;
	if (routing->peers[slot].silent == 0)
		qe_rib_peer_up(routing->rib, slot, now);
}

/* On the links of one worker. */
static void note_answers(struct routing *routing, uint32_t slot, uint16_t bit, qe_time now)
{
	struct routing_peer *peer = &routing->peers[slot];
	bool was_silent = peer->silent != 0;

	peer->silent &= (uint16_t)~bit;
	if (was_silent && peer->silent == 0 && peer->up != 0)
		qe_rib_peer_up(routing->rib, slot, now);
}

/* One worker's silence is enough: what goes through it is lost. */
static void note_silent(struct routing *routing, uint32_t slot, uint16_t bit, qe_time now)
{
	routing->peers[slot].silent |= bit;
	qe_rib_peer_down(routing->rib, slot, true, now);
}

static void note_down(struct routing *routing, uint32_t slot, uint16_t bit, qe_time now)
{
	struct routing_peer *peer = &routing->peers[slot];

	peer->up &= (uint16_t)~bit;
	note_answers(routing, slot, bit, now);
	if (peer->up != 0)
		return;
	forget_set(peer);
	qe_rib_peer_down(routing->rib, slot, false, now);
}

static void take_routes(
	struct routing *routing, uint32_t slot, struct qe_bytes message, qe_time now)
{
	struct qe_routes_set *set = &routing->peers[slot].set;
	bool whole;

	if (qe_routes_set_take(set, message, &whole) != QE_OK) {
		routing->malformed++;
		return;
	}
	/* Without memory what was announced before stays, until it is said again. */
	if (whole)
		(void)!qe_rib_announce(routing->rib, slot, set->list, set->n, set->more, now);
}

/* Late ones, of a peer that is gone, are for nobody. */
static bool is_current(const struct directory *directory, const struct qe_event *event)
{
	const struct directory_slot *peer = directory_get(directory, event->peer);

	return peer != nullptr && qe_node_id_equal(&peer->id, &event->id);
}

void routing_take_event(struct routing *routing, const struct directory *directory,
	const struct qe_event *event, qe_time now)
{
	uint32_t slot = (uint32_t)event->peer;
	uint16_t bit = (uint16_t)(1u << event->worker);

	if (!is_current(directory, event) || event->peer >= routing->n_slots)
		return;
	switch (event->type) {
	case QE_EVENT_PEER_UP:
		note_up(routing, slot, bit, now);
		break;
	case QE_EVENT_PEER_DOWN:
		note_down(routing, slot, bit, now);
		break;
	case QE_EVENT_PEER_SILENT:
		note_silent(routing, slot, bit, now);
		break;
	case QE_EVENT_PEER_ANSWERS:
		note_answers(routing, slot, bit, now);
		break;
	case QE_EVENT_PEER_RTT:
		qe_rib_set_rtt(routing->rib, slot, event->rtt);
		break;
	case QE_EVENT_ROUTES:
		take_routes(
			routing, slot, (struct qe_bytes){event->message, event->message_len}, now);
		break;
	case QE_EVENT_LINK_UP:
	case QE_EVENT_LINK_DOWN:
	case QE_EVENT_DIAL_FAILED:
	case QE_EVENT_PEER_MOVED:
	case QE_EVENT_PONG:
	case QE_EVENT_PING_LOST:
	case QE_EVENT_STRANGER:
		break;
	}
}

/* ---- running ---- */

void routing_run(struct routing *routing, const struct directory *directory, qe_time now)
{
	if (routing->stale && routing_configure(routing, directory, now) != QE_OK)
		return;
	qe_rib_run(routing->rib, now);
	if (routing->damaged)
		routing->damaged = repair(routing) != QE_OK;
}

qe_time routing_deadline(const struct routing *routing)
{
	if (routing->stale || routing->damaged)
		return QE_TIME_NEVER; /* the node tries again when it has said so */
	return qe_rib_deadline(routing->rib);
}
