/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The effective configuration as a text. TOML's basic strings and JSON's are close enough to share
 * their escapes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/builder.h"

#define VALUE_TEXT_SIZE 8192 /* of one value or one item; the longest is a path */
#define COMMENT_COLUMN 48

static const void *value_of(const void *base, const struct qe_schema_key *key)
{
	return (const char *)base + key->offset;
}

/* A text that was not given. */
static bool is_absent(const void *base, const struct qe_schema_key *key)
{
	const void *value = value_of(base, key);

	if (key->list_max)
		return ((const struct qe_config_list *)value)->n == 0;
	return key->type->text && !*(char *const *)value;
}

static int put_string(FILE *to, const char *text)
{
	int len = fprintf(to, "\"");

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '"' || c == '\\')
			len += fprintf(to, "\\%c", c);
		else if (c < ' ' || c == 0x7f)
			len += fprintf(to, "\\u%04x", c);
		else
			len += fprintf(to, "%c", c);
	}
	return len + fprintf(to, "\"");
}

/* "NAME=VALUE" of a table. */
static int put_entry(FILE *to, const char *text, enum qe_config_format format)
{
	const char *equals = strchr(text, '=');
	char name[VALUE_TEXT_SIZE];

	snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
	int len = put_string(to, name);
	len += fprintf(to, format == QE_CONFIG_TOML ? " = " : ": ");
	return len + put_string(to, equals + 1);
}

static int put_item(
	FILE *to, const struct qe_schema_key *key, const void *value, enum qe_config_format format)
{
	char text[VALUE_TEXT_SIZE];
	struct qe_text to_text = qe_text_init(text, sizeof text);

	key->type->format(&to_text, value, key);
	if (key->type->table)
		return put_entry(to, text, format);
	bool bare = key->type->boolean ||
		    (key->type->integer && !(key->zero && strcmp(text, key->zero) == 0));
	return bare ? fprintf(to, "%s", text) : put_string(to, text);
}

static int put_list(FILE *to, const struct qe_schema_key *key, const struct qe_config_list *list,
	enum qe_config_format format)
{
	int len = fprintf(to, key->type->table ? "{" : "[");

	for (size_t i = 0; i < list->n; i++) {
		len += fprintf(to, "%s", i ? ", " : "");
		len += put_item(to, key, (const char *)list->items + i * key->type->size, format);
	}
	return len + fprintf(to, key->type->table ? "}" : "]");
}

/* A word without items says what an empty list does not. */
static int put_value(
	FILE *to, const struct qe_schema_key *key, const void *base, enum qe_config_format format)
{
	const void *value = value_of(base, key);
	const struct qe_config_list *list = value;

	if (key->list_max == 0)
		return put_item(to, key, value, format);
	if (list->word && list->n == 0)
		return qe_schema_is_bare(list->word) ? fprintf(to, "%s", list->word)
						     : put_string(to, list->word);
	return put_list(to, key, list, format);
}

/* "default", "line 7", "QUICETHER_NETWORK_MTU" or "--listen". */
static void put_source(FILE *to, const struct qe_config *config, const struct qe_schema_key *key,
	struct qe_origin origin)
{
	char where[128];
	struct qe_text text = qe_text_init(where, sizeof where);

	if (origin.source == QE_SOURCE_FILE) {
		fprintf(to, "line %u", origin.line);
		return;
	}
	qe_origin_add_where(&text, config, key, origin);
	fprintf(to, "%s", where);
}

/* ---- TOML ---- */

static void toml_key(FILE *to, const struct qe_config *config, const struct qe_schema_key *key,
	const void *base, struct qe_origin origin)
{
	int len = fprintf(to, "%s = ", key->key);

	len += put_value(to, key, base, QE_CONFIG_TOML);
	fprintf(to, "%*s # ", len < COMMENT_COLUMN ? COMMENT_COLUMN - len : 0, "");
	put_source(to, config, key, origin);
	fprintf(to, "\n");
}

