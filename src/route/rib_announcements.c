/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What peers announce. It is kept as it was said, so that it can be judged anew when grants change;
 * what is believed of it becomes candidates, and what is refused is kept with the reason, to show.
 */
#include <stdlib.h>

#include "route/rib_internal.h"

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

void rib_set_announced(
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
	const struct qe_prefix *prefix = &announcement->prefix;
	bool gateway = announcement->gateway;
	struct candidate *candidate = rib_find_candidate(rib, peer, prefix, gateway);

	/* Those that were withdrawn a short while ago are still there. */
	if (candidate == nullptr &&
		peer->n_candidates >= 2 * rib->settings.announcements_max + peer->n_own + 2)
		return "too many changes";
	if (candidate == nullptr &&
		rib_add_candidate(&candidate, rib, peer, prefix, gateway) != QE_OK)
		return "no memory";
	if (candidate->round == rib->round)
		return nullptr; /* said twice: the first time counts */
	candidate->round = rib->round;
	if (!candidate->announced)
		report(rib, peer, announcement, nullptr);
	else if (candidate->metric != announcement->metric)
		damping_add(&candidate->damping, now);
	rib_set_announced(rib, candidate, true, announcement->metric);
	return nullptr;
}

void rib_judge(struct qe_rib *rib, struct rib_peer *peer, qe_time now)
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
		if (candidate_of_peer(node)->round != rib->round)
			rib_set_announced(rib, candidate_of_peer(node), false, 0);
	rib_update_candidates(rib, peer, now);
}

void rib_forget_said(struct rib_peer *peer)
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
	struct rib_peer *peer = rib_find_peer(rib, slot);
	/* A few more than are taken, to show what is refused. */
	size_t most = rib->settings.announcements_max + REJECTIONS_KEPT, kept = n < most ? n : most;
	void *said = nullptr;

	if (peer == nullptr)
		return QE_ERR_NOT_FOUND;
	QE_TRY(rib_copy(&said, list, kept, sizeof(*list)));
	free(peer->said);
	peer->said = said;
	peer->n_said = kept;
	peer->n_unread = n - kept + more;
	peer->announced = true;
	rib_judge(rib, peer, now);
	return QE_OK;
}
