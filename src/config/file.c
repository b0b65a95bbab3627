/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The file as a layer: walks the TOML tree along the schema. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/builder.h"
#include "config/toml.h"

#define DIGITS_SIZE 24
#define ENTRY_SIZE 512 /* of a table: a domain and an address fit */

static struct qe_origin origin_of(struct qe_toml_place place)
{
	return (struct qe_origin){QE_SOURCE_FILE, place.line, place.column};
}

/* ---- unknown keys ---- */

[[gnu::format(printf, 4, 5)]] static void report_at(struct qe_builder *builder,
	struct qe_toml_place place, const char *key, const char *format, ...)
{
	char text[sizeof builder->diagnostics->items[0].text];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	qe_diagnostics_add(builder->diagnostics, builder->config->file, place.line, place.column,
		key, "%s", text);
}

static void report_unknown_key(
	struct qe_builder *builder, const char *section, const struct qe_toml_value *value)
{
	const char *keys[QE_SCHEMA_KEYS];
	char name[64];
	size_t n = 0;

	for (size_t i = 0; i < QE_SCHEMA_KEYS; i++)
		if (strcmp(qe_schema[i].section, section) == 0)
			keys[n++] = qe_schema[i].key;
	const char *nearest = qe_text_nearest(value->key, keys, n);
	snprintf(name, sizeof name, "%s.%s", section, value->key);
	if (nearest)
		report_at(builder, value->key_place, name, "unknown key; did you mean \"%s\"?",
			nearest);
	else
		report_at(builder, value->key_place, name, "unknown key");
}

/* A key of the wrong place is a likelier mistake than a mistyped section. */
static void report_unknown_section(struct qe_builder *builder, const struct qe_toml_value *value)
{
	const char *sections[QE_SCHEMA_KEYS];

	for (size_t i = 0; i < QE_SCHEMA_KEYS; i++) {
		sections[i] = qe_schema[i].section;
		if (strcmp(qe_schema[i].key, value->key) == 0 && value->type != QE_TOML_TABLE) {
			report_at(builder, value->key_place, value->key,
				"outside of its section; expected under %s",
				qe_schema_is_peer(&qe_schema[i]) ? "[[peers]]" : sections[i]);
			return;
		}
	}
	const char *nearest = qe_text_nearest(value->key, sections, QE_SCHEMA_KEYS);
	if (nearest)
		report_at(builder, value->key_place, value->key,
			"unknown section; did you mean \"%s\"?", nearest);
	else
		report_at(builder, value->key_place, value->key, "unknown section");
}

/* ---- values ---- */

static void report_type(struct qe_builder *builder, const struct qe_schema_key *key,
	const struct qe_toml_value *value, bool item)
{
	char expected[200];
	struct qe_text to = qe_text_init(expected, sizeof expected);

	if (item)
		qe_schema_add_expected_item(&to, key);
	else
		qe_schema_add_expected(&to, key);
	qe_builder_report(builder, key, origin_of(value->place), "is %s; expected %s",
		qe_toml_type_name(value->type), expected);
}

static bool is_string(const struct qe_schema_type *type)
{
	return !type->integer && !type->boolean;
}

/* The value as a text, in digits if it is an integer; NULL if it is of another type than the key's.
 */
static const char *text_of(const struct qe_schema_key *key, const struct qe_toml_value *value,
	char digits[static DIGITS_SIZE])
{
	if (value->type == QE_TOML_STRING)
		return is_string(key->type) || key->zero ? value->string : nullptr;
	if (value->type == QE_TOML_BOOLEAN && key->type->boolean)
		return value->integer ? "true" : "false";
	if (value->type != QE_TOML_INTEGER || !key->type->integer)
		return nullptr;
	snprintf(digits, DIGITS_SIZE, "%" PRId64, value->integer);
	return digits;
}

/* A word that stands for a whole list, or NULL. */
static const char *short_of(const struct qe_schema_key *key, const struct qe_toml_value *value)
{
	static const char *const booleans[] = {"false", "true"};
	const char *word = value->type == QE_TOML_BOOLEAN  ? booleans[value->integer]
			   : value->type == QE_TOML_STRING ? value->string
							   : nullptr;

	return word && qe_schema_find_short(key, word) ? word : nullptr;
}

/* "corp.example" = "10.0.0.53" becomes "corp.example=10.0.0.53". Without quotes its dots make it a
 * table in a table. */
static void read_entry(struct qe_builder *builder, struct qe_scope scope,
	const struct qe_schema_key *key, const struct qe_toml_value *entry)
{
	char text[ENTRY_SIZE];
	struct qe_text to = qe_text_init(text, sizeof text);
	const struct qe_item item = {text, origin_of(entry->key_place)};

	if (entry->type == QE_TOML_TABLE) {
		qe_builder_report(builder, key, item.origin,
			"\"%.80s\" is a table; expected a name with dots in quotes", entry->key);
		return;
	}
	if (entry->type != QE_TOML_STRING) {
		report_type(builder, key, entry, true);
		return;
	}
	qe_text_addf(&to, "%s=%s", entry->key, entry->string);
	if (to.truncated)
		qe_builder_report(builder, key, item.origin, "\"%.80s...\" is too long", text);
	else
		qe_builder_append(builder, scope, key, &item);
}

