/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What of a node may change while its shards work: an immutable view, replaced as a whole.
 *
 * The control thread publishes a view; a shard takes up the newest when qe_shard_run begins (or its
 * owner asks something of it), which is when it holds no pointer into the one before, and
 * acknowledges its generation. A view is freed once every shard has acknowledged a later one. This
 * is RCU whose quiescent state is the start of qe_shard_run: a reader pays one load per batch,
 * never waits, and no thread has to be registered anywhere.
 */
#pragma once

#include <stdatomic.h>

#include "node/announcement.h"
#include "policy/gate.h"

/* The rules, and the gate that asks them. */
struct rules {
	unsigned views;           /* that refer to it; counted by the control thread */
	uint64_t generation;      /* from 1; another one for each directory, too */
	struct qe_policy *policy; /* nullptr: none */
	struct qe_gate *gate;     /* not owned; there if policy is */
};

struct view {
	uint64_t generation; /* from 1 */
	struct directory *directory;
	struct announcement *announcement;
	struct rules *rules;
	struct qe_route_table *table;           /* not owned */
	const struct qe_route_snapshot *routes; /* of the table */
	struct view *older;                     /* the control thread's */
};

struct views {
	_Atomic(const struct view *) newest;
	/* By worker; UINT64_MAX: there is no such shard. */
	_Atomic uint64_t acknowledged[QE_WORKERS_MAX];
	struct view *list; /* all that are not freed, the newest first; the control thread's */
};

/* ---- any thread ---- */

/* In one order with views_enter and views_publish. */
static inline const struct view *views_newest(const struct views *views)
{
	return atomic_load(&views->newest);
}

/* A shard that is being made: no view is freed until it has acknowledged one. */
void views_enter(struct views *views, uint8_t worker);
void views_acknowledge(struct views *views, uint8_t worker, uint64_t generation);
void views_leave(struct views *views, uint8_t worker);

/* ---- the control thread ---- */

struct rules *rules_free(struct rules *rules);

void views_init(struct views *views);
void views_done(struct views *views);
/* Of the view that is published next. */
uint64_t views_next_generation(const struct views *views);
/* What all shards have acknowledged. */
uint64_t views_acknowledged(const struct views *views);
/* Takes what the view holds; each of it may be that of the one before. */
void views_publish(struct views *views, struct view *view);
/* Free what no shard can see any more. */
void views_reclaim(struct views *views);