static void toml_peer(FILE *to, const struct qe_config *config, const struct qe_config_peer *peer)
{
	fprintf(to, "\n[[peers]]\n");
	for (size_t i = QE_CONFIG_KEYS; i < QE_SCHEMA_KEYS; i++)
		if (!is_absent(peer, &qe_schema[i]))
			toml_key(
				to, config, &qe_schema[i], peer, peer->origins[i - QE_CONFIG_KEYS]);
}

static void show_toml(FILE *to, const struct qe_config *config)
{
	const char *section = "";

	if (config->file)
		fprintf(to, "# From ");
	if (config->file)
		put_string(to, config->file);
	fprintf(to, "%s\n", config->file ? "" : "# No file was found.");
	for (size_t i = 0; i < QE_CONFIG_KEYS; i++) {
		if (strcmp(section, qe_schema[i].section) != 0)
			fprintf(to, "\n[%s]\n", qe_schema[i].section);
		section = qe_schema[i].section;
		if (qe_schema[i].list_max || !is_absent(config, &qe_schema[i]))
			toml_key(to, config, &qe_schema[i], config, config->origins[i]);
	}
	for (size_t i = 0; i < config->n_peers; i++)
		toml_peer(to, config, &config->peers[i]);
}

/* ---- JSON ---- */

static void json_key(
	FILE *to, const char *between, const struct qe_schema_key *key, const void *base)
{
	fprintf(to, "%s\"%s\": ", between, key->key);
	if (key->list_max == 0 && is_absent(base, key))
		fprintf(to, "null");
	else
		put_value(to, key, base, QE_CONFIG_JSON);
}

static void json_peer(FILE *to, const struct qe_config_peer *peer)
{
	const char *between = "{";

	for (size_t i = QE_CONFIG_KEYS; i < QE_SCHEMA_KEYS; i++) {
		const struct qe_schema_key *key = &qe_schema[i];
		json_key(to, between, key, peer);
		between = ", ";
	}
	fprintf(to, "}");
}

static void json_sections(FILE *to, const struct qe_config *config)
{
	const char *section = "";

	for (size_t i = 0; i < QE_CONFIG_KEYS; i++) {
		const struct qe_schema_key *key = &qe_schema[i];
		bool begins = strcmp(section, key->section) != 0;
		if (begins)
			fprintf(to, "%s\"%s\": {", i ? "}, " : "", key->section);
		section = key->section;
		json_key(to, begins ? "" : ", ", key, config);
	}
	fprintf(to, "}");
}

static void json_sources(FILE *to, const struct qe_config *config)
{
	for (size_t i = 0; i < QE_CONFIG_KEYS; i++) {
		const struct qe_schema_key *key = &qe_schema[i];
		fprintf(to, "%s\"%s.%s\": \"", i ? ", " : "", key->section, key->key);
		put_source(to, config, key, config->origins[i]);
		fprintf(to, "\"");
	}
}

static void show_json(FILE *to, const struct qe_config *config)
{
	fprintf(to, "{\"file\": ");
	if (config->file)
		put_string(to, config->file);
	else
		fprintf(to, "null");
	fprintf(to, ", ");
	json_sections(to, config);
	fprintf(to, ", \"peers\": [");
	for (size_t i = 0; i < config->n_peers; i++) {
		fprintf(to, "%s", i ? ", " : "");
		json_peer(to, &config->peers[i]);
	}
	fprintf(to, "], \"sources\": {");
	json_sources(to, config);
	fprintf(to, "}}\n");
}

enum qe_error qe_config_show(
	char **ret_text, const struct qe_config *config, enum qe_config_format format)
{
	char *text = nullptr;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return qe_error_errno();
	if (format == QE_CONFIG_TOML)
		show_toml(to, config);
	else
		show_json(to, config);
	bool failed = ferror(to);
	if (fclose(to) != 0 || failed) {
		free(text);
		return -ENOMEM;
	}
	*ret_text = text;
	return QE_OK;
}
