/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <stdlib.h>

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
	struct qe_alarm alarm;
	bool up, changed; /* the workers do not know the latest */
	struct place *places;
	size_t n_places;
};

struct qe_endpoints {
	const struct qe_config *config;
	const struct qe_log *log;
	struct qe_loop *loop;
	struct qe_resolver *resolver;
	struct qe_workers *workers;
	struct peer *peers; /* as in the configuration */
};

static size_t index_of(const struct peer *peer)
{
	return (size_t)(peer - peer->owner->peers);
}

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

	if (qe_workers_set_endpoints(peer->owner->workers, index_of(peer), endpoints, n) == QE_OK)
		peer->changed = false;
}

static void ask(struct peer *peer, struct place *place, qe_time now)
{
	uint64_t cookie = index_of(peer) * QE_PEER_ENDPOINTS_MAX + (uint64_t)(place - peer->places);

	if (qe_resolver_ask(peer->owner->resolver, cookie, place->from->host, place->from->port) ==
		QE_OK) {
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
	const struct qe_endpoints *owner = peer->owner;
	char where[256];

	qe_config_where_endpoint(owner->config, index_of(peer), (size_t)(place - peer->places),
		where, sizeof(where));
	qe_log(owner->log, QE_LOG_WARN, "resolve_failed", owner->config->peers[index_of(peer)].name,
		"%s: %s cannot be resolved: %s; trying again in %u s", where, answer->host,
		answer->error, (unsigned)(place->pause / QE_SECOND));
	place->ask_at = now + place->pause;
	place->pause = qe_time_min(place->pause * 2, again_max);
}

void qe_endpoints_resolved(
	struct qe_endpoints *endpoints, const struct qe_resolved *answer, qe_time now)
{
	struct peer *peer = &endpoints->peers[answer->cookie / QE_PEER_ENDPOINTS_MAX];
	struct place *place = &peer->places[answer->cookie % QE_PEER_ENDPOINTS_MAX];

	place->asked = false;
	if (answer->n > 0)
		take_success(peer, place, answer, now);
	else
		take_failure(peer, place, answer, now);
	do_due(peer, now);
}

void qe_endpoints_peer_up(struct qe_endpoints *endpoints, size_t index)
{
	endpoints->peers[index].up = true;
}

void qe_endpoints_peer_down(struct qe_endpoints *endpoints, size_t index, qe_time now)
{
	struct peer *peer = &endpoints->peers[index];

	peer->up = false;
	for (size_t i = 0; i < peer->n_places; i++) {
		struct place *place = &peer->places[i];

		if (place->is_name && !place->asked)
			place->ask_at = qe_time_min(place->ask_at, now + again_down);
	}
	set_alarm(peer, now);
}

/* ---- life ---- */

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

static enum qe_error init_peer(
	struct peer *peer, struct qe_endpoints *owner, const struct qe_config_peer *from)
{
	peer->owner = owner;
	peer->alarm.ring = alarm_rings;
	if (from->endpoints.n == 0)
		return QE_OK;
	peer->places = calloc(from->endpoints.n, sizeof(*peer->places));
	if (!peer->places)
		return -ENOMEM;
	peer->n_places = from->endpoints.n;
	for (size_t i = 0; i < peer->n_places; i++)
		init_place(&peer->places[i], &from->endpoints.endpoints[i]);
	peer->changed = true;
	return qe_loop_set_alarm(owner->loop, &peer->alarm, 0);
}

enum qe_error qe_endpoints_new(struct qe_endpoints **ret_endpoints, const struct qe_config *config,
	const struct qe_log *log, struct qe_loop *loop, struct qe_resolver *resolver,
	struct qe_workers *workers, qe_time now)
{
	struct qe_endpoints *endpoints = malloc(sizeof(*endpoints));
	enum qe_error error = QE_OK;

	if (!endpoints)
		return -ENOMEM;
	*endpoints = (struct qe_endpoints){config, log, loop, resolver, workers};
	endpoints->peers = calloc(config->n_peers + 1, sizeof(*endpoints->peers));
	if (!endpoints->peers)
		error = -ENOMEM;
	for (size_t i = 0; i < config->n_peers && error == QE_OK; i++)
		error = init_peer(&endpoints->peers[i], endpoints, &config->peers[i]);
	for (size_t i = 0; i < config->n_peers && error == QE_OK; i++)
		do_due(&endpoints->peers[i], now);
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
	for (size_t i = 0; endpoints->peers && i < endpoints->config->n_peers; i++) {
		struct peer *peer = &endpoints->peers[i];

		if (peer->owner)
			(void)!qe_loop_set_alarm(endpoints->loop, &peer->alarm, QE_TIME_NEVER);
		free(peer->places);
	}
	free(endpoints->peers);
	free(endpoints);
	return nullptr;
}
