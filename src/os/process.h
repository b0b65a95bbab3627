/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The process and its terminal. */
#pragma once

#include "base/error.h"

/* To be called first: where a standard stream was given closed, the next file to be opened would
 * take its place, and get what is meant for the stream. */
void qe_process_fill_streams(void);

bool qe_process_has_terminal(void); /* whether standard error is one */

/* Forks. In the child, which is the leader of a session of its own: *ret_is_child is set, and what
 * qe_process_ready needs is in *ret_ready. In the parent: returns when the child has called
 * qe_process_ready or has ended; *ret_exit_code is then 0, or the child's. */
enum qe_error qe_process_background(bool *ret_is_child, int *ret_ready, int *ret_exit_code);
void qe_process_ready(int ready);

/* Lets go of what only the start needed of shared libraries: their unchanged pages. Those that are
 * used again come back from the page cache. */
void qe_process_shed(void);

/* Tells the service manager that started this process, if one waits to be told (sd_notify(3)), that
 * it is up. */
void qe_process_notify_manager(void);

/* Leaves the current folder, and standard input, output and error lead nowhere from now on; but an
 * error stream that is a file stays, and then the result is true. */
bool qe_process_detach(void);

/* Takes a file for this process alone, for as long as it lives: -EWOULDBLOCK if another one has. */
enum qe_error qe_process_lock(const char *path);
