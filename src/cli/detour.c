/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* bypass and only: one program that goes another way than the rest. */
#include <errno.h>

#include "cli/output.h"
#include "os/detour.h"
#include "rpc/client.h"

#define SERVERS_MAX 8

static size_t read_servers(struct qe_addr to[static SERVERS_MAX], json_t *answer)
{
	json_t *servers = qe_get(answer, "servers"), *server;
	size_t n = 0, i;

	json_array_foreach(servers, i, server)
	{
		if (n < SERVERS_MAX && json_is_string(server) &&
			qe_addr_parse(&to[n], json_string_value(server)) == QE_OK)
			n++;
	}
	return n;
}

static enum qe_exit run(const struct qe_args *args, const struct qe_detour *detour)
{
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));
	int status;
	enum qe_error error = qe_detour_run(detour, &status, &why);

	if (error != QE_OK)
		return qe_fail(
			args, qe_exit_of(error), "%s", text[0] ? text : qe_error_text(error));
	return (enum qe_exit)status;
}

static enum qe_exit fail_without_root(const struct qe_args *args)
{
	return qe_fail(args, QE_EXIT_PERMISSION,
		"only root may do this: try it with sudo, and --user for the program");
}

/* There may be no daemon: its kill switch can stand without it, and lets out what is marked. */
enum qe_exit qe_command_bypass(const struct qe_args *args)
{
	struct qe_addr servers[SERVERS_MAX];
	struct qe_detour detour = {
		.user = qe_args_get(args, "user"), .servers = servers, .words = args->words};
	struct qe_rpc_error why = {};
	json_t *answer;
	enum qe_error error;

	if (!qe_detour_is_allowed())
		return fail_without_root(args);
	error = qe_rpc_call(qe_args_socket(args), "vpn.bypass", nullptr, &answer, &why);
	if (error != QE_OK && error != -ECONNREFUSED)
		return qe_fail_call(args, error, &why);
	if (error == QE_OK) {
		detour.n_servers = read_servers(servers, answer);
		json_decref(answer);
	}
	return run(args, &detour);
}

enum qe_exit qe_command_only(const struct qe_args *args)
{
	struct qe_addr servers[SERVERS_MAX];
	struct qe_detour detour = {
		.user = qe_args_get(args, "user"), .servers = servers, .words = args->words};
	json_t *answer;
	enum qe_exit code;

	if (!qe_detour_is_allowed())
		return fail_without_root(args);
	code = qe_call_raw(args, "vpn.only", nullptr, &answer);
	if (code != QE_EXIT_OK)
		return code;
	detour.tunnel = qe_get_text(answer, "interface");
	detour.n_servers = read_servers(servers, answer);
	code = run(args, &detour);
	json_decref(answer);
	return code;
}
