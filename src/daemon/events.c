/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <stdio.h>

#include "crypto/node_id.h"
#include "daemon/events.h"
#include "net/addr.h"

/* Rotations and failed dials come again and again by design: they are for who looks for them. */
static const struct {
	enum qe_log_level level;
	const char *word, *text;
} words[] = {
	[QE_EVENT_LINK_UP] = {QE_LOG_DEBUG, "link_up", "new link"},
	[QE_EVENT_LINK_DOWN] = {QE_LOG_DEBUG, "link_down", "link closed"},
	[QE_EVENT_DIAL_FAILED] = {QE_LOG_DEBUG, "dial_failed", "no answer"},
	[QE_EVENT_PEER_MOVED] = {QE_LOG_INFO, "peer_moved", "peer has moved"},
	[QE_EVENT_PEER_UP] = {QE_LOG_INFO, "peer_up", "connected"},
	[QE_EVENT_PEER_DOWN] = {QE_LOG_WARN, "peer_down", "connection lost"},
	[QE_EVENT_PONG] = {QE_LOG_DEBUG, "pong", "answer"},
	[QE_EVENT_PING_LOST] = {QE_LOG_DEBUG, "ping_lost", "ping was not answered"},
	[QE_EVENT_STRANGER] = {QE_LOG_WARN, "stranger", "refused a key of no known peer"},
};

static_assert(QE_NAME_MAX + 1 >= QE_NODE_ID_TEXT_SIZE);

void qe_peer_label(char to[static QE_NAME_MAX + 1], const struct qe_config_peer *peer)
{
	if (peer->name)
		snprintf(to, QE_NAME_MAX + 1, "%s", peer->name);
	else
		qe_node_id_format(to, &peer->id);
}

void qe_log_event(
	const struct qe_log *log, const struct qe_config *config, const struct qe_event *event)
{
	char label[QE_NAME_MAX + 1], remote[QE_ENDPOINT_TEXT_SIZE] = "";
	bool has_remote = event->path.remote.addr.family != QE_FAMILY_NONE;

	if (words[event->type].level > log->level)
		return;
	if (event->peer < config->n_peers)
		qe_peer_label(label, &config->peers[event->peer]);
	else
		qe_node_id_format(label, &event->id);
	if (has_remote)
		qe_endpoint_format(remote, &event->path.remote);
	qe_log(log, words[event->type].level, words[event->type].word, label, "%s: %s%s%s%s%s%s",
		label, words[event->type].text, event->rotation ? " (fresh keys)" : "",
		has_remote ? ", " : "", remote, event->reason ? ": " : "",
		event->reason ? event->reason : "");
}
