/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A peer keeps one usable link where it can. Everything that changes the link in use is one
 * mechanism, a new link beside the old: rotation, reconnection, a moved host, and both sides
 * dialling at once.
 *
 * - Each side sends on the link that it thinks best: ready before not yet ready, answered before
 *   unanswered, then the newest. The two need not agree; datagrams are taken on every link.
 * - One of the two nodes, the one with the smaller NodeId, is the elector. When its best link is
 *   ready, it retires the others: RETIRE says "I send no more datagrams here". The other side moves
 *   off and answers with RETIRE. When both have said it, the link drains for three probe timeouts
 * and is closed. So a replaced link loses nothing.
 * - The side that dialled a link replaces it when its time has come; if it does not, the other
 * does, a little later. Past 1.5 times its age a link is used no more, whatever the other side
 * says.
 * - After a restart a peer greets with another instance number, and its links of before are
 * dropped.
 * - A link that has had no answer for SUSPECT is still used, but another one is dialled beside it;
 *   after DEAD it is given up. So is one dialled, which finds its own path MTU, when the path of
 * the link has become narrower.
 *
 * Of several lanes to the same node each is a peer of its own. Those besides lane 0 rest: a link
 * that carries nothing is not replaced when its time has come, and ends. On a passive one, of a
 * worker that only the other node has, this side never dials the first link.
 *
 * run() is the only place that acts; facts only record, and make it due.
 */
#include "peer/peer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "net/addr.h"
#include "peer/peer_internal.h"

constexpr qe_time WANT_FOR = 10 * QE_SECOND;
constexpr qe_time PING_TIMEOUT = 5 * QE_SECOND;
constexpr uint64_t NOBODYS_COOKIE = UINT64_MAX; /* of a PING for what else its PONG says */

enum qe_error qe_peer_new(
	struct qe_peer **ret_peer, const struct qe_peer_config *config, qe_time now)
{
	struct qe_peer *peer = calloc(1, sizeof(*peer));

	if (peer == nullptr)
		return -ENOMEM;
	peer->config = *config;
	peer->last_alive = now;
	peer->deadline = QE_TIME_NEVER;
	*ret_peer = peer;
	return QE_OK;
}

struct qe_peer *qe_peer_free(struct qe_peer *peer)
{
	assert(peer == nullptr || peer->n_links == 0);
	free(peer);
	return nullptr;
}

/* ---- words ---- */

bool peer_send_control(struct qe_peer *peer, struct qe_link *link, const struct qe_control *message)
{
	uint8_t bytes[QE_CONTROL_SIZE];
	size_t len = qe_control_encode(bytes, message);

	if (qe_link_control(link, (struct qe_bytes){bytes, len}) != QE_OK)
		return false;
	peer->config.ops->wake(peer->config.ops_ctx, link);
	return true;
}

void peer_emit(struct qe_peer *peer, const struct qe_event *event)
{
	peer->config.ops->event(peer->config.ops_ctx, peer, event);
}

static void say_hello(struct qe_peer *peer, struct qe_link *link)
{
	peer_send_control(peer, link,
		&(struct qe_control){.type = QE_CONTROL_HELLO, .instance = peer->config.instance});
}

/* ---- pings ---- */

static void forget_ping(struct qe_peer *peer, size_t at)
{
	peer->pings[at] = peer->pings[--peer->n_pings];
}

static void run_pings(struct qe_peer *peer, qe_time now)
{
	for (size_t i = peer->n_pings; i-- > 0;) {
		struct ping *ping = &peer->pings[i];

		if (qe_time_since(ping->asked, now) >= PING_TIMEOUT) {
			struct qe_event lost = {.type = QE_EVENT_PING_LOST, .cookie = ping->cookie};

			forget_ping(peer, i);
			peer_emit(peer, &lost);
		} else if (ping->sent == 0 && peer->current != nullptr) {
			struct qe_control message = {
				.type = QE_CONTROL_PING, .cookie = ping->cookie};

			if (peer_send_control(peer, peer->current, &message))
				ping->sent = now;
		}
	}
}

