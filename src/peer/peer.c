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
 * run() is the only place that acts; facts only record, and make it due.
 */
#include "peer/peer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "crypto/random.h"
#include "net/addr.h"

constexpr qe_time DRAIN_MIN = 50 * QE_MILLISECOND;
constexpr qe_time DRAIN_MAX = QE_SECOND;
constexpr qe_time RETIRE_PATIENCE = 5 * QE_SECOND; /* for the other side's part in it */
constexpr qe_time SUSPECT = 2 * QE_SECOND;
constexpr qe_time SUSPECT_MOVED = 300 * QE_MILLISECOND; /* after a move of this host */
constexpr qe_time DEAD = 10 * QE_SECOND;
constexpr qe_time DIAL_FIRST = 250 * QE_MILLISECOND;
constexpr qe_time DIAL_STEADY = 2 * QE_SECOND;
constexpr qe_time DIAL_SLOW = 30 * QE_SECOND;
constexpr qe_time DIAL_STEADY_FOR = 300 * QE_SECOND; /* after the last sign of life */
constexpr qe_time WANT_FOR = 10 * QE_SECOND;
constexpr qe_time PING_TIMEOUT = 5 * QE_SECOND;
constexpr size_t DIALS_MAX = 4; /* handshakes of ours under way */
constexpr size_t PINGS_MAX = 16;

struct peer_link {
	struct qe_link *link;
	bool retired_here, retired_there;
	bool ready; /* as of the last look */
	bool greeted;
	uint64_t instance;   /* of the peer, once greeted */
	qe_time retired_at;  /* by this side */
	qe_time drain_until; /* once both have said it */
};

struct ping {
	uint64_t cookie;
	qe_time asked, sent; /* sent 0: not yet */
};

struct qe_peer {
	struct qe_peer_config config;
	struct qe_endpoint endpoints[QE_PEER_ENDPOINTS_MAX];
	size_t n_endpoints;
	struct qe_endpoint last_remote; /* where it was last; family none: nowhere yet */

	struct peer_link links[QE_PEER_LINKS_MAX];
	size_t n_links;
	struct qe_link *current;
	bool was_up;

	unsigned attempts; /* dials since the last link came up */
	qe_time next_dial; /* not before */
	qe_time last_alive, wanted_until;
	qe_time moved_at; /* when this host's network last changed */
	bool due;         /* run at once */
	qe_time deadline;

	struct ping pings[PINGS_MAX];
	size_t n_pings;
	uint64_t instance; /* of the peer, by its last HELLO */
	uint64_t rotations, reconnects;
};

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

/* ---- small questions ---- */

static struct peer_link *find(struct qe_peer *peer, const struct qe_link *link)
{
	for (size_t i = 0; i < peer->n_links; i++)
		if (peer->links[i].link == link)
			return &peer->links[i];
	return nullptr;
}

static void forget(struct qe_peer *peer, struct peer_link *entry)
{
	if (peer->current == entry->link)
		peer->current = nullptr;
	*entry = peer->links[--peer->n_links];
}

static size_t count_established(const struct qe_peer *peer)
{
	size_t n = 0;

	for (size_t i = 0; i < peer->n_links; i++)
		n += qe_link_is_established(peer->links[i].link);
	return n;
}

static size_t count_dials(const struct qe_peer *peer)
{
	size_t n = 0;

	for (size_t i = 0; i < peer->n_links; i++) {
		const struct qe_link *link = peer->links[i].link;

		n += qe_link_is_dialled(link) && !qe_link_is_established(link);
	}
	return n;
}

static qe_time age(const struct qe_link *link, qe_time now)
{
	return qe_time_since(qe_link_established_at(link), now);
}

static bool too_old(const struct qe_peer *peer, const struct qe_link *link, qe_time now)
{
	return age(link, now) >= peer->config.rotate + peer->config.rotate / 2;
}

static bool unanswered(const struct qe_link *link, qe_time limit, qe_time now)
{
	qe_time since = qe_link_unanswered_since(link);

	return since != QE_TIME_NEVER && qe_time_since(since, now) >= limit;
}

/* When a link is to be replaced: at its age by the side that dialled it, later by the other, and
 * never in step with other links that came up together. */
static qe_time rotate_at(const struct qe_peer *peer, const struct qe_link *link)
{
	qe_time rotate = peer->config.rotate;
	qe_time spread = qe_link_established_at(link) / QE_MICROSECOND % (rotate / 16 + 1);
	qe_time after = qe_link_is_dialled(link) ? rotate - spread : rotate + rotate / 4 - spread;

	return qe_link_established_at(link) + after;
}

