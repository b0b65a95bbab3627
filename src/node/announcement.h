/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What this node announces: one set of prefixes, the same for every peer, as the messages that say
 * it. A part of the view, so that each shard says it by itself on each link that comes into use.
 */
#pragma once

#include "node/directory.h"
#include "peer/routes.h"

struct announcement {
	unsigned views; /* that refer to it; counted by the control thread */
	uint64_t number;
	struct qe_announcement *list;
	size_t n, n_parts;
	struct announcement_part {
		uint16_t len;
		uint8_t bytes[QE_ROUTES_SIZE];
	} *parts;
};

/* All that is this node's own, and what it forwards for, except for what is withdrawn. */
enum qe_error announcement_new(struct announcement **ret_announcement,
	const struct directory *directory, const struct qe_prefix *withdrawn, size_t n_withdrawn,
	uint64_t instance, uint64_t number);
struct announcement *announcement_free(struct announcement *announcement);
/* But for the number. */
bool announcement_equal(const struct announcement *a, const struct announcement *b);
