/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The routing information base. For each prefix that anybody claims there is a destination, with a
 * candidate for each claim: what the configuration grants a peer, which counts until the peer
 * speaks for itself, and what it announces. A fact that bears upon a destination makes it dirty,
 * and qe_rib_run chooses again for those that are, and no others; what depends on time alone (held
 * down, damped, a shorter round trip) is a timer of the destination. rib_destinations.c finds them,
 * rib_announcements.c turns what is said into candidates, rib_grants.c judges it, rib_choice.c
 * chooses, and rib_visit.c shows it all.
 *
 * What a peer can make this cost is bounded: it has at most twice as many candidates as it may
 * announce, be it by changing its mind all the time, and each costs a look-up in a map, plus one
 * for each length of prefix that the configuration names.
 */
#include "route/rib_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

constexpr size_t ANNOUNCEMENTS_MAX = 1024;
constexpr qe_time HOLD_DOWN = 10 * QE_SECOND;
constexpr size_t DESTINATIONS_MAX = SIZE_MAX / 2;

/* ---- candidates ---- */

struct candidate *rib_find_candidate(const struct qe_rib *rib, const struct rib_peer *peer,
	const struct qe_prefix *prefix, bool gateway)
{
	struct destination *destination = rib_find(rib, prefix);

	if (destination == nullptr)
		return nullptr;
	QE_LIST_FOR_EACH (node, &destination->candidates) {
		struct candidate *candidate = candidate_of(node);

		if (candidate->peer == peer && candidate->gateway == gateway)
			return candidate;
	}
	return nullptr;
}

enum qe_error rib_add_candidate(struct candidate **ret_candidate, struct qe_rib *rib,
	struct rib_peer *peer, const struct qe_prefix *prefix, bool gateway)
{
	struct destination *destination = nullptr;
	struct candidate *candidate;

	QE_TRY(rib_need_destination(&destination, rib, prefix));
	candidate = calloc(1, sizeof(*candidate));
	if (candidate == nullptr) {
		rib_dirty(rib, destination);
		return -ENOMEM;
	}
	candidate->destination = destination;
	candidate->peer = peer;
	candidate->gateway = gateway;
	candidate->better_since = QE_TIME_NEVER;
	qe_list_init(&candidate->of_destination);
	qe_list_init(&candidate->of_peer);
	qe_list_append(&destination->candidates, &candidate->of_destination);
	qe_list_append(&peer->candidates, &candidate->of_peer);
	peer->n_candidates++;
	rib->n_candidates++;
	*ret_candidate = candidate;
	return QE_OK;
}

void rib_forget_candidate(struct qe_rib *rib, struct candidate *candidate)
{
	if (candidate->destination->best == candidate)
		candidate->destination->best = nullptr;
	qe_list_remove(&candidate->of_destination);
	qe_list_remove(&candidate->of_peer);
	candidate->peer->n_candidates--;
	rib->n_candidates--;
	free(candidate);
}

/* What the configuration grants counts until the peer says what it has; a default gateway is one
 * whatever it says. */
static bool is_claimed(const struct candidate *candidate)
{
	return candidate->announced ||
	       (candidate->configured && (candidate->gateway || !candidate->peer->announced));
}

/* The one place where a candidate comes and goes. */
static void update_candidate(struct qe_rib *rib, struct candidate *candidate, qe_time now)
{
	bool claimed = is_claimed(candidate), available = claimed && candidate->peer->up;

	if (claimed == candidate->claimed && available == candidate->available)
		return;
	if (!claimed && candidate->claimed)
		damping_add(&candidate->damping, now);
	if (!available && candidate->available)
		candidate->failed = true;
	if (available && !candidate->available && candidate->failed)
		candidate->held_until = qe_time_add(now, rib->settings.hold_down);
	candidate->claimed = claimed;
	candidate->available = available;
	rib_dirty(rib, candidate->destination);
}

void rib_update_candidates(struct qe_rib *rib, struct rib_peer *peer, qe_time now)
{
	QE_LIST_FOR_EACH (node, &peer->candidates)
		update_candidate(rib, candidate_of_peer(node), now);
}

/* ---- peers ---- */

struct rib_peer *rib_find_peer(const struct qe_rib *rib, uint32_t slot)
{
	return qe_map_get(&rib->peers, slot);
}

