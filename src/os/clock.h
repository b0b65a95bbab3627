/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The only place where time is read. */
#pragma once

#include "base/time.h"

/* Monotonic nanoseconds, which go on while the machine sleeps. */
qe_time qe_clock_now(void);
/* How much of that was sleep. */
qe_time qe_clock_slept(void);
/* Wall time, for logs only: milliseconds since 1970. */
int64_t qe_clock_wall_ms(void);

#define QE_CLOCK_TEXT_SIZE 32
/* Such a time by RFC 3339, UTC: "2026-11-21T09:44:31.207Z". */
void qe_clock_format(char to[static QE_CLOCK_TEXT_SIZE], int64_t wall_ms);