/* ---- the choice ---- */

/* Higher is better; the newest wins among equals; 0: not to be used. */
static unsigned rank(const struct qe_peer *peer, const struct peer_link *entry, qe_time now)
{
	const struct qe_link *link = entry->link;

	if (!qe_link_is_established(link) || too_old(peer, link, now))
		return 0;
	return 1 + 4 * !(entry->retired_here || entry->retired_there) +
	       2 * !unanswered(link, SUSPECT, now) + qe_link_is_ready(link, now);
}

static struct qe_link *best_link(const struct qe_peer *peer, qe_time now)
{
	struct qe_link *best = nullptr;
	unsigned best_rank = 0;

	for (size_t i = 0; i < peer->n_links; i++) {
		struct qe_link *link = peer->links[i].link;
		unsigned its = rank(peer, &peer->links[i], now);

		if (its == 0 || its < best_rank)
			continue;
		if (its > best_rank ||
			qe_link_established_at(link) > qe_link_established_at(best)) {
			best = link;
			best_rank = its;
		}
	}
	return best;
}

static void choose(struct qe_peer *peer, qe_time now)
{
	struct qe_link *best = best_link(peer, now), *before = peer->current;

	if (best == before)
		return;
	peer->current = best;
	if (best == nullptr)
		return;
	if (before != nullptr)
		peer->rotations++;
	peer->config.ops->switched(peer->config.ops_ctx, peer);
}

/* False if it cannot be queued now: the peer has not opened the stream yet, or does not read. */
static bool send_control(
	struct qe_peer *peer, struct qe_link *link, const struct qe_control *message)
{
	uint8_t bytes[QE_CONTROL_SIZE];
	size_t len = qe_control_encode(bytes, message);

	if (qe_link_control(link, (struct qe_bytes){bytes, len}) != QE_OK)
		return false;
	peer->config.ops->wake(peer->config.ops_ctx, link);
	return true;
}

static void emit(struct qe_peer *peer, const struct qe_event *event)
{
	peer->config.ops->event(peer->config.ops_ctx, peer, event);
}

static void say_hello(struct qe_peer *peer, struct qe_link *link)
{
	send_control(peer, link,
		&(struct qe_control){.type = QE_CONTROL_HELLO, .instance = peer->config.instance});
}

/* ---- retiring ---- */

/* What is still under way on a retired link comes within a few round trips. RFC 9000 section 10.2
 * waits as long. */
static qe_time drain_until(const struct qe_link *link, qe_time now)
{
	qe_time drain = 3 * qe_link_probe_timeout(link);

	return now + qe_time_min(qe_time_max(drain, DRAIN_MIN), DRAIN_MAX);
}

static void retire(struct qe_peer *peer, struct peer_link *entry, qe_time now)
{
	if (!send_control(peer, entry->link, &(struct qe_control){.type = QE_CONTROL_RETIRE}))
		return; /* the peer's HELLO makes run() come back to it */
	entry->retired_here = true;
	entry->retired_at = now;
	if (entry->retired_there)
		entry->drain_until = drain_until(entry->link, now);
}

static bool is_older(const struct qe_link *link, const struct qe_link *than)
{
	return qe_link_established_at(link) <= qe_link_established_at(than);
}

/* The elector retires what is older than the best; a newer one is still looking for its path MTU.
 * The other side follows, and whatever is too old retires by itself. */
static void retire_others(struct qe_peer *peer, qe_time now)
{
	bool settled = peer->current != nullptr && qe_link_is_ready(peer->current, now);

	for (size_t i = 0; i < peer->n_links; i++) {
		struct peer_link *entry = &peer->links[i];

		if (entry->link == peer->current || entry->retired_here ||
			!qe_link_is_established(entry->link))
			continue;
		if (entry->retired_there || too_old(peer, entry->link, now) ||
			(settled && peer->config.elector && is_older(entry->link, peer->current)))
			retire(peer, entry, now);
	}
}

/* Whatever the peer does, also if it never opened the control stream or reads nothing from it. */
static qe_time end_of_life(const struct qe_peer *peer, const struct qe_link *link)
{
	return qe_link_established_at(link) + peer->config.rotate + peer->config.rotate / 2 +
	       2 * RETIRE_PATIENCE;
}

