/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Runs one program beside the tunnel or through it alone, whatever the rest of the host does. */
#pragma once

#include "net/addr.h"

struct qe_detour {
	/* The only interface that it may send by, apart from loopback; NULL: it goes beside the
	 * tunnel. */
	const char *tunnel;
	const char *user;              /* whom it runs as; NULL: the caller */
	const struct qe_addr *servers; /* for names */
	size_t n_servers;              /* 0: whom the host asks */
	char *const *words;            /* NULL ends them; the first is sought in PATH */
};

/* Whether the caller is who may run one: root. */
bool qe_detour_is_allowed(void);
/* Returns when it has ended, with its exit status as a shell has it. What it leaves running is
 * looked after by a process in the background: the cgroup and the rules go with the last one. On an
 * error nothing has been run, and *why says what is in the way; -EPERM takes root; -ENOENT: there
 * is no such program or user. */
enum qe_error qe_detour_run(const struct qe_detour *detour, int *ret_status, struct qe_text *why);
