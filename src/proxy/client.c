/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * One state after the other, and at the end of each a function that begins the next: the handshake
 * reads requests (client_request.c), looking up gets addresses for a name, connecting tries them
 * one after the other (client_connect.c), relaying moves bytes until both sides have said all
 * (client_relay.c), and leaving lets an answer get out.
 *
 * The client's socket is watched edge-triggered; what was not read or written to the end is
 * remembered. What the stream cannot take stays in the client's socket, and the other way round in
 * the stream's buffer, so that each side is slowed down by the other.
 */
#include "proxy/client.h"

#include <errno.h>
#include <stdlib.h>

#include "crypto/random.h"
#include "os/clock.h"
#include "os/tcp.h"
#include "proxy/client_internal.h"
#include "proxy/http.h"

constexpr qe_time handshake_time = 10 * QE_SECOND;
constexpr qe_time leave_time = 5 * QE_SECOND;
constexpr unsigned leave_reads = 16; /* who sends more than that does not wait for an answer */

void qe_clients_init(struct qe_clients *clients)
{
	qe_list_init(&clients->list);
}

/* There may be a password in it. */
void client_forget_input(struct client *client)
{
	if (client->in)
		qe_wipe(client->in, client->n);
	free(client->in);
	client->in = nullptr;
}

void client_end(struct client *client, bool abort)
{
	struct qe_clients *all = client->all;

	qe_question_free(client->question);
	qe_stream_free(client->stream);
	qe_loop_remove(all->loop, &client->watch);
	(void)!qe_loop_set_alarm(all->loop, &client->alarm, QE_TIME_NEVER);
	qe_tcp_close(client->watch.fd, abort);
	qe_list_remove(&client->node);
	client_forget_input(client);
	free(client);
	all->n--;
	all->left(all->ctx);
}

void qe_clients_done(struct qe_clients *clients)
{
	QE_LIST_FOR_EACH (node, &clients->list)
		client_end(QE_CONTAINER_OF(node, struct client, node), true);
}

/* Without memory for an alarm a client goes on without. */
void client_set_deadline(struct client *client, qe_time at)
{
	client->deadline = at;
	(void)!qe_loop_set_alarm(client->all->loop, &client->alarm, at);
}

/* ---- leaving ---- */

/* A client that is cut off while it sends would not get to read the answer. */
void client_leave(struct client *client)
{
	client->question = qe_question_free(client->question);
	client->stream = qe_stream_free(client->stream);
	client->state = LEAVING;
	qe_tcp_finish(client->watch.fd);
	client_set_deadline(client, qe_clock_now() + leave_time);
}

void client_refuse(struct client *client, enum qe_error error)
{
	client->all->failed++;
	client_say_refused(client, error);
	client_leave(client);
}

static bool is_gone(struct client *client)
{
	struct qe_clients *all = client->all;

	for (unsigned i = 0; client->readable && i < leave_reads; i++) {
		size_t len = 0;
		enum qe_error error = qe_tcp_receive(
			client->watch.fd, all->scratch, sizeof(all->scratch), &len);

		if (error == -EAGAIN)
			client->readable = false;
		else if (error != QE_OK || len == 0)
			return true;
	}
	return client->readable;
}

/* ---- the loop ---- */

/* While a stream is made nothing is read: what the client sends meanwhile stays in its socket. */
static void on_ready(struct qe_watch *watch, unsigned events)
{
	struct client *client = QE_CONTAINER_OF(watch, struct client, watch);

	client->readable |= (events & QE_READABLE) != 0;
	client->writable |= (events & QE_WRITABLE) != 0;
	switch (client->state) {
	case GREETING:
	case LOGIN:
	case REQUEST:
		client_shake_hands(client);
		return;
	case LOOKING_UP:
	case CONNECTING:
		return;
	case RELAYING:
		client_relay(client);
		return;
	case LEAVING:
		if (is_gone(client))
			client_end(client, false);
		return;
	}
}

static void on_alarm(struct qe_alarm *alarm, qe_time now)
{
	struct client *client = QE_CONTAINER_OF(alarm, struct client, alarm);

	switch (client->state) {
	case GREETING:
	case LOGIN:
	case REQUEST:
		client_give_up_handshake(client);
		return;
	case LOOKING_UP:
		client_refuse(client, QE_ERR_NOT_FOUND);
		return;
	case CONNECTING:
		client_give_up_address(client);
		return;
	case RELAYING:
		client_relay_alarm(client, now);
		return;
	case LEAVING:
		client_end(client, true);
		return;
	}
}

/* ---- a new one ---- */

static enum qe_error start(struct client *client)
{
	client->in = malloc(QE_HTTP_HEAD_MAX);
	if (!client->in)
		return -ENOMEM;
	return qe_loop_add(client->all->loop, &client->watch, QE_READABLE | QE_WRITABLE | QE_EDGE);
}

enum qe_error qe_client_new(
	struct qe_clients *clients, enum qe_client_protocol protocol, int fd, qe_time now)
{
	struct client *client = malloc(sizeof(*client));
	enum qe_error error = -ENOMEM;

	if (client) {
		*client = (struct client){
			.all = clients,
			.watch = {fd, on_ready},
			.alarm.ring = on_alarm,
			.protocol = protocol,
			.state = protocol == QE_CLIENT_SOCKS ? GREETING : REQUEST,
		};
		error = start(client);
	}
	if (error != QE_OK) {
		free(client ? client->in : nullptr);
		free(client);
		qe_tcp_close(fd, true);
		return error;
	}
	qe_list_init(&client->node);
	qe_list_append(&clients->list, &client->node);
	clients->n++;
	clients->accepted++;
	client_set_deadline(client, now + handshake_time);
	return QE_OK;
}
