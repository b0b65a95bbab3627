/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What only handshakes need of shared libraries, some megabytes, goes out of memory again when
 * there has been none for a moment: unchanged pages, which come back by themselves. Control
 * thread. */
#pragma once

#include "os/loop.h"

struct qe_shed {
	struct qe_loop *loop;
	struct qe_alarm alarm;
};

struct qe_shed qe_shed_init(struct qe_loop *loop);
void qe_shed_done(struct qe_shed *shed);
/* There was one. */
void qe_shed_later(struct qe_shed *shed, qe_time now);
