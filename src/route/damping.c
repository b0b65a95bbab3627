/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "route/damping.h"

constexpr uint32_t CHANGE = 1'000'000;
constexpr uint32_t SUPPRESS = 6 * CHANGE;
constexpr uint32_t REUSE = SUPPRESS / 4;
constexpr uint32_t FORGET = CHANGE / 4;
constexpr uint32_t CEILING = 2 * SUPPRESS;
constexpr qe_time HALF_LIFE = 30 * QE_SECOND;

/* Halved each half-life, and on a straight line in between: of changes every g seconds 60 / g
 * remain, if g is below 30. */
static uint32_t decayed(const struct damping *damping, qe_time now)
{
	qe_time age = qe_time_since(damping->then, now);
	uint32_t left = age / HALF_LIFE < 32 ? damping->penalty >> age / HALF_LIFE : 0;

	return left - (uint32_t)(left * (age % HALF_LIFE) / (2 * HALF_LIFE));
}

/* The first moment at which no more than that is left, or shortly after. */
static qe_time falls_to(const struct damping *damping, uint32_t level)
{
	qe_time at = damping->then;
	uint32_t left = damping->penalty;

	for (; left / 2 > level; left /= 2)
		at += HALF_LIFE;
	if (left > level)
		at += (uint64_t)(left - level + 1) * 2 * HALF_LIFE / left;
	return at;
}

static void settle(struct damping *damping, qe_time now)
{
	damping->penalty = decayed(damping, now);
	damping->then = now;
	if (damping->penalty <= REUSE)
		damping->suppressed = false;
}

void damping_add(struct damping *damping, qe_time now)
{
	settle(damping, now);
	damping->penalty += CHANGE;
	if (damping->penalty > CEILING)
		damping->penalty = CEILING;
	if (damping->penalty > SUPPRESS)
		damping->suppressed = true;
}

bool damping_is_suppressed(struct damping *damping, qe_time now)
{
	if (damping->suppressed && decayed(damping, now) <= REUSE)
		settle(damping, now);
	return damping->suppressed;
}

qe_time damping_ends(const struct damping *damping)
{
	return damping->suppressed ? falls_to(damping, REUSE) : QE_TIME_NEVER;
}

qe_time damping_forgets(const struct damping *damping)
{
	return damping->penalty > 0 ? falls_to(damping, FORGET) : 0;
}
