/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The control socket in the file system. Who may connect is told twice: by the file's mode (0660,
 * root and one group), and by the credentials that the kernel vouches for, which also hold where
 * the path was opened up by mistake. Nothing here blocks, except where a deadline is given.
 */
#pragma once

#include "base/bytes.h"
#include "base/time.h"

struct qe_unix_listener;

/* Makes the directory (0711) if it is missing, replaces what a crashed daemon has left behind. The
 * group is the one of that name if the system has it, else the process's own. -EADDRINUSE: a daemon
 * answers there; -EBUSY: another one is just about to; -EEXIST: what stands there is no socket;
 * -EACCES, -EROFS, -ENOENT; -ENAMETOOLONG: more than 107 bytes. */
enum qe_error qe_unix_listener_new(
	struct qe_unix_listener **ret_listener, const char *path, const char *group);
/* Removes the file if it is still ours; NULL-safe. */
struct qe_unix_listener *qe_unix_listener_free(struct qe_unix_listener *listener);
int qe_unix_listener_fd(const struct qe_unix_listener *listener);
/* Open, and where the file is removed from, wherever the process has gone since. */
int qe_unix_listener_directory(const struct qe_unix_listener *listener);
/* -EAGAIN: nobody waits. -EACCES: one came who may not; *ret_fd is valid all the same, for a word
 * of refusal. The caller closes it with qe_unix_close. */
enum qe_error qe_unix_accept(struct qe_unix_listener *listener, int *ret_fd);

/* -ECONNREFUSED, -ENOENT: nobody listens; -EACCES. */
enum qe_error qe_unix_connect(int *ret_fd, const char *path);
void qe_unix_close(int fd);

/* As much as goes without blocking: -EAGAIN when nothing does; QE_ERR_CLOSED when the other end is
 * gone. */
enum qe_error qe_unix_send(int fd, struct qe_bytes bytes, size_t *ret_sent);
enum qe_error qe_unix_receive(int fd, void *to, size_t capacity, size_t *ret_len);
/* Until it can be read, or written: -ETIMEDOUT. */
enum qe_error qe_unix_wait_readable(int fd, qe_time until);
enum qe_error qe_unix_wait_writable(int fd, qe_time until);
