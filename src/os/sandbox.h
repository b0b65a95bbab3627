/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Giving up what is not needed any more, in stages, each of which says what can no longer be done.
 */
#pragma once

#include "base/error.h"

/* An open folder, and what can still be done with the files in it afterwards. */
enum qe_sandbox_use : uint8_t {
	QE_SANDBOX_REMOVE = 1, /* take them away */
	QE_SANDBOX_READ = 2,
	QE_SANDBOX_WRITE = 4,    /* make new ones and write to those there are */
	QE_SANDBOX_REPLACE = 15, /* all of that, cut them short, and rename them in their folder */
};

struct qe_sandbox_folder {
	int fd;       /* -1: none */
	uint8_t uses; /* of enum qe_sandbox_use */
};

/* Opens the folder that a file is in, or will be; for a link, with follow, that of what it leads
 * to. To be closed by qe_sandbox_close_folder. */
enum qe_error qe_sandbox_open_folder(int *ret_fd, const char *file, bool follow);
void qe_sandbox_close_folder(int fd);

/* All stages, for the calling thread and those it makes from then on: call it while there is no
 * other, after everything that takes privileges has been done. *ret_confined is false where the
 * kernel has no Landlock: then files are what the process's user may use. */
enum qe_error qe_sandbox_enter(
	const struct qe_sandbox_folder *folders, size_t n, bool *ret_confined);

/* The same for the daemon's helper (os/helper.h), which keeps the right to change the host's
 * network. */
enum qe_error qe_sandbox_enter_helper(
	const struct qe_sandbox_folder *folders, size_t n, bool *ret_confined);
