/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The proxy: a node without a TUN interface, for who has no rights on the host. Programs reach the
 * overlay, and what is behind its gateways, by SOCKS 5 and HTTP. */
#pragma once

#include "config/config.h"

struct qe_proxy_settings {
	struct qe_endpoint socks, http; /* where to listen; family QE_FAMILY_NONE: not at all */
	const char *password_file;      /* NULL: whoever reaches it may use it */
};

/* Runs until SIGTERM or SIGINT; another one while it stops ends it at once. config is taken, the
 * rest is not owned. Errors are said on standard error. Returns the exit code of the command: 0, 1
 * (it could not start) or 4 (it may not). */
int qe_proxy_run(
	struct qe_config *config, struct qe_key *key, const struct qe_proxy_settings *settings);
