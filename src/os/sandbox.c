/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A daemon that parses packets from the Internet keeps no power that it needed only to start. What
 * it holds open stays open: TUN device, UDP socket, control socket, netlink monitor. What stays
 * possible is to use these, to resolve names, and to unlink the control socket, whose directory
 * belongs to the user that the daemon runs as.
 */
#include <cap-ng.h>
#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "os/sandbox.h"

/* From here on: no core file and no debugger of the same user gets at the keys in memory. */
static enum qe_error hide_memory(void)
{
	const struct rlimit none = {};

	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return qe_error_errno();
	return QE_OK;
}

/* From here on: no interface, address or route can be made or changed, no low port bound, no file
 * of another user opened, no module loaded. */
static enum qe_error drop_capabilities(void)
{
	if (capng_get_caps_process() < 0)
		return -EPERM;
	capng_clear(CAPNG_SELECT_ALL);
	return capng_apply(CAPNG_SELECT_ALL) == 0 ? QE_OK : -EPERM;
}

/* From here on: no program that is started, be it set-user-ID, gets any of it back. */
static enum qe_error refuse_new_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? qe_error_errno() : QE_OK;
}

enum qe_error qe_sandbox_enter(void)
{
	QE_TRY(hide_memory());
	QE_TRY(drop_capabilities());
	return refuse_new_privileges();
}
