/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The routing information base. For each prefix that anybody claims there is a destination, with a
 * candidate for each claim: what the configuration grants a peer, which counts until the peer
 * speaks for itself, and what it announces. A fact that bears upon a destination makes it dirty,
 * and qe_rib_run chooses again for those that are, and no others; what depends on time alone (held
 * down, damped, a shorter round trip) is a timer of the destination.
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

/* ---- destinations ---- */

static uint64_t mix(uint64_t x)
{
	/* The finaliser of MurmurHash3, as in base/map.c. */
	x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
	x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

static uint64_t hash(const struct qe_rib *rib, const struct qe_prefix *prefix)
{
	uint64_t halves[2], seed = rib->settings.seed;

	memcpy(halves, prefix->addr.bytes, sizeof(halves));
	seed = mix(seed ^ ((uint64_t)prefix->addr.family << 8 | prefix->length)) + seed;
	return mix(mix(mix(halves[0] ^ seed) + seed) ^ halves[1]);
}

struct destination *rib_find(const struct qe_rib *rib, const struct qe_prefix *prefix)
{
	struct destination *at = qe_map_get(&rib->destinations, hash(rib, prefix));

	while (at != nullptr && qe_prefix_compare(&at->prefix, prefix) != 0)
		at = at->same_hash;
	return at;
}

static enum qe_error map_destination(struct qe_rib *rib, struct destination *destination)
{
	uint64_t key = hash(rib, &destination->prefix);
	struct destination *head = qe_map_get(&rib->destinations, key);

	if (head == nullptr)
		return qe_map_put(&rib->destinations, key, destination);
	destination->same_hash = head->same_hash;
	head->same_hash = destination;
	return QE_OK;
}

static void unmap_destination(struct qe_rib *rib, struct destination *destination)
{
	uint64_t key = hash(rib, &destination->prefix);
	struct destination *head = qe_map_remove(&rib->destinations, key), **at = &head;

	while (*at != destination)
		at = &(*at)->same_hash;
	*at = destination->same_hash;
	/* The map has just had one more, and so takes it. */
	if (head != nullptr)
		(void)qe_map_put(&rib->destinations, key, head);
}

/* So that no timer of a destination is ever refused. */
static enum qe_error reserve_timer(struct qe_rib *rib)
{
	size_t n = rib->n_destinations + 1;

	return n <= rib->timers.capacity ? QE_OK : qe_heap_reserve(&rib->timers, 2 * n);
}

static enum qe_error need_destination(
	struct destination **ret_destination, struct qe_rib *rib, const struct qe_prefix *prefix)
{
	struct destination *destination = rib_find(rib, prefix);

	if (destination == nullptr) {
		QE_TRY(reserve_timer(rib));
		destination = calloc(1, sizeof(*destination));
		if (destination == nullptr)
			return -ENOMEM;
		destination->prefix = *prefix;
		enum qe_error error = map_destination(rib, destination);
		if (error != QE_OK) {
			free(destination);
			return error;
		}
		qe_list_init(&destination->of_rib);
		qe_list_init(&destination->dirty);
		qe_list_init(&destination->candidates);
		qe_list_append(&rib->all_destinations, &destination->of_rib);
		rib->n_destinations++;
	}
	*ret_destination = destination;
	return QE_OK;
}

static void free_destination(struct qe_rib *rib, struct destination *destination)
{
	qe_heap_remove(&rib->timers, &destination->timer);
	qe_list_remove(&destination->dirty);
	qe_list_remove(&destination->of_rib);
	rib->n_destinations--;
	free(destination);
}

void rib_forget_destination(struct qe_rib *rib, struct destination *destination)
{
	if (!qe_list_empty(&destination->candidates) || destination->local ||
		destination->forbidden || destination->published)
		return;
	unmap_destination(rib, destination);
	free_destination(rib, destination);
}

void rib_dirty(struct qe_rib *rib, struct destination *destination)
{
	if (qe_list_empty(&destination->dirty))
		qe_list_append(&rib->dirty, &destination->dirty);
}

static void count_length(struct qe_rib *rib, const struct qe_prefix *prefix, bool more)
{
	uint32_t *count = &rib->lengths[prefix->addr.family == QE_FAMILY_IPV6][prefix->length];

	*count += more ? 1 : UINT32_MAX;
}

/* ---- candidates ---- */

static struct candidate *of_peer(struct qe_list *node)
{
	return QE_CONTAINER_OF(node, struct candidate, of_peer);
}

static struct candidate *find_candidate(
	const struct destination *destination, const struct rib_peer *peer, bool gateway)
{
	QE_LIST_FOR_EACH (node, &destination->candidates) {
		struct candidate *candidate = candidate_of(node);

		if (candidate->peer == peer && candidate->gateway == gateway)
			return candidate;
	}
	return nullptr;
}

static enum qe_error need_candidate(struct candidate **ret_candidate, struct qe_rib *rib,
	struct rib_peer *peer, const struct qe_prefix *prefix, bool gateway)
{
	struct destination *destination = nullptr;
	struct candidate *candidate;

	QE_TRY(need_destination(&destination, rib, prefix));
	candidate = find_candidate(destination, peer, gateway);
	if (candidate == nullptr) {
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
	}
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

static void update_candidates(struct qe_rib *rib, struct rib_peer *peer, qe_time now)
{
	QE_LIST_FOR_EACH (node, &peer->candidates)
		update_candidate(rib, of_peer(node), now);
}

/* ---- announcements ---- */

static bool was_refused(
	const struct qe_rib_rejection *old, size_t n, const struct qe_rib_rejection *rejection)
{
	for (size_t i = 0; i < n; i++)
		if (old[i].reason == rejection->reason &&
			old[i].announcement.gateway == rejection->announcement.gateway &&
			qe_prefix_compare(
				&old[i].announcement.prefix, &rejection->announcement.prefix) == 0)
			return true;
	return false;
}

static void report(const struct qe_rib *rib, const struct rib_peer *peer,
	const struct qe_announcement *announcement, const char *reason)
{
	if (rib->settings.judged != nullptr)
		rib->settings.judged(rib->settings.ctx, peer->slot, announcement, reason);
}

static void refuse(
	struct rib_peer *peer, const struct qe_announcement *announcement, const char *reason)
{
	peer->n_refused++;
	if (peer->rejected == nullptr)
		peer->rejected = calloc(REJECTIONS_KEPT, sizeof(*peer->rejected));
	if (peer->rejected != nullptr && peer->n_rejected < REJECTIONS_KEPT)
		peer->rejected[peer->n_rejected++] = (struct qe_rib_rejection){
			peer->slot, *announcement, reason};
}

static void set_announced(
	struct qe_rib *rib, struct candidate *candidate, bool announced, uint16_t metric)
{
	if (candidate->announced == announced && candidate->metric == metric)
		return;
	candidate->announced = announced;
	candidate->metric = metric;
	rib_dirty(rib, candidate->destination);
}

/* NULL, or why it cannot be. */
static const char *accept(struct qe_rib *rib, struct rib_peer *peer,
	const struct qe_announcement *announcement, qe_time now)
{
	struct candidate *candidate = nullptr;

	if (peer->n_candidates >= 2 * rib->settings.announcements_max + peer->n_own + 2)
		return "too many changes";
	if (need_candidate(&candidate, rib, peer, &announcement->prefix, announcement->gateway) !=
		QE_OK)
		return "no memory";
	if (candidate->round == rib->round)
		return nullptr; /* said twice: the first time counts */
	candidate->round = rib->round;
	if (!candidate->announced)
		report(rib, peer, announcement, nullptr);
	else if (candidate->metric != announcement->metric)
		damping_add(&candidate->damping, now);
	set_announced(rib, candidate, true, announcement->metric);
	return nullptr;
}

/* Judges all that the peer has said, and withdraws what is not among it. */
static void judge(struct qe_rib *rib, struct rib_peer *peer, qe_time now)
{
	struct qe_rib_rejection *old = peer->rejected;
	size_t n_old = peer->n_rejected;

	rib->round++;
	peer->rejected = nullptr;
	peer->n_rejected = 0;
	peer->n_refused = peer->n_unread;
	for (size_t i = 0; i < peer->n_said; i++) {
		const char *reason = i < rib->settings.announcements_max
					     ? rib_refusal(rib, peer, &peer->said[i])
					     : "too many";

		if (reason == nullptr)
			reason = accept(rib, peer, &peer->said[i], now);
		if (reason != nullptr)
			refuse(peer, &peer->said[i], reason);
	}
	for (size_t i = 0; i < peer->n_rejected; i++)
		if (!was_refused(old, n_old, &peer->rejected[i]))
			report(rib, peer, &peer->rejected[i].announcement,
				peer->rejected[i].reason);
	free(old);
	QE_LIST_FOR_EACH (node, &peer->candidates)
		if (of_peer(node)->round != rib->round)
			set_announced(rib, of_peer(node), false, 0);
	update_candidates(rib, peer, now);
}

static struct rib_peer *find_peer(const struct qe_rib *rib, uint32_t slot)
{
	return qe_map_get(&rib->peers, slot);
}

/* A copy; NULL if there is nothing to copy, too. */
static enum qe_error copy(void **ret_copy, const void *from, size_t n, size_t size)
{
	void *to = n > 0 ? calloc(n, size) : nullptr;

	if (n > 0 && to == nullptr)
		return -ENOMEM;
	if (n > 0)
		memcpy(to, from, n * size);
	*ret_copy = to;
	return QE_OK;
}

static void forget_said(struct rib_peer *peer)
{
	free(peer->said);
	free(peer->rejected);
	peer->said = nullptr;
	peer->rejected = nullptr;
	peer->n_said = peer->n_unread = peer->n_rejected = peer->n_refused = 0;
}

enum qe_error qe_rib_announce(struct qe_rib *rib, uint32_t slot, const struct qe_announcement *list,
	size_t n, size_t more, qe_time now)
{
	struct rib_peer *peer = find_peer(rib, slot);
	/* A few more than are taken, to show what is refused. */
	size_t most = rib->settings.announcements_max + REJECTIONS_KEPT, kept = n < most ? n : most;
	void *said = nullptr;

	if (peer == nullptr)
		return QE_ERR_NOT_FOUND;
	QE_TRY(copy(&said, list, kept, sizeof(*list)));
	free(peer->said);
	peer->said = said;
	peer->n_said = kept;
	peer->n_unread = n - kept + more;
	peer->announced = true;
	judge(rib, peer, now);
	return QE_OK;
}

/* ---- peers ---- */

static enum qe_error need_peer(struct rib_peer **ret_peer, struct qe_rib *rib, uint32_t slot)
{
	struct rib_peer *peer = find_peer(rib, slot);

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
		count_length(rib, &candidate->destination->prefix, configured);
	rib_dirty(rib, candidate->destination);
}

static enum qe_error configure(
	struct qe_rib *rib, struct rib_peer *peer, const struct qe_prefix *prefix, bool gateway)
{
	struct candidate *candidate = nullptr;

	QE_TRY(need_candidate(&candidate, rib, peer, prefix, gateway));
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
		if (of_peer(node)->round != rib->round)
			set_configured(rib, of_peer(node), false);
	return QE_OK;
}

enum qe_error qe_rib_set_peer(struct qe_rib *rib, const struct qe_rib_peer *settings, qe_time now)
{
	struct rib_peer *peer = nullptr;
	void *own = nullptr, *gateway = nullptr;

	QE_TRY(need_peer(&peer, rib, settings->slot));
	QE_TRY(copy(&own, settings->own, settings->n_own, sizeof(*settings->own)));
	if (copy(&gateway, settings->gateway, settings->n_gateway, sizeof(*settings->gateway)) !=
		QE_OK) {
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
	update_candidates(rib, peer, now);
	return QE_OK;
}

static void free_peer(struct qe_rib *rib, struct rib_peer *peer)
{
	QE_LIST_FOR_EACH (node, &peer->candidates) {
		struct candidate *candidate = of_peer(node);

		set_configured(rib, candidate, false);
		rib_dirty(rib, candidate->destination);
		rib_forget_candidate(rib, candidate);
	}
	qe_list_remove(&peer->of_rib);
	forget_said(peer);
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
	struct rib_peer *peer = find_peer(rib, slot);

	if (peer == nullptr)
		return;
	peer->up = true;
	update_candidates(rib, peer, now);
}

/* It matters only where there is a choice. */
static void set_rtt(struct qe_rib *rib, struct rib_peer *peer, qe_time rtt)
{
	if (peer->rtt == rtt)
		return;
	peer->rtt = rtt;
	QE_LIST_FOR_EACH (node, &peer->candidates) {
		struct destination *destination = of_peer(node)->destination;

		if (destination->candidates.next != destination->candidates.prev)
			rib_dirty(rib, destination);
	}
}

void qe_rib_peer_down(struct qe_rib *rib, uint32_t slot, bool silent, qe_time now)
{
	struct rib_peer *peer = find_peer(rib, slot);

	if (peer == nullptr)
		return;
	peer->up = false;
	if (!silent) {
		forget_said(peer);
		peer->announced = false;
		set_rtt(rib, peer, QE_TIME_NEVER);
		QE_LIST_FOR_EACH (node, &peer->candidates)
			set_announced(rib, of_peer(node), false, 0);
	}
	update_candidates(rib, peer, now);
}

void qe_rib_set_rtt(struct qe_rib *rib, uint32_t slot, qe_time rtt)
{
	struct rib_peer *peer = find_peer(rib, slot);

	if (peer != nullptr)
		set_rtt(rib, peer, rtt);
}

/* ---- local and forbidden prefixes ---- */

static void set_mark(struct qe_rib *rib, struct destination *destination, bool *mark, bool value)
{
	if (*mark == value)
		return;
	*mark = value;
	count_length(rib, &destination->prefix, value);
	rib_dirty(rib, destination);
}

enum qe_error qe_rib_set_local(struct qe_rib *rib, const struct qe_prefix *prefixes, size_t n)
{
	struct destination *at = nullptr;

	rib->judge_anew = true;
	QE_LIST_FOR_EACH (node, &rib->all_destinations) {
		at = QE_CONTAINER_OF(node, struct destination, of_rib);
		set_mark(rib, at, &at->local, false);
	}
	for (size_t i = 0; i < n; i++) {
		QE_TRY(need_destination(&at, rib, &prefixes[i]));
		set_mark(rib, at, &at->local, true);
	}
	return QE_OK;
}

enum qe_error qe_rib_set_forbidden(struct qe_rib *rib, const struct qe_prefix *prefixes, size_t n)
{
	struct destination *at = nullptr;

	rib->judge_anew = true;
	QE_LIST_FOR_EACH (node, &rib->all_destinations) {
		at = QE_CONTAINER_OF(node, struct destination, of_rib);
		set_mark(rib, at, &at->forbidden, false);
	}
	for (size_t i = 0; i < n; i++) {
		QE_TRY(need_destination(&at, rib, &prefixes[i]));
		set_mark(rib, at, &at->forbidden, true);
	}
	return QE_OK;
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
		free_destination(rib, QE_CONTAINER_OF(node, struct destination, of_rib));
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
				judge(rib, peer, now);
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