/* The elector closes a drained link; the other side only if that does not happen. */
static qe_time close_at(const struct qe_peer *peer, const struct peer_link *entry)
{
	qe_time at = QE_TIME_NEVER;

	if (!qe_link_is_established(entry->link))
		return at;
	if (entry->retired_here && entry->retired_there)
		at = entry->drain_until + (peer->config.elector ? 0 : RETIRE_PATIENCE);
	else if (entry->retired_here)
		at = entry->retired_at + RETIRE_PATIENCE;
	return qe_time_min(at, end_of_life(peer, entry->link));
}

static void report_down(
	struct qe_peer *peer, const struct qe_link *link, bool replaced, const char *reason)
{
	bool established = qe_link_is_established(link);

	emit(peer,
		&(struct qe_event){.type = established ? QE_EVENT_LINK_DOWN : QE_EVENT_DIAL_FAILED,
			.path = *qe_link_path(link),
			.dialled = qe_link_is_dialled(link),
			.rotation = replaced,
			.reason = reason});
	if (established && count_established(peer) == 0)
		emit(peer, &(struct qe_event){.type = QE_EVENT_PEER_DOWN, .reason = reason});
}

static void drop(struct qe_peer *peer, struct peer_link *entry, bool replaced, const char *reason)
{
	struct qe_link *link = entry->link;

	forget(peer, entry);
	report_down(peer, link, replaced, reason);
	peer->config.ops->close(peer->config.ops_ctx, link);
}

/* A dial under way, when another one that was under way beside it has been answered. A link that
 * the peer dialled does not count: if each side gave up its own for the other's, none would be
 * left. */
static bool is_redundant(const struct qe_peer *peer, const struct qe_link *dial)
{
	if (!qe_link_is_dialled(dial) || qe_link_is_authenticated(dial))
		return false;
	for (size_t i = 0; i < peer->n_links; i++) {
		const struct qe_link *link = peer->links[i].link;

		if (qe_link_is_dialled(link) && qe_link_is_established(link) &&
			qe_link_established_at(link) >= qe_link_started_at(dial))
			return true;
	}
	return false;
}

static void close_redundant(struct qe_peer *peer)
{
	for (size_t i = peer->n_links; i-- > 0;) {
		struct qe_link *link = peer->links[i].link;

		if (!is_redundant(peer, link))
			continue;
		forget(peer, &peer->links[i]);
		peer->config.ops->close(peer->config.ops_ctx, link);
	}
}

static void close_finished(struct qe_peer *peer, qe_time now)
{
	close_redundant(peer);
	for (size_t i = peer->n_links; i-- > 0;) {
		struct peer_link *entry = &peer->links[i];

		if (close_at(peer, entry) <= now)
			drop(peer, entry, entry->retired_here,
				entry->retired_here ? "replaced by a newer link" : "too old");
		else if (entry->greeted && entry->instance != peer->instance)
			drop(peer, entry, false, "the peer has been restarted");
		else if (qe_link_is_established(entry->link) && unanswered(entry->link, DEAD, now))
			drop(peer, entry, false, "the peer no longer answers");
	}
}

/* ---- dialling ---- */

/* A quarter up or down. */
static qe_time jitter(qe_time delay)
{
	return delay - delay / 4 + qe_random_u64() % (delay / 2 + 1);
}

static qe_time dial_pause(const struct qe_peer *peer, qe_time now)
{
	if (qe_time_since(peer->last_alive, now) > DIAL_STEADY_FOR)
		return jitter(DIAL_SLOW);
	return jitter(peer->attempts < 3 ? DIAL_FIRST << peer->attempts : DIAL_STEADY);
}

static size_t find_endpoint(const struct qe_peer *peer, const struct qe_endpoint *endpoint)
{
	size_t at = 0;

	while (at < peer->n_endpoints && !qe_endpoint_equal(&peer->endpoints[at], endpoint))
		at++;
	return at;
}

/* Where it was last comes first, then what is configured, in turn. */
static bool next_endpoint(const struct qe_peer *peer, struct qe_endpoint *ret_remote)
{
	size_t known = peer->last_remote.addr.family != QE_FAMILY_NONE;
	size_t first = find_endpoint(peer, &peer->last_remote), at = peer->attempts;

	if (first < peer->n_endpoints) {
		*ret_remote = peer->endpoints[(first + at) % peer->n_endpoints];
		return true;
	}
	if (peer->n_endpoints + known == 0)
		return false;
	at %= peer->n_endpoints + known;
	*ret_remote = at < known ? peer->last_remote : peer->endpoints[at - known];
	return true;
}

