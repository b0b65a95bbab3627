/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A program run to its end, for a few seconds at most. */
#pragma once

#include <stdio.h>

#include "base/text.h"

/* A file in memory, for what goes in and for what comes out: neither side can make the other wait.
 * NULL without memory. */
FILE *qe_program_file(const char *name);

/* words: of the command, then NULL; the first one is what it calls itself. input is read from its
 * begin, NULL: there is none; output gets what it says. -EIO: it failed, -ETIMEDOUT: it was
 * killed, and all that it had started. */
enum qe_error qe_program_run(
	const char *path, const char *const *words, FILE *input, FILE *output, unsigned seconds);
/* The first line, after the name of who says it; or that it failed. */
void qe_program_add_first_line(struct qe_text *why, const char *name, FILE *output);
