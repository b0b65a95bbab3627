/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Threads by pthread: the thread sanitizer does not know those of <threads.h>. */
#pragma once

#include "base/error.h"

struct qe_thread;

/* name: at most 15 bytes, seen in ps and top. */
enum qe_error qe_thread_new(
	struct qe_thread **ret_thread, const char *name, void (*run)(void *ctx), void *ctx);
/* Keeps the calling thread on one CPU. */
enum qe_error qe_thread_pin(unsigned cpu);
bool qe_thread_may_pin(unsigned cpu); /* it is one that this process may use */
unsigned qe_thread_cpus(void);        /* how many there are of those, at least 1 */
/* Waits for its end; NULL-safe; returns NULL. */
struct qe_thread *qe_thread_join(struct qe_thread *thread);
/* On its own: it is never joined, and frees what it owns itself. */
enum qe_error qe_thread_detached(const char *name, void (*run)(void *ctx), void *ctx);
