/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the daemon says of itself: lines for people on a terminal, JSON lines elsewhere, the system
 * log where nobody reads along. Never a line per packet. */
#pragma once

#include "config/config.h"

struct qe_log {
	enum qe_log_level level;
	enum qe_log_form : uint8_t { QE_LOG_HUMAN, QE_LOG_JSON, QE_LOG_SYSTEM } form;
};

/* On standard error. */
struct qe_log qe_log_init(enum qe_log_level level);
/* When the process leaves its terminal: a file goes on being written to, anything else gives way to
 * the system log, and the standard streams are closed. */
void qe_log_detach(struct qe_log *log);

/* event: a stable word for machines, "link_up". peer: name or NodeId, or NULL. */
[[gnu::format(printf, 5, 6)]] void qe_log(const struct qe_log *log, enum qe_log_level level,
	const char *event, const char *peer, const char *format, ...);
