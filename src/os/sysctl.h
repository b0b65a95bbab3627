/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The kernel's settings that we change, through the journal. */
#pragma once

#include "os/undo.h"

struct qe_sysctl {
	char path[96];
	char before[12], after[12]; /* what it is, and what becomes of it */
};

/* The line, without its end. */
enum qe_error qe_sysctl_read(const char *path, char *to, size_t size);
enum qe_error qe_sysctl_write(const char *path, const char *value);

/* A group: those that one change touches, some by the kernel's hand, the one that is meant last.
 * Nothing is written but the journal. */
enum qe_error qe_sysctl_journal(
	struct qe_journal *journal, const char *group, const struct qe_sysctl *settings, size_t n);
/* One setting alone; nothing is done if it is that already. */
enum qe_error qe_sysctl_set(
	struct qe_journal *journal, const char *group, const char *path, const char *value);

qe_undo_kind qe_sysctl_undo;
