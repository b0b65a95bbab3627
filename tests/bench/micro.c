/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "micro.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/clock.h"

constexpr size_t rounds_max = 64;
constexpr unsigned long times_max = 1000;

static struct {
	micro_round *round;
	void *ctx;
} rounds[rounds_max];
static size_t n_rounds;
static bool warming;

void micro_must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "micro: %s\n", what);
	exit(1);
}

void micro_add(micro_round *round, void *ctx)
{
	micro_must(n_rounds < rounds_max, "too many rounds");
	rounds[n_rounds].round = round;
	rounds[n_rounds++].ctx = ctx;
}

void micro_tell(const char *subject, const char *measure, const char *unit, double value)
{
	if (!warming)
		printf("micro\t%s\t%s\t%s\t%.6g\n", subject, measure, unit, value);
}

qe_time micro_now(void)
{
	return qe_clock_now();
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double micro_median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

int main(int argc, char **argv)
{
	char *end = nullptr;
	unsigned long times = argc == 2 ? strtoul(argv[1], &end, 10) : 0;

	if (!end || *end || times == 0 || times > times_max) {
		fprintf(stderr, "usage: micro ROUNDS\n");
		return 2;
	}
	micro_add_aead();
	micro_add_packets();
	micro_add_links();
	micro_add_rejects();
	micro_add_routes();
	for (unsigned long i = 0; i <= times; i++) {
		warming = i == 0;
		for (size_t j = 0; j < n_rounds; j++)
			rounds[j].round(rounds[j].ctx);
	}
	return 0;
}
