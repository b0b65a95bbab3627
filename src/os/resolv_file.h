/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * One resolv.conf: what it says, ours in its place, and the former back, the same file or link with
 * the same bytes. All that is needed to put it back stands beside it or in it, so that it can be
 * done by anybody at any time, after a restart of the machine, too.
 */
#pragma once

#include "net/addr.h"

#define QE_RESOLV_SERVERS_MAX 8
#define QE_RESOLV_TEXT_MAX 512

struct qe_resolv_conf {
	struct qe_addr servers[QE_RESOLV_SERVERS_MAX]; /* those with a scope are left out */
	size_t n_servers;
	/* Words with single spaces between them. */
	char search[QE_RESOLV_TEXT_MAX], options[QE_RESOLV_TEXT_MAX];
	bool of_resolvconf; /* written by the program of this name */
};

/* Links are followed. -ENOENT; QE_ERR_RANGE: not a file, or too large. What it says and makes no
 * sense is passed over. */
enum qe_error qe_resolv_file_read(struct qe_resolv_conf *ret_conf, const char *path);

/* A file of ours that is in place; zero: none. */
struct qe_resolv_file {
	char text[3 * QE_RESOLV_TEXT_MAX]; /* what programs read of it */
	int lock;                          /* valid where there is text */
};

/* Replaces what is there, at once for those who read it: by another file, or, where it is a mount
 * point, in place. Asks the server of conf. -EBUSY: another process has put its own there. */
enum qe_error qe_resolv_file_put(struct qe_resolv_file *file, const char *path,
	const struct qe_resolv_conf *conf, struct qe_text *why);
/* Whether what was put is still what is read. */
bool qe_resolv_file_holds(const struct qe_resolv_file *file, const char *path);
/* Lets go of it; it stays in place. */
void qe_resolv_file_done(struct qe_resolv_file *file);

enum qe_resolv_undo : uint8_t {
	QE_RESOLV_NOTHING,  /* there was none of ours */
	QE_RESOLV_RESTORED, /* the former is back */
	QE_RESOLV_THEIRS,   /* somebody had replaced ours: this stays, and the former is gone */
};

/* Of whoever has put it there, unless that is another process that lives, and not force: -EBUSY. */
enum qe_error qe_resolv_file_restore(const char *path, bool force, enum qe_resolv_undo *ret_undo);
