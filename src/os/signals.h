/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The signals that ask the process to end, as a descriptor. */
#pragma once

#include "base/error.h"

/* From here on SIGTERM, SIGINT and SIGHUP end nobody, but make the descriptor readable, and SIGPIPE
 * is ignored. Call it before there are threads: they inherit it. */
enum qe_error qe_signals_take(int *ret_fd);
/* The name of one that has come, or NULL. */
const char *qe_signals_read(int fd);
/* They do again what they always do, so that a second one ends a process that hangs; closes the
 * descriptor. */
void qe_signals_release(int fd);
