/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The environment and the flags as layers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/builder.h"
#include "crypto/node_id.h"

#define PREFIX "QUICETHER_"
#define ENVIRONMENT_NAME_MAX 64

/* ---- environment ---- */

static void read_variable(
	struct qe_builder *builder, const struct qe_schema_key *key, const char *text)
{
	const struct qe_origin origin = {.source = QE_SOURCE_ENVIRONMENT};
	const struct qe_item item = {text, origin};
	struct qe_scope scope = qe_builder_scope(builder);

	if (key->list_max == 0)
		qe_builder_set(builder, scope, key, &item);
	else
		qe_builder_set_list(builder, scope, key, &item);
}

/* Whether a name is QUICETHER_SECTION_ and more: other programs' variables, and those that are no
 * keys, are not ours to judge. */
static bool names_section(const char *name)
{
	for (size_t i = 0; i < QE_SCHEMA_KEYS; i++) {
		const char *section = qe_schema[i].section;
		size_t len = strlen(section);
		if (strncmp(name, PREFIX, strlen(PREFIX)) == 0 &&
			strncasecmp(name + strlen(PREFIX), section, len) == 0 &&
			name[strlen(PREFIX) + len] == '_')
			return true;
	}
	return false;
}

static void report_unknown_variable(struct qe_builder *builder, const char *name)
{
	char names[QE_CONFIG_KEYS][ENVIRONMENT_NAME_MAX];
	const char *words[QE_CONFIG_KEYS];

	for (size_t i = 0; i < QE_CONFIG_KEYS; i++) {
		struct qe_text to = qe_text_init(names[i], sizeof names[i]);
		qe_schema_add_environment(&to, &qe_schema[i]);
		words[i] = names[i];
	}
	const char *nearest = qe_text_nearest(name, words, QE_CONFIG_KEYS);
	if (nearest)
		qe_diagnostics_add(builder->diagnostics, name, 0, 0, nullptr,
			"unknown variable; did you mean \"%s\"?", nearest);
	else
		qe_diagnostics_add(builder->diagnostics, name, 0, 0, nullptr, "unknown variable");
}

static const struct qe_schema_key *find_variable(const char *name)
{
	for (size_t i = 0; i < QE_CONFIG_KEYS; i++) {
		char known[ENVIRONMENT_NAME_MAX];
		struct qe_text to = qe_text_init(known, sizeof known);
		qe_schema_add_environment(&to, &qe_schema[i]);
		if (strcmp(known, name) == 0)
			return &qe_schema[i];
	}
	return nullptr;
}

void qe_builder_read_environment(struct qe_builder *builder, char *const *environment)
{
	for (; environment && *environment; environment++) {
		const char *equals = strchr(*environment, '=');
		char name[2 * ENVIRONMENT_NAME_MAX];
		if (!equals || !names_section(*environment))
			continue;
		struct qe_text to = qe_text_init(name, sizeof name);
		qe_text_addf(&to, "%.*s", (int)(equals - *environment), *environment);
		const struct qe_schema_key *key = find_variable(name);
		if (key)
			read_variable(builder, key, equals + 1);
		else
			report_unknown_variable(builder, name);
	}
}

/* ---- flags ---- */

static struct qe_config_peer *find_peer(
	const struct qe_builder *builder, const struct qe_node_id *id)
{
	for (size_t i = 0; i < builder->config->n_peers; i++)
		if (qe_node_id_equal(&builder->config->peers[i].id, id))
			return &builder->config->peers[i];
	return nullptr;
}

/* NODEID or NODEID@HOST:PORT: a peer to add, or an endpoint to add to one that is there. */
static void read_peer_flag(
	struct qe_builder *builder, const struct qe_schema_key *key, const char *text)
{
	const struct qe_origin origin = {.source = QE_SOURCE_FLAG};
	const char *at = strchr(text, '@');
	char *id_text = strndup(text, at ? (size_t)(at - text) : strlen(text));
	struct qe_config_peer *peer = nullptr;
	struct qe_node_id id;

	if (!id_text) {
		builder->error = -ENOMEM;
		return;
	}
	if (qe_node_id_parse(&id, id_text) == QE_OK)
		peer = find_peer(builder, &id);
	if (!peer && (peer = qe_builder_add_peer(builder, origin)))
		qe_builder_set(
			builder, qe_peer_scope(peer), key, &(struct qe_item){id_text, origin});
	free(id_text);
	if (peer && at) {
		const struct qe_schema_key *endpoints = qe_schema_find(
			QE_SCHEMA_PEERS, "endpoints");
		if (peer->endpoints.n == 0)
			qe_builder_begin_list(qe_peer_scope(peer), endpoints, origin);
		qe_builder_append(
			builder, qe_peer_scope(peer), endpoints, &(struct qe_item){at + 1, origin});
	}
}

/* The first flag of a list replaces what the layers below said; the others add to it. */
static bool is_first(const struct qe_config_flag *flags, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (strcmp(flags[j].name, flags[i].name) == 0)
			return false;
	return true;
}

void qe_builder_read_flags(struct qe_builder *builder, const struct qe_config_flag *flags, size_t n)
{
	const struct qe_origin origin = {.source = QE_SOURCE_FLAG};
	struct qe_scope scope = qe_builder_scope(builder);

	for (size_t i = 0; i < n; i++) {
		const struct qe_schema_key *key = qe_schema_find_flag(flags[i].name);
		if (qe_schema_is_peer(key)) {
			read_peer_flag(builder, key, flags[i].value);
		} else if (key->list_max == 0) {
			qe_builder_set(
				builder, scope, key, &(struct qe_item){flags[i].value, origin});
		} else {
			if (is_first(flags, i))
				qe_builder_begin_list(scope, key, origin);
			qe_builder_append_items(
				builder, scope, key, &(struct qe_item){flags[i].value, origin});
		}
	}
}
