/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * An event loop of one thread: descriptors to watch, alarms, and a bell that other threads may
 * ring. Watches and alarms are embedded in what they serve; a callback may remove any of them,
 * itself too.
 */
#pragma once

#include <stdbool.h>

#include "base/heap.h"

enum qe_ready : unsigned {
	QE_READABLE = 1, /* also: closed or broken, which a read will tell */
	QE_WRITABLE = 2,
	QE_EDGE = 4 /* tell once, and again only after new readiness; never given to the callback */
};

struct qe_loop;

struct qe_watch {
	int fd;
	void (*ready)(struct qe_watch *watch, unsigned events);
};

struct qe_alarm {
	struct qe_timer timer;
	void (*ring)(struct qe_alarm *alarm, qe_time now);
};

enum qe_error qe_loop_new(struct qe_loop **ret_loop);
struct qe_loop *qe_loop_free(struct qe_loop *loop); /* watches and alarms are not owned */

enum qe_error qe_loop_add(struct qe_loop *loop, struct qe_watch *watch, unsigned events);
void qe_loop_change(struct qe_loop *loop, struct qe_watch *watch, unsigned events);
void qe_loop_remove(struct qe_loop *loop, struct qe_watch *watch); /* before the fd is closed */

/* QE_TIME_NEVER cancels. */
enum qe_error qe_loop_set_alarm(struct qe_loop *loop, struct qe_alarm *alarm, qe_time at);

/* Wait for events, but no longer than until a time, and call back for each and for each alarm that
 * is due. Ends early when the bell was rung. */
void qe_loop_turn(struct qe_loop *loop, qe_time until);
/* From any thread: end the turn under way, or the next one. */
void qe_loop_wake(struct qe_loop *loop);
