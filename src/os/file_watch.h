/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* When a file may have changed, or what stands under its name: at once, and perhaps too often. */
#pragma once

#include "base/error.h"

struct qe_file_watch {
	int fd; /* readable when qe_file_watch_take is worth asking; -1: not open */
};

enum qe_error qe_file_watch_init(struct qe_file_watch *watch);
void qe_file_watch_done(struct qe_file_watch *watch);
/* The file that this leads to now, along all links, and each name on the way; again after each
 * change. What is not there is not watched, but its folder is. */
void qe_file_watch_add(struct qe_file_watch *watch, const char *path);
/* Takes away what has come; whether a file was concerned in whose name this word is. */
bool qe_file_watch_take(struct qe_file_watch *watch, const char *word);
