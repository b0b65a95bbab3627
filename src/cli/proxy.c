/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "proxy/proxy.h"

#include <errno.h>
#include <string.h>

#include "cli/settings.h"
#include "net/addr.h"
#include "os/process.h"

static enum qe_exit read_listen(struct qe_endpoint *ret_listen, const struct qe_args *args,
	const char *option, const char *fallback)
{
	const char *given = qe_args_get(args, option);

	*ret_listen = (struct qe_endpoint){};
	if (given && strcmp(given, "none") == 0)
		return QE_EXIT_OK;
	if (qe_endpoint_parse(ret_listen, given ? given : fallback) == QE_OK)
		return QE_EXIT_OK;
	return qe_fail(args, QE_EXIT_USAGE,
		"--%s: expected an address and a port, as in %s, or none; got %s", option, fallback,
		given);
}

static enum qe_exit read_settings(struct qe_proxy_settings *settings, const struct qe_args *args)
{
	enum qe_exit code = read_listen(&settings->socks, args, "socks", "127.0.0.1:1080");

	if (code == QE_EXIT_OK)
		code = read_listen(&settings->http, args, "http", "127.0.0.1:3128");
	if (code == QE_EXIT_OK && settings->socks.addr.family == QE_FAMILY_NONE &&
		settings->http.addr.family == QE_FAMILY_NONE)
		code = qe_fail(
			args, QE_EXIT_USAGE, "--socks none and --http none: nothing is left");
	settings->password_file = qe_args_get(args, "password-file");
	return code;
}

/* Two nodes with one key would take each other's links away, at every peer. */
static enum qe_exit lock_key(const struct qe_args *args, const char *path)
{
	enum qe_error error = qe_process_lock(path);

	if (error == QE_OK)
		return QE_EXIT_OK;
	if (error == -EWOULDBLOCK)
		return qe_fail(args, QE_EXIT_ERROR,
			"a proxy with the key %s is running already: another one needs another key",
			path);
	return qe_fail(
		args, qe_exit_of(error), "%s cannot be locked: %s", path, qe_error_text(error));
}

/* Takes the configuration. */
static enum qe_exit check_and_run(const struct qe_args *args, struct qe_config *config,
	struct qe_key *key, const struct qe_proxy_settings *settings)
{
	static struct qe_diagnostics diagnostics;

	if (qe_config_check_identity(config, qe_key_get_id(key), &diagnostics) == QE_OK)
		return (enum qe_exit)qe_proxy_run(config, key, settings);
	qe_config_free(config);
	return qe_fail_diagnostics(args, QE_EXIT_ERROR, &diagnostics);
}

enum qe_exit qe_command_proxy(const struct qe_args *args)
{
	struct qe_proxy_settings settings = {};
	struct qe_config *config;
	struct qe_key *key = nullptr;
	enum qe_exit code = read_settings(&settings, args);

	if (code == QE_EXIT_OK)
		code = qe_settings_load(&config, args);
	if (code != QE_EXIT_OK)
		return code;
	code = qe_settings_load_or_make_key(&key, args, config->node.key_file);
	if (code == QE_EXIT_OK)
		code = lock_key(args, config->node.key_file);
	if (code == QE_EXIT_OK)
		code = check_and_run(args, config, key, &settings);
	else
		qe_config_free(config);
	qe_key_free(key);
	return code;
}
