/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* /etc/hosts, read by ourselves: where the system's resolver would also ask others. */
#pragma once

#include "net/addr.h"

/* Addresses of a name, in the order of the file, at most max; returns how many. No such file: 0. */
size_t qe_hosts_file_find(struct qe_addr *to, size_t max, const char *path, const char *name);
