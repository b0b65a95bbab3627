/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A zone is a list of times at which its clocks were put forward or back, and, for what lies behind
 * the last of them, a rule in the notation of POSIX ("CET-1CEST,M3.5.0,M10.5.0/3"). The C library
 * can tell one zone only, that of the whole process, so the files are read here.
 */
#include "policy/zone.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

constexpr int64_t HOUR = 3600;
constexpr int64_t DAY = 24 * HOUR;

enum date_kind : uint8_t { DATE_MONTH, DATE_DAY, DATE_DAY_OF_LEAP_YEAR };

/* A day of the year and a time of that day, at which the clocks change. */
struct date {
	enum date_kind kind;
	int month, week, weekday; /* DATE_MONTH: 1 to 12, 1 to 5 (the last), 0 (Sunday) to 6 */
	int day;      /* DATE_DAY: 1 to 365, never 29 February; DATE_DAY_OF_LEAP_YEAR: 0 to 365 */
	int32_t time; /* seconds from midnight, by the clocks before the change */
};

struct rule {
	bool summer;
	int32_t standard_offset, summer_offset;
	struct date begin, end; /* of summer time */
};

struct change {
	int64_t at;
	int32_t offset; /* from then on */
};

struct qe_zone {
	bool has_rule;
	struct rule rule;
	int32_t first_offset; /* before the first change */
	size_t n;
	struct change changes[];
};

bool qe_zone_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	/* No name of the database has a dot: nothing leads out of the folder. */
	return len > 0 && len < 64 && name[0] != '/' && name[len - 1] != '/' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/") ==
		       len;
}

/* ---- the rule's text ---- */

static bool take(struct qe_reader *text, char wanted)
{
	if (qe_reader_left(text) == 0 || *text->at != (uint8_t)wanted)
		return false;
	qe_read_skip(text, 1);
	return true;
}

/* A number of one to three digits, at most max; anything else is the reader's error. */
static int take_number(struct qe_reader *text, int max)
{
	int value = 0, digits = 0;

	while (qe_reader_left(text) > 0 && *text->at >= '0' && *text->at <= '9' && digits < 4) {
		value = value * 10 + (qe_read_u8(text) - '0');
		digits++;
	}
	if (digits == 0 || digits > 3 || value > max)
		text->error = QE_ERR_SYNTAX;
	return value;
}

/* "[+-]h[h[h]][:mm[:ss]]" */
static int32_t take_time(struct qe_reader *text)
{
	int sign = take(text, '-') ? -1 : 1;

	if (sign > 0)
		take(text, '+');
	int32_t seconds = take_number(text, 167) * 3600;
	if (take(text, ':'))
		seconds += take_number(text, 59) * 60;
	if (take(text, ':'))
		seconds += take_number(text, 59);
	return sign * seconds;
}

/* "CET" or "<+03>"; nobody asks for it. */
static void skip_name(struct qe_reader *text)
{
	bool quoted = take(text, '<');
	size_t len = 0;

	while (qe_reader_left(text) > len) {
		uint8_t byte = text->at[len];
		bool letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';

		if (!letter &&
			!(quoted && (byte == '+' || byte == '-' || (byte >= '0' && byte <= '9'))))
			break;
		len++;
	}
	qe_read_skip(text, len);
	if (len < 3 || (quoted && !take(text, '>')))
		text->error = QE_ERR_SYNTAX;
}

/* ",M3.5.0/2" */
static struct date take_date(struct qe_reader *text)
{
	struct date date = {.time = 2 * HOUR};

	if (!take(text, ','))
		text->error = QE_ERR_SYNTAX;
	if (take(text, 'M')) {
		date.kind = DATE_MONTH;
		date.month = take_number(text, 12);
		take(text, '.');
		date.week = take_number(text, 5);
		take(text, '.');
		date.weekday = take_number(text, 6);
		if (date.month == 0 || date.week == 0)
			text->error = QE_ERR_SYNTAX;
	} else {
		date.kind = take(text, 'J') ? DATE_DAY : DATE_DAY_OF_LEAP_YEAR;
		date.day = take_number(text, 365);
		if (date.kind == DATE_DAY && date.day == 0)
			text->error = QE_ERR_SYNTAX;
	}
	if (take(text, '/'))
		date.time = take_time(text);
	return date;
}

