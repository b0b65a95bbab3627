/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The choice among the candidates for one prefix. What can be reached comes before what cannot, and
 * a direct route before a gateway; then counts the metric, then the round trip. Two things keep
 * flows where they are. What has failed is held down: it gives way to whatever can be reached
 * until it has been back for a while. And where only the round trip speaks for another, it must be
 * clearly shorter, for a while. Both are said of changing: the one in use has nothing to prove.
 */
#include "route/rib_internal.h"

constexpr qe_time RTT_PATIENCE = 10 * QE_SECOND;
constexpr qe_time RTT_GAIN = 5 * QE_MILLISECOND; /* and a fifth */

enum reach : uint8_t { REACHED, REACHED_AGAIN, NOT_REACHED };

struct rank {
	enum reach reach;
	bool gateway;
	uint16_t metric;
};

uint16_t rib_metric(const struct candidate *candidate)
{
	if (candidate->announced && !candidate->damping.suppressed)
		return candidate->metric;
	return candidate->gateway ? UINT16_MAX : 0;
}

/* The configured default gateway stays, however often it changes its mind about being one. */
static bool is_usable(const struct candidate *candidate)
{
	return candidate->claimed &&
	       (!candidate->damping.suppressed || (candidate->configured && candidate->gateway));
}

static struct rank rank_of(const struct candidate *candidate, qe_time now)
{
	struct rank rank = {REACHED, candidate->gateway, rib_metric(candidate)};

	if (!candidate->peer->up)
		rank.reach = NOT_REACHED;
	else if (candidate->held_until > now && candidate != candidate->destination->best)
		rank.reach = REACHED_AGAIN;
	return rank;
}

static int compare_ranks(struct rank a, struct rank b)
{
	if (a.reach != b.reach)
		return a.reach - b.reach;
	return a.gateway != b.gateway ? a.gateway - b.gateway : a.metric - b.metric;
}

static bool comes_before(const struct candidate *a, const struct candidate *b, qe_time now)
{
	int order = compare_ranks(rank_of(a, now), rank_of(b, now));

	if (order != 0)
		return order < 0;
	if (a->peer->rtt != b->peer->rtt)
		return a->peer->rtt < b->peer->rtt;
	return a->peer->slot < b->peer->slot;
}

static struct candidate *first(const struct destination *destination, qe_time now)
{
	struct candidate *best = nullptr;

	QE_LIST_FOR_EACH (node, &destination->candidates) {
		struct candidate *candidate = candidate_of(node);

		if (is_usable(candidate) && (best == nullptr || comes_before(candidate, best, now)))
			best = candidate;
	}
	return best;
}

static bool is_clearly_shorter(qe_time rtt, qe_time than)
{
	return qe_time_add(rtt, RTT_GAIN) <= than && rtt <= than - than / 5;
}

/* Since when has each candidate had a clearly shorter round trip than the one in use, all else
 * being equal? */
static void note_challengers(struct destination *destination, qe_time now)
{
	const struct candidate *best = destination->best;

	QE_LIST_FOR_EACH (node, &destination->candidates) {
		struct candidate *candidate = candidate_of(node);
		bool better = best != nullptr && is_usable(candidate) &&
			      compare_ranks(rank_of(candidate, now), rank_of(best, now)) == 0 &&
			      is_clearly_shorter(candidate->peer->rtt, best->peer->rtt);

		candidate->better_since = better ? qe_time_min(candidate->better_since, now)
						 : QE_TIME_NEVER;
	}
}

/* The best of those that have had it long enough, or NULL. */
static struct candidate *challenger(const struct destination *destination, qe_time now)
{
	struct candidate *best = nullptr;

	QE_LIST_FOR_EACH (node, &destination->candidates) {
		struct candidate *candidate = candidate_of(node);

		if (qe_time_add(candidate->better_since, RTT_PATIENCE) <= now &&
			(best == nullptr || comes_before(candidate, best, now)))
			best = candidate;
	}
	return best;
}

static struct candidate *chosen(const struct destination *destination, qe_time now)
{
	struct candidate *best = first(destination, now), *current = destination->best, *other;

	if (best == nullptr || current == nullptr || !is_usable(current) ||
		compare_ranks(rank_of(current, now), rank_of(best, now)) != 0)
		return best;
	other = challenger(destination, now);
	return other != nullptr ? other : current;
}

/* ---- what is said of it ---- */

/* Why the better one is better. */
static const char *difference(
	const struct candidate *better, const struct candidate *worse, qe_time now)
{
	struct rank a = rank_of(better, now), b = rank_of(worse, now);

	if (a.reach != b.reach)
		return b.reach == NOT_REACHED ? "the other cannot be reached"
					      : "the other was lost a short while ago";
	if (a.gateway != b.gateway)
		return "direct comes before a gateway";
	if (a.metric != b.metric)
		return "lower metric";
	if (better->peer->rtt < worse->peer->rtt)
		return "shorter round trip";
	return "in use, and no other is clearly better";
}

