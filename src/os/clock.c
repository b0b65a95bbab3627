/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <stdio.h>
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

/* The clock that stands still is read first: so it is never ahead. */
qe_time qe_clock_slept(void)
{
	struct timespec awake;

	clock_gettime(CLOCK_MONOTONIC, &awake);
	return qe_time_since(
		(qe_time)awake.tv_sec * QE_SECOND + (qe_time)awake.tv_nsec, qe_clock_now());
}

int64_t qe_clock_wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void qe_clock_format(char to[static QE_CLOCK_TEXT_SIZE], int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	char whole[QE_CLOCK_TEXT_SIZE];
	struct tm utc;

	gmtime_r(&seconds, &utc);
	strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(to, QE_CLOCK_TEXT_SIZE, "%.19s.%03dZ", whole, (int)(wall_ms % 1000));
}
