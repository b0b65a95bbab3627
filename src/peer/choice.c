/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Which link of a peer is in use, which of the others are retired, and when one ends. */
#include "peer/peer_internal.h"

constexpr qe_time DRAIN_MIN = 50 * QE_MILLISECOND;
constexpr qe_time DRAIN_MAX = QE_SECOND;
constexpr qe_time RETIRE_PATIENCE = 5 * QE_SECOND; /* for the other side's part in it */

struct peer_link *peer_find_link(struct qe_peer *peer, const struct qe_link *link)
{
	for (size_t i = 0; i < peer->n_links; i++)
		if (peer->links[i].link == link)
			return &peer->links[i];
	return nullptr;
}

void peer_forget_link(struct qe_peer *peer, struct peer_link *entry)
{
	if (peer->current == entry->link)
		peer->current = nullptr;
	*entry = peer->links[--peer->n_links];
}

size_t peer_count_established(const struct qe_peer *peer)
{
	size_t n = 0;

	for (size_t i = 0; i < peer->n_links; i++)
		n += qe_link_is_established(peer->links[i].link);
	return n;
}

static qe_time age(const struct qe_link *link, qe_time now)
{
	return qe_time_since(qe_link_established_at(link), now);
}

bool peer_too_old(const struct qe_peer *peer, const struct qe_link *link, qe_time now)
{
	return age(link, now) >= peer->config.rotate + peer->config.rotate / 2;
}

static bool unanswered(const struct qe_link *link, qe_time limit, qe_time now)
{
	qe_time since = qe_link_unanswered_since(link);

	return since != QE_TIME_NEVER && qe_time_since(since, now) >= limit;
}

/* ---- the choice ---- */

/* Higher is better; the newest wins among equals; 0: not to be used. */
static unsigned rank(const struct qe_peer *peer, const struct peer_link *entry, qe_time now)
{
	const struct qe_link *link = entry->link;

	if (!qe_link_is_established(link) || peer_too_old(peer, link, now))
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

void peer_choose(struct qe_peer *peer, qe_time now)
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

/* ---- retiring ---- */

/* What is still under way on a retired link comes within a few round trips. RFC 9000 section 10.2
 * waits as long. */
qe_time peer_drain_until(const struct qe_link *link, qe_time now)
{
	qe_time drain = 3 * qe_link_probe_timeout(link);

	return now + qe_time_min(qe_time_max(drain, DRAIN_MIN), DRAIN_MAX);
}

static void retire(struct qe_peer *peer, struct peer_link *entry, qe_time now)
{
	if (!peer_send_control(peer, entry->link, &(struct qe_control){.type = QE_CONTROL_RETIRE}))
		return; /* the peer's HELLO makes run() come back to it */
	entry->retired_here = true;
	entry->retired_at = now;
	if (entry->retired_there)
		entry->drain_until = peer_drain_until(entry->link, now);
}

static bool is_older(const struct qe_link *link, const struct qe_link *than)
{
	return qe_link_established_at(link) <= qe_link_established_at(than);
}

/* The elector retires what is older than the best; a newer one is still looking for its path MTU.
 * The other side follows, and whatever is too old retires by itself. */
void peer_retire_others(struct qe_peer *peer, qe_time now)
{
	bool settled = peer->current != nullptr && qe_link_is_ready(peer->current, now);

	for (size_t i = 0; i < peer->n_links; i++) {
		struct peer_link *entry = &peer->links[i];

		if (entry->link == peer->current || entry->retired_here ||
			!qe_link_is_established(entry->link))
			continue;
		if (entry->retired_there || peer_too_old(peer, entry->link, now) ||
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
qe_time peer_close_at(const struct qe_peer *peer, const struct peer_link *entry)
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

void peer_report_down(
	struct qe_peer *peer, const struct qe_link *link, bool replaced, const char *reason)
{
	bool established = qe_link_is_established(link);

	peer_emit(peer,
		&(struct qe_event){.type = established ? QE_EVENT_LINK_DOWN : QE_EVENT_DIAL_FAILED,
			.path = *qe_link_path(link),
			.dialled = qe_link_is_dialled(link),
			.rotation = replaced,
			.reason = reason});
	if (established && peer_count_established(peer) == 0)
		peer_emit(peer, &(struct qe_event){.type = QE_EVENT_PEER_DOWN, .reason = reason});
}

static void drop(struct qe_peer *peer, struct peer_link *entry, bool replaced, const char *reason)
{
	struct qe_link *link = entry->link;

	peer_forget_link(peer, entry);
	peer_report_down(peer, link, replaced, reason);
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
		peer_forget_link(peer, &peer->links[i]);
		peer->config.ops->close(peer->config.ops_ctx, link);
	}
}

void peer_close_finished(struct qe_peer *peer, qe_time now)
{
	close_redundant(peer);
	for (size_t i = peer->n_links; i-- > 0;) {
		struct peer_link *entry = &peer->links[i];

		if (peer_close_at(peer, entry) <= now)
			drop(peer, entry, entry->retired_here,
				entry->retired_here ? "replaced by a newer link" : "too old");
		else if (entry->greeted && entry->instance != peer->instance)
			drop(peer, entry, false, "the peer has been restarted");
		else if (qe_link_is_established(entry->link) && unanswered(entry->link, DEAD, now))
			drop(peer, entry, false, "the peer no longer answers");
	}
}

void qe_peer_end(struct qe_peer *peer, const char *reason)
{
	while (peer->n_links > 0)
		drop(peer, &peer->links[0], false, reason);
}