static const char *why_best(const struct destination *destination, qe_time now)
{
	const struct candidate *best = destination->best, *second = nullptr;

	QE_LIST_FOR_EACH (node, &destination->candidates) {
		const struct candidate *candidate = candidate_of(node);

		if (candidate != best && is_usable(candidate) &&
			(second == nullptr || comes_before(candidate, second, now)))
			second = candidate;
	}
	if (second != nullptr && best->peer->up)
		return difference(best, second, now);
	return best->peer->up ? "the only one" : "none can be reached";
}

static const char *why_not(const struct candidate *candidate, qe_time now)
{
	const struct destination *destination = candidate->destination;

	switch (candidate->state) {
	case QE_RIB_DAMPED:
		return "changed too often";
	case QE_RIB_UNREACHABLE:
		return "the peer cannot be reached";
	case QE_RIB_HELD_DOWN:
		return "was lost a short while ago";
	case QE_RIB_STANDBY:
	case QE_RIB_BEST:
		break;
	}
	if (destination->local)
		return "this node's own";
	struct rank mine = rank_of(candidate, now), best = rank_of(destination->best, now);

	if (mine.gateway != best.gateway)
		return "a direct route is in use";
	return mine.metric != best.metric ? "higher metric" : "not clearly shorter a round trip";
}

static enum qe_rib_state state_of(const struct candidate *candidate, qe_time now)
{
	const struct destination *destination = candidate->destination;

	if (candidate == destination->best && !destination->local)
		return QE_RIB_BEST;
	if (!is_usable(candidate))
		return QE_RIB_DAMPED;
	if (!candidate->peer->up)
		return QE_RIB_UNREACHABLE;
	return candidate->held_until > now ? QE_RIB_HELD_DOWN : QE_RIB_STANDBY;
}

static void explain(struct destination *destination, qe_time now)
{
	QE_LIST_FOR_EACH (node, &destination->candidates) {
		struct candidate *candidate = candidate_of(node);

		candidate->state = state_of(candidate, now);
		candidate->why = candidate->state == QE_RIB_BEST ? why_best(destination, now)
								 : why_not(candidate, now);
	}
}

/* ---- what follows from it ---- */

static bool is_past(const struct candidate *candidate, qe_time now)
{
	return !candidate->claimed && !candidate->configured &&
	       damping_forgets(&candidate->damping) <= now;
}

/* Brings the candidates up to this moment; those of which nothing is left go. */
static void refresh(struct qe_rib *rib, struct destination *destination, qe_time now)
{
	QE_LIST_FOR_EACH (node, &destination->candidates) {
		struct candidate *candidate = candidate_of(node);

		damping_is_suppressed(&candidate->damping, now);
		if (is_past(candidate, now))
			rib_forget_candidate(rib, candidate);
	}
}

static qe_time next_change(const struct candidate *candidate, qe_time now)
{
	qe_time next = damping_ends(&candidate->damping);

	if (!candidate->claimed && !candidate->configured)
		next = qe_time_min(next, damping_forgets(&candidate->damping));
	if (candidate->held_until > now)
		next = qe_time_min(next, candidate->held_until);
	return qe_time_min(next, qe_time_add(candidate->better_since, RTT_PATIENCE));
}

static void schedule(struct qe_rib *rib, struct destination *destination, qe_time now)
{
	qe_time next = QE_TIME_NEVER;

	QE_LIST_FOR_EACH (node, &destination->candidates)
		next = qe_time_min(next, next_change(candidate_of(node), now));
	/* There is room: it was reserved when the destination was made. */
	(void)qe_heap_set(&rib->timers, &destination->timer, next);
}

static void publish(struct qe_rib *rib, struct destination *destination)
{
	const struct candidate *best = destination->best;
	bool exists = destination->local || best != nullptr;
	struct qe_route route = {.prefix = destination->prefix, .next_hop = QE_NEXT_HOP_LOCAL};

	if (!destination->local && best != nullptr) {
		route.next_hop = best->gateway ? QE_NEXT_HOP_GATEWAY : QE_NEXT_HOP_NODE;
		route.peer = best->peer->slot;
	}
	if (exists == destination->published &&
		(!exists || (route.next_hop == destination->route.next_hop &&
				    route.peer == destination->route.peer)))
		return;
	destination->published = exists;
	destination->route = route;
	rib->changes++;
	rib->settings.changed(
		rib->settings.ctx, &destination->prefix, exists ? &destination->route : nullptr);
}

void rib_choose(struct qe_rib *rib, struct destination *destination, qe_time now)
{
	struct candidate *best;

	refresh(rib, destination, now);
	note_challengers(destination, now);
	best = chosen(destination, now);
	if (best != destination->best) {
		destination->best = best;
		QE_LIST_FOR_EACH (node, &destination->candidates)
			candidate_of(node)->better_since = QE_TIME_NEVER;
		note_challengers(destination, now);
	}
	explain(destination, now);
	publish(rib, destination);
	schedule(rib, destination, now);
	rib_forget_destination(rib, destination);
}
