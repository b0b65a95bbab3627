/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "crypto/node_id.h"
#include "daemon/report.h"
#include "net/addr.h"
#include "os/appender.h"
#include "os/clock.h"

/* What a peer can cause without end fills no disk: of each kind so many of a peer's records are
 * taken at once, and then one each interval; the others count as lost. */
enum kind : uint8_t { CONNECTIONS, ROUTES, KINDS };

static const struct {
	unsigned burst;
	qe_time interval;
} limits[KINDS] = {
	[CONNECTIONS] = {64, 10 * QE_SECOND},
	[ROUTES] = {2560, QE_SECOND}, /* all that is kept of what it announces, twice */
};

constexpr size_t places = 1024; /* peers beyond share them */

struct qe_audit {
	struct qe_appender *appender;
	qe_time full_at[places][KINDS]; /* when all of the burst may be taken again */
};

void qe_audit_time(char to[static QE_CLOCK_TEXT_SIZE], qe_time at)
{
	int64_t ago = (int64_t)(qe_time_since(at, qe_clock_now()) / QE_MILLISECOND);

	qe_clock_format(to, qe_clock_wall_ms() - ago);
}

static void format_lost(char *to, size_t size, uint64_t n)
{
	char now[QE_CLOCK_TEXT_SIZE];

	qe_audit_time(now, qe_clock_now());
	snprintf(to, size, "{\"time\":\"%s\",\"event\":\"records_lost\",\"records\":%" PRIu64 "}",
		now, n);
}

enum qe_error qe_audit_new(struct qe_audit **ret_audit, const char *path)
{
	struct qe_audit *audit = calloc(1, sizeof(*audit));
	enum qe_error error;

	if (!audit)
		return -ENOMEM;
	error = qe_appender_new(&audit->appender, path, format_lost);
	if (error != QE_OK) {
		free(audit);
		return error;
	}
	*ret_audit = audit;
	return QE_OK;
}

enum qe_error qe_audit_start(struct qe_audit *audit)
{
	return qe_appender_start(audit->appender);
}

struct qe_audit *qe_audit_free(struct qe_audit *audit)
{
	if (!audit)
		return nullptr;
	qe_appender_free(audit->appender);
	free(audit);
	return nullptr;
}

int qe_audit_folder(const struct qe_audit *audit)
{
	return qe_appender_folder(audit->appender);
}

void qe_audit_reopen(struct qe_audit *audit)
{
	if (audit)
		qe_appender_reopen(audit->appender);
}

uint64_t qe_audit_lost(struct qe_audit *audit)
{
	return audit ? qe_appender_lost(audit->appender) : 0;
}

/* Time and event first, for those who read. */
static char *format_record(const char *event, json_t *fields)
{
	char now[QE_CLOCK_TEXT_SIZE], *text = nullptr;
	json_t *record;

	qe_audit_time(now, qe_clock_now());
	record = json_pack("{s:s, s:s}", "time", now, "event", event);
	if (record && fields && json_object_update(record, fields) == 0)
		text = json_dumps(record, JSON_COMPACT);
	json_decref(record);
	return text;
}

void qe_audit_add(struct qe_audit *audit, const char *event, json_t *fields)
{
	char *text = audit ? format_record(event, fields) : nullptr;

	json_decref(fields);
	if (text)
		qe_appender_add(audit->appender, text, strlen(text));
	else if (audit)
		qe_appender_add_lost(audit->appender);
	free(text);
}

/* ---- not too many ---- */

static bool take(struct qe_audit *audit, enum kind kind, size_t peer)
{
	bool taken = qe_time_take(&audit->full_at[peer % places][kind], limits[kind].burst,
		limits[kind].interval, qe_clock_now());

	if (!taken)
		qe_appender_add_lost(audit->appender);
	return taken;
}

/* ---- peers ---- */

static json_t *describe_end(const struct qe_directory *directory, const struct qe_event *event)
{
	const struct qe_traffic *traffic = &event->traffic;
	json_t *record = qe_report_event_peer(directory, event);
	json_t *rest = json_pack("{s:f, s:I, s:I, s:I, s:I, s:s?}", "duration_secs",
		(double)qe_time_since(event->since, event->time) / QE_SECOND, "tx_packets",
		(json_int_t)traffic->tx_packets, "tx_bytes", (json_int_t)traffic->tx_bytes,
		"rx_packets", (json_int_t)traffic->rx_packets, "rx_bytes",
		(json_int_t)traffic->rx_bytes, "reason", event->reason);

	if (record && json_object_update_missing(record, rest) != 0) {
		json_decref(record);
		record = nullptr;
	}
	json_decref(rest);
	return record;
}

static json_t *describe_refusal(const struct qe_directory *directory, const struct qe_event *event)
{
	json_t *record = qe_report_event_peer(directory, event);

	if (record)
		json_object_set_new(record, "reason", json_string("a key of no known peer"));
	return record;
}

void qe_audit_event(
	struct qe_audit *audit, const struct qe_directory *directory, const struct qe_event *event)
{
	if (!audit)
		return;
	switch (event->type) {
	case QE_EVENT_PEER_UP:
		if (take(audit, CONNECTIONS, event->peer))
			qe_audit_add(
				audit, "peer_connected", qe_report_event_peer(directory, event));
		break;
	case QE_EVENT_PEER_DOWN:
		if (take(audit, CONNECTIONS, event->peer))
			qe_audit_add(audit, "peer_disconnected", describe_end(directory, event));
		break;
	case QE_EVENT_STRANGER:
		qe_audit_add(audit, "auth_failed", describe_refusal(directory, event));
		break;
	default:
		break;
	}
}

/* ---- routes ---- */

void qe_audit_route(struct qe_audit *audit, const struct qe_directory *directory,
	const struct qe_route_refusal *route)
{
	const struct qe_config_peer *peer = qe_directory_peer(directory, route->peer);
	char id[QE_NODE_ID_TEXT_SIZE], prefix[QE_PREFIX_TEXT_SIZE];

	if (!audit || !peer || !take(audit, ROUTES, route->peer))
		return;
	qe_node_id_format(id, &peer->id);
	qe_prefix_format(prefix, &route->prefix);
	qe_audit_add(audit, route->reason ? "route_rejected" : "route_accepted",
		json_pack("{s:s?, s:s, s:s, s:b, s:i, s:s*}", "node", peer->name, "id", id,
			"prefix", prefix, "gateway", route->gateway, "metric", route->metric,
			"reason", route->reason));
}
