/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * config - what the operator said, checked before anything on the host is changed.
 *
 * A configuration is put together in layers, each on top of the one before: defaults, the file, the
 * environment, flags (struct qe_builder). Each layer gives texts for keys; the schema (schema.c)
 * says what a key is and its type (types.c) parses the text, so that a value means the same
 * wherever it comes from. Then the whole is checked for contradictions (check.c).
 *
 * Invariants: every value has an origin. Errors are collected, never printed, and one error
 * anywhere means no configuration at all. Every list has its maximum in the schema. toml++ is seen
 * by toml.cpp only. Nothing here depends on a clock, and only config.c reads the host: the file and
 * the host's name.
 */
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/builder.h"
#include "config/text_file.h"
#include "crypto/node_id.h"
#include "net/addr.h"

#define SYSTEM_FOLDER "/etc/quicether"
#define USER_FOLDER ".config/quicether" /* under $HOME */
#define FILE_NAME "config.toml"
#define KEY_NAME "node.key"

static const char *get_environment(char *const *environment, const char *name)
{
	size_t len = strlen(name);

	for (; environment && *environment; environment++)
		if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
			return *environment + len + 1;
	return nullptr;
}

/* ---- the file ---- */

/* The file that was found: its name, and what stands in it. */
struct found {
	char *path;
	char *text;
	size_t len;
};

static enum qe_error try_file(struct found *ret_found, const char *path)
{
	QE_TRY(qe_text_file_read(&ret_found->text, &ret_found->len, path, QE_CONFIG_FILE_MAX));
	ret_found->path = strdup(path);
	return ret_found->path ? QE_OK : -ENOMEM;
}

static bool is_absent(enum qe_error error)
{
	return error == -ENOENT || error == -ENOTDIR;
}

static void add_user_folder(struct qe_text *to, char *const *environment)
{
	const char *home = get_environment(environment, "HOME");

	if (home && home[0] == '/')
		qe_text_addf(to, "%s/" USER_FOLDER, home);
}

/* A file that was named must be there; of the two usual places, the first that has one counts. What
 * was tried last stands in path, for the error. */
static enum qe_error find_file(
	struct found *ret_found, const struct qe_config_inputs *inputs, struct qe_text *path)
{
	const char *named = inputs->file
				    ? inputs->file
				    : get_environment(inputs->environment, QE_CONFIG_ENVIRONMENT);

	qe_text_add(path, named ? named : SYSTEM_FOLDER "/" FILE_NAME);
	enum qe_error error = try_file(ret_found, named ? named : path->at);
	if (named || !is_absent(error))
		return error;
	*path = qe_text_init(path->at, path->size);
	add_user_folder(path, inputs->environment);
	if (path->len == 0 || path->truncated)
		return QE_OK;
	qe_text_add(path, "/" FILE_NAME);
	error = try_file(ret_found, path->at);
	return is_absent(error) ? QE_OK : error;
}

/* ---- defaults ---- */

static void set_text(
	struct qe_builder *builder, const char *section, const char *key, const char *text)
{
	const struct qe_schema_key *row = qe_schema_find(section, key);
	struct qe_scope scope = qe_builder_scope(builder);
	struct qe_item item = {.text = text};

	if (row->list_max)
		qe_builder_set_list(builder, scope, row, &item);
	else
		qe_builder_set(builder, scope, row, &item);
}

/* The host's name, as far as it can be a name here. */
static void set_node_name(struct qe_builder *builder)
{
	char name[QE_NAME_MAX + 1] = "";

	if (gethostname(name, sizeof name) != 0)
		name[0] = '\0';
	name[QE_NAME_MAX] = '\0';
	name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")] =
		'\0';
	set_text(builder, "node", "name", strspn(name, "-._") == 0 && name[0] ? name : "node");
}

static size_t folder_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) : 0;
}

/* Beside the file, if that is the user's own; otherwise the system's. */
static void set_key_file(struct qe_builder *builder, char *const *environment)
{
	char folder[4096], path[sizeof folder + sizeof KEY_NAME];
	struct qe_text text = qe_text_init(folder, sizeof folder);
	const char *file = builder->config->file;

	add_user_folder(&text, environment);
	bool user = file && text.len && !text.truncated && folder_len(file) == text.len &&
		    strncmp(file, folder, text.len) == 0;
	snprintf(path, sizeof path, "%s/" KEY_NAME, user ? folder : SYSTEM_FOLDER);
	set_text(builder, "node", "key_file", path);
}

