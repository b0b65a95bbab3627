/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the library reports, in words. */
#pragma once

#include "daemon/log.h"
#include "daemon/worker.h"

void qe_log_event(
	const struct qe_log *log, const struct qe_config *config, const struct qe_event *event);

/* A configured peer's name, or its NodeId where it has none. */
void qe_peer_label(char to[static QE_NAME_MAX + 1], const struct qe_config_peer *peer);
