/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Time zones, with the C library as the oracle; and schedules by their clocks. */
#include <string.h>

#include "policy/source.h"
#include "policy/zone.h"
#include "random.h"

#define FOLDER "/usr/share/zoneinfo/"
#define TIMES 20000

/* Summer time in both hemispheres, below zero, by half an hour, at odd hours, abolished; zones
 * without any; and the date line. */
static const char *const names[] = {"Europe/Berlin", "Europe/Dublin", "America/New_York",
	"America/St_Johns", "America/Sao_Paulo", "America/Nuuk", "Australia/Lord_Howe",
	"Australia/Sydney", "Asia/Kolkata", "Asia/Gaza", "Asia/Tehran", "Africa/Casablanca",
	"Africa/Cairo", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "Etc/GMT+5",
	"UTC"};

static bool read_zone(uint8_t *to, size_t *ret_len, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), FOLDER "%s", name);
	FILE *file = fopen(path, "rb");
	if (file == nullptr)
		return false;
	*ret_len = fread(to, 1, QE_ZONE_FILE_MAX, file);
	fclose(file);
	return true;
}

static struct qe_zone *load(const char *name)
{
	static uint8_t bytes[QE_ZONE_FILE_MAX];
	struct qe_zone *zone;
	size_t len;

	if (!read_zone(bytes, &len, name))
		return nullptr;
	assert_int_equal(qe_zone_new(&zone, (struct qe_bytes){bytes, len}), QE_OK);
	return zone;
}

static int32_t system_offset(int64_t now)
{
	time_t time = (time_t)now;
	struct tm tm;

	assert_non_null(localtime_r(&time, &tm));
	return (int32_t)tm.tm_gmtoff;
}

static void check_zone(const struct qe_zone *zone)
{
	for (size_t i = 0; i < TIMES; i++) {
		/* Most of it between 1900 and 2170. */
		int64_t now = (int64_t)random_below(UINT64_C(8500000000)) - 2200000000;
		struct qe_zone_offset offset = qe_zone_offset_at(zone, now);

		assert_int_equal(offset.seconds, system_offset(now));
		assert_true(offset.until > now);
		if (offset.until == INT64_MAX)
			continue;
		assert_int_equal(system_offset(offset.until - 1), offset.seconds);
		assert_int_equal(
			qe_zone_offset_at(zone, offset.until).seconds, system_offset(offset.until));
	}
}

static void offsets_are_those_of_the_system(void **state)
{
	size_t found = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct qe_zone *zone = load(names[i]);

		if (zone == nullptr)
			continue;
		found++;
		setenv("TZ", names[i], 1);
		tzset();
		check_zone(zone);
		qe_zone_free(zone);
	}
	if (found == 0)
		skip();
}

static void broken_files_are_refused(void **state)
{
	static uint8_t good[QE_ZONE_FILE_MAX + 1], bad[QE_ZONE_FILE_MAX + 1];
	struct qe_zone *zone;
	size_t len;

	(void)state;
	if (!read_zone(good, &len, "Europe/Berlin"))
		skip();
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(qe_zone_new(&zone, (struct qe_bytes){good, cut}), QE_ERR_SYNTAX);
	for (size_t i = 0; i < TIMES; i++) {
		memcpy(bad, good, len);
		for (size_t k = 0; k <= random_below(4); k++)
			bad[random_below(len)] = (uint8_t)random_u64();
		if (qe_zone_new(&zone, (struct qe_bytes){bad, len}) != QE_OK)
			continue;
		qe_zone_offset_at(zone, (int64_t)random_below(UINT64_C(8500000000)));
		qe_zone_free(zone);
	}
	assert_int_equal(qe_zone_new(&zone, (struct qe_bytes){bad, sizeof(bad)}), QE_ERR_RANGE);
}

static void names_lead_nowhere_else(void **state)
{
	(void)state;
	assert_true(qe_zone_name_is_valid("Europe/Berlin"));
	assert_true(qe_zone_name_is_valid("America/Argentina/Buenos_Aires"));
	assert_true(qe_zone_name_is_valid("Etc/GMT+5"));
	assert_false(qe_zone_name_is_valid(""));
	assert_false(qe_zone_name_is_valid("/etc/passwd"));
	assert_false(qe_zone_name_is_valid("../../etc/passwd"));
	assert_false(qe_zone_name_is_valid("Europe/"));
}

/* ---- schedules ---- */

