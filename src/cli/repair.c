/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* repair and vpn panic-off. */
#include <errno.h>

#include "cli/repair.h"
#include "os/clock.h"
#include "os/repair.h"
#include "os/unix_socket.h"
#include "rpc/client.h"

/* For somebody without a network each second counts. */
#define PANIC_PATIENCE (3 * QE_SECOND)

/* ---- what is said ---- */

struct telling {
	bool as_json;
	json_t *lists[3]; /* by outcome */
};

static const char *const outcomes[] = {
	[QE_UNDONE] = "undone",
	[QE_UNDO_THEIRS] = "left",
	[QE_UNDO_FAILED] = "failed",
};

static void tell(void *ctx, enum qe_undone outcome, const char *what)
{
	static const char *const words[] = {
		[QE_UNDONE] = "Undone", [QE_UNDO_THEIRS] = "Left", [QE_UNDO_FAILED] = "FAILED"};
	struct telling *telling = ctx;

	if (telling->as_json)
		json_array_append_new(telling->lists[outcome], json_string(what));
	else
		printf("%s: %s\n", words[outcome], what);
}

static struct telling begin(const struct qe_args *args)
{
	struct telling telling = {.as_json = qe_args_get(args, "json")};

	for (size_t i = 0; i < 3; i++)
		telling.lists[i] = json_array();
	return telling;
}

static unsigned count(const struct qe_undo *undo)
{
	return undo->counts[QE_UNDONE] + undo->counts[QE_UNDO_THEIRS] +
	       undo->counts[QE_UNDO_FAILED];
}

/* Takes the lists and the result, into which they go. */
static enum qe_exit end(
	struct telling *telling, const struct qe_undo *undo, json_t *result, const char *nothing)
{
	for (size_t i = 0; i < 3; i++)
		json_object_set_new(result, outcomes[i], telling->lists[i]);
	if (telling->as_json)
		(void)qe_print_json(json_incref(result));
	else if (count(undo) == 0)
		printf("%s\n", nothing);
	json_decref(result);
	return undo->counts[QE_UNDO_FAILED] > 0 ? QE_EXIT_ERROR : QE_EXIT_OK;
}

static void drop(struct telling *telling)
{
	for (size_t i = 0; i < 3; i++)
		json_decref(telling->lists[i]);
}

/* Before anything was done; otherwise it has been said. */
static enum qe_exit fail(const struct qe_args *args, enum qe_error error)
{
	if (error == -EPERM || error == -EACCES)
		return qe_fail(args, QE_EXIT_PERMISSION,
			"only root may give the host back: try it as root");
	if (error == -EBUSY)
		return qe_fail(args, QE_EXIT_ERROR,
			"a daemon uses " QE_JOURNAL_NAME " beside %s: \"quicether stop\" ends it, "
			"and gives the host back",
			qe_args_socket(args));
	return qe_fail(
		args, QE_EXIT_ERROR, "the host cannot be given back: %s", qe_error_text(error));
}

/* ---- repair ---- */

static bool daemon_listens(const struct qe_args *args)
{
	int fd;

	if (qe_unix_connect(&fd, qe_args_socket(args)) != QE_OK)
		return false;
	qe_unix_close(fd);
	return true;
}

enum qe_exit qe_command_repair(const struct qe_args *args)
{
	struct telling telling = begin(args);
	struct qe_undo undo = {.say = tell, .ctx = &telling};
	enum qe_error error = -EBUSY;

	if (!daemon_listens(args))
		error = qe_repair(qe_args_socket(args), &undo);
	if (error == QE_OK || undo.counts[QE_UNDO_FAILED] > 0)
		return end(&telling, &undo, json_object(), "There is nothing to undo.");
	drop(&telling);
	return fail(args, error);
}

enum qe_exit qe_stop_what_is_left(const struct qe_args *args, const struct qe_rpc_error *why)
{
	struct telling telling = begin(args);
	struct qe_undo undo = {.say = tell, .ctx = &telling};
	enum qe_error error = qe_repair(qe_args_socket(args), &undo);

	if (count(&undo) > 0)
		return end(&telling, &undo, json_object(), "");
	drop(&telling);
	if (error == -EBUSY)
		return fail(args, error);
	return qe_fail_call(args, -ECONNREFUSED, why);
}

/* The daemon's helper has given the host back, unless somebody has killed it. Who is not root may
 * stop a daemon, and that is all that can be done then. */
enum qe_exit qe_finish_stop(const struct qe_args *args)
{
	struct telling telling = begin(args);
	struct qe_undo undo = {.say = tell, .ctx = &telling};

	(void)!qe_repair(qe_args_socket(args), &undo);
	return end(&telling, &undo, json_pack("{s:b}", "stopped", 1), "Stopped.");
}

/* ---- panic ---- */

/* A daemon that does as it is told leaves nothing to be done by force. */
static bool daemon_has_done_it(const struct qe_args *args)
{
	struct qe_rpc_error why;
	json_t *result;

	if (qe_rpc_call_until(qe_args_socket(args), "vpn.down", nullptr,
		    qe_clock_now() + PANIC_PATIENCE, &result, &why) != QE_OK)
		return false;
	json_decref(result);
	return !qe_repair_is_blocked();
}

enum qe_exit qe_command_vpn_panic_off(const struct qe_args *args)
{
	struct telling telling = begin(args);
	struct qe_undo undo = {.say = tell, .ctx = &telling};
	enum qe_error error = QE_OK;

	if (!daemon_has_done_it(args))
		error = qe_panic_off(qe_args_socket(args), &undo);
	else
		qe_undo_say(&undo, QE_UNDONE, "the daemon has left VPN mode");
	if (error == QE_OK || undo.counts[QE_UNDO_FAILED] > 0)
		return end(&telling, &undo, json_object(),
			"VPN mode is off, and there is nothing to undo.");
	drop(&telling);
	return fail(args, error);
}
