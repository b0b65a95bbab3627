/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Time is one type, monotonic nanoseconds, and a parameter. */
#pragma once

#include "quicether.h"

#define QE_MICROSECOND UINT64_C(1000)
#define QE_MILLISECOND UINT64_C(1000000)
#define QE_SECOND UINT64_C(1000000000)

static inline qe_time qe_time_min(qe_time a, qe_time b)
{
	return a < b ? a : b;
}

static inline qe_time qe_time_max(qe_time a, qe_time b)
{
	return a > b ? a : b;
}

/* Saturates: never + anything is never. */
static inline qe_time qe_time_add(qe_time time, qe_time duration)
{
	return time > QE_TIME_NEVER - duration ? QE_TIME_NEVER : time + duration;
}

/* How long ago then was; 0 when it lies ahead. */
static inline qe_time qe_time_since(qe_time then, qe_time now)
{
	return now > then ? now - then : 0;
}

/* A token bucket, told by when it will be full again (0: it is): burst at once, then one for each
 * interval. False if it is empty. */
static inline bool qe_time_take(qe_time *full_at, unsigned burst, qe_time interval, qe_time now)
{
	qe_time from = qe_time_max(*full_at, now);

	if (from - now > (burst - 1) * interval)
		return false;
	*full_at = from + interval;
	return true;
}
