/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* systemd-resolved, by D-Bus (org.freedesktop.resolve1(5)): what it is told of a link. Each call
 * takes a few seconds at most, and starts no service. */
#pragma once

#include "net/addr.h"

/* All names are asked of the server. search: a domain, or NULL. On an error nothing has
 * changed, and *why says what. */
enum qe_error qe_resolved_set(const char *interface, const struct qe_addr *server,
	const char *search, struct qe_text *why);
bool qe_resolved_holds(const char *interface, const struct qe_addr *server);
/* -ENODEV: the link is gone, and with it what was told of it. */
enum qe_error qe_resolved_revert(const char *interface);
