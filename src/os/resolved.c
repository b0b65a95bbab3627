/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The interface is told to have a server, 127.0.0.84, to which resolved sends without binding to
 * the interface, as it is an address of loopback; it refuses only its own two, 127.0.0.53 and .54.
 * The routing domain "~." is preferred to the servers of all other links, for all names but those
 * below domains that another link names itself.
 */
#include "os/resolved.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>

#include "os/clock.h"

constexpr qe_time patience = 2 * QE_SECOND;
constexpr char service[] = "org.freedesktop.resolve1";
constexpr char manager_path[] = "/org/freedesktop/resolve1";
constexpr char manager[] = "org.freedesktop.resolve1.Manager";
constexpr char link_interface[] = "org.freedesktop.resolve1.Link";

/* One conversation; the deadline is that of all of it. */
struct talk {
	sd_bus *bus;
	qe_time end;
	struct qe_text *why; /* may be NULL */
};

static uint64_t left_us(const struct talk *talk)
{
	qe_time now = qe_clock_now();

	return talk->end > now ? (talk->end - now) / QE_MICROSECOND : 0;
}

static enum qe_error to_error(int result)
{
	return result < 0 ? (enum qe_error)result : QE_OK;
}

/* sd_bus_call would wait for the greeting as long as the bus likes. */
static enum qe_error greet(const struct talk *talk)
{
	while (sd_bus_is_ready(talk->bus) == 0) {
		int result = sd_bus_process(talk->bus, nullptr);

		if (result == 0)
			result = sd_bus_wait(talk->bus, left_us(talk));
		if (result < 0)
			return to_error(result);
		if (left_us(talk) == 0)
			return -ETIMEDOUT;
	}
	return QE_OK;
}

static enum qe_error open_talk(struct talk *talk, struct qe_text *why)
{
	enum qe_error error;

	*talk = (struct talk){.end = qe_clock_now() + patience, .why = why};
	error = to_error(sd_bus_open_system(&talk->bus));
	if (error == QE_OK)
		error = greet(talk);
	if (error != QE_OK) {
		sd_bus_close(talk->bus);
		talk->bus = sd_bus_unref(talk->bus);
		if (why)
			qe_text_addf(why, "the system's D-Bus: %s", qe_error_text(error));
	}
	return error;
}

static void close_talk(struct talk *talk)
{
	sd_bus_flush(talk->bus);
	sd_bus_close(talk->bus);
	sd_bus_unref(talk->bus);
}

/* Takes the call, which may be NULL: then result says why there is none. */
static enum qe_error send_call(const struct talk *talk, sd_bus_message *call, int result,
	const char *method, sd_bus_message **ret_reply)
{
	sd_bus_error problem = SD_BUS_ERROR_NULL;

	if (result >= 0)
		result = sd_bus_message_set_auto_start(call, 0);
	if (result >= 0)
		result = sd_bus_call(talk->bus, call, left_us(talk), &problem, ret_reply);
	if (result < 0 && talk->why) {
		qe_text_addf(talk->why, "systemd-resolved: %s: ", method);
		qe_text_add_printable(talk->why,
			problem.message ? problem.message : qe_error_text(to_error(result)));
	}
	sd_bus_error_free(&problem);
	sd_bus_message_unref(call);
	return to_error(result);
}

static int begin(const struct talk *talk, const char *method, sd_bus_message **ret_call)
{
	*ret_call = nullptr;
	return sd_bus_message_new_method_call(
		talk->bus, ret_call, service, manager_path, manager, method);
}

static enum qe_error set_server(const struct talk *talk, int index, const struct qe_addr *server)
{
	bool ipv4 = server->family == QE_FAMILY_IPV4;
	sd_bus_message *call;
	int result = begin(talk, "SetLinkDNS", &call);

	if (result >= 0)
		result = sd_bus_message_append(call, "i", index);
	if (result >= 0)
		result = sd_bus_message_open_container(call, 'a', "(iay)");
	if (result >= 0)
		result = sd_bus_message_open_container(call, 'r', "iay");
	if (result >= 0)
		result = sd_bus_message_append(call, "i", ipv4 ? AF_INET : AF_INET6);
	if (result >= 0)
		result = sd_bus_message_append_array(call, 'y', server->bytes, ipv4 ? 4 : 16);
	if (result >= 0)
		result = sd_bus_message_close_container(call);
	if (result >= 0)
		result = sd_bus_message_close_container(call);
	return send_call(talk, call, result, "SetLinkDNS", nullptr);
}

static enum qe_error set_domains(const struct talk *talk, int index, const char *search)
{
	sd_bus_message *call;
	int result = begin(talk, "SetLinkDomains", &call);

