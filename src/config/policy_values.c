/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "config/policy_values.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/schema.h"
#include "config/text_file.h"
#include "crypto/node_id.h"
#include "net/packet.h"
#include "policy/zone.h"

#define SHOWN_MAX 80 /* characters of a wrong value that an error repeats */
#define ZONE_FOLDER "/usr/share/zoneinfo/"
#define NODE "node:"
#define GROUP "group:"

/* ---- what is wrong ---- */

bool qe_policy_out_of_memory(struct qe_policy_reader *reader)
{
	reader->error = -ENOMEM;
	return false;
}

struct qe_policy_place qe_policy_place_of(struct qe_toml_place place)
{
	return (struct qe_policy_place){place.line, place.column};
}

static void report(struct qe_policy_reader *reader, struct qe_toml_place place, const char *key,
	const char *text)
{
	char name[64];

	snprintf(name, sizeof name, "%s.%s", reader->section, key);
	qe_diagnostics_add(
		reader->diagnostics, reader->file, place.line, place.column, name, "%s", text);
}

bool qe_policy_refuse(
	struct qe_policy_reader *reader, const struct qe_toml_value *value, const char *format, ...)
{
	char text[sizeof reader->diagnostics->items[0].text];
	struct qe_text to = qe_text_init(text, sizeof text);
	char why[240];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof why, format, args);
	va_end(args);
	qe_text_addf(&to, "%s; expected %s", why, reader->key->expected);
	report(reader, value->place, reader->key->name, text);
	return false;
}

bool qe_policy_refuse_type(struct qe_policy_reader *reader, const struct qe_toml_value *value)
{
	return qe_policy_refuse(reader, value, "is %s", qe_toml_type_name(value->type));
}

/* "WORD" and what is wrong with it. */
static bool refuse_word(
	struct qe_policy_reader *reader, const struct qe_toml_value *value, const char *why)
{
	return qe_policy_refuse(reader, value, "\"%.*s%s\" %s", SHOWN_MAX, value->string,
		strlen(value->string) > SHOWN_MAX ? "..." : "", why);
}

static bool refuse_unknown(struct qe_policy_reader *reader, const struct qe_toml_value *value,
	const char *const *words, size_t n)
{
	const char *nearest = qe_text_nearest(value->string, words, n);
	char why[80];

	if (!nearest)
		return refuse_word(reader, value, "is unknown");
	snprintf(why, sizeof why, "is unknown (did you mean \"%s\"?)", nearest);
	return refuse_word(reader, value, why);
}

/* ---- tables ---- */

#define KEYS_MAX 16

const struct qe_policy_key *qe_policy_find_key(const struct qe_policy_key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return nullptr;
}

static bool report_unknown_key(struct qe_policy_reader *reader, const struct qe_policy_key *keys,
	const struct qe_toml_value *value)
{
	const char *names[KEYS_MAX];
	char text[80] = "unknown key";
	size_t n = 0;

	for (; keys[n].name; n++)
		names[n] = keys[n].name;
	const char *nearest = qe_text_nearest(value->key, names, n);
	if (nearest)
		snprintf(text, sizeof text, "unknown key; did you mean \"%s\"?", nearest);
	report(reader, value->key_place, value->key, text);
	return false;
}

static bool has_key(const struct qe_toml_value *table, const char *key)
{
	for (size_t i = 0; i < table->n; i++)
		if (strcmp(table->children[i].key, key) == 0)
			return true;
	return false;
}

static bool read_keys(struct qe_policy_reader *reader, const struct qe_policy_key *keys, void *to,
	const struct qe_toml_value *table)
{
	bool ok = true;

	for (size_t i = 0; i < table->n; i++) {
		const struct qe_toml_value *value = &table->children[i];

		reader->key = qe_policy_find_key(keys, value->key);
		ok &= reader->key ? reader->key->read(reader, to, value)
				  : report_unknown_key(reader, keys, value);
	}
	for (; keys->name; keys++) {
		reader->key = keys;
		if (keys->required && !has_key(table, keys->name))
			ok = qe_policy_refuse(reader, table, "is missing");
	}
	return ok;
}

