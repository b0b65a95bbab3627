/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/list.h"
#include "daemon/endpoints.h"
#include "net/addr.h"

constexpr qe_time again_first = 2 * QE_SECOND; /* after a failure; doubles */
constexpr qe_time again_max = 300 * QE_SECOND;
constexpr qe_time again_down = 30 * QE_SECOND; /* while the peer is down */
constexpr qe_time again_busy = QE_SECOND / 4;  /* when a queue was full */

/* One endpoint of the configuration. A literal address is known from the start. */
struct place {
	const struct qe_host_port *from;
	bool is_name, asked;
	qe_time ask_at; /* QE_TIME_NEVER: not now */
	qe_time pause;  /* after the next failure */
	struct qe_endpoint known[QE_RESOLVED_MAX];
	size_t n;
};

struct peer {
	struct qe_endpoints *owner;
	size_t slot;
	uint32_t life; /* of no other peer, so that what was asked for another is told apart */
	struct qe_alarm alarm;
	bool up, changed; /* the workers do not know the latest */
	size_t n_places;
	struct place places[]; /* as in the configuration */
};

struct qe_endpoints {
	const struct qe_directory *directory;
	const struct qe_log *log;
	struct qe_loop *loop;
	struct qe_endpoints_source source;
	struct qe_workers *workers;
	struct peer **peers; /* by slot; NULL where there is none */
	size_t n_slots;
	uint32_t lives;
};

/* ---- what is due ---- */

/* The first address of each endpoint comes before the second of any. */
static size_t collect(const struct peer *peer, struct qe_endpoint to[QE_PEER_ENDPOINTS_MAX])
{
	size_t n = 0;

	for (size_t rank = 0; rank < QE_RESOLVED_MAX; rank++) {
		for (size_t i = 0; i < peer->n_places && n < QE_PEER_ENDPOINTS_MAX; i++) {
			if (rank < peer->places[i].n)
				to[n++] = peer->places[i].known[rank];
		}
	}
	return n;
}

static void tell_workers(struct peer *peer)
{
	struct qe_endpoint endpoints[QE_PEER_ENDPOINTS_MAX];
	size_t n = collect(peer, endpoints);

	if (qe_workers_set_endpoints(peer->owner->workers, peer->slot, endpoints, n) == QE_OK)
		peer->changed = false;
}

/* 32 bits of life, 28 of slot, 4 of place. */
static uint64_t cookie_of(const struct peer *peer, const struct place *place)
{
	static_assert(QE_PEER_ENDPOINTS_MAX == 16);

	return (uint64_t)peer->life << 32 | peer->slot << 4 | (uint64_t)(place - peer->places);
}

/* NULL if it is another's by now. */
static struct place *find_place(
	const struct qe_endpoints *endpoints, uint64_t cookie, struct peer **ret_peer)
{
	size_t slot = cookie >> 4 & 0xfffffff, i = cookie & 15;
	struct peer *peer = slot < endpoints->n_slots ? endpoints->peers[slot] : nullptr;

	if (!peer || peer->life != cookie >> 32 || i >= peer->n_places)
		return nullptr;
	*ret_peer = peer;
	return &peer->places[i];
}

static void ask(struct peer *peer, struct place *place, qe_time now)
{
	uint64_t cookie = cookie_of(peer, place);

	if (peer->owner->source.ask(peer->owner->source.ctx, cookie, place->from->host,
		    place->from->port) == QE_OK) {
		place->asked = true;
		place->ask_at = QE_TIME_NEVER;
	} else {
		place->ask_at = now + again_busy;
	}
}

static void set_alarm(struct peer *peer, qe_time now)
{
	qe_time at = peer->changed ? now + again_busy : QE_TIME_NEVER;

	for (size_t i = 0; i < peer->n_places; i++)
		at = qe_time_min(at, peer->places[i].ask_at);
	/* Fails without memory only; what next happens to the peer sets it again. */
	(void)!qe_loop_set_alarm(peer->owner->loop, &peer->alarm, at);
}

static void do_due(struct peer *peer, qe_time now)
{
	for (size_t i = 0; i < peer->n_places; i++) {
		if (peer->places[i].ask_at <= now)
			ask(peer, &peer->places[i], now);
	}
	if (peer->changed)
		tell_workers(peer);
	set_alarm(peer, now);
}