static void set_defaults(struct qe_builder *builder, char *const *environment)
{
	for (size_t i = 0; i < QE_CONFIG_KEYS; i++)
		if (qe_schema[i].fallback)
			set_text(builder, qe_schema[i].section, qe_schema[i].key,
				qe_schema[i].fallback);
	set_node_name(builder);
	set_key_file(builder, environment);
}

/* ---- what follows from the whole ---- */

/* In the file a relative path starts at the file's folder, wherever the daemon is started from. */
static enum qe_error anchor_path(char **path, const char *file)
{
	char *whole;

	if (!*path || (*path)[0] == '/' || !strchr(file, '/'))
		return QE_OK;
	if (asprintf(&whole, "%.*s/%s", (int)folder_len(file), file, *path) < 0)
		return -ENOMEM;
	free(*path);
	*path = whole;
	return QE_OK;
}

static enum qe_error anchor_paths(struct qe_config *config)
{
	for (size_t i = 0; i < QE_CONFIG_KEYS; i++) {
		char **path = (char **)((char *)config + qe_schema[i].offset);

		if (qe_schema[i].type == &qe_type_path &&
			config->origins[i].source == QE_SOURCE_FILE)
			QE_TRY(anchor_path(path, config->file));
	}
	return QE_OK;
}

static enum qe_error join_prefixes(struct qe_config_peer *peer)
{
	size_t n = peer->addresses.n + peer->subnets.n;

	peer->prefixes = calloc(n ? n : 1, sizeof *peer->prefixes);
	if (!peer->prefixes)
		return -ENOMEM;
	for (size_t i = 0; i < peer->addresses.n; i++)
		peer->prefixes[peer->n_prefixes++] = peer->addresses.prefixes[i];
	for (size_t i = 0; i < peer->subnets.n; i++)
		peer->prefixes[peer->n_prefixes++] = peer->subnets.prefixes[i];
	return QE_OK;
}

static enum qe_error join_local(struct qe_config *config)
{
	const struct qe_config_list *addrs = &config->network.tun_addr;
	const struct qe_config_list *subnets = &config->network.advertise_subnets;
	size_t n = addrs->n + subnets->n;

	config->local = calloc(n ? n : 1, sizeof *config->local);
	if (!config->local)
		return -ENOMEM;
	for (size_t i = 0; i < addrs->n; i++)
		config->local[config->n_local++] = qe_prefix_host(&addrs->addrs[i].addr);
	for (size_t i = 0; i < subnets->n; i++)
		config->local[config->n_local++] = subnets->prefixes[i];
	return QE_OK;
}

static enum qe_error join_forward(struct qe_config *config)
{
	static const struct qe_prefix everything[] = {
		{.addr.family = QE_FAMILY_IPV4}, {.addr.family = QE_FAMILY_IPV6}};
	const struct qe_config_list *subnets = &config->network.forward_subnets;

	config->forward = calloc(subnets->n + 2, sizeof *config->forward);
	if (!config->forward)
		return -ENOMEM;
	for (size_t i = 0; i < subnets->n; i++) {
		if (!config->network.exit || subnets->prefixes[i].length > 0)
			config->forward[config->n_forward++] = subnets->prefixes[i];
	}
	for (size_t i = 0; config->network.exit && i < 2; i++)
		config->forward[config->n_forward++] = everything[i];
	return QE_OK;
}

/* The index of the peer with that name or NodeId, none of which is the other; SIZE_MAX if there is
 * none, or text is NULL. */
static size_t find_peer(const struct qe_config *config, const char *text)
{
	struct qe_node_id id;
	bool is_id = text && qe_node_id_parse(&id, text) == QE_OK;

	for (size_t i = 0; text && i < config->n_peers; i++) {
		const struct qe_config_peer *peer = &config->peers[i];

		if (is_id ? qe_node_id_equal(&peer->id, &id)
			  : peer->name && strcmp(peer->name, text) == 0)
			return i;
	}
	return SIZE_MAX;
}

static void find_gateways(struct qe_config *config)
{
	config->default_gateway = find_peer(config, config->overlay.default_gateway);
	config->vpn_gateway = config->vpn.via ? find_peer(config, config->vpn.via)
					      : config->default_gateway;
}

static void find_dns_mode(struct qe_config *config)
{
	const struct qe_config_list *dns = &config->vpn.dns;
	bool off = dns->word && strcmp(dns->word, "off") == 0;

	config->vpn.dns_mode = off      ? QE_VPN_DNS_OFF
			       : dns->n ? QE_VPN_DNS_SERVERS
					: QE_VPN_DNS_GATEWAY;
}