static enum qe_error parse_rule(struct rule *ret_rule, struct qe_bytes bytes)
{
	struct qe_reader text = qe_reader_init(bytes);
	struct rule rule = {};

	skip_name(&text);
	rule.standard_offset = -take_time(&text);
	if (qe_reader_left(&text) > 0) {
		rule.summer = true;
		skip_name(&text);
		rule.summer_offset = rule.standard_offset + HOUR;
		if (qe_reader_left(&text) > 0 && *text.at != ',')
			rule.summer_offset = -take_time(&text);
		rule.begin = take_date(&text);
		rule.end = take_date(&text);
	}
	if (text.error != QE_OK || qe_reader_left(&text) > 0)
		return QE_ERR_SYNTAX;
	*ret_rule = rule;
	return QE_OK;
}

/* ---- the rule's changes ---- */

static bool is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days from 1970 to the first of January. */
static int64_t year_begin(int64_t year)
{
	int64_t before = year - 1;

	return 365 * (year - 1970) + floor_div(before, 4) - floor_div(before, 100) +
	       floor_div(before, 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
}

static int64_t year_of(int64_t day)
{
	int64_t year = 1970 + floor_div(day, 366);

	while (day >= year_begin(year + 1))
		year++;
	while (day < year_begin(year))
		year--;
	return year;
}

/* Day of the year, from 0, of "the second Sunday of March". */
static int64_t day_of_month_rule(const struct date *date, int64_t year)
{
	static const int lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64_t first = 0;

	for (int month = 1; month < date->month; month++)
		first += lengths[month - 1] + (month == 2 && is_leap(year));

	int length = lengths[date->month - 1] + (date->month == 2 && is_leap(year));
	/* 1970 began with a Thursday, which is 4. */
	int64_t weekday = ((year_begin(year) + first + 4) % 7 + 7) % 7;
	int64_t day = (date->weekday - weekday + 7) % 7 + (date->week - 1) * 7;
	return first + (day < length ? day : day - 7);
}

static int64_t date_in_year(const struct date *date, int64_t year, int32_t offset_before)
{
	int64_t day = date->day;

	switch (date->kind) {
	case DATE_MONTH:
		day = day_of_month_rule(date, year);
		break;
	case DATE_DAY:
		day = date->day - 1 + (date->day > 59 && is_leap(year));
		break;
	case DATE_DAY_OF_LEAP_YEAR:
		break;
	}
	return (year_begin(year) + day) * DAY + date->time - offset_before;
}

static struct qe_zone_offset offset_by_rule(const struct rule *rule, int64_t now)
{
	struct qe_zone_offset found = {.seconds = rule->standard_offset, .until = INT64_MAX};

	if (!rule->summer)
		return found;

	int64_t year = year_of(floor_div(now, DAY)), latest = INT64_MIN;
	/* Where the end of one summer is the begin of the next, the begin counts: it comes last. */
	for (int64_t y = year - 1; y <= year + 1; y++) {
		struct change changes[2] = {
			{date_in_year(&rule->end, y, rule->summer_offset), rule->standard_offset},
			{date_in_year(&rule->begin, y, rule->standard_offset), rule->summer_offset},
		};
		for (size_t i = 0; i < 2; i++) {
			if (changes[i].at > now && changes[i].at < found.until)
				found.until = changes[i].at;
			if (changes[i].at <= now && changes[i].at >= latest) {
				latest = changes[i].at;
				found.seconds = changes[i].offset;
			}
		}
	}
	return found;
}

/* ---- the file ---- */

struct counts {
	uint32_t utc, standard, leaps, times, types, letters;
};

static uint8_t read_head(struct qe_reader *file, struct counts *ret_counts)
{
	struct qe_bytes magic = qe_read_bytes(file, 4);
	uint8_t version = qe_read_u8(file);

	if (!qe_bytes_equal(magic, (struct qe_bytes){(const uint8_t *)"TZif", 4}))
		file->error = QE_ERR_SYNTAX;
	qe_read_skip(file, 15);
	*ret_counts = (struct counts){
		.utc = qe_read_u32(file),
		.standard = qe_read_u32(file),
		.leaps = qe_read_u32(file),
		.times = qe_read_u32(file),
		.types = qe_read_u32(file),
		.letters = qe_read_u32(file),
	};
	return version;
}

/* What stands behind the types, and nobody asks for. */
static void skip_tail(struct qe_reader *file, const struct counts *counts, size_t time_size)
{
	qe_read_skip(file, counts->letters);
	qe_read_skip(file, counts->leaps * (time_size + 4));
	qe_read_skip(file, counts->standard);
	qe_read_skip(file, counts->utc);
}

static void skip_block(struct qe_reader *file, const struct counts *counts, size_t time_size)
{
	qe_read_skip(file, counts->times * (time_size + 1));
	qe_read_skip(file, counts->types * (size_t)6);
	skip_tail(file, counts, time_size);
}

/* The offset of a type: the types are six bytes each. */
static int32_t type_offset(struct qe_bytes types, size_t type)
{
	return (int32_t)qe_load_u32(types.data + type * 6);
}

static enum qe_error fill_changes(
	struct qe_zone *zone, struct qe_bytes times, struct qe_bytes which, struct qe_bytes types)
{
	struct qe_reader reader = qe_reader_init(times);

	for (size_t i = 0; i < zone->n; i++) {
		int64_t at = (int64_t)qe_read_u64(&reader);

		if (which.data[i] >= types.len / 6 || (i > 0 && at <= zone->changes[i - 1].at))
			return QE_ERR_SYNTAX;
		zone->changes[i] = (struct change){at, type_offset(types, which.data[i])};
	}
	zone->first_offset = type_offset(types, 0);
	return QE_OK;
}

/* The rule stands between two line feeds at the end; it may be empty. */
static enum qe_error fill_rule(struct qe_zone *zone, struct qe_reader *file)
{
	struct qe_bytes rest = qe_read_bytes(file, qe_reader_left(file));
	const uint8_t *end = rest.len > 0 ? memchr(rest.data + 1, '\n', rest.len - 1) : nullptr;

	if (end == nullptr || rest.data[0] != '\n')
		return QE_ERR_SYNTAX;
	zone->has_rule = end > rest.data + 1;
	if (!zone->has_rule)
		return QE_OK;
	return parse_rule(
		&zone->rule, (struct qe_bytes){rest.data + 1, (size_t)(end - rest.data) - 1});
}

enum qe_error qe_zone_new(struct qe_zone **ret_zone, struct qe_bytes bytes)
{
	struct qe_reader file = qe_reader_init(bytes);
	struct counts counts;

	if (bytes.len > QE_ZONE_FILE_MAX)
		return QE_ERR_RANGE;
	/* The first block is for readers that know 32-bit times only. */
	if (read_head(&file, &counts) < '2')
		return QE_ERR_SYNTAX;
	skip_block(&file, &counts, 4);
	read_head(&file, &counts);

	struct qe_bytes times = qe_read_bytes(&file, counts.times * (size_t)8);
	struct qe_bytes which = qe_read_bytes(&file, counts.times);
	struct qe_bytes types = qe_read_bytes(&file, counts.types * (size_t)6);
	skip_tail(&file, &counts, 8);
	/* A file that counts leap seconds ("right/...") has another time than this machine. */
	if (file.error != QE_OK || counts.types == 0 || counts.leaps > 0)
		return QE_ERR_SYNTAX;

	struct qe_zone *zone = calloc(1, sizeof(*zone) + counts.times * sizeof(zone->changes[0]));
	if (zone == nullptr)
		return -ENOMEM;
	zone->n = counts.times;

	enum qe_error error = fill_changes(zone, times, which, types);
	if (error == QE_OK)
		error = fill_rule(zone, &file);
	if (error != QE_OK) {
		free(zone);
		return error;
	}
	*ret_zone = zone;
	return QE_OK;
}

struct qe_zone *qe_zone_free(struct qe_zone *zone)
{
	free(zone);
	return nullptr;
}

struct qe_zone_offset qe_zone_offset_at(const struct qe_zone *zone, int64_t now)
{
	size_t low = 0, high = zone->n; /* how many changes have been */

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (zone->changes[middle].at <= now)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == zone->n && zone->has_rule)
		return offset_by_rule(&zone->rule, now);
	return (struct qe_zone_offset){
		.seconds = low > 0 ? zone->changes[low - 1].offset : zone->first_offset,
		.until = low < zone->n ? zone->changes[low].at : INT64_MAX,
	};
}
