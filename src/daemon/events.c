/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/list.h"
#include "base/time.h"
#include "crypto/node_id.h"
#include "daemon/events.h"
#include "net/addr.h"

/* Rotations and failed dials come again and again by design: they are for who looks for them. But
 * the first dial that fails is news, see is_news. */
static const struct {
	enum qe_log_level level;
	const char *word, *text;
} words[] = {
	[QE_EVENT_LINK_UP] = {QE_LOG_DEBUG, "link_up", "new link"},
	[QE_EVENT_LINK_DOWN] = {QE_LOG_DEBUG, "link_down", "link closed"},
	[QE_EVENT_DIAL_FAILED] = {QE_LOG_DEBUG, "dial_failed", "dial failed"},
	[QE_EVENT_PEER_MOVED] = {QE_LOG_INFO, "peer_moved", "peer has moved"},
	[QE_EVENT_PEER_UP] = {QE_LOG_INFO, "peer_up", "connected"},
	[QE_EVENT_PEER_DOWN] = {QE_LOG_WARN, "peer_down", "connection lost"},
	[QE_EVENT_PONG] = {QE_LOG_DEBUG, "pong", "answer"},
	[QE_EVENT_PING_LOST] = {QE_LOG_DEBUG, "ping_lost", "ping was not answered"},
	[QE_EVENT_STRANGER] = {QE_LOG_WARN, "stranger", "refused a key of no known peer"},
};

/* Those that a peer can cause as often as it likes, and that are logged by default. What strangers
 * cause is reported once a second (include/quicether.h). */
static const enum qe_event_type limited[] = {
	QE_EVENT_PEER_UP, QE_EVENT_PEER_DOWN, QE_EVENT_PEER_MOVED, QE_EVENT_DIAL_FAILED};
constexpr size_t n_limited = sizeof(limited) / sizeof(limited[0]);

/* A token bucket, told by when it will be full again. */
struct bucket {
	qe_time full_at;
	uint32_t left_out;
};

struct known {
	struct bucket buckets[n_limited];
	bool is_silent; /* connected, or a failed dial was told since it was */
};

struct qe_event_log {
	const struct qe_log *log;
	const struct qe_directory *directory;
	struct qe_loop *loop;
	struct qe_alarm alarm; /* to tell what was left out; set while anything was */
	bool is_alarm_set;
	struct known *peers; /* by slot */
	size_t n_peers;
};

/* ---- one event ---- */

static void write_event(
	const struct qe_event_log *event_log, enum qe_log_level level, const struct qe_event *event)
{
	char label[QE_NAME_MAX + 1], remote[QE_ENDPOINT_TEXT_SIZE] = "";
	bool has_remote = event->path.remote.addr.family != QE_FAMILY_NONE;

	if (event->peer < event_log->n_peers)
		qe_directory_label(event_log->directory, event->peer, label);
	else
		qe_node_id_format(label, &event->id);
	if (has_remote)
		qe_endpoint_format(remote, &event->path.remote);
	qe_log(event_log->log, level, words[event->type].word, label, "%s: %s%s%s%s%s%s", label,
		words[event->type].text, event->rotation ? " (fresh keys)" : "",
		has_remote ? ", " : "", remote, event->reason ? ": " : "",
		event->reason ? event->reason : "");
}

/* ---- not too many ---- */

static struct bucket *find_bucket(
	const struct qe_event_log *event_log, const struct qe_event *event)
{
	for (size_t i = 0; i < n_limited && event->peer < event_log->n_peers; i++) {
		if (limited[i] == event->type)
			return &event_log->peers[event->peer].buckets[i];
	}
	return nullptr;
}

static void leave_out(struct qe_event_log *event_log, struct bucket *bucket, qe_time now)
{
	bucket->left_out++;
	if (event_log->is_alarm_set)
		return;
	event_log->is_alarm_set = qe_loop_set_alarm(event_log->loop, &event_log->alarm,
					  now + QE_EVENT_LOG_INTERVAL) == QE_OK;
}