static bool may_dial(const struct qe_peer *peer)
{
	return count_dials(peer) < DIALS_MAX && peer->n_links < QE_PEER_LINKS_MAX &&
	       (peer->n_endpoints > 0 || peer->last_remote.addr.family != QE_FAMILY_NONE);
}

static void dial(struct qe_peer *peer, qe_time now)
{
	struct qe_endpoint remote;
	struct qe_link *link;

	if (!next_endpoint(peer, &remote))
		return;
	peer->next_dial = now + dial_pause(peer, now);
	peer->attempts++;
	link = peer->config.ops->dial(peer->config.ops_ctx, peer, &remote);
	if (link != nullptr)
		peer->links[peer->n_links++] = (struct peer_link){.link = link};
}

/* The newest that is to stay. It may not be in use yet, while its path MTU is being looked for. */
static const struct qe_link *newest_link(const struct qe_peer *peer)
{
	const struct qe_link *newest = peer->current;

	for (size_t i = 0; i < peer->n_links; i++) {
		const struct peer_link *entry = &peer->links[i];

		if (qe_link_is_established(entry->link) && !entry->retired_here &&
			!entry->retired_there &&
			(newest == nullptr || qe_link_established_at(entry->link) >
						      qe_link_established_at(newest)))
			newest = entry->link;
	}
	return newest;
}

/* From when on another link is wanted because this one does not answer. */
static qe_time suspect_at(const struct qe_peer *peer, const struct qe_link *link)
{
	qe_time since = qe_link_unanswered_since(link);

	if (since == QE_TIME_NEVER)
		return QE_TIME_NEVER;
	if (peer->moved_at > qe_link_last_input(link))
		return qe_time_min(
			since + SUSPECT, qe_time_max(since, peer->moved_at) + SUSPECT_MOVED);
	return since + SUSPECT;
}

