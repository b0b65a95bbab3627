/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* config show and config validate. */
#include <errno.h>
#include <stdlib.h>

#include "cli/settings.h"
#include "crypto/key.h"

enum qe_exit qe_command_config_show(const struct qe_args *args)
{
	bool json = qe_args_get(args, "json");
	struct qe_config *config;
	enum qe_exit code = qe_settings_load(&config, args);
	char *text;

	if (code != QE_EXIT_OK)
		return code;
	enum qe_error error = qe_config_show(&text, config, json ? QE_CONFIG_JSON : QE_CONFIG_TOML);
	qe_config_free(config);
	if (error != QE_OK)
		return qe_fail(args, QE_EXIT_ERROR, "%s", qe_error_text(error));
	if (json)
		code = qe_print_json(json_loads(text, 0, nullptr));
	else
		fputs(text, stdout);
	free(text);
	return code;
}

/* With the key, if there is one yet and the caller may read it. */
static enum qe_exit check_identity(const struct qe_args *args, const struct qe_config *config)
{
	static struct qe_diagnostics diagnostics;
	struct qe_key *key;

	enum qe_error error = qe_key_load(&key, config->node.key_file);
	if (error == -ENOENT || error == -EACCES)
		return QE_EXIT_OK;
	if (error != QE_OK)
		return qe_settings_load_key(&key, args, config->node.key_file);
	error = qe_config_check_identity(config, qe_key_get_id(key), &diagnostics);
	qe_key_free(key);
	if (error != QE_OK)
		return qe_fail_diagnostics(args, QE_EXIT_ERROR, &diagnostics);
	return QE_EXIT_OK;
}

enum qe_exit qe_command_config_validate(const struct qe_args *args)
{
	struct qe_config *config;
	enum qe_exit code = qe_settings_load(&config, args);

	if (code != QE_EXIT_OK)
		return code;
	code = check_identity(args, config);
	if (code == QE_EXIT_OK)
		code = qe_settings_check_policy(args, config);
	if (code == QE_EXIT_OK && qe_args_get(args, "json"))
		code = qe_print_json(json_pack("{s:b,s:s?,s:I}", "ok", 1, "file", config->file,
			"peers", (json_int_t)config->n_peers));
	else if (code == QE_EXIT_OK)
		printf("%s: ok, %zu %s\n", config->file ? config->file : "no file, defaults",
			config->n_peers, config->n_peers == 1 ? "peer" : "peers");
	qe_config_free(config);
	return code;
}
