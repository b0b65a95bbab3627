/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "daemon/workers.h"
#include "net/addr.h"
#include "os/clock.h"

/* From when the first worker has a link to a peer to when the last has none. */
struct session {
	qe_time since;
	struct qe_traffic traffic; /* of the workers that have none any more */
};

struct known {
	uint16_t up;             /* the workers that have a link to it, a bit each */
	struct qe_endpoint seen; /* where it moved last */
	struct session session;
};

struct qe_workers {
	struct qe_node *node;
	struct qe_worker *all[QE_WORKERS_MAX];
	unsigned n;
	struct known *peers; /* by slot */
	size_t n_peers;
	size_t queries_under_way;
};

static_assert(QE_WORKERS_MAX <= 16, "a bit of up for each");

/* ---- life ---- */

static enum qe_error make_all(
	struct qe_workers *workers, const struct qe_workers_settings *settings)
{
	QE_TRY(qe_workers_reserve(workers, settings->n_peers));
	for (; workers->n < settings->n; workers->n++) {
		const unsigned i = workers->n;

		QE_TRY(qe_worker_new(
			&workers->all[i], &(struct qe_worker_settings){
						  .node = settings->node,
						  .number = i,
						  .of = settings->n,
						  .tun = settings->tuns[i],
						  .udp = settings->udps[i],
						  .cpu = settings->cpus ? settings->cpus[i] : -1,
						  .notify = settings->notify,
						  .ctx = settings->ctx,
					  }));
	}
	for (unsigned i = 0; i < workers->n; i++)
		QE_TRY(qe_worker_start(workers->all[i], workers->all));
	return QE_OK;
}

enum qe_error qe_workers_new(
	struct qe_workers **ret_workers, const struct qe_workers_settings *settings)
{
	struct qe_workers *workers = calloc(1, sizeof(*workers));
	enum qe_error error;

	if (!workers)
		return -ENOMEM;
	workers->node = settings->node;
	error = make_all(workers, settings);
	if (error != QE_OK) {
		qe_workers_free(workers);
		return error;
	}
	*ret_workers = workers;
	return QE_OK;
}

void qe_workers_stop(struct qe_workers *workers)
{
	for (unsigned i = 0; workers && i < workers->n; i++)
		qe_worker_stop(workers->all[i]);
}

struct qe_workers *qe_workers_free(struct qe_workers *workers)
{
	if (!workers)
		return nullptr;
	qe_workers_stop(workers);
	for (unsigned i = 0; i < workers->n; i++)
		qe_worker_free(workers->all[i]);
	free(workers->peers);
	free(workers);
	return nullptr;
}

enum qe_error qe_workers_reserve(struct qe_workers *workers, size_t n_peers)
{
	struct known *peers;

	if (n_peers <= workers->n_peers)
		return QE_OK;
	peers = qe_array_grow(workers->peers, workers->n_peers, n_peers, sizeof(*peers));
	if (!peers)
		return -ENOMEM;
	workers->peers = peers;
	workers->n_peers = n_peers;
	return QE_OK;
}

/* ---- commands ---- */

void qe_workers_wake(struct qe_workers *workers)
{
	for (unsigned i = 0; i < workers->n; i++)
		qe_worker_wake(workers->all[i]);
}

/* If one of them is behind, the others are told again later: no harm. */
enum qe_error qe_workers_set_endpoints(
	struct qe_workers *workers, size_t peer, const struct qe_endpoint *endpoints, size_t n)
{
	for (unsigned i = 0; i < workers->n; i++)
		QE_TRY(qe_worker_set_endpoints(workers->all[i], peer, endpoints, n));
	return QE_OK;
}

enum qe_error qe_workers_network_changed(struct qe_workers *workers)
{
	for (unsigned i = 0; i < workers->n; i++)
		QE_TRY(qe_worker_network_changed(workers->all[i]));
	return QE_OK;
}

void qe_workers_check(struct qe_workers *workers, size_t peer)
{
	for (unsigned i = 0; i < workers->n; i++) {
		if (workers->peers[peer].up & 1u << i)
			(void)!qe_worker_peer_check(workers->all[i], peer);
	}
}

/* By a worker that has a link, if one has; the first one dials. */
enum qe_error qe_workers_ping(struct qe_workers *workers, size_t peer, uint64_t cookie)
{
	unsigned i = 0;

	while (i < workers->n && !(workers->peers[peer].up & 1u << i))
		i++;
	return qe_worker_ping(workers->all[i < workers->n ? i : 0], peer, cookie);
}

