/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "config/builder.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_SIZE_MAX 64

struct qe_scope qe_builder_scope(struct qe_builder *builder)
{
	return (struct qe_scope){builder->config, builder->config->origins};
}

struct qe_scope qe_peer_scope(struct qe_config_peer *peer)
{
	return (struct qe_scope){peer, peer->origins};
}

/* ---- errors ---- */

void qe_origin_add_where(struct qe_text *to, const struct qe_config *config,
	const struct qe_schema_key *key, struct qe_origin origin)
{
	switch (origin.source) {
	case QE_SOURCE_DEFAULT:
		qe_text_add(to, "default");
		break;
	case QE_SOURCE_FILE:
		qe_text_add(to, config->file);
		break;
	case QE_SOURCE_ENVIRONMENT:
		qe_schema_add_environment(to, key);
		break;
	case QE_SOURCE_FLAG:
		/* Whatever a flag says of a peer comes from the one that names the peer. */
		qe_text_addf(to, "--%s", qe_schema_is_peer(key) ? "peer" : key->flag);
		break;
	}
}

void qe_builder_report(struct qe_builder *builder, const struct qe_schema_key *key,
	struct qe_origin origin, const char *format, ...)
{
	char where[sizeof builder->diagnostics->items[0].where];
	char name[sizeof builder->diagnostics->items[0].key];
	char text[sizeof builder->diagnostics->items[0].text];
	struct qe_text to_where = qe_text_init(where, sizeof where);
	struct qe_text to_name = qe_text_init(name, sizeof name);
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	qe_origin_add_where(&to_where, builder->config, key, origin);
	qe_schema_add_name(&to_name, key);
	qe_diagnostics_add(
		builder->diagnostics, where, origin.line, origin.column, name, "%s", text);
}

/* ---- values ---- */

static void *value_of(struct qe_scope scope, const struct qe_schema_key *key)
{
	return (char *)scope.base + key->offset;
}

static bool parse_item(struct qe_builder *builder, const struct qe_schema_key *key,
	const struct qe_item *item, void *to)
{
	char problem[240], expected[200];
	struct qe_text to_problem = qe_text_init(problem, sizeof problem);
	struct qe_text to_expected = qe_text_init(expected, sizeof expected);

	if (key->type->parse(to, item->text, key, &to_problem))
		return true;
	qe_schema_add_expected_item(&to_expected, key);
	qe_builder_report(builder, key, item->origin, "%s; expected %s", problem, expected);
	return false;
}

void qe_builder_set(struct qe_builder *builder, struct qe_scope scope,
	const struct qe_schema_key *key, const struct qe_item *item)
{
	alignas(max_align_t) char value[VALUE_SIZE_MAX];
	void *to = value_of(scope, key);

	assert(key->list_max == 0 && key->type->size <= sizeof value);
	scope.origins[qe_schema_origin(key)] = item->origin;
	if (!parse_item(builder, key, item, value))
		return;
	if (key->type->done)
		key->type->done(to);
	memcpy(to, value, key->type->size);
}

static void clear_list(struct qe_config_list *list, const struct qe_schema_type *type)
{
	for (size_t i = 0; type->done && i < list->n; i++)
		type->done((char *)list->items + i * type->size);
	free(list->items);
	free(list->origins);
	*list = (struct qe_config_list){};
}

/* Lists are short and built once: one more item, one more allocation of each. */
static bool grow_list(struct qe_config_list *list, size_t item_size)
{
	void *items = reallocarray(list->items, list->n + 1, item_size);
	if (!items)
		return false;
	list->items = items;
	void *origins = reallocarray(list->origins, list->n + 1, sizeof *list->origins);
	if (!origins)
		return false;
	list->origins = origins;
	return true;
}

