/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* vpn up, down, portal and status: VPN mode. Changes are waited for as events, never by asking
 * again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/vpn.h"
#include "os/clock.h"
#include "rpc/client.h"

#define UP_TIMEOUT (15 * QE_SECOND)
#define MINUTES_DEFAULT 5
#define MINUTES_MAX 15
#define TIME_AT 11 /* of "2026-11-21T09:44:31.207Z": the time of day */
#define TIME_LEN 8

static enum qe_exit subscribe(struct qe_rpc_events **ret_events, const struct qe_args *args)
{
	struct qe_rpc_error why = {};
	enum qe_error error = qe_rpc_events_new(ret_events, qe_args_socket(args), "vpn", &why);

	return error == QE_OK ? QE_EXIT_OK : qe_fail_call(args, error, &why);
}

/* Takes the reference. */
static enum qe_exit show(const struct qe_args *args, json_t *status)
{
	if (qe_args_get(args, "json"))
		return qe_print_json(status);
	qe_show_vpn(stdout, status);
	json_decref(status);
	return QE_EXIT_OK;
}

/* ---- up ---- */

static bool is_under_way(json_t *vpn)
{
	const char *state = qe_get_text(vpn, "state");

	return strcmp(state, "connecting") == 0 || strcmp(state, "reconnecting") == 0;
}

/* Until VPN mode is connected or cannot be. Events that came before the answer to vpn.up are of
 * what was before: the state that is asked for first counts. */
static enum qe_exit wait_for_outcome(
	const struct qe_args *args, struct qe_rpc_events *events, json_t **ret_status)
{
	const qe_time until = qe_clock_now() + UP_TIMEOUT;
	enum qe_error error = QE_OK;
	json_t *status = nullptr, *event = nullptr;
	enum qe_exit code = qe_call_raw(args, "vpn.status", nullptr, &status);

	while (code == QE_EXIT_OK && is_under_way(status) && error == QE_OK) {
		error = qe_rpc_events_next(events, until, &event);
		if (error != QE_OK)
			break;
		json_decref(event);
		json_decref(status);
		code = qe_call_raw(args, "vpn.status", nullptr, &status);
	}
	if (code != QE_EXIT_OK)
		return code;
	*ret_status = status;
	return QE_EXIT_OK;
}

static enum qe_exit show_outcome(const struct qe_args *args, json_t *status)
{
	bool connected = strcmp(qe_get_text(status, "state"), "connected") == 0;
	enum qe_exit code = show(args, status);

	return connected ? code : QE_EXIT_ERROR;
}

static enum qe_exit up(const struct qe_args *args, struct qe_rpc_events *events)
{
	const char *via = qe_args_get(args, "via");
	json_t *params = via ? json_pack("{s:s}", "via", via) : nullptr, *result;
	enum qe_exit code = qe_call_raw(args, "vpn.up", params, &result);

	if (code != QE_EXIT_OK)
		return code;
	json_decref(result);
	code = wait_for_outcome(args, events, &result);
	return code == QE_EXIT_OK ? show_outcome(args, result) : code;
}

enum qe_exit qe_command_vpn_up(const struct qe_args *args)
{
	struct qe_rpc_events *events;
	enum qe_exit code = subscribe(&events, args);

	if (code != QE_EXIT_OK)
		return code;
	code = up(args, events);
	qe_rpc_events_free(events);
	return code;
}

/* ---- down ---- */

static void show_down(json_t *)
{
	printf("VPN mode is off.\n");
}

enum qe_exit qe_command_vpn_down(const struct qe_args *args)
{
	return qe_call(args, "vpn.down", nullptr, show_down);
}

/* ---- portal ---- */

static enum qe_exit parse_minutes(unsigned *ret_minutes, const struct qe_args *args)
{
	const char *text = qe_args_get(args, "minutes");
	char *end;

	*ret_minutes = MINUTES_DEFAULT;
	if (!text)
		return QE_EXIT_OK;
	long minutes = strtol(text, &end, 10);
	if (end == text || *end || minutes < 1 || minutes > MINUTES_MAX)
		return qe_fail(args, QE_EXIT_USAGE, "--minutes %s: expected a number from 1 to %d",
			text, MINUTES_MAX);
	*ret_minutes = (unsigned)minutes;
	return QE_EXIT_OK;
}

static void show_portal(json_t *)
{
	printf("Web pages and names go beside the tunnel now. Log in; it closes by itself.\n");
}

enum qe_exit qe_command_vpn_portal(const struct qe_args *args)
{
	unsigned minutes;
	enum qe_exit code = parse_minutes(&minutes, args);

	if (code != QE_EXIT_OK)
		return code;
	return qe_call(
		args, "vpn.portal", json_pack("{s:i}", "seconds", (int)minutes * 60), show_portal);
}

/* ---- status ---- */

/* For programs: a line of its own. Takes the reference. */
static void print_line(json_t *json)
{
	json_dumpf(json, stdout, JSON_COMPACT);
	printf("\n");
	fflush(stdout);
	json_decref(json);
}

/* Takes the reference. */
static void show_event(const struct qe_args *args, json_t *event)
{
	const char *time = qe_get_text(event, "time");
	const char *reason = json_string_value(qe_get(event, "reason"));

	if (qe_args_get(args, "json")) {
		print_line(event);
		return;
	}
	printf("%.*s %s%s%s\n", TIME_LEN, strlen(time) > TIME_AT ? time + TIME_AT : time,
		qe_get_text(event, "state"), reason ? ": " : "", reason ? reason : "");
	fflush(stdout);
	json_decref(event);
}

static enum qe_exit watch(const struct qe_args *args, struct qe_rpc_events *events)
{
	enum qe_error error;
	json_t *event;

	while ((error = qe_rpc_events_next(events, QE_TIME_NEVER, &event)) == QE_OK)
		show_event(args, event);
	if (error == QE_ERR_CLOSED)
		return qe_fail(args, QE_EXIT_NO_DAEMON, "the daemon has ended");
	return qe_fail(args, QE_EXIT_ERROR, "no more events: %s", qe_error_text(error));
}

enum qe_exit qe_command_vpn_status(const struct qe_args *args)
{
	struct qe_rpc_events *events = nullptr;
	bool stay = qe_args_get(args, "watch");
	enum qe_exit code = stay ? subscribe(&events, args) : QE_EXIT_OK;
	json_t *status;

	if (code == QE_EXIT_OK)
		code = qe_call_raw(args, "vpn.status", nullptr, &status);
	if (code == QE_EXIT_OK && stay && qe_args_get(args, "json"))
		print_line(status);
	else if (code == QE_EXIT_OK)
		code = show(args, status);
	fflush(stdout);
	if (code == QE_EXIT_OK && stay)
		code = watch(args, events);
	qe_rpc_events_free(events);
	return code;
}
