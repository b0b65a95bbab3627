/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* When the machine has slept, and wakes. */
#pragma once

#include "base/time.h"

struct qe_wakes {
	int fd;        /* readable when qe_wakes_take is worth asking; -1: not open */
	qe_time slept; /* in all, when last asked */
};

enum qe_error qe_wakes_init(struct qe_wakes *wakes);
void qe_wakes_done(struct qe_wakes *wakes);
/* For how long the machine has slept since it was last asked; 0: it has not. */
qe_time qe_wakes_take(struct qe_wakes *wakes);