bool qe_policy_read_table(struct qe_policy_reader *reader, const char *section,
	const struct qe_policy_key *keys, void *to, const struct qe_toml_value *table)
{
	const struct qe_policy_reader outer = *reader;

	if (table->type != QE_TOML_TABLE) {
		qe_diagnostics_add(reader->diagnostics, reader->file, table->place.line,
			table->place.column, section, "is %s; expected a table",
			qe_toml_type_name(table->type));
		return false;
	}
	reader->section = section;
	bool ok = read_keys(reader, keys, to, table);
	reader->section = outer.section;
	reader->key = outer.key;
	return ok;
}

/* ---- lists ---- */

/* A value alone stands for a list of one. */
static const struct qe_toml_value *items_of(const struct qe_toml_value *value, size_t *ret_n)
{
	bool list = value->type == QE_TOML_ARRAY;

	*ret_n = list ? value->n : 1;
	return list ? value->children : value;
}

static bool check_list(struct qe_policy_reader *reader, const struct qe_toml_value *value, size_t n)
{
	if (n == 0)
		return qe_policy_refuse(reader, value, "is empty, so that nothing can match");
	if (n > QE_POLICY_LIST_MAX)
		return qe_policy_refuse(
			reader, value, "has more than %d items", QE_POLICY_LIST_MAX);
	return true;
}

/* ---- nodes, groups, prefixes ---- */

bool qe_policy_read_name(
	struct qe_policy_reader *reader, char **to, const struct qe_toml_value *value)
{
	char text[240];
	struct qe_text problem = qe_text_init(text, sizeof text);

	if (value->type != QE_TOML_STRING)
		return qe_policy_refuse_type(reader, value);
	if (qe_type_name.parse(to, value->string, nullptr, &problem))
		return true;
	return qe_policy_refuse(reader, value, "%s", text);
}

/* name: what stands behind "node:" or "group:", or the whole string. */
static bool read_reference(struct qe_policy_reader *reader, enum qe_policy_term_kind kind,
	struct qe_policy_term *to, const struct qe_toml_value *value, const char *name)
{
	struct qe_toml_value part = *value;

	part.string = name;
	to->kind = kind;
	if (kind != QE_POLICY_NODE || qe_node_id_parse(&to->id, name) != QE_OK)
		return qe_policy_read_name(reader, &to->name, &part);
	to->kind = QE_POLICY_NODE_ID;
	return true;
}

static bool read_prefix(struct qe_policy_reader *reader, struct qe_policy_term *to,
	const struct qe_toml_value *value)
{
	char text[240];
	struct qe_text problem = qe_text_init(text, sizeof text);

	to->kind = QE_POLICY_PREFIX;
	if (qe_type_prefix.parse(&to->prefix, value->string, nullptr, &problem))
		return true;
	return qe_policy_refuse(reader, value, "%s", text);
}

/* Nothing that a prefix begins with. */
static bool is_bare_name(const char *text)
{
	return text[strspn(text, "0123456789abcdefABCDEF.:/")] != '\0' && !strchr(text, ':');
}

static bool read_place(struct qe_policy_reader *reader, enum qe_terms terms,
	struct qe_policy_term *to, const struct qe_toml_value *value)
{
	if (is_bare_name(value->string))
		return qe_policy_refuse(reader, value,
			"\"%.*s\" is not a prefix (did you mean \"" NODE "%.*s\"?)", SHOWN_MAX,
			value->string, SHOWN_MAX, value->string);
	if (!read_prefix(reader, to, value))
		return false;
	return terms != QE_TERMS_TO || to->prefix.length == qe_addr_bits(&to->prefix.addr) ||
	       refuse_word(reader, value, "is more than one address");
}

