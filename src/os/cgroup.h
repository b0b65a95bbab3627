/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A cgroup of our own for one program and what it starts, by which the kernel tells its packets
 * apart: quicether/KIND.PID. */
#pragma once

#include <sys/types.h>

#include "base/text.h"

#define QE_CGROUP_PATH_SIZE 64

struct qe_cgroup;

/* Those that a process which was killed has left behind, and that nobody is in, go first; ended is
 * told of each. On an error *why says what this host lacks. */
enum qe_error qe_cgroup_new(struct qe_cgroup **ret_cgroup, const char *kind,
	void (*ended)(pid_t pid), struct qe_text *why);
/* Removes it if nobody is in it. NULL-safe. */
struct qe_cgroup *qe_cgroup_free(struct qe_cgroup *cgroup);

/* Sockets that are made in it from now on have the mark. */
enum qe_error qe_cgroup_mark(const struct qe_cgroup *cgroup, uint32_t mark, struct qe_text *why);
/* This process, and what it starts. */
enum qe_error qe_cgroup_enter(const struct qe_cgroup *cgroup);
bool qe_cgroup_is_empty(const struct qe_cgroup *cgroup);
/* Until it is empty. */
void qe_cgroup_wait(const struct qe_cgroup *cgroup);

/* As nft wants it: below /sys/fs/cgroup, where qe_cgroup_show has the hierarchy, for this process
 * alone, wherever the host has it. */
void qe_cgroup_path(const struct qe_cgroup *cgroup, char to[static QE_CGROUP_PATH_SIZE]);
enum qe_error qe_cgroup_show(const struct qe_cgroup *cgroup);