static void alarm_rings(struct qe_alarm *alarm, qe_time now)
{
	do_due(QE_CONTAINER_OF(alarm, struct peer, alarm), now);
}

/* ---- what comes ---- */

static void take_success(
	struct peer *peer, struct place *place, const struct qe_resolved *answer, qe_time now)
{
	bool same = place->n == answer->n;

	for (size_t i = 0; i < answer->n; i++) {
		same = same && qe_endpoint_equal(&place->known[i], &answer->endpoints[i]);
		place->known[i] = answer->endpoints[i];
	}
	place->n = answer->n;
	place->pause = again_first;
	place->ask_at = peer->up ? QE_TIME_NEVER : now + again_down;
	peer->changed = peer->changed || !same;
}

/* The addresses known before, if any, stay. */
static void take_failure(
	struct peer *peer, struct place *place, const struct qe_resolved *answer, qe_time now)
{
	const struct qe_config *config = qe_directory_config(peer->owner->directory);
	const struct qe_config_peer *from = qe_directory_peer(peer->owner->directory, peer->slot);
	char where[256];

	qe_config_where_endpoint(config, (size_t)(from - config->peers),
		(size_t)(place - peer->places), where, sizeof(where));
	qe_log(peer->owner->log, QE_LOG_WARN, "resolve_failed", from->name,
		"%s: %s cannot be resolved: %s; trying again in %u s", where, answer->host,
		answer->error, (unsigned)(place->pause / QE_SECOND));
	place->ask_at = now + place->pause;
	place->pause = qe_time_min(place->pause * 2, again_max);
}

void qe_endpoints_resolved(
	struct qe_endpoints *endpoints, const struct qe_resolved *answer, qe_time now)
{
	struct peer *peer;
	struct place *place = find_place(endpoints, answer->cookie, &peer);

	if (!place)
		return;
	place->asked = false;
	if (answer->n > 0)
		take_success(peer, place, answer, now);
	else
		take_failure(peer, place, answer, now);
	do_due(peer, now);
}

/* The last events of a peer that was removed come after it has gone. */
static struct peer *find_peer(const struct qe_endpoints *endpoints, size_t slot)
{
	return slot < endpoints->n_slots ? endpoints->peers[slot] : nullptr;
}

size_t qe_endpoints_known(const struct qe_endpoints *endpoints, size_t slot,
	struct qe_endpoint to[QE_PEER_ENDPOINTS_MAX])
{
	const struct peer *peer = find_peer(endpoints, slot);

	return peer ? collect(peer, to) : 0;
}

void qe_endpoints_peer_up(struct qe_endpoints *endpoints, size_t slot)
{
	struct peer *peer = find_peer(endpoints, slot);

	if (peer)
		peer->up = true;
}

void qe_endpoints_peer_down(struct qe_endpoints *endpoints, size_t slot, qe_time now)
{
	struct peer *peer = find_peer(endpoints, slot);

	if (!peer)
		return;
	peer->up = false;
	for (size_t i = 0; i < peer->n_places; i++) {
		struct place *place = &peer->places[i];

		if (place->is_name && !place->asked)
			place->ask_at = qe_time_min(place->ask_at, now + again_down);
	}
	set_alarm(peer, now);
}

void qe_endpoints_network_changed(struct qe_endpoints *endpoints, qe_time now)
{
	for (size_t i = 0; i < endpoints->n_slots; i++) {
		struct peer *peer = endpoints->peers[i];

		for (size_t j = 0; peer && !peer->up && j < peer->n_places; j++) {
			struct place *place = &peer->places[j];

			place->pause = again_first;
			if (place->is_name && !place->asked)
				place->ask_at = now;
		}
		if (peer)
			set_alarm(peer, now);
	}
}

/* ---- one peer ---- */

static void init_place(struct place *place, const struct qe_host_port *from)
{
	*place = (struct place){.from = from, .ask_at = QE_TIME_NEVER, .pause = again_first};
	if (qe_addr_parse(&place->known[0].addr, from->host) == QE_OK) {
		place->known[0].port = from->port;
		place->n = 1;
		return;
	}
	place->is_name = true;
	place->ask_at = 0;
}