static void take_pong(struct qe_peer *peer, uint64_t cookie, qe_time now)
{
	for (size_t i = 0; i < peer->n_pings; i++) {
		struct ping ping = peer->pings[i];

		if (ping.cookie != cookie || ping.sent == 0)
			continue;
		forget_ping(peer, i);
		peer_emit(peer, &(struct qe_event){.type = QE_EVENT_PONG,
					.cookie = cookie,
					.rtt = qe_time_since(ping.sent, now)});
		return;
	}
}

enum qe_error qe_peer_ping(struct qe_peer *peer, uint64_t cookie, qe_time now)
{
	if (peer->n_pings == PINGS_MAX)
		return QE_ERR_FULL;
	peer->pings[peer->n_pings++] = (struct ping){.cookie = cookie, .asked = now};
	qe_peer_want(peer, now);
	peer->due = true;
	return QE_OK;
}

/* ---- the one place that acts ---- */

/* Of the moments given, the earliest that still lies ahead. */
static qe_time sooner(qe_time at, qe_time moment, qe_time now)
{
	return moment > now ? qe_time_min(at, moment) : at;
}

static qe_time link_deadline(const struct qe_peer *peer, const struct peer_link *entry, qe_time now)
{
	qe_time established = qe_link_established_at(entry->link);
	qe_time since = qe_link_unanswered_since(entry->link);
	qe_time at = peer_close_at(peer, entry);

	if (!qe_link_is_established(entry->link))
		return QE_TIME_NEVER;
	if (since != QE_TIME_NEVER) {
		at = sooner(at, since + SUSPECT, now);
		at = sooner(at, since + DEAD, now);
	}
	at = sooner(at, established + QE_LINK_PATH_MTU_PATIENCE, now);
	return sooner(at, established + peer->config.rotate + peer->config.rotate / 2, now);
}

static qe_time next_deadline(const struct qe_peer *peer, qe_time now)
{
	qe_time at = peer_may_dial(peer) ? peer_dial_at(peer, now) : QE_TIME_NEVER;

	for (size_t i = 0; i < peer->n_links; i++)
		at = qe_time_min(at, link_deadline(peer, &peer->links[i], now));
	for (size_t i = 0; i < peer->n_pings; i++)
		at = qe_time_min(at, peer->pings[i].asked + PING_TIMEOUT);
	return at;
}

/* A link that rests is looked at again some times before it is too old: it may be needed then. */
static void dial_or_rest(struct qe_peer *peer, qe_time now)
{
	if (peer->config.rests && peer->wanted_until <= now)
		peer->next_dial = now + peer->config.rotate / 16;
	else
		peer_dial(peer, now);
}

static bool is_silent(const struct qe_peer *peer, qe_time now)
{
	qe_time since = peer->current != nullptr ? qe_link_unanswered_since(peer->current)
						 : QE_TIME_NEVER;

	return since != QE_TIME_NEVER && qe_time_since(since, now) >= SUSPECT;
}

static void note_silence(struct qe_peer *peer, qe_time now)
{
	bool silent = is_silent(peer, now);

	if (silent == peer->silent)
		return;
	peer->silent = silent;
	peer_emit(peer,
		&(struct qe_event){.type = silent ? QE_EVENT_PEER_SILENT : QE_EVENT_PEER_ANSWERS});
}

void qe_peer_run(struct qe_peer *peer, qe_time now)
{
	peer->due = false;
	peer_close_finished(peer, now);
	peer_choose(peer, now);
	peer_retire_others(peer, now);
	/* What was dialled while there was no way sends again after ever longer pauses. */
	if (peer->anew)
		peer_make_room_to_dial(peer);
	peer->anew = false;
	if (peer_may_dial(peer) && peer_dial_at(peer, now) <= now)
		dial_or_rest(peer, now);
	run_pings(peer, now);
	note_silence(peer, now);
	peer->deadline = next_deadline(peer, now);
}

qe_time qe_peer_deadline(const struct qe_peer *peer)
{
	return peer->due ? 0 : peer->deadline;
}

/* ---- facts ---- */

void qe_peer_set_endpoints(
	struct qe_peer *peer, const struct qe_endpoint *endpoints, size_t n, qe_time now)
{
	assert(n <= QE_PEER_ENDPOINTS_MAX);
	if (n > 0)
		memcpy(peer->endpoints, endpoints, n * sizeof(*endpoints));
	peer->n_endpoints = n;
	if (peer->current == nullptr)
		peer->next_dial = now;
	peer->due = true;
}

