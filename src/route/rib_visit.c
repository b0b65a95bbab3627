/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the RIB holds, in order, for people to read. */
#include <errno.h>
#include <stdlib.h>

#include "route/rib_internal.h"

static int compare_destinations(const void *a, const void *b)
{
	const struct destination *const *left = a, *const *right = b;

	return qe_prefix_compare(&(*left)->prefix, &(*right)->prefix);
}

static struct qe_rib_entry entry_of(const struct candidate *candidate)
{
	const struct rib_peer *peer = candidate->peer;

	return (struct qe_rib_entry){
		.route = {.prefix = candidate->destination->prefix,
			.next_hop = candidate->gateway ? QE_NEXT_HOP_GATEWAY : QE_NEXT_HOP_NODE,
			.peer = peer->slot},
		.source = candidate->announced ? QE_RIB_ANNOUNCED : QE_RIB_CONFIGURED,
		.state = candidate->state,
		.metric = rib_metric(candidate),
		.rtt = peer->rtt == QE_TIME_NEVER ? 0 : peer->rtt,
		.why = candidate->why,
	};
}

/* A withdrawn prefix is shown as long as it is suppressed: that is why it is not there. */
static bool is_shown(const struct candidate *candidate)
{
	return candidate->why != nullptr && (candidate->claimed || candidate->damping.suppressed);
}

static void visit_destination(const struct destination *destination,
	void (*visit)(void *ctx, const struct qe_rib_entry *entry), void *ctx)
{
	struct qe_rib_entry entry = {
		.route = {.prefix = destination->prefix, .next_hop = QE_NEXT_HOP_LOCAL},
		.why = "this node's own"};

	if (destination->local)
		visit(ctx, &entry);
	for (unsigned state = QE_RIB_BEST; state <= QE_RIB_DAMPED; state++)
		QE_LIST_FOR_EACH (node, &destination->candidates) {
			if (!is_shown(candidate_of(node)) || candidate_of(node)->state != state)
				continue;
			entry = entry_of(candidate_of(node));
			visit(ctx, &entry);
		}
}

enum qe_error qe_rib_visit(const struct qe_rib *rib,
	void (*visit)(void *ctx, const struct qe_rib_entry *entry), void *ctx)
{
	const struct destination **sorted = calloc(rib->n_destinations + 1, sizeof(*sorted));
	size_t n = 0;

	if (sorted == nullptr)
		return -ENOMEM;
	QE_LIST_FOR_EACH (node, &rib->all_destinations)
		sorted[n++] = QE_CONTAINER_OF(node, struct destination, of_rib);
	qsort(sorted, n, sizeof(*sorted), compare_destinations);
	for (size_t i = 0; i < n; i++)
		visit_destination(sorted[i], visit, ctx);
	free(sorted);
	return QE_OK;
}

void qe_rib_visit_rejected(const struct qe_rib *rib,
	void (*visit)(void *ctx, const struct qe_rib_rejection *rejection), void *ctx)
{
	QE_LIST_FOR_EACH (node, &rib->all_peers) {
		const struct rib_peer *peer = QE_CONTAINER_OF(node, struct rib_peer, of_rib);

		for (size_t i = 0; i < peer->n_rejected; i++)
			visit(ctx, &peer->rejected[i]);
	}
}

size_t qe_rib_rejected(const struct qe_rib *rib, uint32_t slot)
{
	const struct rib_peer *peer = qe_map_get(&rib->peers, slot);

	return peer != nullptr ? peer->n_refused : 0;
}

bool qe_rib_has_announced(const struct qe_rib *rib, uint32_t slot)
{
	const struct rib_peer *peer = rib_find_peer(rib, slot);

	return peer != nullptr && peer->announced;
}

bool qe_rib_forwards(const struct qe_rib *rib, uint32_t slot, const struct qe_prefix *prefix)
{
	const struct rib_peer *peer = rib_find_peer(rib, slot);
	const struct candidate *candidate = peer != nullptr
						    ? rib_find_candidate(rib, peer, prefix, true)
						    : nullptr;

	return candidate != nullptr && candidate->announced;
}

struct qe_rib_counts qe_rib_counts(const struct qe_rib *rib)
{
	return (struct qe_rib_counts){.peers = qe_map_size(&rib->peers),
		.prefixes = rib->n_destinations,
		.candidates = rib->n_candidates,
		.changes = rib->changes};
}
