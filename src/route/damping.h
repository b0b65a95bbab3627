/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Route flap damping as in RFC 2439: each change adds a penalty, which halves every 30 s. Above the
 * penalty of six changes a route is suppressed, until a quarter of that is left. So what changes
 * more often than six times a minute is not used, and comes back 60 to 90 s after its last change.
 */
#pragma once

#include "base/time.h"

struct damping {
	uint32_t penalty; /* in millionths of a change, as it was then */
	bool suppressed;
	qe_time then;
};

void damping_add(struct damping *damping, qe_time now);
/* Brings it up to date. */
bool damping_is_suppressed(struct damping *damping, qe_time now);
qe_time damping_ends(const struct damping *damping); /* QE_TIME_NEVER if not suppressed */
/* When what happened is too long ago to matter; 0 if nothing has. */
qe_time damping_forgets(const struct damping *damping);