bool qe_policy_read_term(struct qe_policy_reader *reader, enum qe_terms terms,
	struct qe_policy_term *to, const struct qe_toml_value *value)
{
	bool single = terms == QE_TERMS_FROM || terms == QE_TERMS_TO;
	bool place = terms == QE_TERMS_OBJECT || terms == QE_TERMS_TO;
	const char *text = value->string;

	to->place = qe_policy_place_of(value->place);
	if (value->type != QE_TOML_STRING)
		return qe_policy_refuse_type(reader, value);
	if (strcmp(text, "*") == 0 && !single && terms != QE_TERMS_MEMBER) {
		to->kind = QE_POLICY_ANY;
		return true;
	}
	if (strncmp(text, GROUP, strlen(GROUP)) == 0 && !single)
		return read_reference(reader, QE_POLICY_GROUP, to, value, text + strlen(GROUP));
	if (strncmp(text, NODE, strlen(NODE)) == 0)
		return read_reference(reader, QE_POLICY_NODE, to, value, text + strlen(NODE));
	if (place)
		return read_place(reader, terms, to, value);
	return read_reference(reader, QE_POLICY_NODE, to, value, text);
}

bool qe_policy_read_terms(struct qe_policy_reader *reader, enum qe_terms terms,
	struct qe_policy_term **to, size_t *n, const struct qe_toml_value *value)
{
	size_t n_items;
	const struct qe_toml_value *items = items_of(value, &n_items);
	bool ok = true;

	/* A group may wait for its members. */
	if (!(terms == QE_TERMS_MEMBER && n_items == 0) && !check_list(reader, value, n_items))
		return false;
	*to = calloc(n_items + 1, sizeof **to);
	if (!*to)
		return qe_policy_out_of_memory(reader);
	for (size_t i = 0; i < n_items; i++)
		ok &= qe_policy_read_term(reader, terms, &(*to)[(*n)++], &items[i]);
	return ok;
}

/* ---- protocols and ports ---- */

static const struct word {
	const char *word;
	unsigned value;
} protocols[] =
	{
		{"any", QE_POLICY_PROTOCOL_ANY},
		{"tcp", QE_IP_TCP},
		{"udp", QE_IP_UDP},
		{"icmp", QE_POLICY_PROTOCOL_ICMP},
		{},
},
  actions[] =
	  {
		  {"deny", QE_ACTION_DENY},
		  {"allow", QE_ACTION_ALLOW},
		  {},
},
  days[] = {
	  {"mon", 0},
	  {"tue", 1},
	  {"wed", 2},
	  {"thu", 3},
	  {"fri", 4},
	  {"sat", 5},
	  {"sun", 6},
	  {},
};

#define WORDS_MAX 7

static bool read_word(struct qe_policy_reader *reader, const struct word *words,
	unsigned *ret_value, const struct qe_toml_value *value)
{
	const char *known[WORDS_MAX];
	size_t n = 0;

	if (value->type != QE_TOML_STRING)
		return qe_policy_refuse_type(reader, value);
	for (; words[n].word; n++) {
		known[n] = words[n].word;
		if (strcmp(words[n].word, value->string) == 0) {
			*ret_value = words[n].value;
			return true;
		}
	}
	return refuse_unknown(reader, value, known, n);
}

static bool check_integer(
	struct qe_policy_reader *reader, const struct qe_toml_value *value, int64_t max)
{
	if (value->integer >= 0 && value->integer <= max)
		return true;
	return qe_policy_refuse(reader, value, "%" PRId64 " is out of range", value->integer);
}

bool qe_policy_read_action(
	struct qe_policy_reader *reader, enum qe_action *to, const struct qe_toml_value *value)
{
	unsigned action;

	if (!read_word(reader, actions, &action, value))
		return false;
	*to = (enum qe_action)action;
	return true;
}

