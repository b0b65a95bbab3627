/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* start, stop, reload and policy reload. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "cli/repair.h"
#include "cli/settings.h"
#include "crypto/key.h"
#include "daemon/daemon.h"
#include "rpc/client.h"

#define STOP_TRIES 200
#define STOP_PAUSE_MS 50

/* Takes the configuration. */
static enum qe_exit check_and_run(const struct qe_args *args, struct qe_config *config,
	const struct qe_config_inputs *inputs, struct qe_key *key)
{
	static struct qe_diagnostics diagnostics;

	if (qe_config_check_identity(config, qe_key_get_id(key), &diagnostics) == QE_OK)
		return (enum qe_exit)qe_daemon_run(
			config, inputs, key, qe_args_get(args, "daemon"));
	qe_config_free(config);
	return qe_fail_diagnostics(args, QE_EXIT_ERROR, &diagnostics);
}

enum qe_exit qe_command_start(const struct qe_args *args)
{
	struct qe_config *config;
	struct qe_config_inputs inputs;
	struct qe_key *key;
	char *path;
	enum qe_exit code = qe_settings_load_to_stay(&config, &inputs, &path, args);

	if (code != QE_EXIT_OK)
		return code;
	code = qe_settings_load_or_make_key(&key, args, config->node.key_file);
	if (code == QE_EXIT_OK) {
		code = check_and_run(args, config, &inputs, key);
		qe_key_free(key);
	} else {
		qe_config_free(config);
	}
	free(path);
	return code;
}

/* Until nobody answers any more: then the host is as it was. */
static bool wait_for_end(const struct qe_args *args)
{
	const struct timespec pause = {.tv_nsec = STOP_PAUSE_MS * 1000000L};

	for (unsigned i = 0; i < STOP_TRIES; i++) {
		struct qe_rpc_error why;
		json_t *result;
		int error = qe_rpc_call(qe_args_socket(args), "status", nullptr, &result, &why);
		if (error == -ECONNREFUSED)
			return true;
		if (error == QE_OK)
			json_decref(result);
		nanosleep(&pause, nullptr);
	}
	return false;
}

enum qe_exit qe_command_stop(const struct qe_args *args)
{
	json_t *result, *params = json_pack("{s:b}", "hold", qe_args_get(args, "hold") != nullptr);
	struct qe_rpc_error why = {};
	int error = qe_rpc_call(qe_args_socket(args), "stop", params, &result, &why);

	json_decref(params);
	if (error == -ECONNREFUSED)
		return qe_stop_what_is_left(args, &why);
	if (error != QE_OK)
		return qe_fail_call(args, error, &why);
	bool blocks = json_is_true(json_object_get(result, "blocks"));

	json_decref(result);
	if (!wait_for_end(args))
		return qe_fail(args, QE_EXIT_ERROR, "the daemon was told to stop, but still runs");
	if (!qe_args_get(args, "hold"))
		return qe_finish_stop(args);
	if (qe_args_get(args, "json"))
		return qe_print_json(json_pack("{s:b, s:b}", "stopped", 1, "blocks", blocks));
	printf("Stopped.%s\n",
		blocks ? " The host stays blocked: \"quicether start\" goes on in VPN "
			 "mode, \"quicether repair\" opens the host."
		       : "");
	return QE_EXIT_OK;
}

/* ---- reload ---- */

static void show_list(const char *label, const json_t *names)
{
	size_t i;
	json_t *name;

	json_array_foreach((json_t *)names, i, name)
		printf("%s%s", i == 0 ? label : ", ", json_string_value(name));
	printf("%s", json_array_size(names) ? "\n" : "");
}

static void show_errors(json_t *result)
{
	const json_t *errors = qe_get(result, "errors");
	size_t i;
	json_t *error;

	json_array_foreach((json_t *)errors, i, error)
	{
		fprintf(stderr, "%s:", qe_get_text(error, "where"));
		if (qe_get_uint(error, "line"))
			fprintf(stderr, "%" PRIu64 ":%" PRIu64 ":", qe_get_uint(error, "line"),
				qe_get_uint(error, "column"));
		if (qe_get(error, "key"))
			fprintf(stderr, " %s:", qe_get_text(error, "key"));
		fprintf(stderr, " %s\n", qe_get_text(error, "text"));
	}
	if (qe_get_uint(result, "more"))
		fprintf(stderr, "and %" PRIu64 " more\n", qe_get_uint(result, "more"));
	fprintf(stderr, "quicether: nothing was changed\n");
}

static void show_outcome(json_t *result)
{
	printf("Reloaded.\n");
	show_list("Peers added: ", qe_get(result, "added"));
	show_list("Peers removed: ", qe_get(result, "removed"));
	show_list("Peers changed: ", qe_get(result, "changed"));
	show_list("Changed: ", qe_get(result, "keys"));
	show_list("Not before the next start: ", qe_get(result, "restart"));
}

static void show_policy(json_t *result)
{
	printf("%s: %" PRIu64 " rules%s\n", qe_get_text(result, "file"),
		qe_get_uint(result, "rules"),
		json_is_true(json_object_get(result, "changed")) ? "" : ", as before");
}

static enum qe_exit call_reload(
	const struct qe_args *args, const char *method, void (*show)(json_t *result))
{
	json_t *result;
	enum qe_exit code = qe_call_raw(args, method, nullptr, &result);

	if (code != QE_EXIT_OK)
		return code;
	code = json_is_true(json_object_get(result, "ok")) ? QE_EXIT_OK : QE_EXIT_ERROR;
	if (qe_args_get(args, "json")) {
		qe_print_json(result);
		return code;
	}
	if (code == QE_EXIT_OK)
		show(result);
	else
		show_errors(result);
	json_decref(result);
	return code;
}

enum qe_exit qe_command_reload(const struct qe_args *args)
{
	return call_reload(args, "reload", show_outcome);
}

enum qe_exit qe_command_policy_reload(const struct qe_args *args)
{
	return call_reload(args, "policy.reload", show_policy);
}