void qe_peer_seen(struct qe_peer *peer, const struct qe_endpoint *remote, qe_time now)
{
	if (qe_endpoint_equal(remote, &peer->last_remote))
		return;
	peer->last_remote = *remote;
	peer->attempts = 0;
	/* What this lane sends to where the peer was is lost until it is heard on this lane too. */
	peer->next_dial = peer->moved_at = now;
	qe_peer_check(peer);
}

void qe_peer_check(struct qe_peer *peer)
{
	for (size_t i = 0; i < peer->n_links; i++) {
		qe_link_probe(peer->links[i].link);
		peer->config.ops->wake(peer->config.ops_ctx, peer->links[i].link);
	}
	peer->due = true;
}

bool qe_peer_has_room(const struct qe_peer *peer)
{
	return peer->n_links < QE_PEER_LINKS_MAX;
}

static void note_first_link(struct qe_peer *peer, struct qe_link *link)
{
	if (peer_count_established(peer) > 1)
		return;
	if (peer->was_up)
		peer->reconnects++;
	peer->was_up = true;
	peer_emit(peer, &(struct qe_event){.type = QE_EVENT_PEER_UP, .path = *qe_link_path(link)});
}

bool qe_peer_link_up(struct qe_peer *peer, struct qe_link *link, qe_time now)
{
	if (peer_find_link(peer, link) == nullptr) {
		if (peer->n_links == QE_PEER_LINKS_MAX)
			return false;
		peer->links[peer->n_links++] = (struct peer_link){.link = link};
	}
	peer->attempts = 0;
	peer->last_alive = now;
	peer->last_remote = qe_link_path(link)->remote;
	peer->due = true;
	/* The dialling side's HELLO opens the stream; the other's is its answer. */
	if (qe_link_is_dialled(link))
		say_hello(peer, link);
	note_first_link(peer, link);
	peer_emit(peer, &(struct qe_event){.type = QE_EVENT_LINK_UP,
				.path = *qe_link_path(link),
				.dialled = qe_link_is_dialled(link),
				.rotation = peer->current != nullptr});
	return true;
}

void qe_peer_link_used(struct qe_peer *peer, struct qe_link *link, qe_time now)
{
	struct peer_link *entry = peer_find_link(peer, link);

	if (entry == nullptr)
		return;
	if (!entry->ready && qe_link_is_ready(link, now))
		entry->ready = peer->due = true;
	if (peer->silent && link == peer->current && !is_silent(peer, now))
		peer->due = true;
	peer->deadline = qe_time_min(peer->deadline, peer_suspect_at(peer, link));
	if (qe_link_wants_large(link) &&
		peer_send_control(peer, link,
			&(struct qe_control){.type = QE_CONTROL_PING, .cookie = NOBODYS_COOKIE}))
		qe_link_large_asked(link);
	if (qe_link_is_narrowed(link) && peer_may_dial(peer) && peer_dial_at(peer, now) <= now)
		peer->due = true;
}

void qe_peer_link_moved(struct qe_peer *peer, const struct qe_link *link)
{
	struct qe_endpoint remote = qe_link_path(link)->remote;

	if (qe_endpoint_equal(&remote, &peer->last_remote))
		return;
	peer->last_remote = remote;
	peer_emit(
		peer, &(struct qe_event){.type = QE_EVENT_PEER_MOVED, .path = *qe_link_path(link)});
}

void qe_peer_link_lost(struct qe_peer *peer, struct qe_link *link, const char *reason, qe_time now)
{
	struct peer_link *entry = peer_find_link(peer, link);

	if (entry == nullptr)
		return;
	bool replaced = entry->retired_here && entry->retired_there;

	peer_forget_link(peer, entry);
	peer->due = true;
	if (qe_link_is_established(link)) {
		peer->last_alive = qe_link_last_input(link);
		if (peer_count_established(peer) == 0)
			peer->next_dial = peer_redial_at(peer, link, now);
	}
	peer_report_down(peer, link, replaced, reason);
}

static void take_retire(struct qe_peer *peer, struct qe_link *link, qe_time now)
{
	struct peer_link *entry = peer_find_link(peer, link);

	if (entry == nullptr || entry->retired_there)
		return;
	entry->retired_there = true;
	entry->drain_until = peer_drain_until(link, now);
	peer->due = true;
}