bool qe_policy_read_protocol(
	struct qe_policy_reader *reader, uint16_t *to, const struct qe_toml_value *value)
{
	unsigned protocol;

	if (value->type == QE_TOML_INTEGER) {
		if (!check_integer(reader, value, UINT8_MAX))
			return false;
		*to = (uint16_t)value->integer;
		return true;
	}
	if (!read_word(reader, protocols, &protocol, value))
		return false;
	*to = (uint16_t)protocol;
	return true;
}

bool qe_policy_read_protocols(struct qe_policy_reader *reader, uint16_t **to, size_t *n,
	const struct qe_toml_value *value)
{
	size_t n_items;
	const struct qe_toml_value *items = items_of(value, &n_items);

	if (!check_list(reader, value, n_items))
		return false;
	*to = calloc(n_items, sizeof **to);
	if (!*to)
		return qe_policy_out_of_memory(reader);
	for (size_t i = 0; i < n_items; i++) {
		uint16_t protocol;

		if (!qe_policy_read_protocol(reader, &protocol, &items[i]))
			return false;
		if (protocol == QE_POLICY_PROTOCOL_ANY && n_items > 1)
			return refuse_word(reader, &items[i], "stands alone");
		if (protocol != QE_POLICY_PROTOCOL_ANY) /* which is no protocol in the source */
			(*to)[(*n)++] = protocol;
	}
	return true;
}

/* Digits that make a port, up to a character. */
static bool take_port(const char **at, char end, uint16_t *ret_port)
{
	unsigned port = 0;
	const char *digit = *at;

	for (; isdigit((unsigned char)*digit) && digit - *at < 5; digit++)
		port = port * 10 + (unsigned)(*digit - '0');
	if (digit == *at || *digit != end || port > UINT16_MAX)
		return false;
	*at = digit + 1;
	*ret_port = (uint16_t)port;
	return true;
}

bool qe_policy_read_range(struct qe_policy_reader *reader, struct qe_policy_ports *to,
	const struct qe_toml_value *value)
{
	const char *at = value->string;

	if (value->type == QE_TOML_INTEGER) {
		if (!check_integer(reader, value, UINT16_MAX))
			return false;
		to->first = to->last = (uint16_t)value->integer;
		return true;
	}
	if (value->type != QE_TOML_STRING)
		return qe_policy_refuse_type(reader, value);
	if (!take_port(&at, '-', &to->first) || !take_port(&at, '\0', &to->last))
		return refuse_word(reader, value, "is not a range of ports");
	return to->first <= to->last || refuse_word(reader, value, "ends before it begins");
}

bool qe_policy_read_ports(struct qe_policy_reader *reader, struct qe_policy_ports **to, size_t *n,
	const struct qe_toml_value *value)
{
	size_t n_items;
	const struct qe_toml_value *items = items_of(value, &n_items);
	bool ok = true;

	if (!check_list(reader, value, n_items))
		return false;
	*to = calloc(n_items, sizeof **to);
	if (!*to)
		return qe_policy_out_of_memory(reader);
	for (size_t i = 0; i < n_items; i++)
		ok &= qe_policy_read_range(reader, &(*to)[(*n)++], &items[i]);
	return ok;
}

/* ---- schedules ---- */

/* The three letters at at, which are a part of the value. */
static bool read_day(struct qe_policy_reader *reader, unsigned *ret_day,
	const struct qe_toml_value *value, const char *at)
{
	struct qe_toml_value part = *value;
	char word[4];

	snprintf(word, sizeof word, "%.3s", at);
	part.string = word;
	return read_word(reader, days, ret_day, &part);
}

/* "mon", or "fri-mon", which goes over the end of the week. */
static bool read_day_range(
	struct qe_policy_reader *reader, uint8_t *to, const struct qe_toml_value *value)
{
	bool range = value->type == QE_TOML_STRING && strlen(value->string) == 7 &&
		     value->string[3] == '-';
	unsigned first, last;

