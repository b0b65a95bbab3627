/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "cli/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

extern char **environ;

/* Whether nothing is wrong but what stands on the command line. */
static bool blames_flags(const struct qe_diagnostics *diagnostics)
{
	for (size_t i = 0; i < diagnostics->n; i++)
		if (diagnostics->items[i].line || strncmp(diagnostics->items[i].where, "--", 2))
			return false;
	return true;
}

static struct qe_config_inputs inputs_of(const struct qe_args *args)
{
	return (struct qe_config_inputs){
		.file = qe_args_get(args, "config"),
		.environment = environ,
		.flags = args->flags,
		.n_flags = args->n_flags,
		.socket_path = qe_args_socket(args),
	};
}

static enum qe_exit load(struct qe_config **ret_config, const struct qe_args *args,
	const struct qe_config_inputs *inputs)
{
	static struct qe_diagnostics diagnostics;

	enum qe_error error = qe_config_load(ret_config, inputs, &diagnostics);
	if (error == QE_OK)
		return QE_EXIT_OK;
	if (diagnostics.n)
		return qe_fail_diagnostics(args,
			blames_flags(&diagnostics) ? QE_EXIT_USAGE : qe_exit_of(error),
			&diagnostics);
	return qe_fail(args, QE_EXIT_ERROR, "%s", qe_error_text(error));
}

enum qe_exit qe_settings_load(struct qe_config **ret_config, const struct qe_args *args)
{
	const struct qe_config_inputs inputs = inputs_of(args);

	return load(ret_config, args, &inputs);
}

/* Without following links: the file may be replaced. */
static char *absolute(const char *path)
{
	char *folder = path[0] == '/' ? strdup("") : realpath(".", nullptr), *whole = nullptr;

	if (folder && asprintf(&whole, "%s%s%s", folder, folder[0] ? "/" : "", path) < 0)
		whole = nullptr;
	free(folder);
	return whole;
}

enum qe_exit qe_settings_load_to_stay(struct qe_config **ret_config,
	struct qe_config_inputs *ret_inputs, char **ret_path, const struct qe_args *args)
{
	struct qe_config_inputs inputs = inputs_of(args);
	const char *named = inputs.file ? inputs.file : getenv(QE_CONFIG_ENVIRONMENT);
	char *path = nullptr;

	if (named && !(path = absolute(named)))
		return qe_fail(args, QE_EXIT_ERROR, "%s: %s", named, strerror(errno));
	inputs.file = path;
	enum qe_exit code = load(ret_config, args, &inputs);
	if (code != QE_EXIT_OK) {
		free(path);
		return code;
	}
	*ret_inputs = inputs;
	*ret_path = path;
	return QE_EXIT_OK;
}

enum qe_exit qe_settings_key_file(char **ret_path, const struct qe_args *args)
{
	struct qe_config *config;
	enum qe_exit code = qe_settings_load(&config, args);

	if (code != QE_EXIT_OK)
		return code;
	*ret_path = strdup(config->node.key_file);
	qe_config_free(config);
	return *ret_path ? QE_EXIT_OK : qe_fail(args, QE_EXIT_ERROR, "%s", strerror(ENOMEM));
}

/* The folders above path, those that are missing, for nobody but the owner. */
static enum qe_error make_folders(const char *path)
{
	char folder[4096];

	if (strlen(path) >= sizeof folder)
		return -ENAMETOOLONG;
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		size_t len = (size_t)(slash - path);
		if (len == 0)
			continue;
		memcpy(folder, path, len);
		folder[len] = '\0';
		if (mkdir(folder, 0700) != 0 && errno != EEXIST)
			return qe_error_errno();
	}
	return QE_OK;
}

enum qe_exit qe_settings_make_key(struct qe_key **ret_key, const struct qe_args *args,
	enum qe_key_type type, const char *path)
{
	struct qe_key *key;
	enum qe_error error = qe_key_generate(&key, type);

	if (error != QE_OK)
		return qe_fail(args, QE_EXIT_ERROR, "no key can be made: %s", qe_error_text(error));
	error = make_folders(path);
	if (error == QE_OK)
		error = qe_key_save(key, path);
	if (error == QE_OK) {
		*ret_key = key;
		return QE_EXIT_OK;
	}
	qe_key_free(key);
	if (error == -EEXIST)
		return qe_fail(args, QE_EXIT_ERROR,
			"%s is there already and is not overwritten; "
			"remove it first if this node is to become another one",
			path);
	return qe_fail(
		args, qe_exit_of(error), "%s cannot be written: %s", path, qe_error_text(error));
}

enum qe_exit qe_settings_load_key(
	struct qe_key **ret_key, const struct qe_args *args, const char *path)
{
	enum qe_error error = qe_key_load(ret_key, path);

	if (error == QE_OK)
		return QE_EXIT_OK;
	if (error == -ENOENT)
		return qe_fail(args, QE_EXIT_ERROR,
			"there is no key in %s; make one with: quicether keygen", path);
	if (error == -ELOOP)
		return qe_fail(args, QE_EXIT_ERROR,
			"%s is a symbolic link, and a key is read from a file only", path);
	if (error == QE_ERR_SYNTAX)
		return qe_fail(args, QE_EXIT_ERROR, "%s holds no private key in PEM", path);
	if (error == QE_ERR_KEY_EXPOSED)
		return qe_fail(args, QE_EXIT_ERROR,
			"%s: %s; mend it with: chmod 600 %s, and a new key if somebody may have "
			"read it",
			path, qe_error_text(error), path);
	return qe_fail(
		args, qe_exit_of(error), "%s cannot be used: %s", path, qe_error_text(error));
}

enum qe_exit qe_settings_load_or_make_key(
	struct qe_key **ret_key, const struct qe_args *args, const char *path)
{
	char id[QE_NODE_ID_TEXT_SIZE];
	enum qe_error error = qe_key_load(ret_key, path);

	if (error == QE_OK)
		return QE_EXIT_OK;
	if (error != -ENOENT)
		return qe_settings_load_key(ret_key, args, path);
	enum qe_exit code = qe_settings_make_key(ret_key, args, QE_KEY_ED25519, path);
	if (code == QE_EXIT_OK) {
		qe_node_id_format(id, qe_key_get_id(*ret_key));
		fprintf(stderr, "Made a new key, %s. This node's NodeId is %s\n", path, id);
	}
	return code;
}
