/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The only place where time is read. */
#pragma once

#include "base/time.h"

/* Monotonic nanoseconds, which go on while the machine sleeps. */
qe_time qe_clock_now(void);
/* Wall time, for logs only: milliseconds since 1970. */
int64_t qe_clock_wall_ms(void);