static void take_hello(struct qe_peer *peer, struct qe_link *link, uint64_t instance)
{
	struct peer_link *entry = peer_find_link(peer, link);

	if (entry == nullptr || entry->greeted)
		return;
	entry->greeted = true;
	entry->instance = instance;
	peer->instance = instance;
	if (!qe_link_is_dialled(link))
		say_hello(peer, link);
	peer->due = true;
}

bool qe_peer_control(
	struct qe_peer *peer, struct qe_link *link, struct qe_bytes message, qe_time now)
{
	struct qe_control control;

	if (qe_control_decode(&control, message) != QE_OK)
		return false;
	switch (control.type) {
	case QE_CONTROL_PING:
		control.type = QE_CONTROL_PONG;
		control.large = qe_link_large_received(link);
		peer_send_control(peer, link, &control);
		break;
	case QE_CONTROL_PONG:
		take_pong(peer, control.cookie, now);
		qe_link_large_arrived(link, control.large, now);
		break;
	case QE_CONTROL_RETIRE:
		take_retire(peer, link, now);
		break;
	case QE_CONTROL_HELLO:
		take_hello(peer, link, control.instance);
		break;
	case QE_CONTROL_ROUTES:
		peer->config.ops->routes(peer->config.ops_ctx, peer, message);
		break;
	case QE_CONTROL_UNKNOWN:
		break;
	}
	return true;
}

void qe_peer_set_keep(struct qe_peer *peer, bool keep)
{
	peer->config.keep = keep;
	peer->due = true;
}

void qe_peer_want(struct qe_peer *peer, qe_time now)
{
	bool fresh = peer->wanted_until <= now;

	peer->wanted_until = now + WANT_FOR;
	if (peer->current != nullptr || !peer_may_dial(peer))
		return;
	if (peer->next_dial > now + DIAL_STEADY)
		peer->next_dial = now + DIAL_STEADY;
	if (fresh || peer->next_dial <= now)
		peer->due = true;
}

void qe_peer_network_changed(struct qe_peer *peer, qe_time now)
{
	bool moved_server = peer->current != nullptr && !qe_link_is_dialled(peer->current);

	qe_peer_check(peer);
	peer->attempts = 0;
	peer->next_dial = peer->moved_at = now;
	peer->anew = true;
	/* QUIC lets a client move, not a server: whoever dialled us cannot follow us. */
	if (moved_server && peer_may_dial(peer))
		peer_dial(peer, now);
	peer->due = true;
}

/* ---- questions ---- */

struct qe_link *qe_peer_link(struct qe_peer *peer, qe_time now)
{
	if (peer->current != nullptr && peer_too_old(peer, peer->current, now))
		return nullptr;
	return peer->current;
}

size_t qe_peer_index(const struct qe_peer *peer)
{
	return peer->config.index;
}

const struct qe_node_id *qe_peer_id(const struct qe_peer *peer)
{
	return &peer->config.id;
}

uint8_t qe_peer_lane(const struct qe_peer *peer)
{
	return peer->config.lane;
}

bool qe_peer_is_empty(const struct qe_peer *peer)
{
	return peer->n_links == 0;
}

enum qe_peer_state qe_peer_get_state(const struct qe_peer *peer)
{
	if (peer->current != nullptr)
		return QE_PEER_CONNECTED;
	return peer_count_dials(peer) > 0 || peer->config.keep ? QE_PEER_CONNECTING : QE_PEER_IDLE;
}

void qe_peer_get_status(const struct qe_peer *peer, struct qe_peer_status *ret_status)
{
	*ret_status = (struct qe_peer_status){
		.id = peer->config.id,
		.state = qe_peer_get_state(peer),
		.n_links = (unsigned)peer_count_established(peer),
		.has_link = peer->current != nullptr,
		.rotations = peer->rotations,
		.reconnects = peer->reconnects,
		.next_dial = peer->current == nullptr ? peer->deadline : QE_TIME_NEVER,
	};
	if (peer->current != nullptr)
		qe_link_get_status(peer->current, &ret_status->link);
}

struct qe_link *qe_peer_take_link(struct qe_peer *peer)
{
	if (peer->n_links == 0)
		return nullptr;
	struct qe_link *link = peer->links[0].link;

	peer_forget_link(peer, &peer->links[0]);
	return link;
}