/* ---- queries ---- */

/* One worker has room for all that are under way at any. */
enum qe_error qe_workers_query(struct qe_workers *workers, struct qe_worker_query *query)
{
	if (workers->queries_under_way == QE_WORKER_QUERIES_MAX)
		return QE_ERR_FULL;
	QE_TRY(qe_worker_query(workers->all[0], query));
	workers->queries_under_way++;
	return QE_OK;
}

struct qe_worker_query *qe_workers_take_query(struct qe_workers *workers)
{
	struct qe_worker_query *query;

	for (unsigned i = 0; i < workers->n; i++) {
		while ((query = qe_worker_take_query(workers->all[i]))) {
			if (i + 1 < workers->n &&
				qe_worker_query(workers->all[i + 1], query) == QE_OK)
				continue;
			workers->queries_under_way--;
			return query;
		}
	}
	return nullptr;
}

/* ---- events ---- */

/* The others dial it there, too, should they need it: also behind NAT that is where it can be
 * reached, as all workers have one port. One that is behind does without. */
static void tell_others(struct qe_workers *workers, unsigned except, const struct qe_event *event)
{
	for (unsigned i = 0; i < workers->n; i++) {
		if (i != except)
			(void)!qe_worker_peer_seen(
				workers->all[i], event->peer, &event->path.remote);
	}
}

/* A peer moves with all of its links. */
static bool is_elsewhere(struct qe_workers *workers, const struct qe_event *event)
{
	struct qe_endpoint *seen = &workers->peers[event->peer].seen;
	bool differs = !qe_endpoint_equal(seen, &event->path.remote);

	*seen = event->path.remote;
	return differs;
}

static void begin_session(struct session *session, const struct qe_event *event)
{
	*session = (struct session){.since = event->since};
}

/* A worker's part of it is over; the event then says what all have carried. */
static void add_to_session(struct session *session, struct qe_event *event)
{
	struct qe_traffic *sum = &session->traffic, *own = &event->traffic;

	sum->tx_packets += own->tx_packets;
	sum->tx_bytes += own->tx_bytes;
	sum->rx_packets += own->rx_packets;
	sum->rx_bytes += own->rx_bytes;
	*own = *sum;
	event->since = session->since;
}

/* False for what concerns one worker and not the peer as a whole. */
static bool note(struct qe_workers *workers, unsigned i, struct qe_event *event)
{
	uint16_t bit = (uint16_t)(1u << i), *up = &workers->peers[event->peer].up;
	bool was_up = *up != 0;

	switch (event->type) {
	case QE_EVENT_PEER_UP:
		*up |= bit;
		if (!was_up)
			begin_session(&workers->peers[event->peer].session, event);
		return !was_up;
	case QE_EVENT_PEER_DOWN:
		*up &= (uint16_t)~bit;
		/* A lane that carries nothing learns of it only at its next sign of life. */
		qe_workers_check(workers, event->peer);
		add_to_session(&workers->peers[event->peer].session, event);
		return was_up && *up == 0;
	case QE_EVENT_LINK_UP:
		tell_others(workers, i, event);
		return true;
	case QE_EVENT_PEER_MOVED:
		tell_others(workers, i, event);
		return is_elsewhere(workers, event);
	case QE_EVENT_LINK_DOWN:
	case QE_EVENT_DIAL_FAILED:
	case QE_EVENT_PONG:
	case QE_EVENT_PING_LOST:
	case QE_EVENT_STRANGER:
		return true;
	case QE_EVENT_PEER_SILENT:
	case QE_EVENT_PEER_ANSWERS:
	case QE_EVENT_PEER_RTT:
	case QE_EVENT_ROUTES:
		return false;
	}
	return true;
}

/* Which of the workers it comes from matters to the node. */
static void tell_node(struct qe_workers *workers, struct qe_worker_event *event)
{
	qe_node_take_event(workers->node, &event->event, qe_clock_now());
	free(event->message);
	event->message = nullptr;
	event->event.message = nullptr;
}

bool qe_workers_take_event(struct qe_workers *workers, struct qe_worker_event *ret_event)
{
	for (unsigned i = 0; i < workers->n; i++) {
		while (qe_worker_take_event(workers->all[i], ret_event)) {
			tell_node(workers, ret_event);
			if (ret_event->event.peer == SIZE_MAX ||
				note(workers, i, &ret_event->event))
				return true;
		}
	}
	return false;
}
