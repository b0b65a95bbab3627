/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the files of the RIB share. */
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
	struct qe_list of_rib;
	struct qe_list dirty;  /* in it: something has changed since the choice was made */
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
	size_t n_destinations, n_candidates;
	struct qe_heap timers;
	/* How many prefixes of a length are local, forbidden or granted as a peer's own: which
	 * lengths are worth a look-up. */
	uint32_t lengths[2][129];
	uint64_t round;
	bool judge_anew;
	uint64_t changes;
};

/* rib.c */
struct candidate *rib_find_candidate(const struct qe_rib *rib, const struct rib_peer *peer,
	const struct qe_prefix *prefix, bool gateway);
enum qe_error rib_add_candidate(struct candidate **ret_candidate, struct qe_rib *rib,
	struct rib_peer *peer, const struct qe_prefix *prefix, bool gateway);
/* After any of what a claim or its availability follows from has changed. */
void rib_update_candidates(struct qe_rib *rib, struct rib_peer *peer, qe_time now);
void rib_forget_candidate(struct qe_rib *rib, struct candidate *candidate);
struct rib_peer *rib_find_peer(const struct qe_rib *rib, uint32_t slot);
/* A copy of the array; NULL if it is empty. */
enum qe_error rib_copy(void **ret_copy, const void *from, size_t n, size_t size);

/* rib_destinations.c */
struct destination *rib_find(const struct qe_rib *rib, const struct qe_prefix *prefix);
enum qe_error rib_need_destination(
	struct destination **ret_destination, struct qe_rib *rib, const struct qe_prefix *prefix);
void rib_dirty(struct qe_rib *rib, struct destination *destination);
void rib_count_length(struct qe_rib *rib, const struct qe_prefix *prefix, bool more);
void rib_forget_destination(struct qe_rib *rib, struct destination *destination); /* if unused */
void rib_free_destination(struct qe_rib *rib, struct destination *destination);

/* rib_announcements.c */
/* Judges all that the peer has said, and withdraws what is not among it. */
void rib_judge(struct qe_rib *rib, struct rib_peer *peer, qe_time now);
void rib_set_announced(
	struct qe_rib *rib, struct candidate *candidate, bool announced, uint16_t metric);
void rib_forget_said(struct rib_peer *peer);

static inline struct candidate *candidate_of(struct qe_list *node)
{
	return QE_CONTAINER_OF(node, struct candidate, of_destination);
}

static inline struct candidate *candidate_of_peer(struct qe_list *node)
{
	return QE_CONTAINER_OF(node, struct candidate, of_peer);
}

/* rib_grants.c: why the announcement is refused, or NULL. */
const char *rib_refusal(const struct qe_rib *rib, const struct rib_peer *peer,
	const struct qe_announcement *announcement);

/* rib_choice.c */
void rib_choose(struct qe_rib *rib, struct destination *destination, qe_time now);
/* In effect: a damped announcement leaves a configured route as the configuration has it. */
uint16_t rib_metric(const struct candidate *candidate);
