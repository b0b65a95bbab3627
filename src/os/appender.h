/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Lines appended to a file by a thread of its own, out of a bounded queue: a disk that is slow or
 * full delays nobody. A line that cannot be written is counted, and the count becomes a line of its
 * own once one can be.
 */
#pragma once

#include "base/bytes.h"

constexpr size_t QE_APPENDER_LINES_MAX = 4096;    /* that wait */
constexpr size_t QE_APPENDER_BYTES_MAX = 1 << 20; /* of these */

struct qe_appender;

/* Opens the file, whose folder must be there; a new one has the mode 0640. format_lost: the line,
 * without its end, that tells of n lost ones; called by the thread. */
enum qe_error qe_appender_new(struct qe_appender **ret_appender, const char *path,
	void (*format_lost)(char *to, size_t size, uint64_t n));
/* Makes the thread. What was added before is kept. */
enum qe_error qe_appender_start(struct qe_appender *appender);
/* Gives what waits a second to be written. NULL-safe; returns NULL. */
struct qe_appender *qe_appender_free(struct qe_appender *appender);

/* The folder of the file, in which it must stay possible to make and write files. */
int qe_appender_folder(const struct qe_appender *appender);
/* What comes from now on goes to the file that has the name now, as the one before may have been
 * renamed. Where it cannot be opened, the one before stays. */
void qe_appender_reopen(struct qe_appender *appender);
/* One line without its end; lost when too many wait. */
void qe_appender_add(struct qe_appender *appender, const char *line, size_t len);
/* A line that could not even be made. */
void qe_appender_add_lost(struct qe_appender *appender);
/* Lines that were lost and are not yet told in the file. */
uint64_t qe_appender_lost(struct qe_appender *appender);
