/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Which interface leads to a prefix is what the host's addresses and routes say: the longest
 * network around it; else, for a prefix that is wider than what is behind this host, the networks
 * in it; else the default route. Addresses are looked at as well as routes, because those of IPv4
 * stay on an interface that is down. What is better than what is there now, and once was there, is
 * missed: a prefix whose own network has vanished is unreachable, although the default route would
 * take its packets.
 *
 * A host is asked once a second, and has three seconds to answer. An answer that comes out of the
 * tunnel says nothing: another gateway may be reached by it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "daemon/lan.h"
#include "os/clock.h"
#include "os/echo.h"

constexpr qe_time period = QE_SECOND;
constexpr qe_time patience = 3 * QE_SECOND;
/* Changes come in swarms, and a cable's must be seen soon. */
constexpr qe_time settles = QE_SECOND / 20;

struct offer {
	struct qe_prefix prefix;
	int best; /* the rank of the best way that there has been; -1: none */
	bool has_carrier, reachable;
	bool told; /* as the log has it */
};

struct probe {
	struct qe_addr addr;
	qe_time answered; /* 0: never */
};

struct asker {
	struct qe_lan *lan;
	struct qe_echo *echo; /* NULL: not to be had */
	struct qe_watch watch;
};

struct qe_lan {
	struct qe_loop *loop;
	struct qe_netlink *netlink;
	const struct qe_log *log;
	struct asker askers[2]; /* IPv4, IPv6 */
	struct qe_alarm host_alarm, probe_alarm;
	qe_time since; /* when it began with what follows */
	bool host_is_due;

	char tun_name[QE_INTERFACE_NAME_SIZE];
	struct offer *offers;
	size_t n_offers;
	struct probe *probes;
	size_t n_probes;
	struct qe_prefix *unreachable; /* room for all */
	void (*changed)(void *ctx, const struct qe_prefix *unreachable, size_t n);
	void *ctx;
};

/* ---- carrier ---- */

struct way {
	struct qe_prefix prefix;
	char interface[QE_INTERFACE_NAME_SIZE];
	bool has_carrier;
};

struct survey {
	const char *tun_name;
	struct way *ways;
	size_t n, capacity;
	bool failed;
};

static void add_way(void *ctx, const struct qe_host_entry *entry)
{
	struct survey *survey = ctx;
	struct way *way;

	if (survey->failed || !entry->interface[0] ||
		strcmp(entry->interface, survey->tun_name) == 0)
		return;
	if (survey->n == survey->capacity) {
		size_t capacity = 2 * survey->capacity + 16;

		way = reallocarray(survey->ways, capacity, sizeof(*way));
		survey->failed = !way;
		if (!way)
			return;
		survey->ways = way;
		survey->capacity = capacity;
	}
	way = &survey->ways[survey->n++];
	*way = (struct way){.prefix = entry->prefix};
	memcpy(way->interface, entry->interface, sizeof(way->interface));
}

/* The kernel is asked about each interface once. */
static void look_at_interfaces(struct qe_lan *lan, struct survey *survey)
{
	for (size_t i = 0; i < survey->n; i++) {
		struct way *way = &survey->ways[i];
		size_t j = 0;

		while (strcmp(survey->ways[j].interface, way->interface) != 0)
			j++;
		way->has_carrier = j < i ? survey->ways[j].has_carrier
					 : qe_netlink_has_carrier(lan->netlink, way->interface);
	}
}

/* 0 is the default route's, and the only one that leads everywhere; -1: it does not lead there. */
static int rank(const struct way *way, const struct qe_prefix *prefix)
{
	if (qe_prefix_covers(&way->prefix, prefix))
		return way->prefix.length;
	return prefix->length > 0 && qe_prefix_covers(prefix, &way->prefix) ? prefix->length : -1;
}

static bool has_carrier(struct offer *offer, const struct survey *survey)
{
	bool any = offer->best < 0;

	for (size_t i = 0; i < survey->n; i++) {
		const struct way *way = &survey->ways[i];
		int its = rank(way, &offer->prefix);

		if (its > offer->best) {
			offer->best = its;
			any = false;
		}
		if (its >= 0 && its == offer->best)
			any |= way->has_carrier;
	}
	return any;
}

static enum qe_error look_at_host(struct qe_lan *lan)
{
	struct survey survey = {.tun_name = lan->tun_name};
	enum qe_error error = qe_netlink_visit(lan->netlink, add_way, &survey);

	if (error == QE_OK && survey.failed)
		error = -ENOMEM;
	if (error == QE_OK) {
		look_at_interfaces(lan, &survey);
		for (size_t i = 0; i < lan->n_offers; i++)
			lan->offers[i].has_carrier = has_carrier(&lan->offers[i], &survey);
	}
	free(survey.ways);
	return error;
}

/* ---- probes ---- */

