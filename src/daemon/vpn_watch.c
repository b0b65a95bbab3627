/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/vpn_watch.h"

#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/time.h"
#include "os/clock.h"
#include "os/vpn_monitor.h"

constexpr unsigned burst = 5;
constexpr qe_time interval = 5 * QE_SECOND;

struct socket_watch {
	struct qe_watch watch;
	struct qe_vpn_watch *owner;
};

struct qe_vpn_watch {
	struct qe_loop *loop;
	bool (*lost)(void *ctx);
	void *ctx;
	struct qe_vpn_monitor *monitor;
	struct socket_watch sockets[QE_VPN_MONITOR_FDS];
	struct qe_alarm alarm;
	qe_time full_at; /* of the bucket of answers */
};

static void look_at(struct qe_vpn_watch *watch, qe_time at)
{
	/* Fails without memory only; the next message sets it again. */
	(void)!qe_loop_set_alarm(watch->loop, &watch->alarm, at);
}

static void ready(struct qe_watch *ready_watch, unsigned)
{
	struct socket_watch *socket = QE_CONTAINER_OF(ready_watch, struct socket_watch, watch);

	if (qe_vpn_monitor_take(socket->owner->monitor))
		look_at(socket->owner, qe_clock_now());
}

static void alarm_rings(struct qe_alarm *alarm, qe_time now)
{
	struct qe_vpn_watch *watch = QE_CONTAINER_OF(alarm, struct qe_vpn_watch, alarm);

	if (!qe_time_take(&watch->full_at, burst, interval, now) || !watch->lost(watch->ctx))
		look_at(watch, now + interval);
}

void qe_vpn_watch_suspect(struct qe_vpn_watch *watch)
{
	look_at(watch, qe_clock_now());
}

static enum qe_error watch_sockets(struct qe_vpn_watch *watch)
{
	for (size_t i = 0; i < QE_VPN_MONITOR_FDS; i++) {
		struct socket_watch *socket = &watch->sockets[i];
		int fd = qe_vpn_monitor_fd(watch->monitor, i);

		if (fd < 0)
			continue;
		*socket = (struct socket_watch){{fd, ready}, watch};
		QE_TRY(qe_loop_add(watch->loop, &socket->watch, QE_READABLE));
	}
	return QE_OK;
}

enum qe_error qe_vpn_watch_new(
	struct qe_vpn_watch **ret_watch, struct qe_loop *loop, bool (*lost)(void *ctx), void *ctx)
{
	struct qe_vpn_watch *watch = malloc(sizeof(*watch));
	enum qe_error error;

	if (!watch)
		return -ENOMEM;
	*watch = (struct qe_vpn_watch){loop, lost, ctx, .alarm.ring = alarm_rings};
	error = qe_vpn_monitor_new(&watch->monitor);
	if (error == QE_OK)
		error = watch_sockets(watch);
	if (error != QE_OK) {
		qe_vpn_watch_free(watch);
		return error;
	}
	*ret_watch = watch;
	return QE_OK;
}

struct qe_vpn_watch *qe_vpn_watch_free(struct qe_vpn_watch *watch)
{
	if (!watch)
		return nullptr;
	look_at(watch, QE_TIME_NEVER);
	for (size_t i = 0; i < QE_VPN_MONITOR_FDS; i++) {
		if (watch->sockets[i].watch.ready)
			qe_loop_remove(watch->loop, &watch->sockets[i].watch);
	}
	qe_vpn_monitor_free(watch->monitor);
	free(watch);
	return nullptr;
}
