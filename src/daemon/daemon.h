/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The daemon: a node with its TUN interface, its UDP socket, its routes and its control socket. */
#pragma once

#include "config/config.h"

/* Runs until it is told to stop, by "stop" over the control socket, SIGTERM or SIGINT; another
 * signal while it stops ends it at once. SIGHUP and "reload" load the configuration anew from its
 * inputs, whose path to a file must not depend on the current folder. config is taken, inputs and
 * key are not owned. Errors are said on standard error.
 *
 * background: return as soon as the daemon is ready or has failed, while it goes on in a process of
 * its own. Call it before the process has threads.
 *
 * Returns the exit code of the command: 0, 1 (it could not start) or 4 (it may not). */
int qe_daemon_run(struct qe_config *config, const struct qe_config_inputs *inputs,
	struct qe_key *key, bool background);
