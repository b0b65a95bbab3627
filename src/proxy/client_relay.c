/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Bytes between a client and its stream. */
#include <errno.h>
#include <stdlib.h>

#include "os/clock.h"
#include "os/tcp.h"
#include "proxy/client_internal.h"

/* RFC 5382, REQ-5: what NATs do with connections that are silent. */
constexpr qe_time idle_time = 2 * 3600 * QE_SECOND + 4 * 60 * QE_SECOND;
constexpr qe_time half_idle_time = 4 * 60 * QE_SECOND; /* one side has said all */
constexpr size_t turn_bytes = 1024 * 1024; /* of one client, before others have their turn */

/* ---- from the client ---- */

static bool is_body_over(const struct client *client)
{
	return client->plain_http && client->left == 0;
}

static enum qe_error pass_on(struct client *client, struct qe_bytes bytes)
{
	if (client->plain_http && bytes.len > client->left)
		bytes.len = (size_t)client->left;
	if (client->plain_http)
		client->left -= bytes.len;
	client->all->bytes_up += bytes.len;
	return bytes.len > 0 ? qe_stream_write(client->stream, bytes) : QE_OK;
}

/* What came with the request, as far as there is room. */
static enum qe_error relay_early(struct client *client)
{
	const size_t room = qe_stream_room(client->stream), n = client->n - client->at;
	const struct qe_bytes early = {client->in + client->at, n < room ? n : room};

	QE_TRY(pass_on(client, early));
	client->at += early.len;
	if (client->at == client->n)
		client_forget_input(client);
	return QE_OK;
}

/* What belongs to no request is read all the same, and dropped: the end shows only behind it. */
static enum qe_error relay_some(struct client *client, size_t *ret_len)
{
	struct qe_clients *all = client->all;
	const size_t room = is_body_over(client) ? sizeof(all->scratch)
						 : qe_stream_room(client->stream);

	if (room == 0)
		return -EAGAIN;
	QE_TRY(qe_tcp_receive(client->watch.fd, all->scratch,
		room < sizeof(all->scratch) ? room : sizeof(all->scratch), ret_len));
	if (*ret_len > 0)
		return pass_on(client, (struct qe_bytes){all->scratch, *ret_len});
	client->client_ended = true;
	qe_stream_finish(client->stream);
	return QE_OK;
}

static enum qe_error relay_up(struct client *client, size_t *budget)
{
	while (client->readable && !client->client_ended && *budget > 0) {
		const bool has_room = is_body_over(client) || qe_stream_room(client->stream) > 0;
		size_t len = 0;
		enum qe_error error = relay_some(client, &len);

		if (error == -EAGAIN) {
			client->readable = !has_room;
			return QE_OK;
		}
		QE_TRY(error);
		*budget -= len < *budget ? len : *budget;
	}
	return QE_OK;
}

/* ---- to the client ---- */

static enum qe_error relay_down(struct client *client, size_t *budget)
{
	struct qe_bytes bytes;

	while ((bytes = qe_stream_peek(client->stream)).len > 0 && client->writable &&
		*budget > 0) {
		size_t sent = 0;
		enum qe_error error = qe_tcp_send(client->watch.fd, bytes, &sent);

		if (error == -EAGAIN) {
			client->writable = false;
			return QE_OK;
		}
		QE_TRY(error);
		qe_stream_consume(client->stream, sent);
		client->all->bytes_down += sent;
		*budget -= sent < *budget ? sent : *budget;
	}
	if (qe_stream_ended(client->stream) && !client->stream_ended) {
		client->stream_ended = true;
		qe_tcp_finish(client->watch.fd);
	}
	return QE_OK;
}

/* ---- both ---- */

static enum qe_error relay_both(struct client *client, size_t *budget)
{
	if (client->in)
		QE_TRY(relay_early(client));
	if (!client->in)
		QE_TRY(relay_up(client, budget));
	QE_TRY(relay_down(client, budget));
	return qe_stream_state(client->stream) == QE_STREAM_FAILED ? qe_stream_error(client->stream)
								   : QE_OK;
}

static bool is_half(const struct client *client)
{
	return client->client_ended || client->stream_ended;
}

/* Moving the alarm with every packet would cost more than looking at it when it rings. */
static void put_off(struct client *client, bool was_half)
{
	const bool half = is_half(client);
	const qe_time deadline = qe_clock_now() + (half ? half_idle_time : idle_time);

	if (half && !was_half)
		client_set_deadline(client, deadline);
	else
		client->deadline = deadline;
}

void client_relay(struct client *client)
{
	const bool was_half = is_half(client);
	size_t budget = turn_bytes;

	if (relay_both(client, &budget) != QE_OK) {
		client_end(client, true);
		return;
	}
	if (client->stream_ended && client->client_ended) {
		client_end(client, false);
		return;
	}
	/* A server that has answered a plain request is done, whatever else the client would like.
	 */
	if (client->stream_ended && client->plain_http) {
		client_leave(client);
		return;
	}
	if (budget < turn_bytes || was_half != is_half(client))
		put_off(client, was_half);
	if (budget == 0)
		(void)!qe_loop_set_alarm(client->all->loop, &client->alarm, qe_clock_now());
}

void client_relay_alarm(struct client *client, qe_time now)
{
	if (now >= client->deadline) {
		client_end(client, true);
		return;
	}
	client_set_deadline(client, client->deadline);
	client_relay(client);
}

void client_start_relaying(struct client *client)
{
	if (!client_say_connected(client)) {
		client_end(client, true);
		return;
	}
	client->all->connected++;
	client->state = RELAYING;
	client->writable = true;
	client_set_deadline(client, qe_clock_now() + idle_time);
	client_relay(client);
}
