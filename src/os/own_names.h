/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Name servers for this process and what it becomes, whatever the host asks. */
#pragma once

#include "net/addr.h"

#define QE_OWN_NAMES_MAX 3 /* that libraries look at */

/* /etc/resolv.conf is another file from now on, and services that would answer in its place are
 * not there. Takes CAP_SYS_ADMIN. On an error *why says what is in the way. */
enum qe_error qe_own_names_enter(const struct qe_addr *servers, size_t n, struct qe_text *why);
