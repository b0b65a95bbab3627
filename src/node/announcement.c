/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "node/announcement.h"

#include <errno.h>
#include <stdlib.h>

static bool is_among(const struct qe_prefix *prefixes, size_t n, const struct qe_prefix *prefix)
{
	for (size_t i = 0; i < n; i++)
		if (qe_prefix_compare(&prefixes[i], prefix) == 0)
			return true;
	return false;
}

static enum qe_error encode(struct announcement *announcement, uint64_t instance)
{
	const struct qe_routes routes = {.instance = instance,
		.number = announcement->number,
		.list = announcement->list,
		.n = announcement->n};
	size_t n = qe_routes_parts(&routes);

	announcement->parts = calloc(n, sizeof(*announcement->parts));
	if (announcement->parts == nullptr)
		return -ENOMEM;
	announcement->n_parts = n;
	for (size_t i = 0; i < n; i++)
		announcement->parts[i].len = (uint16_t)qe_routes_encode(
			announcement->parts[i].bytes, &routes, i);
	return QE_OK;
}

enum qe_error announcement_new(struct announcement **ret_announcement,
	const struct directory *directory, const struct qe_prefix *withdrawn, size_t n_withdrawn,
	uint64_t instance, uint64_t number)
{
	struct announcement *announcement = calloc(1, sizeof(*announcement));
	size_t all = directory->n_local + directory->n_forward;

	if (announcement == nullptr)
		return -ENOMEM;
	announcement->number = number;
	announcement->list = calloc(all, sizeof(*announcement->list));
	for (size_t i = 0; announcement->list != nullptr && i < all; i++) {
		bool gateway = i >= directory->n_local;
		const struct qe_prefix *prefix =
			gateway ? &directory->forward[i - directory->n_local]
				: &directory->local[i];

		if (!is_among(withdrawn, n_withdrawn, prefix))
			announcement->list[announcement->n++] = (struct qe_announcement){
				*prefix, gateway, directory->metric};
	}
	if (announcement->list == nullptr || encode(announcement, instance) != QE_OK) {
		announcement_free(announcement);
		return -ENOMEM;
	}
	*ret_announcement = announcement;
	return QE_OK;
}

struct announcement *announcement_free(struct announcement *announcement)
{
	if (announcement == nullptr)
		return nullptr;
	free(announcement->list);
	free(announcement->parts);
	free(announcement);
	return nullptr;
}

bool announcement_equal(const struct announcement *a, const struct announcement *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (qe_prefix_compare(&a->list[i].prefix, &b->list[i].prefix) != 0 ||
			a->list[i].gateway != b->list[i].gateway ||
			a->list[i].metric != b->list[i].metric)
			return false;
	return true;
}
