/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * When rules hold. What counts is what the clocks on the wall show: an hour that a zone skips in
 * spring holds nothing, and one that it shows twice in autumn is looked at twice. Packets know no
 * wall clock: the policy is compiled again whenever a rule begins or ceases to hold.
 */
#include "policy/source.h"
#include "policy/zone.h"

constexpr int64_t MINUTE = 60;
constexpr int64_t DAY = 24 * 60 * MINUTE;

static struct qe_zone_offset offset_at(const struct qe_policy_schedule *schedule, int64_t now)
{
	if (schedule->zone == nullptr)
		return (struct qe_zone_offset){.seconds = 0, .until = INT64_MAX};
	return qe_zone_offset_at(schedule->zone, now);
}

/* Days since 1970 and the seconds since that day's midnight, by the clocks on the wall. */
static int64_t day_of(int64_t local, int64_t *ret_second)
{
	int64_t second = local % DAY;

	if (second < 0)
		second += DAY;
	*ret_second = second;
	return (local - second) / DAY;
}

/* 1970 began with a Thursday. */
static bool begins_on(const struct qe_policy_schedule *schedule, int64_t day)
{
	int64_t weekday = ((day + 3) % 7 + 7) % 7;

	return schedule->days >> weekday & 1;
}

bool qe_policy_schedule_holds(const struct qe_policy_schedule *schedule, int64_t now)
{
	if (schedule == nullptr)
		return true;

	int64_t second;
	int64_t day = day_of(now + offset_at(schedule, now).seconds, &second);
	int64_t from = schedule->from * MINUTE, until = schedule->until * MINUTE;

	if (from < until)
		return second >= from && second < until && begins_on(schedule, day);
	return (second >= from && begins_on(schedule, day)) ||
	       (second < until && begins_on(schedule, day - 1));
}

/* The next time that the clocks show from, until or midnight, or the next change of the zone,
 * whichever is first: more often than need be, and never too late. */
static int64_t next_edge(const struct qe_policy_schedule *schedule, int64_t now)
{
	struct qe_zone_offset offset = offset_at(schedule, now);
	int64_t second, wait = DAY;

	day_of(now + offset.seconds, &second);
	for (size_t i = 0; i < 2; i++) {
		int64_t edge = (i == 0 ? schedule->from : schedule->until) * MINUTE;

		if (edge > second && edge - second < wait)
			wait = edge - second;
	}
	if (DAY - second < wait)
		wait = DAY - second;
	return offset.until < now + wait ? offset.until : now + wait;
}

int64_t qe_policy_next_change(const struct qe_policy_source *source, int64_t now)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < source->n_rules; i++) {
		const struct qe_policy_schedule *schedule = source->rules[i].schedule;
		int64_t edge = schedule ? next_edge(schedule, now) : INT64_MAX;

		if (edge < next)
			next = edge;
	}
	return next;
}
