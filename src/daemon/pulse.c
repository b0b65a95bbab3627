/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/pulse.h"

#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "os/clock.h"

struct qe_pulse {
	struct qe_loop *loop;
	const struct qe_node *node;
	const struct qe_vpn *vpn;
	struct qe_workers *workers;
	struct qe_alarm alarm;
	bool beats;
};

void qe_pulse_ask(struct qe_pulse *pulse)
{
	const struct qe_node_id *gateway = qe_vpn_exit(pulse->vpn);
	size_t slot = gateway ? qe_node_find_peer(pulse->node, gateway) : SIZE_MAX;

	if (slot != SIZE_MAX)
		qe_workers_check(pulse->workers, slot);
}

static void set_alarm(struct qe_pulse *pulse, qe_time at)
{
	pulse->beats = qe_loop_set_alarm(pulse->loop, &pulse->alarm, at) == QE_OK &&
		       at != QE_TIME_NEVER;
}

static void alarm_rings(struct qe_alarm *alarm, qe_time now)
{
	struct qe_pulse *pulse = QE_CONTAINER_OF(alarm, struct qe_pulse, alarm);

	qe_pulse_ask(pulse);
	set_alarm(pulse, now + QE_PULSE);
}

void qe_pulse_run(struct qe_pulse *pulse)
{
	bool on = qe_vpn_exit(pulse->vpn);

	if (on != pulse->beats)
		set_alarm(pulse, on ? qe_clock_now() + QE_PULSE : QE_TIME_NEVER);
}

enum qe_error qe_pulse_new(struct qe_pulse **ret_pulse, struct qe_loop *loop,
	const struct qe_node *node, const struct qe_vpn *vpn, struct qe_workers *workers)
{
	struct qe_pulse *pulse = malloc(sizeof(*pulse));

	if (!pulse)
		return -ENOMEM;
	*pulse = (struct qe_pulse){loop, node, vpn, workers, .alarm.ring = alarm_rings};
	*ret_pulse = pulse;
	return QE_OK;
}

struct qe_pulse *qe_pulse_free(struct qe_pulse *pulse)
{
	if (!pulse)
		return nullptr;
	set_alarm(pulse, QE_TIME_NEVER);
	free(pulse);
	return nullptr;
}