static struct asker *find_asker(struct qe_lan *lan, const struct qe_addr *addr)
{
	return &lan->askers[addr->family == QE_FAMILY_IPV4 ? 0 : 1];
}

static bool answers(struct qe_lan *lan, const struct probe *probe, qe_time now)
{
	if (!find_asker(lan, &probe->addr)->echo)
		return true;
	return probe->answered > 0 && now - probe->answered < patience;
}

static bool has_answers(struct qe_lan *lan, const struct qe_prefix *prefix, qe_time now)
{
	bool inside = false, any_inside = false, any = false;

	for (size_t i = 0; i < lan->n_probes; i++) {
		bool is_inside = qe_prefix_contains(prefix, &lan->probes[i].addr);
		bool here = answers(lan, &lan->probes[i], now);

		inside |= is_inside;
		any_inside |= is_inside && here;
		any |= here;
	}
	return lan->n_probes == 0 || (inside ? any_inside : any);
}

/* ---- both ---- */

static void tell(struct qe_lan *lan)
{
	size_t n = 0;

	for (size_t i = 0; i < lan->n_offers; i++) {
		if (!lan->offers[i].reachable)
			lan->unreachable[n++] = lan->offers[i].prefix;
	}
	lan->changed(lan->ctx, lan->unreachable, n);
}

/* Not about hosts that have not had the time to answer. */
static void say(const struct qe_lan *lan, struct offer *offer, qe_time now)
{
	char text[QE_PREFIX_TEXT_SIZE];

	if (offer->reachable == offer->told ||
		(!offer->reachable && offer->has_carrier && now - lan->since < patience))
		return;
	offer->told = offer->reachable;
	qe_prefix_format(text, &offer->prefix);
	if (offer->reachable)
		qe_log(lan->log, QE_LOG_INFO, "lan_up", nullptr, "%s can be reached", text);
	else
		qe_log(lan->log, QE_LOG_WARN, "lan_down", nullptr,
			"%s cannot be reached and is withdrawn: %s", text,
			offer->has_carrier ? "no probe answers"
					   : "the interface that leads there is down");
}

static void judge(struct qe_lan *lan, qe_time now)
{
	bool changed = false;

	for (size_t i = 0; i < lan->n_offers; i++) {
		struct offer *offer = &lan->offers[i];
		bool reachable = offer->has_carrier && has_answers(lan, &offer->prefix, now);

		changed |= reachable != offer->reachable;
		offer->reachable = reachable;
		say(lan, offer, now);
	}
	if (changed)
		tell(lan);
}

static void host_settled(struct qe_alarm *alarm, qe_time now)
{
	struct qe_lan *lan = QE_CONTAINER_OF(alarm, struct qe_lan, host_alarm);

	lan->host_is_due = false;
	if (look_at_host(lan) == QE_OK)
		judge(lan, now);
}

static void ask(struct qe_alarm *alarm, qe_time now)
{
	struct qe_lan *lan = QE_CONTAINER_OF(alarm, struct qe_lan, probe_alarm);

	judge(lan, now);
	for (size_t i = 0; i < lan->n_probes; i++) {
		struct asker *asker = find_asker(lan, &lan->probes[i].addr);

		if (asker->echo)
			qe_echo_send(asker->echo, &lan->probes[i].addr);
	}
	(void)!qe_loop_set_alarm(
		lan->loop, alarm, lan->n_probes > 0 ? now + period : QE_TIME_NEVER);
}

static void take_answers(struct qe_watch *watch, unsigned)
{
	struct asker *asker = QE_CONTAINER_OF(watch, struct asker, watch);
	struct qe_lan *lan = asker->lan;
	unsigned interface, tunnel = 0;
	qe_time now = qe_clock_now();
	struct qe_addr from;

	(void)!qe_netlink_interface(lan->netlink, lan->tun_name, &tunnel);
	while (qe_echo_receive(asker->echo, &from, &interface)) {
		for (size_t i = 0; i < lan->n_probes && interface != tunnel; i++) {
			if (qe_addr_equal(&lan->probes[i].addr, &from))
				lan->probes[i].answered = now;
		}
	}
	judge(lan, now);
}

/* ---- the outside ---- */

static enum qe_error open_asker(struct qe_lan *lan, struct asker *asker, enum qe_family family)
{
	asker->lan = lan;
	if (qe_echo_new(&asker->echo, family) != QE_OK)
		return QE_OK; /* told once somebody is to be asked */
	asker->watch = (struct qe_watch){qe_echo_fd(asker->echo), take_answers};
	return qe_loop_add(lan->loop, &asker->watch, QE_READABLE);
}