enum qe_error rib_copy(void **ret_copy, const void *from, size_t n, size_t size)
{
	void *to = n > 0 ? calloc(n, size) : nullptr;

	if (n > 0 && to == nullptr)
		return -ENOMEM;
	if (n > 0)
		memcpy(to, from, n * size);
	*ret_copy = to;
	return QE_OK;
}

static enum qe_error need_peer(struct rib_peer **ret_peer, struct qe_rib *rib, uint32_t slot)
{
	struct rib_peer *peer = rib_find_peer(rib, slot);

	if (peer == nullptr) {
		peer = calloc(1, sizeof(*peer));
		if (peer == nullptr)
			return -ENOMEM;
		enum qe_error error = qe_map_put(&rib->peers, slot, peer);
		if (error != QE_OK) {
			free(peer);
			return error;
		}
		peer->slot = slot;
		peer->rtt = QE_TIME_NEVER;
		qe_list_init(&peer->of_rib);
		qe_list_init(&peer->candidates);
		qe_list_append(&rib->all_peers, &peer->of_rib);
	}
	*ret_peer = peer;
	return QE_OK;
}

static void set_configured(struct qe_rib *rib, struct candidate *candidate, bool configured)
{
	if (candidate->configured == configured)
		return;
	candidate->configured = configured;
	if (!candidate->gateway)
		rib_count_length(rib, &candidate->destination->prefix, configured);
	rib_dirty(rib, candidate->destination);
}

static enum qe_error configure(
	struct qe_rib *rib, struct rib_peer *peer, const struct qe_prefix *prefix, bool gateway)
{
	struct candidate *candidate = rib_find_candidate(rib, peer, prefix, gateway);

	if (candidate == nullptr)
		QE_TRY(rib_add_candidate(&candidate, rib, peer, prefix, gateway));
	set_configured(rib, candidate, true);
	candidate->round = rib->round;
	return QE_OK;
}

/* The claims that follow from the grants. */
static enum qe_error configure_all(struct qe_rib *rib, struct rib_peer *peer)
{
	static const struct qe_prefix defaults[] = {
		{.addr = {.family = QE_FAMILY_IPV4}}, {.addr = {.family = QE_FAMILY_IPV6}}};

	rib->round++;
	for (size_t i = 0; i < peer->n_own; i++)
		QE_TRY(configure(rib, peer, &peer->own[i], false));
	for (size_t i = 0; i < 2 && peer->default_gateway; i++)
		QE_TRY(configure(rib, peer, &defaults[i], true));
	QE_LIST_FOR_EACH (node, &peer->candidates)
		if (candidate_of_peer(node)->round != rib->round)
			set_configured(rib, candidate_of_peer(node), false);
	return QE_OK;
}

enum qe_error qe_rib_set_peer(struct qe_rib *rib, const struct qe_rib_peer *settings, qe_time now)
{
	struct rib_peer *peer = nullptr;
	void *own = nullptr, *gateway = nullptr;

	QE_TRY(need_peer(&peer, rib, settings->slot));
	QE_TRY(rib_copy(&own, settings->own, settings->n_own, sizeof(*settings->own)));
	if (rib_copy(&gateway, settings->gateway, settings->n_gateway,
		    sizeof(*settings->gateway)) != QE_OK) {
		free(own);
		return -ENOMEM;
	}
	free(peer->own);
	free(peer->gateway);
	peer->own = own;
	peer->n_own = settings->n_own;
	peer->gateway = gateway;
	peer->n_gateway = settings->n_gateway;
	peer->exit = settings->exit;
	peer->default_gateway = settings->default_gateway;
	rib->judge_anew = true;
	QE_TRY(configure_all(rib, peer));
	rib_update_candidates(rib, peer, now);
	return QE_OK;
}

static void free_peer(struct qe_rib *rib, struct rib_peer *peer)
{
	QE_LIST_FOR_EACH (node, &peer->candidates) {
		struct candidate *candidate = candidate_of_peer(node);

		set_configured(rib, candidate, false);
		rib_dirty(rib, candidate->destination);
		rib_forget_candidate(rib, candidate);
	}
	qe_list_remove(&peer->of_rib);
	rib_forget_said(peer);
	free(peer->own);
	free(peer->gateway);
	free(peer);
}

void qe_rib_remove_peer(struct qe_rib *rib, uint32_t slot)
{
	struct rib_peer *peer = qe_map_remove(&rib->peers, slot);

	if (peer == nullptr)
		return;
	free_peer(rib, peer);
	rib->judge_anew = true;
}

