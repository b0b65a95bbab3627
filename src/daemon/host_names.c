/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/host_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/time.h"
#include "os/clock.h"
#include "os/file_watch.h"

constexpr unsigned answers_max = 2; /* to what others change, in a row */
constexpr qe_time answers_interval = 600 * QE_SECOND;
constexpr qe_time settle = QE_SECOND / 4; /* several files change one after the other */
constexpr qe_time again = 30 * QE_SECOND; /* after a failure */

struct qe_host_names {
	struct qe_host_names_settings settings;
	struct qe_file_watch files;
	struct qe_watch watch;
	struct qe_alarm alarm;
	enum qe_host_names_state state;
	struct qe_host_dns_answer answer;
	char search[256];
	qe_time full_at; /* of the bucket of answers */
};

static void look_at(struct qe_host_names *names, qe_time at)
{
	/* Fails without memory only; the next change sets it again. */
	(void)!qe_loop_set_alarm(names->settings.loop, &names->alarm, at);
}

static void watch_files(struct qe_host_names *names)
{
	qe_file_watch_add(&names->files, QE_HOST_DNS_RESOLV_CONF);
	qe_file_watch_add(&names->files, QE_HOST_DNS_RESOLVED_CONF);
}

/* A failure is said once. */
static void fail(struct qe_host_names *names, const char *why, enum qe_error error)
{
	if (names->state != QE_HOST_NAMES_FAILED)
		qe_log(names->settings.log, QE_LOG_WARN, "host_dns_failed", nullptr,
			"this host's programs cannot be made to ask our resolver for names: %s; "
			"trying again",
			why[0] ? why : qe_error_text(error));
	names->state = QE_HOST_NAMES_FAILED;
	look_at(names, qe_clock_now() + again);
}

static void set(struct qe_host_names *names)
{
	const struct qe_addr server = QE_HOST_DNS_SERVER;
	const char *search = names->search[0] ? names->search : nullptr;
	char text[600] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));
	enum qe_error error = qe_helper_set_dns(
		names->settings.helper, &server, search, &names->answer, &why);

	watch_files(names);
	if (error != QE_OK) {
		fail(names, text, error);
		return;
	}
	names->state = QE_HOST_NAMES_OURS;
	qe_log(names->settings.log, QE_LOG_DEBUG, "host_dns", nullptr,
		"this host's programs ask our resolver for names, by way of %s",
		qe_host_dns_method_name(names->answer.method));
}

/* ---- what others do ---- */

static void give_in(struct qe_host_names *names)
{
	if (names->state != QE_HOST_NAMES_THEIRS)
		qe_log(names->settings.log, QE_LOG_WARN, "host_dns_theirs", nullptr,
			"another program changes again and again whom this host asks for names "
			"(%s), and is left in peace: find out which, and stop it, or names are not "
			"resolved",
			QE_HOST_DNS_RESOLV_CONF);
	names->state = QE_HOST_NAMES_THEIRS;
}

static void answer(struct qe_host_names *names, qe_time now)
{
	if (!qe_time_take(&names->full_at, answers_max, answers_interval, now)) {
		give_in(names);
		return;
	}
	qe_log(names->settings.log, QE_LOG_INFO, "host_dns_put_back", nullptr,
		"another program has changed whom this host asks for names: our resolver again");
	set(names);
}

static void look(struct qe_alarm *alarm, qe_time now)
{
	struct qe_host_names *names = QE_CONTAINER_OF(alarm, struct qe_host_names, alarm);

	if (names->state == QE_HOST_NAMES_OFF)
		return;
	watch_files(names);
	if (names->state == QE_HOST_NAMES_FAILED)
		set(names);
	else if (!qe_helper_has_dns(names->settings.helper))
		answer(names, now);
	else
		names->state = QE_HOST_NAMES_OURS;
	names->settings.changed(names->settings.ctx);
}

static void files_changed(struct qe_watch *watch, unsigned)
{
	struct qe_host_names *names = QE_CONTAINER_OF(watch, struct qe_host_names, watch);

	if (qe_file_watch_take(&names->files, "resolv") && names->state != QE_HOST_NAMES_OFF)
		look_at(names, qe_clock_now() + settle);
}

/* ---- calls ---- */

void qe_host_names_set(struct qe_host_names *names, const char *search)
{
	snprintf(names->search, sizeof(names->search), "%s", search ? search : "");
	names->full_at = 0;
	set(names);
}

void qe_host_names_unset(struct qe_host_names *names)
{
	char unheard[1];
	struct qe_text why = qe_text_init(unheard, sizeof(unheard));
	enum qe_error error;

	if (names->state == QE_HOST_NAMES_OFF)
		return;
	error = qe_helper_set_dns(names->settings.helper, nullptr, nullptr, nullptr, &why);
	if (error != QE_OK)
		qe_log(names->settings.log, QE_LOG_WARN, "host_dns_not_restored", nullptr,
			"this host's programs cannot be made to ask for names as before: %s: "
			"\"quicether repair\" tries again, once the daemon is stopped",
			qe_error_text(error));
	look_at(names, QE_TIME_NEVER);
	names->state = QE_HOST_NAMES_OFF;
	names->answer = (struct qe_host_dns_answer){};
}

enum qe_host_names_state qe_host_names_state(const struct qe_host_names *names)
{
	return names->state;
}

const char *qe_host_names_state_name(enum qe_host_names_state state)
{
	static const char *const states[] = {"off", "ours", "theirs", "failed"};

	return states[state];
}

const struct qe_host_dns_answer *qe_host_names_answer(const struct qe_host_names *names)
{
	return &names->answer;
}

/* ---- life ---- */

/* Where it cannot be watched, it is set all the same. */
static void watch(struct qe_host_names *names)
{
	enum qe_error error = qe_file_watch_init(&names->files);

	names->watch = (struct qe_watch){names->files.fd, files_changed};
	if (error == QE_OK)
		error = qe_loop_add(names->settings.loop, &names->watch, QE_READABLE);
	if (error == QE_OK)
		return;
	qe_file_watch_done(&names->files);
	qe_log(names->settings.log, QE_LOG_WARN, "host_dns_unwatched", nullptr,
		"%s cannot be watched: %s", QE_HOST_DNS_RESOLV_CONF, qe_error_text(error));
}

enum qe_error qe_host_names_new(
	struct qe_host_names **ret_names, const struct qe_host_names_settings *settings)
{
	struct qe_host_names *names = malloc(sizeof(*names));

	if (!names)
		return -ENOMEM;
	*names = (struct qe_host_names){.settings = *settings, .files.fd = -1, .alarm.ring = look};
	watch(names);
	*ret_names = names;
	return QE_OK;
}

struct qe_host_names *qe_host_names_free(struct qe_host_names *names)
{
	if (!names)
		return nullptr;
	look_at(names, QE_TIME_NEVER);
	if (names->files.fd >= 0)
		qe_loop_remove(names->settings.loop, &names->watch);
	qe_file_watch_done(&names->files);
	free(names);
	return nullptr;
}
