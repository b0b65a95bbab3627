/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the files of the RIB share: rib.c holds the facts, grants.c judges, choice.c chooses. */
#pragma once

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "net/addr.h"
#include "route/damping.h"
#include "route/rib.h"

constexpr size_t REJECTIONS_KEPT = 256; /* of a peer */

struct rib_peer {
	struct qe_list of_rib;
	uint32_t slot;
	struct qe_prefix *own, *gateway; /* grants */
	size_t n_own, n_gateway;
	bool exit, default_gateway;
	bool up;
	bool announced; /* anything, in this connection, be it nothing */
	qe_time rtt;    /* QE_TIME_NEVER: not known */
	struct qe_list candidates;
	size_t n_candidates;
	struct qe_announcement *said; /* to be judged anew when grants change */
	size_t n_said, n_unread;      /* unread: beyond what is kept of them */
	struct qe_rib_rejection *rejected;
	size_t n_rejected, n_refused; /* kept; in all */
};

/* A prefix that somebody claims, or that is local or forbidden. */
struct destination {
	struct qe_prefix prefix;
	struct destination *same_hash;
	struct qe_list of_rib,
		dirty;         /* dirty: what is known of it has changed since it was chosen */
	struct qe_timer timer; /* when time alone may change the choice */
	struct qe_list candidates;
	struct candidate *best;
	bool local, forbidden;
	bool published;
	struct qe_route route; /* as reported, if published */
};

/* One peer's claim to one prefix, in one of the two kinds. It outlives the claim as long as its
 * changes are remembered. */
struct candidate {
	struct qe_list of_destination, of_peer;
	struct destination *destination;
	struct rib_peer *peer;
	bool gateway;
	bool configured, announced; /* reasons for the claim */
	bool claimed, available;    /* available: claimed, and the peer is up */
	bool failed;                /* was available and then was not */
	uint16_t metric;            /* announced */
	struct damping damping;
	qe_time held_until;   /* since it has failed */
	qe_time better_since; /* by its round trip than the best; QE_TIME_NEVER: it is not */
	uint64_t round;       /* of judging, in which it was last announced */
	enum qe_rib_state state;
	const char *why;
};

struct qe_rib {
	struct qe_rib_settings settings;
	struct qe_map peers, destinations;
	struct qe_list all_peers, all_destinations, dirty;
	size_t n_candidates;
	size_t n_destinations;
	struct qe_heap timers;
	/* How many prefixes of a length are local, forbidden or granted as a peer's own: which
	 * lengths are worth a look-up. */
	uint32_t lengths[2][129];
	uint64_t round;
	bool judge_anew;
	uint64_t changes;
};

/* rib.c */
struct destination *rib_find(const struct qe_rib *rib, const struct qe_prefix *prefix);
void rib_dirty(struct qe_rib *rib, struct destination *destination);
void rib_forget_candidate(struct qe_rib *rib, struct candidate *candidate);
void rib_forget_destination(struct qe_rib *rib, struct destination *destination); /* if unused */
static inline struct candidate *candidate_of(struct qe_list *node)
{
	return QE_CONTAINER_OF(node, struct candidate, of_destination);
}

/* grants.c: why the announcement is refused, or NULL. */
const char *rib_refusal(const struct qe_rib *rib, const struct rib_peer *peer,
	const struct qe_announcement *announcement);

/* choice.c */
void rib_choose(struct qe_rib *rib, struct destination *destination, qe_time now);
/* In effect: a damped announcement leaves a configured route as the configuration has it. */
uint16_t rib_metric(const struct candidate *candidate);
