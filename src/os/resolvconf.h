/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The program resolvconf, openresolv's or Debian's, which writes /etc/resolv.conf of what others
 * tell it. */
#pragma once

#include "os/resolv_file.h"

#define QE_RESOLVCONF_FOLDER "/run/resolvconf" /* where it keeps what it was told */

/* Where it is, or NULL; resolvectl under this name is none. */
const char *qe_resolvconf_find(void);
/* -EIO: it failed, or cannot be told apart from success by what it wrote to the file: more servers
 * than those, or others. Nothing is left of it then. -ENOENT: there is no such program. */
enum qe_error qe_resolvconf_add(
	const char *path, const struct qe_resolv_conf *conf, struct qe_text *why);
bool qe_resolvconf_holds(const char *path, const struct qe_resolv_conf *conf);
enum qe_error qe_resolvconf_remove(void);
