/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The audit log: who was connected when, what flowed, what was refused, what was changed; one JSON
 * object a line, as docs/audit.md says. Never any payload, and never on the packets' way: what
 * cannot be written is counted, and the count is a record of its own later (os/appender.h). */
#pragma once

#include <jansson.h>

#include "daemon/directory.h"
#include "os/clock.h"

struct qe_audit;

/* Opens the file, whose folder must be there. */
enum qe_error qe_audit_new(struct qe_audit **ret_audit, const char *path);
/* Once no privileges are left. Records that were added before are kept. */
enum qe_error qe_audit_start(struct qe_audit *audit);
struct qe_audit *qe_audit_free(struct qe_audit *audit); /* NULL-safe; returns NULL */

int qe_audit_folder(const struct qe_audit *audit); /* where files are made and written */
void qe_audit_reopen(struct qe_audit *audit);      /* after the file was renamed; NULL-safe */

/* As records have it: RFC 3339, UTC, to the millisecond. at: as qe_clock_now counts. */
void qe_audit_time(char to[static QE_CLOCK_TEXT_SIZE], qe_time at);

/* A record of this moment. event: a word of docs/audit.md; fields: an object that is taken over,
 * or NULL if it could not be made, which counts as lost. audit may be NULL: nobody keeps any. */
void qe_audit_add(struct qe_audit *audit, const char *event, json_t *fields);
/* The records of peers that come and go, and of strangers. */
void qe_audit_event(
	struct qe_audit *audit, const struct qe_directory *directory, const struct qe_event *event);
/* The records of what peers announce: believed, unless there is a reason. */
void qe_audit_route(struct qe_audit *audit, const struct qe_directory *directory,
	const struct qe_route_refusal *route);
uint64_t qe_audit_lost(struct qe_audit *audit); /* and not told of in the file yet; NULL-safe */