/* The first dial that fails says what to mend; that the next ones do too says nothing more. */
static bool is_news(struct qe_event_log *event_log, const struct qe_event *event)
{
	bool *is_silent = &event_log->peers[event->peer].is_silent;
	bool failed = event->type == QE_EVENT_DIAL_FAILED && event->dialled;
	bool is_first = failed && !*is_silent;

	if (failed || event->type == QE_EVENT_PEER_UP)
		*is_silent = true;
	else if (event->type == QE_EVENT_PEER_DOWN)
		*is_silent = false;
	return is_first;
}

void qe_event_log_add(struct qe_event_log *event_log, const struct qe_event *event)
{
	enum qe_log_level level = words[event->type].level;

	if (event->peer < event_log->n_peers && is_news(event_log, event))
		level = QE_LOG_WARN;
	if (level > event_log->log->level)
		return;
	struct bucket *bucket = level < QE_LOG_DEBUG ? find_bucket(event_log, event) : nullptr;
	if (bucket && !qe_time_take(&bucket->full_at, QE_EVENT_LOG_BURST, QE_EVENT_LOG_INTERVAL,
			      event->time))
		leave_out(event_log, bucket, event->time);
	else
		write_event(event_log, level, event);
}

static void write_left_out(struct qe_event_log *event_log, size_t peer, size_t kind)
{
	struct bucket *bucket = &event_log->peers[peer].buckets[kind];
	enum qe_event_type type = limited[kind];
	char label[QE_NAME_MAX + 1];

	if (bucket->left_out == 0)
		return;
	qe_directory_label(event_log->directory, peer, label);
	qe_log(event_log->log, words[type].level, "left_out", label, "%s: %s: %u more %s left out",
		label, words[type].text, bucket->left_out,
		bucket->left_out == 1 ? "line was" : "lines were");
	bucket->left_out = 0;
}

static void write_all_left_out(struct qe_event_log *event_log)
{
	for (size_t i = 0; i < event_log->n_peers; i++) {
		for (size_t j = 0; j < n_limited; j++)
			write_left_out(event_log, i, j);
	}
}

static void alarm_rings(struct qe_alarm *alarm, qe_time)
{
	struct qe_event_log *event_log = QE_CONTAINER_OF(alarm, struct qe_event_log, alarm);

	event_log->is_alarm_set = false;
	write_all_left_out(event_log);
}

/* ---- life ---- */

enum qe_error qe_event_log_reserve(struct qe_event_log *event_log)
{
	size_t n = qe_directory_slots(event_log->directory);
	struct known *peers;

	if (n <= event_log->n_peers)
		return QE_OK;
	peers = qe_array_grow(event_log->peers, event_log->n_peers, n, sizeof(*peers));
	if (!peers)
		return -ENOMEM;
	event_log->peers = peers;
	event_log->n_peers = n;
	return QE_OK;
}

void qe_event_log_forget(struct qe_event_log *event_log, size_t peer)
{
	event_log->peers[peer] = (struct known){};
}

enum qe_error qe_event_log_new(struct qe_event_log **ret_event_log, const struct qe_log *log,
	const struct qe_directory *directory, struct qe_loop *loop)
{
	struct qe_event_log *event_log = malloc(sizeof(*event_log));
	enum qe_error error;

	if (!event_log)
		return -ENOMEM;
	*event_log = (struct qe_event_log){log, directory, loop, .alarm.ring = alarm_rings};
	error = qe_event_log_reserve(event_log);
	if (error != QE_OK) {
		free(event_log);
		return error;
	}
	*ret_event_log = event_log;
	return QE_OK;
}

struct qe_event_log *qe_event_log_free(struct qe_event_log *event_log)
{
	if (!event_log)
		return nullptr;
	write_all_left_out(event_log);
	(void)!qe_loop_set_alarm(event_log->loop, &event_log->alarm, QE_TIME_NEVER);
	free(event_log->peers);
	free(event_log);
	return nullptr;
}
