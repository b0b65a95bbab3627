/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "daemon/host.h"
#include "daemon/network.h"
#include "os/clock.h"

/* Changes come in swarms: wait for the end of each. */
constexpr qe_time settles = QE_SECOND / 2;

struct qe_network {
	const struct qe_directory *directory;
	const struct qe_log *log;
	struct qe_loop *loop;
	struct qe_netlink *netlink;
	struct qe_router *router;
	struct qe_workers *workers;
	struct qe_netlink_monitor *monitor;
	struct qe_watch watch;
	struct qe_alarm alarm;
	uint64_t fingerprint; /* when the workers were last told */
};

static void settled(struct qe_alarm *alarm, qe_time now)
{
	struct qe_network *network = QE_CONTAINER_OF(alarm, struct qe_network, alarm);
	uint64_t fingerprint;

	if (qe_host_fingerprint(network->netlink, qe_directory_config(network->directory),
		    &fingerprint) != QE_OK ||
		fingerprint == network->fingerprint)
		return;
	if (qe_workers_network_changed(network->workers) != QE_OK) {
		(void)!qe_loop_set_alarm(network->loop, alarm, now + settles);
		return;
	}
	network->fingerprint = fingerprint;
	qe_router_host_changed(network->router);
	qe_log(network->log, QE_LOG_INFO, "network_changed", nullptr,
		"addresses or routes of this host have changed");
}

static void changed(struct qe_watch *watch, unsigned)
{
	struct qe_network *network = QE_CONTAINER_OF(watch, struct qe_network, watch);

	if (!qe_netlink_monitor_drain(network->monitor))
		return;
	qe_router_link_changed(network->router);
	(void)!qe_loop_set_alarm(network->loop, &network->alarm, qe_clock_now() + settles);
}

/* The monitor comes first: what changes after the fingerprint was taken is told by it. */
static enum qe_error set_up(struct qe_network *network)
{
	QE_TRY(qe_netlink_monitor_new(&network->monitor));
	QE_TRY(qe_host_fingerprint(
		network->netlink, qe_directory_config(network->directory), &network->fingerprint));
	network->alarm.ring = settled;
	network->watch = (struct qe_watch){qe_netlink_monitor_fd(network->monitor), changed};
	return qe_loop_add(network->loop, &network->watch, QE_READABLE);
}

enum qe_error qe_network_new(struct qe_network **ret_network, const struct qe_directory *directory,
	const struct qe_log *log, struct qe_loop *loop, struct qe_netlink *netlink,
	struct qe_router *router)
{
	struct qe_network *network = malloc(sizeof(*network));
	enum qe_error error;

	if (!network)
		return -ENOMEM;
	*network = (struct qe_network){directory, log, loop, netlink, router};
	error = set_up(network);
	if (error != QE_OK) {
		qe_network_free(network);
		return error;
	}
	*ret_network = network;
	return QE_OK;
}

struct qe_network *qe_network_free(struct qe_network *network)
{
	if (!network)
		return nullptr;
	if (network->watch.ready)
		qe_loop_remove(network->loop, &network->watch);
	(void)!qe_loop_set_alarm(network->loop, &network->alarm, QE_TIME_NEVER);
	qe_netlink_monitor_free(network->monitor);
	free(network);
	return nullptr;
}

void qe_network_set_workers(struct qe_network *network, struct qe_workers *workers)
{
	network->workers = workers;
}