static enum qe_error finish(struct qe_builder *builder, const char *socket_path)
{
	struct qe_config *config = builder->config;

	QE_TRY(anchor_paths(config));
	config->socket_path = strdup(socket_path ? socket_path : QE_SOCKET_PATH_DEFAULT);
	if (!config->socket_path)
		return -ENOMEM;
	QE_TRY(join_local(config));
	QE_TRY(join_forward(config));
	for (size_t i = 0; i < config->n_peers; i++)
		QE_TRY(join_prefixes(&config->peers[i]));
	find_gateways(config);
	find_dns_mode(config);
	qe_builder_check(builder);
	return builder->error;
}

/* ---- putting it together ---- */

static enum qe_error build(struct qe_builder *builder, const struct qe_config_inputs *inputs,
	const char *name, struct qe_bytes text)
{
	struct qe_diagnostics *diagnostics = builder->diagnostics;

	if (name && !(builder->config->file = strdup(name)))
		return -ENOMEM;
	set_defaults(builder, inputs->environment);
	if (name)
		qe_builder_read_file(builder, text);
	qe_builder_read_environment(builder, inputs->environment);
	qe_builder_read_flags(builder, inputs->flags, inputs->n_flags);
	QE_TRY(builder->error);
	QE_TRY(finish(builder, inputs->socket_path));
	qe_diagnostics_sort(diagnostics);
	return diagnostics->n ? QE_ERR_SYNTAX : QE_OK;
}

enum qe_error qe_config_parse(struct qe_config **ret_config, const struct qe_config_inputs *inputs,
	const char *name, struct qe_bytes text, struct qe_diagnostics *diagnostics)
{
	struct qe_builder builder = {.diagnostics = diagnostics};

	*diagnostics = (struct qe_diagnostics){};
	builder.config = calloc(1, sizeof *builder.config);
	if (!builder.config)
		return -ENOMEM;
	enum qe_error error = build(&builder, inputs, name, text);
	if (error != QE_OK) {
		qe_config_free(builder.config);
		return error;
	}
	*ret_config = builder.config;
	return QE_OK;
}

enum qe_error qe_config_load(struct qe_config **ret_config, const struct qe_config_inputs *inputs,
	struct qe_diagnostics *diagnostics)
{
	char path[4096];
	struct qe_text to_path = qe_text_init(path, sizeof path);
	struct found found = {};

	*diagnostics = (struct qe_diagnostics){};
	enum qe_error error = find_file(&found, inputs, &to_path);
	if (error == QE_OK) {
		struct qe_bytes text = {(const uint8_t *)found.text, found.len};
		error = qe_config_parse(ret_config, inputs, found.path, text, diagnostics);
	} else if (error == QE_ERR_TOO_BIG) {
		qe_diagnostics_add(diagnostics, path, 0, 0, nullptr,
			"more than %d bytes; a configuration is smaller", QE_CONFIG_FILE_MAX);
	} else {
		qe_diagnostics_add(diagnostics, path, 0, 0, nullptr, "cannot be read: %s",
			qe_error_text(error));
	}
	free(found.text);
	free(found.path);
	return error;
}

/* ---- where a value came from ---- */

static void add_where(struct qe_text *to, const struct qe_config *config,
	const struct qe_schema_key *key, struct qe_origin origin)
{
	if (origin.source != QE_SOURCE_DEFAULT)
		qe_origin_add_where(to, config, key, origin);
	if (origin.source == QE_SOURCE_FILE)
		qe_text_addf(to, ":%u:%u: ", origin.line, origin.column);
	if (origin.source == QE_SOURCE_FILE || origin.source == QE_SOURCE_DEFAULT)
		qe_schema_add_name(to, key);
	if (origin.source == QE_SOURCE_DEFAULT)
		qe_text_add(to, " (default)");
}

void qe_config_where(const struct qe_config *config, const char *key, char *to, size_t size)
{
	struct qe_text text = qe_text_init(to, size);

	for (size_t i = 0; i < QE_CONFIG_KEYS; i++) {
		char name[64];
		struct qe_text to_name = qe_text_init(name, sizeof name);
		qe_schema_add_name(&to_name, &qe_schema[i]);
		if (strcmp(name, key) == 0)
			add_where(&text, config, &qe_schema[i], config->origins[i]);
	}
}

void qe_config_where_endpoint(
	const struct qe_config *config, size_t peer, size_t i, char *to, size_t size)
{
	struct qe_text text = qe_text_init(to, size);

	add_where(&text, config, qe_schema_find(QE_SCHEMA_PEERS, "endpoints"),
		config->peers[peer].endpoints.origins[i]);
}
