/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "node/view.h"

#include <stdlib.h>

void views_init(struct views *views)
{
	*views = (struct views){};
	for (unsigned i = 0; i < QE_WORKERS_MAX; i++)
		atomic_init(&views->acknowledged[i], UINT64_MAX);
}

/* ---- any thread ---- */

/* Who reclaims without having seen the 0 has published a view that is seen after it. */
void views_enter(struct views *views, uint8_t worker)
{
	atomic_store(&views->acknowledged[worker], 0);
}

void views_acknowledge(struct views *views, uint8_t worker, uint64_t generation)
{
	atomic_store_explicit(&views->acknowledged[worker], generation, memory_order_release);
}

void views_leave(struct views *views, uint8_t worker)
{
	views_acknowledge(views, worker, UINT64_MAX);
}

/* ---- the control thread ---- */

uint64_t views_next_generation(const struct views *views)
{
	return views->list == nullptr ? 1 : views->list->generation + 1;
}

uint64_t views_acknowledged(const struct views *views)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < QE_WORKERS_MAX; i++) {
		uint64_t its = atomic_load(&views->acknowledged[i]);

		least = its < least ? its : least;
	}
	return least;
}

void views_publish(struct views *views, struct view *view)
{
	view->generation = views_next_generation(views);
	view->older = views->list;
	view->directory->views++;
	view->announcement->views++;
	view->rules->views++;
	views->list = view;
	atomic_store(&views->newest, view);
	views_reclaim(views);
}

struct rules *rules_free(struct rules *rules)
{
	if (rules != nullptr)
		qe_policy_free(rules->policy);
	free(rules);
	return nullptr;
}

static void free_view(struct view *view)
{
	if (--view->directory->views == 0)
		directory_free(view->directory);
	if (--view->announcement->views == 0)
		announcement_free(view->announcement);
	if (--view->rules->views == 0)
		rules_free(view->rules);
	qe_route_table_release(view->table, view->routes);
	free(view);
}

static void free_older(struct view *view)
{
	while (view->older != nullptr) {
		struct view *older = view->older;

		view->older = older->older;
		free_view(older);
	}
}

/* A shard that has acknowledged a view may be taking up any newer one. */
void views_reclaim(struct views *views)
{
	uint64_t acknowledged = views_acknowledged(views);
	struct view *view = views->list;

	while (view->older != nullptr && view->generation > acknowledged)
		view = view->older;
	free_older(view);
}

void views_done(struct views *views)
{
	if (views->list == nullptr)
		return;
	free_older(views->list);
	free_view(views->list);
	views->list = nullptr;
}