static void read_table(struct qe_builder *builder, struct qe_scope scope,
	const struct qe_schema_key *key, const struct qe_toml_value *value)
{
	if (value->type != QE_TOML_TABLE) {
		report_type(builder, key, value, false);
		return;
	}
	qe_builder_begin_list(scope, key, origin_of(value->place));
	for (size_t i = 0; i < value->n && i <= key->list_max; i++)
		read_entry(builder, scope, key, &value->children[i]);
}

static void read_list(struct qe_builder *builder, struct qe_scope scope,
	const struct qe_schema_key *key, const struct qe_toml_value *value)
{
	const struct qe_item whole = {short_of(key, value), origin_of(value->place)};

	if (whole.text) {
		qe_builder_set_list(builder, scope, key, &whole);
		return;
	}
	if (key->type->table) {
		read_table(builder, scope, key, value);
		return;
	}
	if (value->type != QE_TOML_ARRAY) {
		report_type(builder, key, value, false);
		return;
	}
	qe_builder_begin_list(scope, key, origin_of(value->place));
	/* One more than fits, so that it is reported once. */
	for (size_t i = 0; i < value->n && i <= key->list_max; i++) {
		const struct qe_toml_value *child = &value->children[i];
		char digits[DIGITS_SIZE];
		struct qe_item item = {text_of(key, child, digits), origin_of(child->place)};
		if (item.text)
			qe_builder_append(builder, scope, key, &item);
		else
			report_type(builder, key, child, true);
	}
}

static void read_value(struct qe_builder *builder, struct qe_scope scope,
	const struct qe_schema_key *key, const struct qe_toml_value *value)
{
	char digits[DIGITS_SIZE];
	struct qe_item item = {text_of(key, value, digits), origin_of(value->place)};

	if (key->list_max)
		read_list(builder, scope, key, value);
	else if (item.text)
		qe_builder_set(builder, scope, key, &item);
	else
		report_type(builder, key, value, false);
}

static void read_keys(struct qe_builder *builder, struct qe_scope scope, const char *section,
	const struct qe_toml_value *table)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct qe_toml_value *value = &table->children[i];
		const struct qe_schema_key *key = qe_schema_find(section, value->key);
		if (key)
			read_value(builder, scope, key, value);
		else
			report_unknown_key(builder, section, value);
	}
}

/* ---- sections ---- */

static bool has_key(const struct qe_toml_value *table, const char *key)
{
	for (size_t i = 0; i < table->n; i++)
		if (strcmp(table->children[i].key, key) == 0)
			return true;
	return false;
}

static void read_peer(struct qe_builder *builder, const struct qe_toml_value *value)
{
	if (value->type != QE_TOML_TABLE) {
		report_at(builder, value->place, QE_SCHEMA_PEERS,
			"is %s; expected a table, [[peers]]", qe_toml_type_name(value->type));
		return;
	}
	struct qe_config_peer *peer = qe_builder_add_peer(builder, origin_of(value->place));
	if (!peer)
		return;
	read_keys(builder, qe_peer_scope(peer), QE_SCHEMA_PEERS, value);
	for (size_t i = 0; i < QE_SCHEMA_KEYS; i++)
		if (qe_schema_is_peer(&qe_schema[i]) && qe_schema[i].required &&
			!has_key(value, qe_schema[i].key))
			qe_builder_report(builder, &qe_schema[i], origin_of(value->place),
				"is missing; expected %s such as \"%s\"",
				qe_schema[i].type->expected, qe_schema[i].example);
}

static void read_section(struct qe_builder *builder, const struct qe_toml_value *value)
{
	bool peers = strcmp(value->key, QE_SCHEMA_PEERS) == 0;
	enum qe_toml_type type = peers ? QE_TOML_ARRAY : QE_TOML_TABLE;

	if (value->type != type) {
		report_at(builder, value->place, value->key, "is %s; expected %s",
			qe_toml_type_name(value->type),
			peers ? "[[peers]], once for each peer" : "one table");
		return;
	}
	if (!peers) {
		read_keys(builder, qe_builder_scope(builder), value->key, value);
		return;
	}
	for (size_t i = 0; i < value->n; i++)
		read_peer(builder, &value->children[i]);
}

void qe_builder_read_file(struct qe_builder *builder, struct qe_bytes text)
{
	struct qe_toml_error problem;
	struct qe_toml *toml;

	if (qe_toml_parse(&toml, text, &problem) != QE_OK) {
		report_at(builder, problem.place, nullptr, "%s", problem.text);
		return;
	}
	const struct qe_toml_value *root = qe_toml_root(toml);
	for (size_t i = 0; i < root->n; i++) {
		if (qe_schema_has_section(root->children[i].key))
			read_section(builder, &root->children[i]);
		else
			report_unknown_section(builder, &root->children[i]);
	}
	qe_toml_free(toml);
}