/* 2026-03-27, a Friday, 00:00 UTC. Berlin's clocks go from 2:00 to 3:00 on the 29th. */
constexpr int64_t FRIDAY = 1774569600;
constexpr int64_t HOUR = 3600;
constexpr int64_t DAY = 24 * HOUR;

static void days_and_hours_count(void **state)
{
	struct qe_policy_schedule office = {.days = 0x1f, .from = 8 * 60, .until = 18 * 60};

	(void)state;
	assert_true(qe_policy_schedule_holds(nullptr, FRIDAY));
	assert_false(qe_policy_schedule_holds(&office, FRIDAY + 8 * HOUR - 1));
	assert_true(qe_policy_schedule_holds(&office, FRIDAY + 8 * HOUR));
	assert_true(qe_policy_schedule_holds(&office, FRIDAY + 18 * HOUR - 1));
	assert_false(qe_policy_schedule_holds(&office, FRIDAY + 18 * HOUR));
	assert_false(qe_policy_schedule_holds(&office, FRIDAY + DAY + 9 * HOUR));
	assert_true(qe_policy_schedule_holds(&office, FRIDAY + 3 * DAY + 9 * HOUR));
}

static void a_night_belongs_to_the_day_it_begins_on(void **state)
{
	struct qe_policy_schedule night = {.days = 1 << 4, .from = 22 * 60, .until = 6 * 60};

	(void)state;
	assert_false(qe_policy_schedule_holds(&night, FRIDAY + 5 * HOUR));
	assert_true(qe_policy_schedule_holds(&night, FRIDAY + 22 * HOUR));
	assert_true(qe_policy_schedule_holds(&night, FRIDAY + DAY + 5 * HOUR));
	assert_false(qe_policy_schedule_holds(&night, FRIDAY + DAY + 6 * HOUR));
	assert_false(qe_policy_schedule_holds(&night, FRIDAY + DAY + 22 * HOUR));
}

static void the_zone_moves_the_hours(void **state)
{
	struct qe_zone *berlin = load("Europe/Berlin");
	struct qe_policy_schedule morning = {
		.days = 0x7f, .from = 8 * 60, .until = 9 * 60, .zone = berlin};

	(void)state;
	if (berlin == nullptr)
		skip();
	assert_true(qe_policy_schedule_holds(&morning, FRIDAY + 7 * HOUR));
	assert_false(qe_policy_schedule_holds(&morning, FRIDAY + 8 * HOUR));
	assert_true(qe_policy_schedule_holds(&morning, FRIDAY + 2 * DAY + 6 * HOUR));
	assert_false(qe_policy_schedule_holds(&morning, FRIDAY + 2 * DAY + 7 * HOUR));
	qe_zone_free(berlin);
}

/* Between a time and the next change nothing changes. */
static void no_change_is_missed(void **state)
{
	struct qe_zone *zones[] = {nullptr, load("Europe/Berlin"), load("Australia/Lord_Howe")};

	(void)state;
	for (size_t i = 0; i < 2000; i++) {
		struct qe_policy_schedule schedule = {.days = (uint8_t)random_below(128),
			.from = (uint16_t)random_below(1441),
			.until = (uint16_t)random_below(1441),
			.zone = zones[random_below(3)]};
		struct qe_policy_rule rules[2] = {{.schedule = &schedule}, {}};
		struct qe_policy_source source = {.rules = rules, .n_rules = 2};
		int64_t now = FRIDAY + (int64_t)random_below(400 * DAY);
		int64_t next = qe_policy_next_change(&source, now);
		bool holds = qe_policy_schedule_holds(&schedule, now);

		assert_true(next > now && next <= now + DAY);
		for (int64_t t = now; t < next; t += 1 + (int64_t)random_below(20 * 60))
			assert_int_equal(qe_policy_schedule_holds(&schedule, t), holds);
		assert_int_equal(qe_policy_schedule_holds(&schedule, next - 1), holds);
	}
	for (size_t i = 0; i < 3; i++)
		qe_zone_free(zones[i]);
	assert_true(qe_policy_next_change(&(struct qe_policy_source){}, FRIDAY) == INT64_MAX);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets_are_those_of_the_system),
		cmocka_unit_test(broken_files_are_refused),
		cmocka_unit_test(names_lead_nowhere_else),
		cmocka_unit_test(days_and_hours_count),
		cmocka_unit_test(a_night_belongs_to_the_day_it_begins_on),
		cmocka_unit_test(the_zone_moves_the_hours),
		cmocka_unit_test(no_change_is_missed),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