static struct peer *free_peer(struct peer *peer)
{
	if (!peer)
		return nullptr;
	(void)!qe_loop_set_alarm(peer->owner->loop, &peer->alarm, QE_TIME_NEVER);
	free(peer);
	return nullptr;
}

static struct peer *new_peer(
	struct qe_endpoints *endpoints, size_t slot, const struct qe_config_list *list)
{
	struct peer *peer = calloc(1, sizeof(*peer) + list->n * sizeof(peer->places[0]));

	if (!peer)
		return nullptr;
	peer->owner = endpoints;
	peer->slot = slot;
	peer->life = endpoints->lives++;
	peer->alarm.ring = alarm_rings;
	peer->n_places = list->n;
	for (size_t i = 0; i < list->n; i++)
		init_place(&peer->places[i], &list->endpoints[i]);
	return peer;
}

/* ---- the configuration ---- */

static bool is_same(const struct peer *peer, const struct qe_config_list *list)
{
	bool same = peer && peer->n_places == list->n;

	for (size_t i = 0; same && i < list->n; i++) {
		const struct qe_host_port *from = peer->places[i].from;

		same = strcmp(from->host, list->endpoints[i].host) == 0 &&
		       from->port == list->endpoints[i].port;
	}
	return same;
}

/* What is the same keeps what is known of it, and only refers to the new text. */
static void refer_to(struct peer *peer, const struct qe_config_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		peer->places[i].from = &list->endpoints[i];
}

static enum qe_error change_peer(struct qe_endpoints *endpoints, size_t slot, qe_time now)
{
	const struct qe_config_peer *from = qe_directory_peer(endpoints->directory, slot);
	struct peer *before = endpoints->peers[slot], *peer = nullptr;

	if (from && is_same(before, &from->endpoints)) {
		refer_to(before, &from->endpoints);
		return QE_OK;
	}
	if (from)
		peer = new_peer(endpoints, slot, &from->endpoints);
	endpoints->peers[slot] = peer;
	if (peer) {
		peer->up = before && before->up;
		peer->changed = before || from->endpoints.n > 0;
		do_due(peer, now);
	}
	free_peer(before);
	return from && !peer ? -ENOMEM : QE_OK;
}

enum qe_error qe_endpoints_reserve(struct qe_endpoints *endpoints)
{
	size_t n = qe_directory_slots(endpoints->directory);
	struct peer **peers;

	if (n <= endpoints->n_slots)
		return QE_OK;
	peers = qe_array_grow(endpoints->peers, endpoints->n_slots, n, sizeof(*peers));
	if (!peers)
		return -ENOMEM;
	endpoints->peers = peers;
	endpoints->n_slots = n;
	return QE_OK;
}

enum qe_error qe_endpoints_change(struct qe_endpoints *endpoints, qe_time now)
{
	enum qe_error error = QE_OK;

	for (size_t i = 0; i < endpoints->n_slots; i++) {
		enum qe_error its = change_peer(endpoints, i, now);

		error = its == QE_OK ? error : its;
	}
	return error;
}

/* ---- life ---- */

enum qe_error qe_endpoints_new(struct qe_endpoints **ret_endpoints,
	const struct qe_directory *directory, const struct qe_log *log, struct qe_loop *loop,
	const struct qe_endpoints_source *source, struct qe_workers *workers, qe_time now)
{
	struct qe_endpoints *endpoints = malloc(sizeof(*endpoints));
	enum qe_error error;

	if (!endpoints)
		return -ENOMEM;
	*endpoints = (struct qe_endpoints){directory, log, loop, *source, workers};
	error = qe_endpoints_reserve(endpoints);
	if (error == QE_OK)
		error = qe_endpoints_change(endpoints, now);
	if (error != QE_OK) {
		qe_endpoints_free(endpoints);
		return error;
	}
	*ret_endpoints = endpoints;
	return QE_OK;
}

struct qe_endpoints *qe_endpoints_free(struct qe_endpoints *endpoints)
{
	if (!endpoints)
		return nullptr;
	for (size_t i = 0; i < endpoints->n_slots; i++)
		free_peer(endpoints->peers[i]);
	free(endpoints->peers);
	free(endpoints);
	return nullptr;
}
