/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <time.h>

#include "os/clock.h"

/* CLOCK_BOOTTIME rather than CLOCK_MONOTONIC: keys age while a laptop sleeps, and a link whose idle
 * time has passed is dead to the peer, so on waking both must be seen at once. Never fails for a
 * clock that exists; reads without a system call (vDSO). */
qe_time qe_clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (qe_time)now.tv_sec * QE_SECOND + (qe_time)now.tv_nsec;
}

int64_t qe_clock_wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
