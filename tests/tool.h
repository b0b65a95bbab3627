/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the small programs beside the network tests and the benchmarks have in common. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

constexpr uint64_t second = 1'000'000'000; /* ns */

/* Ends the program where something that it needs has failed. */
static inline void must(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

/* An argument of the command line, from min to max. */
static inline unsigned long number(const char *text, unsigned long min, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < min || value > max) {
		fprintf(stderr, "%s: %s: not from %lu to %lu\n", program_invocation_short_name,
			text, min, max);
		exit(2);
	}
	return value;
}

static inline uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * second + (uint64_t)time.tv_nsec;
}

static inline void sleep_until(uint64_t when)
{
	struct timespec time = {(time_t)(when / second), (long)(when % second)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
}
