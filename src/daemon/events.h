/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the library reports, in words. */
#pragma once

#include "daemon/directory.h"
#include "daemon/log.h"
#include "daemon/worker.h"
#include "os/loop.h"

/* How many lines of one kind about one peer are written at once; then one more for each interval.
 */
constexpr unsigned QE_EVENT_LOG_BURST = 8;
constexpr qe_time QE_EVENT_LOG_INTERVAL = 30 * QE_SECOND;

/* The log of events. A peer that comes and goes all the time does not fill the disk: what is too
 * much is counted, and the counts are written after an interval, and at the end. */
struct qe_event_log;

/* Nothing is owned. */
enum qe_error qe_event_log_new(struct qe_event_log **ret_event_log, const struct qe_log *log,
	const struct qe_directory *directory, struct qe_loop *loop);
struct qe_event_log *qe_event_log_free(struct qe_event_log *event_log); /* NULL-safe */
void qe_event_log_add(struct qe_event_log *event_log, const struct qe_event *event);
/* Room for all slots that the directory has room for. */
enum qe_error qe_event_log_reserve(struct qe_event_log *event_log);
/* Another peer is in the slot from now on. */
void qe_event_log_forget(struct qe_event_log *event_log, size_t peer);
