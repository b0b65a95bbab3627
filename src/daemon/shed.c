/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/shed.h"

#include "os/process.h"

constexpr qe_time quiet = QE_SECOND;

static void alarm_rings(struct qe_alarm *, qe_time)
{
	qe_process_shed();
}

struct qe_shed qe_shed_init(struct qe_loop *loop)
{
	return (struct qe_shed){.loop = loop, .alarm.ring = alarm_rings};
}

void qe_shed_done(struct qe_shed *shed)
{
	if (shed->loop)
		(void)!qe_loop_set_alarm(shed->loop, &shed->alarm, QE_TIME_NEVER);
}

/* Where no alarm can be set, the pages stay. */
void qe_shed_later(struct qe_shed *shed, qe_time now)
{
	(void)!qe_loop_set_alarm(shed->loop, &shed->alarm, now + quiet);
}
