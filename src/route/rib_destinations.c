/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The destinations of the RIB, in a map by a hash of their prefix; those of one hash are a chain. A
 * destination is there as long as it has candidates, is local or forbidden, or is in use.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "route/rib_internal.h"

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

enum qe_error rib_need_destination(
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

void rib_free_destination(struct qe_rib *rib, struct destination *destination)
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
	rib_free_destination(rib, destination);
}

void rib_dirty(struct qe_rib *rib, struct destination *destination)
{
	if (qe_list_empty(&destination->dirty))
		qe_list_append(&rib->dirty, &destination->dirty);
}

void rib_count_length(struct qe_rib *rib, const struct qe_prefix *prefix, bool more)
{
	uint32_t *count = &rib->lengths[prefix->addr.family == QE_FAMILY_IPV6][prefix->length];

	*count += more ? 1 : UINT32_MAX;
}

/* ---- local and forbidden prefixes ---- */

typedef bool *mark_of(struct destination *destination);

static bool *local_of(struct destination *destination)
{
	return &destination->local;
}

static bool *forbidden_of(struct destination *destination)
{
	return &destination->forbidden;
}

static void mark(struct qe_rib *rib, struct destination *destination, bool *marked, bool value)
{
	if (*marked == value)
		return;
	*marked = value;
	rib_count_length(rib, &destination->prefix, value);
	rib_dirty(rib, destination);
}

/* Those, and no others. */
static enum qe_error mark_all(
	struct qe_rib *rib, mark_of *of, const struct qe_prefix *prefixes, size_t n)
{
	struct destination *at = nullptr;

	rib->judge_anew = true;
	QE_LIST_FOR_EACH (node, &rib->all_destinations) {
		at = QE_CONTAINER_OF(node, struct destination, of_rib);
		mark(rib, at, of(at), false);
	}
	for (size_t i = 0; i < n; i++) {
		QE_TRY(rib_need_destination(&at, rib, &prefixes[i]));
		mark(rib, at, of(at), true);
	}
	return QE_OK;
}

enum qe_error qe_rib_set_local(struct qe_rib *rib, const struct qe_prefix *prefixes, size_t n)
{
	return mark_all(rib, local_of, prefixes, n);
}

enum qe_error qe_rib_set_forbidden(struct qe_rib *rib, const struct qe_prefix *prefixes, size_t n)
{
	return mark_all(rib, forbidden_of, prefixes, n);
}