void qe_builder_append(struct qe_builder *builder, struct qe_scope scope,
	const struct qe_schema_key *key, const struct qe_item *item)
{
	struct qe_config_list *list = value_of(scope, key);

	if (list->n == key->list_max) {
		qe_builder_report(builder, key, item->origin, "more than %zu items", key->list_max);
		return;
	}
	if (!grow_list(list, key->type->size)) {
		builder->error = -ENOMEM;
		return;
	}
	if (parse_item(builder, key, item, (char *)list->items + list->n * key->type->size))
		list->origins[list->n++] = item->origin;
}

void qe_builder_begin_list(
	struct qe_scope scope, const struct qe_schema_key *key, struct qe_origin origin)
{
	scope.origins[qe_schema_origin(key)] = origin;
	clear_list(value_of(scope, key), key->type);
}

static char *trim(char *text)
{
	text += strspn(text, " ");
	for (size_t len = strlen(text); len && text[len - 1] == ' '; len--)
		text[len - 1] = '\0';
	return text;
}

void qe_builder_append_items(struct qe_builder *builder, struct qe_scope scope,
	const struct qe_schema_key *key, const struct qe_item *items)
{
	const struct qe_schema_short *meant = qe_schema_find_short(key, items->text);
	char *copy = strdup(meant ? meant->list : items->text);

	if (!copy) {
		builder->error = -ENOMEM;
		return;
	}
	char *rest = trim(copy);
	if (*rest == '\0')
		rest = nullptr;
	while (rest) {
		struct qe_item item = {trim(strsep(&rest, ",")), items->origin};
		qe_builder_append(builder, scope, key, &item);
	}
	free(copy);
}

void qe_builder_set_list(struct qe_builder *builder, struct qe_scope scope,
	const struct qe_schema_key *key, const struct qe_item *item)
{
	const struct qe_schema_short *meant = qe_schema_find_short(key, item->text);
	struct qe_config_list *list = value_of(scope, key);

	qe_builder_begin_list(scope, key, item->origin);
	qe_builder_append_items(builder, scope, key, item);
	list->word = meant ? meant->word : nullptr;
}

/* ---- peers ---- */

struct qe_config_peer *qe_builder_add_peer(struct qe_builder *builder, struct qe_origin origin)
{
	struct qe_config *config = builder->config;

	if (config->n_peers == QE_PEERS_MAX) {
		qe_builder_report(builder, qe_schema_find(QE_SCHEMA_PEERS, "id"), origin,
			"more than %d peers", QE_PEERS_MAX);
		return nullptr;
	}
	if (config->n_peers == builder->peers_capacity) {
		size_t capacity = builder->peers_capacity ? builder->peers_capacity * 2 : 8;
		void *peers = reallocarray(config->peers, capacity, sizeof *config->peers);
		if (!peers) {
			builder->error = -ENOMEM;
			return nullptr;
		}
		config->peers = peers;
		builder->peers_capacity = capacity;
	}
	struct qe_config_peer *peer = &config->peers[config->n_peers++];
	*peer = (struct qe_config_peer){.origin = origin};
	return peer;
}

/* ---- the end ---- */

static void free_values(struct qe_scope scope, bool of_peer)
{
	for (size_t i = 0; i < QE_SCHEMA_KEYS; i++) {
		const struct qe_schema_key *key = &qe_schema[i];
		if (qe_schema_is_peer(key) != of_peer)
			continue;
		if (key->list_max)
			clear_list(value_of(scope, key), key->type);
		else if (key->type->done)
			key->type->done(value_of(scope, key));
	}
}

struct qe_config *qe_config_free(struct qe_config *config)
{
	if (!config)
		return nullptr;
	free_values((struct qe_scope){config, config->origins}, false);
	for (size_t i = 0; i < config->n_peers; i++) {
		free_values(qe_peer_scope(&config->peers[i]), true);
		free(config->peers[i].prefixes);
	}
	free(config->peers);
	free(config->local);
	free(config->forward);
	free(config->file);
	free(config->socket_path);
	free(config);
	return nullptr;
}
