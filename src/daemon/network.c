/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Changes come in swarms: an address, its route, a default route, one after the other. The first
 * of them is acted upon almost at once, as it may be all that there is; those that follow, in
 * batches, and the longer it takes to see what there is now, the rarer. What has not changed the
 * ways to other hosts is of no account: containers come and go.
 */
#include "daemon/network.h"

#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "daemon/host.h"
#include "os/clock.h"
#include "os/wakes.h"

constexpr qe_time gathers = 20 * QE_MILLISECOND;
constexpr qe_time pause_min = 250 * QE_MILLISECOND; /* between two looks */
constexpr unsigned pause_factor = 10;               /* of what a look takes */

struct qe_network {
	const struct qe_directory *directory;
	const struct qe_log *log;
	struct qe_loop *loop;
	struct qe_netlink *netlink;
	struct qe_router *router;
	struct qe_vpn *vpn;
	struct qe_workers *workers;
	struct qe_endpoints *endpoints;
	struct qe_naming *naming;
	struct qe_netlink_monitor *monitor;
	struct qe_watch watch;
	struct qe_alarm alarm;
	bool is_alarm_set;
	qe_time next;         /* not before */
	uint64_t fingerprint; /* when it was last looked at */
	bool is_untold;       /* a worker was behind: again */
	struct qe_wakes wakes;
	struct qe_watch wakes_watch;
};

static void set_alarm(struct qe_network *network)
{
	qe_time at = qe_time_max(qe_clock_now() + gathers, network->next);

	if (!network->is_alarm_set)
		network->is_alarm_set = qe_loop_set_alarm(network->loop, &network->alarm, at) ==
					QE_OK;
}

/* Those first who redial. */
static void tell_all(struct qe_network *network)
{
	network->is_untold = qe_workers_network_changed(network->workers) != QE_OK;
	if (network->is_untold)
		set_alarm(network);
	qe_endpoints_network_changed(network->endpoints, qe_clock_now());
	qe_router_host_changed(network->router);
	qe_vpn_host_changed(network->vpn);
	qe_naming_network_changed(network->naming);
}

static void look(struct qe_network *network)
{
	uint64_t fingerprint;

	if (qe_host_fingerprint(network->netlink, qe_directory_config(network->directory),
		    &fingerprint) != QE_OK ||
		(fingerprint == network->fingerprint && !network->is_untold))
		return;
	network->fingerprint = fingerprint;
	qe_log(network->log, QE_LOG_INFO, "network_changed", nullptr,
		"addresses or routes of this host have changed");
	tell_all(network);
}

static void alarm_rings(struct qe_alarm *alarm, qe_time begin)
{
	struct qe_network *network = QE_CONTAINER_OF(alarm, struct qe_network, alarm);

	network->is_alarm_set = false;
	look(network);
	qe_time end = qe_clock_now();

	network->next = end + qe_time_max(pause_min, pause_factor * qe_time_since(begin, end));
}

static void changed(struct qe_watch *watch, unsigned)
{
	struct qe_network *network = QE_CONTAINER_OF(watch, struct qe_network, watch);

	if (!qe_netlink_monitor_drain(network->monitor))
		return;
	qe_router_link_changed(network->router);
	set_alarm(network);
}

/* What the links know of their peers is as old as the sleep was long. */
static void woke(struct qe_watch *watch, unsigned)
{
	struct qe_network *network = QE_CONTAINER_OF(watch, struct qe_network, wakes_watch);
	qe_time slept = qe_wakes_take(&network->wakes);

	if (slept == 0)
		return;
	qe_log(network->log, QE_LOG_INFO, "woke", nullptr, "the machine has slept for %.1f s",
		(double)slept / QE_SECOND);
	tell_all(network);
}

/* The monitor comes first: what changes after the fingerprint was taken is told by it. */
static enum qe_error set_up(struct qe_network *network)
{
	QE_TRY(qe_netlink_monitor_new(&network->monitor));
	QE_TRY(qe_host_fingerprint(
		network->netlink, qe_directory_config(network->directory), &network->fingerprint));
	QE_TRY(qe_wakes_init(&network->wakes));
	network->alarm.ring = alarm_rings;
	network->wakes_watch = (struct qe_watch){network->wakes.fd, woke};
	QE_TRY(qe_loop_add(network->loop, &network->wakes_watch, QE_READABLE));
	network->watch = (struct qe_watch){qe_netlink_monitor_fd(network->monitor), changed};
	return qe_loop_add(network->loop, &network->watch, QE_READABLE);
}

enum qe_error qe_network_new(struct qe_network **ret_network, const struct qe_directory *directory,
	const struct qe_log *log, struct qe_loop *loop, struct qe_netlink *netlink,
	struct qe_router *router, struct qe_vpn *vpn)
{
	struct qe_network *network = malloc(sizeof(*network));
	enum qe_error error;

	if (!network)
		return -ENOMEM;
	*network = (struct qe_network){directory, log, loop, netlink, router, vpn, .wakes.fd = -1};
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
	if (network->wakes_watch.ready)
		qe_loop_remove(network->loop, &network->wakes_watch);
	(void)!qe_loop_set_alarm(network->loop, &network->alarm, QE_TIME_NEVER);
	qe_wakes_done(&network->wakes);
	qe_netlink_monitor_free(network->monitor);
	free(network);
	return nullptr;
}

void qe_network_set_workers(struct qe_network *network, struct qe_workers *workers)
{
	network->workers = workers;
}

void qe_network_set_endpoints(struct qe_network *network, struct qe_endpoints *endpoints)
{
	network->endpoints = endpoints;
}

void qe_network_set_naming(struct qe_network *network, struct qe_naming *naming)
{
	network->naming = naming;
}