/* From when on a new link is wanted. */
static qe_time dial_at(const struct qe_peer *peer, qe_time now)
{
	const struct qe_link *link = newest_link(peer);
	qe_time at;

	if (link == nullptr)
		at = peer->config.keep || peer->wanted_until > now ? now : QE_TIME_NEVER;
	else if (qe_link_is_narrowed(link, now))
		at = now;
	else
		at = qe_time_min(rotate_at(peer, link), suspect_at(peer, link));
	return at == QE_TIME_NEVER ? at : qe_time_max(at, peer->next_dial);
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
			emit(peer, &lost);
		} else if (ping->sent == 0 && peer->current != nullptr) {
			struct qe_control message = {
				.type = QE_CONTROL_PING, .cookie = ping->cookie};

			if (send_control(peer, peer->current, &message))
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
		emit(peer, &(struct qe_event){.type = QE_EVENT_PONG,
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
	qe_time at = close_at(peer, entry);

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
	qe_time at = may_dial(peer) ? dial_at(peer, now) : QE_TIME_NEVER;

	for (size_t i = 0; i < peer->n_links; i++)
		at = qe_time_min(at, link_deadline(peer, &peer->links[i], now));
	for (size_t i = 0; i < peer->n_pings; i++)
		at = qe_time_min(at, peer->pings[i].asked + PING_TIMEOUT);
	return at;
}

void qe_peer_run(struct qe_peer *peer, qe_time now)
{
	peer->due = false;
	close_finished(peer, now);
	choose(peer, now);
	retire_others(peer, now);
	if (may_dial(peer) && dial_at(peer, now) <= now)
		dial(peer, now);
	run_pings(peer, now);
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

bool qe_peer_has_room(const struct qe_peer *peer)
{
	return peer->n_links < QE_PEER_LINKS_MAX;
}

static void note_first_link(struct qe_peer *peer, struct qe_link *link)
{
	if (count_established(peer) > 1)
		return;
	if (peer->was_up)
		peer->reconnects++;
	peer->was_up = true;
	emit(peer, &(struct qe_event){.type = QE_EVENT_PEER_UP, .path = *qe_link_path(link)});
}

bool qe_peer_link_up(struct qe_peer *peer, struct qe_link *link, qe_time now)
{
	if (find(peer, link) == nullptr) {
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
	emit(peer, &(struct qe_event){.type = QE_EVENT_LINK_UP,
			   .path = *qe_link_path(link),
			   .dialled = qe_link_is_dialled(link),
			   .rotation = peer->current != nullptr});
	return true;
}

void qe_peer_link_used(struct qe_peer *peer, const struct qe_link *link, qe_time now)
{
	struct peer_link *entry = find(peer, link);

	if (entry == nullptr)
		return;
	if (!entry->ready && qe_link_is_ready(link, now))
		entry->ready = peer->due = true;
	peer->deadline = qe_time_min(peer->deadline, suspect_at(peer, link));
	if (qe_link_is_narrowed(link, now) && may_dial(peer) && dial_at(peer, now) <= now)
		peer->due = true;
}

void qe_peer_link_moved(struct qe_peer *peer, const struct qe_link *link)
{
	struct qe_endpoint remote = qe_link_path(link)->remote;

	if (qe_endpoint_equal(&remote, &peer->last_remote))
		return;
	peer->last_remote = remote;
	emit(peer, &(struct qe_event){.type = QE_EVENT_PEER_MOVED, .path = *qe_link_path(link)});
}

void qe_peer_link_lost(struct qe_peer *peer, struct qe_link *link, const char *reason, qe_time now)
{
	struct peer_link *entry = find(peer, link);

	if (entry == nullptr)
		return;
	bool replaced = entry->retired_here && entry->retired_there;

	forget(peer, entry);
	peer->due = true;
	if (qe_link_is_established(link)) {
		peer->last_alive = qe_link_last_input(link);
		if (count_established(peer) == 0)
			peer->next_dial = now;
	}
	report_down(peer, link, replaced, reason);
}

static void take_retire(struct qe_peer *peer, struct qe_link *link, qe_time now)
{
	struct peer_link *entry = find(peer, link);

	if (entry == nullptr || entry->retired_there)
		return;
	entry->retired_there = true;
	entry->drain_until = drain_until(link, now);
	peer->due = true;
}

static void take_hello(struct qe_peer *peer, struct qe_link *link, uint64_t instance)
{
	struct peer_link *entry = find(peer, link);

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
		send_control(peer, link, &control);
		break;
	case QE_CONTROL_PONG:
		take_pong(peer, control.cookie, now);
		break;
	case QE_CONTROL_RETIRE:
		take_retire(peer, link, now);
		break;
	case QE_CONTROL_HELLO:
		take_hello(peer, link, control.instance);
		break;
	case QE_CONTROL_UNKNOWN:
		break;
	}
	return true;
}

void qe_peer_want(struct qe_peer *peer, qe_time now)
{
	bool fresh = peer->wanted_until <= now;

	peer->wanted_until = now + WANT_FOR;
	if (peer->current != nullptr || !may_dial(peer))
		return;
	if (peer->next_dial > now + DIAL_STEADY)
		peer->next_dial = now + DIAL_STEADY;
	if (fresh || peer->next_dial <= now)
		peer->due = true;
}

void qe_peer_network_changed(struct qe_peer *peer, qe_time now)
{
	bool moved_server = peer->current != nullptr && !qe_link_is_dialled(peer->current);

	for (size_t i = 0; i < peer->n_links; i++) {
		qe_link_probe(peer->links[i].link);
		peer->config.ops->wake(peer->config.ops_ctx, peer->links[i].link);
	}
	peer->attempts = 0;
	peer->next_dial = peer->moved_at = now;
	/* QUIC lets a client move, not a server: whoever dialled us cannot follow us. */
	if (moved_server && may_dial(peer))
		dial(peer, now);
	peer->due = true;
}

/* ---- questions ---- */

struct qe_link *qe_peer_link(struct qe_peer *peer, qe_time now)
{
	if (peer->current != nullptr && too_old(peer, peer->current, now))
		return nullptr;
	return peer->current;
}

size_t qe_peer_index(const struct qe_peer *peer)
{
	return peer->config.index;
}

enum qe_peer_state qe_peer_get_state(const struct qe_peer *peer)
{
	if (peer->current != nullptr)
		return QE_PEER_CONNECTED;
	return count_dials(peer) > 0 || peer->config.keep ? QE_PEER_CONNECTING : QE_PEER_IDLE;
}

void qe_peer_get_status(const struct qe_peer *peer, struct qe_peer_status *ret_status)
{
	*ret_status = (struct qe_peer_status){
		.id = peer->config.id,
		.state = qe_peer_get_state(peer),
		.n_links = (unsigned)count_established(peer),
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

	forget(peer, &peer->links[0]);
	return link;
}
