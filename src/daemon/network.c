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
constexpr qe_time restore_again = 250 * QE_MILLISECOND;
constexpr qe_time restore_rarely = 60 * QE_SECOND;
constexpr unsigned pause_factor = 10; /* of what a look takes */

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
	qe_time rings_at;
	qe_time next;                           /* not before */
	uint64_t fingerprint;                   /* when it was last looked at */
	bool is_untold;                         /* a worker was behind: again */
	struct qe_netlink_monitor *tun_monitor; /* the others' messages may be too many */
	struct qe_watch tun_watch;
	bool tun_is_lost; /* what was made of the interface is not all there */
	bool tun_is_down;
	qe_time tun_next, tun_pause; /* of the tries to put that back */
	struct qe_wakes wakes;
	struct qe_watch wakes_watch;
};

/* Or earlier, if it rings before that already. */
static void set_alarm(struct qe_network *network, qe_time at)
{
	if (network->is_alarm_set && network->rings_at <= at)
		return;
	network->is_alarm_set = qe_loop_set_alarm(network->loop, &network->alarm, at) == QE_OK;
	network->rings_at = at;
}

static void look_soon(struct qe_network *network)
{
	set_alarm(network, qe_time_max(qe_clock_now() + gathers, network->next));
}

/* Those first who redial. */
static void tell_all(struct qe_network *network)
{
	network->is_untold = qe_workers_network_changed(network->workers) != QE_OK;
	qe_endpoints_network_changed(network->endpoints, qe_clock_now());
	qe_router_host_changed(network->router);
	qe_vpn_host_changed(network->vpn);
	qe_naming_network_changed(network->naming);
}

static void say_interface(const struct qe_network *network, const char *what)
{
	qe_log(network->log, QE_LOG_WARN, "interface", nullptr, "%s %s",
		qe_directory_config(network->directory)->network.tun_name, what);
}

/* Tried again, more and more rarely: it may never succeed, as where IPv6 is switched off meanwhile.
 */
static void restore_tun(struct qe_network *network, qe_time now)
{
	if (now < network->tun_next)
		return;
	network->tun_is_lost = qe_router_restore(network->router) != QE_OK;
	if (!network->tun_is_lost)
		return;
	network->tun_pause = qe_time_min(2 * network->tun_pause + restore_again, restore_rarely);
	network->tun_next = now + network->tun_pause;
}

/* Who takes it down has a reason, or will bring it up again: the daemon does neither. */
static void look_at_tun(struct qe_network *network, qe_time now)
{
	const char *name = qe_directory_config(network->directory)->network.tun_name;
	bool was_down = qe_netlink_monitor_was_down(network->tun_monitor);
	bool was_known = network->tun_is_down, up;

	network->tun_is_lost |= was_down;
	if (!network->tun_is_lost || qe_netlink_is_up(network->netlink, name, &up) != QE_OK)
		return;
	network->tun_is_down = !up;
	if (!up && !was_known) {
		say_interface(network, "is down: nothing comes or goes by it");
		qe_vpn_interface_changed(network->vpn, false);
	}
	if (up && (was_down || was_known)) {
		say_interface(network, "has been down: its addresses and routes are put back");
		qe_vpn_interface_changed(network->vpn, true);
		network->tun_pause = network->tun_next = 0;
	}
	if (up)
		restore_tun(network, now);
}

static void look(struct qe_network *network, qe_time now)
{
	uint64_t fingerprint;

	look_at_tun(network, now);
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
	look(network, begin);
	qe_time end = qe_clock_now();

	network->next = end + qe_time_max(pause_min, pause_factor * qe_time_since(begin, end));
	if (network->is_untold)
		set_alarm(network, network->next);
	if (network->tun_is_lost && !network->tun_is_down)
		set_alarm(network, qe_time_max(network->next, network->tun_next));
}

static void changed(struct qe_watch *watch, unsigned)
{
	struct qe_network *network = QE_CONTAINER_OF(watch, struct qe_network, watch);

	if (!qe_netlink_monitor_drain(network->monitor))
		return;
	qe_router_link_changed(network->router);
	look_soon(network);
}

static void tun_changed(struct qe_watch *watch, unsigned)
{
	struct qe_network *network = QE_CONTAINER_OF(watch, struct qe_network, tun_watch);

	if (qe_netlink_monitor_drain(network->tun_monitor))
		look_soon(network);
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
	if (network->is_untold)
		look_soon(network);
}

static enum qe_error follow_tun(struct qe_network *network)
{
	const char *name = qe_directory_config(network->directory)->network.tun_name;
	unsigned tun;

	QE_TRY(qe_netlink_interface(network->netlink, name, &tun));
	QE_TRY(qe_netlink_monitor_new_links(&network->tun_monitor));
	qe_netlink_monitor_follow(network->tun_monitor, tun);
	network->tun_watch = (struct qe_watch){
		qe_netlink_monitor_fd(network->tun_monitor), tun_changed};
	return qe_loop_add(network->loop, &network->tun_watch, QE_READABLE);
}

/* The monitor comes first: what changes after the fingerprint was taken is told by it. */
static enum qe_error set_up(struct qe_network *network)
{
	QE_TRY(qe_netlink_monitor_new(&network->monitor));
	QE_TRY(qe_host_fingerprint(
		network->netlink, qe_directory_config(network->directory), &network->fingerprint));
	QE_TRY(follow_tun(network));
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
	if (network->tun_watch.ready)
		qe_loop_remove(network->loop, &network->tun_watch);
	if (network->wakes_watch.ready)
		qe_loop_remove(network->loop, &network->wakes_watch);
	(void)!qe_loop_set_alarm(network->loop, &network->alarm, QE_TIME_NEVER);
	qe_wakes_done(&network->wakes);
	qe_netlink_monitor_free(network->monitor);
	qe_netlink_monitor_free(network->tun_monitor);
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