void qe_rib_peer_up(struct qe_rib *rib, uint32_t slot, qe_time now)
{
	struct rib_peer *peer = rib_find_peer(rib, slot);

	if (peer == nullptr)
		return;
	peer->up = true;
	rib_update_candidates(rib, peer, now);
}

/* It matters only where there is a choice. */
static void set_rtt(struct qe_rib *rib, struct rib_peer *peer, qe_time rtt)
{
	if (peer->rtt == rtt)
		return;
	peer->rtt = rtt;
	QE_LIST_FOR_EACH (node, &peer->candidates) {
		struct destination *destination = candidate_of_peer(node)->destination;

		if (destination->candidates.next != destination->candidates.prev)
			rib_dirty(rib, destination);
	}
}

void qe_rib_peer_down(struct qe_rib *rib, uint32_t slot, bool silent, qe_time now)
{
	struct rib_peer *peer = rib_find_peer(rib, slot);

	if (peer == nullptr)
		return;
	peer->up = false;
	if (!silent) {
		rib_forget_said(peer);
		peer->announced = false;
		set_rtt(rib, peer, QE_TIME_NEVER);
		QE_LIST_FOR_EACH (node, &peer->candidates)
			rib_set_announced(rib, candidate_of_peer(node), false, 0);
	}
	rib_update_candidates(rib, peer, now);
}

void qe_rib_set_rtt(struct qe_rib *rib, uint32_t slot, qe_time rtt)
{
	struct rib_peer *peer = rib_find_peer(rib, slot);

	if (peer != nullptr)
		set_rtt(rib, peer, rtt);
}

/* ---- life ---- */

enum qe_error qe_rib_new(struct qe_rib **ret_rib, const struct qe_rib_settings *settings)
{
	struct qe_rib *rib = calloc(1, sizeof(*rib));

	if (rib == nullptr)
		return -ENOMEM;
	rib->settings = *settings;
	if (settings->announcements_max == 0)
		rib->settings.announcements_max = ANNOUNCEMENTS_MAX;
	if (settings->hold_down == 0)
		rib->settings.hold_down = HOLD_DOWN;
	qe_map_init(&rib->peers, QE_PEERS_MAX, settings->seed);
	qe_map_init(&rib->destinations, DESTINATIONS_MAX, settings->seed);
	qe_list_init(&rib->all_peers);
	qe_list_init(&rib->all_destinations);
	qe_list_init(&rib->dirty);
	qe_heap_init(&rib->timers);
	*ret_rib = rib;
	return QE_OK;
}

struct qe_rib *qe_rib_free(struct qe_rib *rib)
{
	if (rib == nullptr)
		return nullptr;
	QE_LIST_FOR_EACH (node, &rib->all_peers)
		free_peer(rib, QE_CONTAINER_OF(node, struct rib_peer, of_rib));
	QE_LIST_FOR_EACH (node, &rib->all_destinations)
		rib_free_destination(rib, QE_CONTAINER_OF(node, struct destination, of_rib));
	qe_map_done(&rib->peers);
	qe_map_done(&rib->destinations);
	qe_heap_done(&rib->timers);
	free(rib);
	return nullptr;
}

void qe_rib_run(struct qe_rib *rib, qe_time now)
{
	for (struct qe_timer *timer; (timer = qe_heap_pop(&rib->timers, now)) != nullptr;)
		rib_dirty(rib, QE_CONTAINER_OF(timer, struct destination, timer));
	if (rib->judge_anew) {
		rib->judge_anew = false;
		QE_LIST_FOR_EACH (node, &rib->all_peers) {
			struct rib_peer *peer = QE_CONTAINER_OF(node, struct rib_peer, of_rib);

			if (peer->announced)
				rib_judge(rib, peer, now);
		}
	}
	while (!qe_list_empty(&rib->dirty)) {
		struct qe_list *node = rib->dirty.next;

		qe_list_remove(node);
		rib_choose(rib, QE_CONTAINER_OF(node, struct destination, dirty), now);
	}
}

qe_time qe_rib_deadline(const struct qe_rib *rib)
{
	bool waits = rib->judge_anew || !qe_list_empty(&rib->dirty);

	return waits ? 0 : qe_heap_next(&rib->timers);
}
