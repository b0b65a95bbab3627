/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/portal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "config/url.h"
#include "os/clock.h"
#include "os/portal_hint.h"
#include "os/web_probe.h"

constexpr qe_time settling = QE_SECOND; /* a network that has just come has no routes yet */
constexpr qe_time interval = 10 * QE_SECOND;
constexpr unsigned expected = 204;

struct qe_portal {
	struct qe_portal_settings settings;
	bool looking;
	char url[QE_URL_MAX + 1]; /* "": none */
	struct qe_alarm alarm;    /* the next look */
	struct qe_web_probe *probe;
	char found[320];
};

static void find(struct qe_portal *portal, const char *what)
{
	if (strcmp(portal->found, what) == 0)
		return;
	snprintf(portal->found, sizeof(portal->found), "%s", what);
	portal->settings.changed(portal->settings.ctx);
}

static void look_again(struct qe_portal *portal, qe_time in)
{
	(void)!qe_loop_set_alarm(portal->settings.loop, &portal->alarm, qe_clock_now() + in);
}

/* ---- what the network says ---- */

static void take_hint(struct qe_portal *portal)
{
	char uri[200] = "", what[sizeof(portal->found)] = "";
	struct qe_text to_uri = qe_text_init(uri, sizeof(uri));
	struct qe_text text = qe_text_init(what, sizeof(what));

	if (qe_portal_hint(&to_uri, QE_PORTAL_HINT_FOLDER))
		qe_text_addf(&text, "captive portal (the network tells of %s)", uri);
	find(portal, what);
}

/* ---- what the page says ---- */

/* A page that nobody answers for says nothing: then what the network says counts. */
static void take_answer(void *ctx, const struct qe_http_answer *answer, const char *why)
{
	struct qe_portal *portal = ctx;
	char what[sizeof(portal->found)] = "";
	struct qe_text text = qe_text_init(what, sizeof(what));

	portal->probe = qe_web_probe_free(portal->probe);
	look_again(portal, interval);
	if (!answer) {
		qe_log(portal->settings.log, QE_LOG_DEBUG, "portal", nullptr, "%s: %s", portal->url,
			why);
		take_hint(portal);
		return;
	}
	if (answer->status != expected)
		qe_text_addf(&text, "captive portal (%u instead of %u%s%s)", answer->status,
			expected, answer->location[0] ? ", to " : "", answer->location);
	find(portal, what);
}

static enum qe_error ask(struct qe_portal *portal)
{
	struct qe_web_request request = {};
	struct qe_url url;
	int fd;

	if (qe_url_parse(&url, portal->url))
		return QE_ERR_SYNTAX;
	request.server = url.server;
	request.host = url.host;
	request.path = url.path;
	QE_TRY(qe_helper_marked_socket(
		portal->settings.helper, request.server.addr.family, true, &fd));
	return qe_web_probe_new(
		&portal->probe, portal->settings.loop, fd, &request, take_answer, portal);
}

/* ---- when ---- */

static void look(struct qe_alarm *alarm, qe_time)
{
	struct qe_portal *portal = QE_CONTAINER_OF(alarm, struct qe_portal, alarm);
	enum qe_error error = portal->url[0] ? ask(portal) : QE_ERR_NOT_FOUND;

	if (error == QE_OK)
		return;
	if (portal->url[0]) {
		take_answer(portal, nullptr, qe_error_text(error));
	} else {
		look_again(portal, interval);
		take_hint(portal); /* after which there may be no need to look */
	}
}

void qe_portal_look(struct qe_portal *portal, const char *url)
{
	if (portal->looking && strcmp(portal->url, url ? url : "") == 0)
		return;
	qe_portal_stop(portal);
	portal->looking = true;
	snprintf(portal->url, sizeof(portal->url), "%s", url ? url : "");
	look_again(portal, settling);
}

void qe_portal_stop(struct qe_portal *portal)
{
	portal->looking = false;
	portal->found[0] = '\0';
	portal->probe = qe_web_probe_free(portal->probe);
	(void)!qe_loop_set_alarm(portal->settings.loop, &portal->alarm, QE_TIME_NEVER);
}

void qe_portal_host_changed(struct qe_portal *portal)
{
	if (!portal->looking)
		return;
	portal->probe = qe_web_probe_free(portal->probe);
	look_again(portal, settling);
}

const char *qe_portal_found(const struct qe_portal *portal)
{
	return portal->found[0] ? portal->found : nullptr;
}

/* ---- life ---- */

enum qe_error qe_portal_new(
	struct qe_portal **ret_portal, const struct qe_portal_settings *settings)
{
	struct qe_portal *portal = calloc(1, sizeof(*portal));

	if (!portal)
		return -ENOMEM;
	portal->settings = *settings;
	portal->alarm.ring = look;
	*ret_portal = portal;
	return QE_OK;
}

struct qe_portal *qe_portal_free(struct qe_portal *portal)
{
	if (!portal)
		return nullptr;
	qe_portal_stop(portal);
	free(portal);
	return nullptr;
}