	if (range ? !read_day(reader, &first, value, value->string) ||
				!read_day(reader, &last, value, value->string + 4)
		  : !read_word(reader, days, &first, value))
		return false;
	*to |= (uint8_t)(1 << first);
	for (unsigned day = first; range && day != last; *to |= (uint8_t)(1 << day))
		day = (day + 1) % 7;
	return true;
}

bool qe_policy_read_days(
	struct qe_policy_reader *reader, uint8_t *to, const struct qe_toml_value *value)
{
	size_t n;
	const struct qe_toml_value *items = items_of(value, &n);
	bool ok = true;

	if (!check_list(reader, value, n))
		return false;
	*to = 0;
	for (size_t i = 0; i < n; i++)
		ok &= read_day_range(reader, to, &items[i]);
	return ok;
}

/* "09:30" in minutes since midnight. */
static bool take_time(const char *text, uint16_t *ret_minutes)
{
	unsigned hour = (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
	unsigned minute = (unsigned)(text[3] - '0') * 10 + (unsigned)(text[4] - '0');

	*ret_minutes = (uint16_t)(hour * 60 + minute);
	return minute < 60 && *ret_minutes <= 24 * 60;
}

/* Digits where the form has zeros, and otherwise the same characters. */
static bool looks_like(const char *text, const char *form)
{
	for (; *form; form++, text++)
		if (*form == '0' ? !isdigit((unsigned char)*text) : *text != *form)
			return false;
	return *text == '\0';
}

bool qe_policy_read_hours(
	struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_schedule *schedule = to;

	if (value->type != QE_TOML_STRING)
		return qe_policy_refuse_type(reader, value);
	if (!looks_like(value->string, "00:00-00:00") ||
		!take_time(value->string, &schedule->from) ||
		!take_time(value->string + 6, &schedule->until) || schedule->from == 24 * 60)
		return refuse_word(reader, value, "is not a range of hours");
	return schedule->from != schedule->until || refuse_word(reader, value, "is empty");
}

bool qe_policy_read_week_time(
	struct qe_policy_reader *reader, uint16_t *to, const struct qe_toml_value *value)
{
	const char *text = value->string;
	unsigned day;
	uint16_t minutes;

	if (value->type != QE_TOML_STRING)
		return qe_policy_refuse_type(reader, value);
	if (strlen(text) != 9 || !looks_like(text + 3, " 00:00") ||
		!take_time(text + 4, &minutes) || minutes == 24 * 60)
		return refuse_word(reader, value, "is not a time of the week");
	if (!read_day(reader, &day, value, text))
		return false;
	*to = (uint16_t)(day * 24 * 60 + minutes);
	return true;
}

bool qe_policy_read_zone(
	struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value)
{
	struct qe_policy_schedule *schedule = to;
	char path[sizeof ZONE_FOLDER + 64], *text;
	size_t len;

	if (value->type != QE_TOML_STRING)
		return qe_policy_refuse_type(reader, value);
	int wanted = snprintf(path, sizeof path, ZONE_FOLDER "%s", value->string);
	if (!qe_zone_name_is_valid(value->string) || (size_t)wanted >= sizeof path)
		return refuse_word(reader, value, "is not a time zone");
	if (qe_text_file_read(&text, &len, path, QE_ZONE_FILE_MAX) != QE_OK)
		return refuse_word(reader, value, "is unknown here: " ZONE_FOLDER " lacks it");
	enum qe_error error = qe_zone_new(&schedule->zone, (struct qe_bytes){(uint8_t *)text, len});
	free(text);
	if (error == -ENOMEM || !(schedule->zone_name = strdup(value->string)))
		return qe_policy_out_of_memory(reader);
	return error == QE_OK ||
	       refuse_word(reader, value, "has a file that is none of a time zone");
}