	if (result >= 0 && search)
		result = sd_bus_message_append(call, "ia(sb)", index, 2, ".", true, search, false);
	else if (result >= 0)
		result = sd_bus_message_append(call, "ia(sb)", index, 1, ".", true);
	return send_call(talk, call, result, "SetLinkDomains", nullptr);
}

/* Our server neither validates nor speaks TLS, which the host may ask of all. A service that lacks
 * one of these does not ask it. */
static void set_others(const struct talk *talk, int index)
{
	static const char *const off[] = {"SetLinkDNSSEC", "SetLinkDNSOverTLS"};
	const struct talk quiet = {talk->bus, talk->end, nullptr};
	sd_bus_message *call;
	int result = begin(&quiet, "SetLinkDefaultRoute", &call);

	if (result >= 0)
		result = sd_bus_message_append(call, "ib", index, true);
	(void)!send_call(&quiet, call, result, "SetLinkDefaultRoute", nullptr);
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		result = begin(&quiet, off[i], &call);
		if (result >= 0)
			result = sd_bus_message_append(call, "is", index, "no");
		(void)!send_call(&quiet, call, result, off[i], nullptr);
	}
}

static enum qe_error revert(const struct talk *talk, int index)
{
	sd_bus_message *call;
	int result = begin(talk, "RevertLink", &call);

	if (result >= 0)
		result = sd_bus_message_append(call, "i", index);
	return send_call(talk, call, result, "RevertLink", nullptr);
}

/* What was learnt on one way is not for the other. */
static void flush_caches(const struct talk *talk)
{
	sd_bus_message *call;
	int result = begin(talk, "FlushCaches", &call);

	(void)!send_call(talk, call, result, "FlushCaches", nullptr);
}

static enum qe_error set(
	const struct talk *talk, int index, const struct qe_addr *server, const char *search)
{
	QE_TRY(set_server(talk, index, server));
	QE_TRY(set_domains(talk, index, search));
	set_others(talk, index);
	return QE_OK;
}

enum qe_error qe_resolved_set(const char *interface, const struct qe_addr *server,
	const char *search, struct qe_text *why)
{
	int index = (int)if_nametoindex(interface);
	struct talk talk;
	enum qe_error error;

	if (index == 0)
		return -ENODEV;
	QE_TRY(open_talk(&talk, why));
	error = set(&talk, index, server, search);
	talk.why = nullptr;
	if (error != QE_OK)
		(void)!revert(&talk, index);
	flush_caches(&talk);
	close_talk(&talk);
	return error;
}

enum qe_error qe_resolved_revert(const char *interface)
{
	int index = (int)if_nametoindex(interface);
	struct talk talk;
	enum qe_error error;

	if (index == 0)
		return -ENODEV;
	QE_TRY(open_talk(&talk, nullptr));
	error = revert(&talk, index);
	flush_caches(&talk);
	close_talk(&talk);
	return error;
}

/* ---- what it says now ---- */

static bool is_first(sd_bus_message *servers, const struct qe_addr *server)
{
	size_t size = server->family == QE_FAMILY_IPV4 ? 4 : 16, found_size;
	const void *found;
	int family;

	return sd_bus_message_enter_container(servers, 'v', "a(iay)") > 0 &&
	       sd_bus_message_enter_container(servers, 'a', "(iay)") > 0 &&
	       sd_bus_message_enter_container(servers, 'r', "iay") > 0 &&
	       sd_bus_message_read(servers, "i", &family) > 0 &&
	       sd_bus_message_read_array(servers, 'y', &found, &found_size) > 0 &&
	       found_size == size && memcmp(found, server->bytes, size) == 0;
}

static bool asks(const struct talk *talk, const char *link, const struct qe_addr *server)
{
	sd_bus_message *call = nullptr, *reply = nullptr;
	bool first = false;
	int result = sd_bus_message_new_method_call(
		talk->bus, &call, service, link, "org.freedesktop.DBus.Properties", "Get");

	if (result >= 0)
		result = sd_bus_message_append(call, "ss", link_interface, "DNS");
	if (send_call(talk, call, result, "DNS", &reply) == QE_OK)
		first = is_first(reply, server);
	sd_bus_message_unref(reply);
	return first;
}

bool qe_resolved_holds(const char *interface, const struct qe_addr *server)
{
	sd_bus_message *call, *reply = nullptr;
	const char *link;
	struct talk talk;
	bool holds;
	int result;

	if (open_talk(&talk, nullptr) != QE_OK)
		return false;
	result = begin(&talk, "GetLink", &call);
	if (result >= 0)
		result = sd_bus_message_append(call, "i", (int)if_nametoindex(interface));
	holds = send_call(&talk, call, result, "GetLink", &reply) == QE_OK &&
		sd_bus_message_read(reply, "o", &link) > 0 && asks(&talk, link, server);
	sd_bus_message_unref(reply);
	close_talk(&talk);
	return holds;
}
