/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* When another link to a peer is wanted, and where it is dialled. */
#include "crypto/random.h"
#include "net/addr.h"
#include "peer/peer_internal.h"

constexpr qe_time SUSPECT_MOVED = 300 * QE_MILLISECOND; /* after a move of this host */
constexpr qe_time DIAL_FIRST = 250 * QE_MILLISECOND;
constexpr qe_time DIAL_SLOW = 30 * QE_SECOND;
constexpr qe_time DIAL_STEADY_FOR = 300 * QE_SECOND; /* after the last sign of life */
constexpr size_t DIALS_MAX = 4;                      /* handshakes of ours under way */

size_t peer_count_dials(const struct qe_peer *peer)
{
	size_t n = 0;

	for (size_t i = 0; i < peer->n_links; i++) {
		const struct qe_link *link = peer->links[i].link;

		n += qe_link_is_dialled(link) && !qe_link_is_established(link);
	}
	return n;
}

/* A quarter up or down. */
static qe_time jitter(qe_time delay)
{
	return delay - delay / 4 + qe_random_u64() % (delay / 2 + 1);
}

/* After so many tries that came to nothing. */
static qe_time pause_after(unsigned tries)
{
	return jitter(tries < 3 ? DIAL_FIRST << tries : DIAL_STEADY);
}

static qe_time dial_pause(const struct qe_peer *peer, qe_time now)
{
	if (qe_time_since(peer->last_alive, now) > DIAL_STEADY_FOR)
		return jitter(DIAL_SLOW);
	return pause_after(peer->attempts);
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

static struct peer_link *oldest_dial(struct qe_peer *peer)
{
	struct peer_link *oldest = nullptr;

	for (size_t i = 0; i < peer->n_links; i++) {
		const struct qe_link *link = peer->links[i].link;

		if (qe_link_is_dialled(link) && !qe_link_is_established(link) &&
			(oldest == nullptr ||
				qe_link_started_at(link) < qe_link_started_at(oldest->link)))
			oldest = &peer->links[i];
	}
	return oldest;
}

void peer_make_room_to_dial(struct qe_peer *peer)
{
	struct peer_link *entry = oldest_dial(peer);

	if (entry == nullptr || peer_count_dials(peer) < DIALS_MAX)
		return;
	struct qe_link *link = entry->link;

	peer_forget_link(peer, entry);
	peer->config.ops->close(peer->config.ops_ctx, link);
}

bool peer_may_dial(const struct qe_peer *peer)
{
	return peer_count_dials(peer) < DIALS_MAX && peer->n_links < QE_PEER_LINKS_MAX &&
	       (peer->n_endpoints > 0 || peer->last_remote.addr.family != QE_FAMILY_NONE);
}

void peer_dial(struct qe_peer *peer, qe_time now)
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

/* When a link is to be replaced: at its age by the side that dialled it, later by the other, and
 * never in step with other links that came up together. */
static qe_time rotate_at(const struct qe_peer *peer, const struct qe_link *link)
{
	qe_time rotate = peer->config.rotate;
	qe_time spread = qe_link_established_at(link) / QE_MICROSECOND % (rotate / 16 + 1);
	qe_time after = qe_link_is_dialled(link) ? rotate - spread : rotate + rotate / 4 - spread;

	return qe_link_established_at(link) + after;
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
qe_time peer_suspect_at(const struct qe_peer *peer, const struct qe_link *link)
{
	qe_time since = qe_link_unanswered_since(link);

	if (since == QE_TIME_NEVER)
		return QE_TIME_NEVER;
	if (peer->moved_at > qe_link_last_input(link))
		return qe_time_min(
			since + SUSPECT, qe_time_max(since, peer->moved_at) + SUSPECT_MOVED);
	return since + SUSPECT;
}

static bool is_needed(const struct qe_peer *peer, qe_time now)
{
	return peer->config.keep || (peer->wanted_until > now && !peer->config.passive);
}

/* At once after a link that has served, or that was the first in a while to end early. A row of
 * those is a peer who hangs up, to whom a handshake costs less than to this side. */
qe_time peer_redial_at(struct qe_peer *peer, const struct qe_link *link, qe_time now)
{
	unsigned before = peer->early_ends;

	if (qe_time_since(qe_link_established_at(link), now) >= DIAL_STEADY) {
		peer->early_ends = 0;
		return now;
	}
	peer->early_ends++;
	return before == 0 ? now : now + pause_after(before - 1);
}

/* From when on a new link is wanted. */
qe_time peer_dial_at(const struct qe_peer *peer, qe_time now)
{
	const struct qe_link *link = newest_link(peer);
	qe_time at;

	if (link == nullptr)
		at = is_needed(peer, now) ? now : QE_TIME_NEVER;
	else if (qe_link_is_narrowed(link))
		at = now;
	else
		at = qe_time_min(rotate_at(peer, link), peer_suspect_at(peer, link));
	return at == QE_TIME_NEVER ? at : qe_time_max(at, peer->next_dial);
}