enum qe_error qe_lan_new(struct qe_lan **ret_lan, struct qe_loop *loop, struct qe_netlink *netlink,
	const struct qe_log *log)
{
	struct qe_lan *lan = malloc(sizeof(*lan));
	enum qe_error error;

	if (!lan)
		return -ENOMEM;
	*lan = (struct qe_lan){.loop = loop, .netlink = netlink, .log = log};
	lan->host_alarm.ring = host_settled;
	lan->probe_alarm.ring = ask;
	error = open_asker(lan, &lan->askers[0], QE_FAMILY_IPV4);
	if (error == QE_OK)
		error = open_asker(lan, &lan->askers[1], QE_FAMILY_IPV6);
	if (error != QE_OK) {
		qe_lan_free(lan);
		return error;
	}
	*ret_lan = lan;
	return QE_OK;
}

struct qe_lan *qe_lan_free(struct qe_lan *lan)
{
	if (!lan)
		return nullptr;
	for (size_t i = 0; i < 2; i++) {
		if (lan->askers[i].watch.ready)
			qe_loop_remove(lan->loop, &lan->askers[i].watch);
		qe_echo_free(lan->askers[i].echo);
	}
	(void)!qe_loop_set_alarm(lan->loop, &lan->host_alarm, QE_TIME_NEVER);
	(void)!qe_loop_set_alarm(lan->loop, &lan->probe_alarm, QE_TIME_NEVER);
	free(lan->offers);
	free(lan->probes);
	free(lan->unreachable);
	free(lan);
	return nullptr;
}

static void warn_of_askers(struct qe_lan *lan)
{
	for (size_t i = 0; i < lan->n_probes; i++) {
		if (find_asker(lan, &lan->probes[i].addr)->echo)
			continue;
		qe_log(lan->log, QE_LOG_WARN, "no_probe", nullptr,
			"network.probe: this process may not send ICMP echo requests: \"sysctl -w "
			"net.ipv4.ping_group_range='0 2147483647'\", or CAP_NET_RAW; until then "
			"the hosts count as there");
		return;
	}
}

/* What has been reached goes on being so until it is found out not to be. */
static bool was_reachable(const struct qe_lan *lan, const struct qe_prefix *prefix)
{
	for (size_t i = 0; i < lan->n_offers; i++) {
		if (qe_prefix_compare(&lan->offers[i].prefix, prefix) == 0)
			return lan->offers[i].reachable;
	}
	return true;
}

static qe_time last_answer(const struct qe_lan *lan, const struct qe_addr *addr)
{
	for (size_t i = 0; i < lan->n_probes; i++) {
		if (qe_addr_equal(&lan->probes[i].addr, addr))
			return lan->probes[i].answered;
	}
	return 0;
}

static void fill(const struct qe_lan *lan, const struct qe_lan_settings *settings,
	struct offer *offers, struct probe *probes)
{
	for (size_t i = 0; i < settings->n; i++)
		offers[i] = (struct offer){.prefix = settings->prefixes[i],
			.best = -1,
			.has_carrier = true,
			.reachable = was_reachable(lan, &settings->prefixes[i]),
			.told = was_reachable(lan, &settings->prefixes[i])};
	for (size_t i = 0; i < settings->n_probes; i++)
		probes[i] = (struct probe){
			settings->probes[i].addr, last_answer(lan, &settings->probes[i].addr)};
}

static void replace(struct qe_lan *lan, const struct qe_lan_settings *settings,
	struct offer *offers, struct probe *probes, struct qe_prefix *unreachable)
{
	fill(lan, settings, offers, probes);
	free(lan->offers);
	free(lan->probes);
	free(lan->unreachable);
	lan->offers = offers;
	lan->n_offers = settings->n;
	lan->probes = probes;
	lan->n_probes = settings->n_probes;
	lan->unreachable = unreachable;
	lan->changed = settings->changed;
	lan->ctx = settings->ctx;
	memset(lan->tun_name, 0, sizeof(lan->tun_name));
	strncpy(lan->tun_name, settings->tun_name, sizeof(lan->tun_name) - 1);
}

enum qe_error qe_lan_configure(struct qe_lan *lan, const struct qe_lan_settings *settings)
{
	struct offer *offers = calloc(settings->n + 1, sizeof(*offers));
	struct probe *probes = calloc(settings->n_probes + 1, sizeof(*probes));
	struct qe_prefix *unreachable = calloc(settings->n + 1, sizeof(*unreachable));

	if (!offers || !probes || !unreachable) {
		free(offers);
		free(probes);
		free(unreachable);
		return -ENOMEM;
	}
	replace(lan, settings, offers, probes, unreachable);
	lan->since = qe_clock_now();
	warn_of_askers(lan);
	(void)!look_at_host(lan);
	ask(&lan->probe_alarm, lan->since);
	tell(lan);
	return QE_OK;
}

void qe_lan_host_changed(struct qe_lan *lan)
{
	if (lan->host_is_due || lan->n_offers == 0)
		return;
	lan->host_is_due = qe_loop_set_alarm(
				   lan->loop, &lan->host_alarm, qe_clock_now() + settles) == QE_OK;
}
