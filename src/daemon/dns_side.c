/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/dns_side.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "crypto/random.h"
#include "daemon/dns_stream.h"
#include "os/clock.h"
#include "os/socket.h"

constexpr unsigned RECEIVES = 32; /* of one socket in a row */
constexpr qe_time ACCEPT_PAUSE = 100 * QE_MILLISECOND;
constexpr qe_time CLIENT_PATIENCE = 6 * QE_SECOND; /* for one question and its answer */

/* 100 a second and 200 at once: more than a browser with many pages asks. Members differ by
 * address, which the node has checked. */
static const struct qe_dns_limits limits_of_members = {.members = true,
	.burst = 200,
	.interval = 10 * QE_MILLISECOND,
	.waiting_max = 64,
	.owner_waiting_max = QE_DNS_EXCHANGES / 2};
static const struct qe_dns_limits limits_of_host = {
	.waiting_max = QE_DNS_WAITING, .owner_waiting_max = QE_DNS_WAITING};

struct listener {
	struct qe_watch udp, tcp; /* fd -1: none */
	struct qe_alarm alarm;    /* to accept again */
	struct qe_dns_side *side;
	unsigned number;
};

/* A client by TCP. */
struct client {
	struct qe_watch watch; /* fd -1: the place is free */
	struct qe_alarm alarm;
	struct qe_dns_side *side;
	struct qe_dns_stream stream;
	struct qe_endpoint from;
	uint32_t generation;
	bool asked; /* its question is the forwarder's; nothing is read meanwhile */
};

/* The socket of an exchange. */
struct upstream {
	struct qe_watch watch; /* fd -1: none */
	struct qe_dns_side *side;
	bool is_stream;
	struct qe_dns_stream stream;
};

struct qe_dns_side {
	struct qe_loop *loop;
	struct qe_dns_forwarder *forwarder;
	bool members;
	struct listener listeners[QE_DNS_LISTENERS_MAX];
	unsigned n_listeners;
	struct client clients[QE_DNS_CLIENTS_MAX];
	struct upstream upstreams[QE_DNS_EXCHANGES];
	uint8_t buffer[QE_DNS_ANSWER_MAX];
};

/* ---- clients by UDP ---- */

static void ask_datagram(struct listener *listener, size_t len, const struct qe_endpoint *from)
{
	struct qe_dns_side *side = listener->side;
	const struct qe_dns_client client = {.from = *from, .cookie = listener->number};

	qe_dns_forwarder_ask(
		side->forwarder, &client, (struct qe_bytes){side->buffer, len}, qe_clock_now());
}

static void datagram_ready(struct qe_watch *watch, unsigned)
{
	struct listener *listener = QE_CONTAINER_OF(watch, struct listener, udp);
	struct qe_dns_side *side = listener->side;

	for (unsigned i = 0; i < RECEIVES; i++) {
		struct qe_endpoint from;
		size_t len;
		enum qe_error error = qe_socket_receive_from(
			watch->fd, side->buffer, QE_DNS_QUERY_MAX + 1, &len, &from);

		if (error == -EAGAIN)
			return;
		/* Whoever sends from port 0, or names himself as the sender, wants no answer. */
		if (error == QE_OK && from.port != 0)
			ask_datagram(listener, len, &from);
	}
}

/* ---- clients by TCP ---- */

static void end_client(struct client *client)
{
	struct qe_loop *loop = client->side->loop;

	qe_loop_remove(loop, &client->watch);
	(void)!qe_loop_set_alarm(loop, &client->alarm, QE_TIME_NEVER);
	qe_dns_stream_done(&client->stream);
	client->watch.fd = -1;
	client->generation++;
	client->asked = false;
}

static uint64_t cookie_of(const struct client *client)
{
	return (uint64_t)client->generation << 32 | (uint64_t)(client - client->side->clients);
}

/* NULL: it has gone since. */
static struct client *find_client(struct qe_dns_side *side, uint64_t cookie)
{
	struct client *client = &side->clients[cookie % QE_DNS_CLIENTS_MAX];

	return client->watch.fd >= 0 && client->asked && cookie_of(client) == cookie ? client
										     : nullptr;
}

static bool be_patient(struct client *client)
{
	return qe_loop_set_alarm(client->side->loop, &client->alarm,
		       qe_clock_now() + CLIENT_PATIENCE) == QE_OK;
}

static void flush_client(struct client *client)
{
	enum qe_error error = qe_dns_stream_flush(&client->stream);

	if (error == QE_OK)
		qe_loop_change(client->side->loop, &client->watch, QE_READABLE);
	else if (error == -EAGAIN)
		qe_loop_change(client->side->loop, &client->watch, QE_WRITABLE);
	else
		end_client(client);
}

static void read_question(struct client *client)
{
	const struct qe_dns_client asks = {
		.from = client->from, .cookie = cookie_of(client), .stream = true};
	struct qe_bytes message;
	enum qe_error error = qe_dns_stream_receive(&client->stream, &message);

	if (error == -EAGAIN)
		return;
	if (error != QE_OK || !be_patient(client)) {
		end_client(client);
		return;
	}
	client->asked = true;
	qe_loop_change(client->side->loop, &client->watch, 0);
	qe_dns_forwarder_ask(client->side->forwarder, &asks, message, qe_clock_now());
}

/* While its question is under way it can only have gone. */
static void client_ready(struct qe_watch *watch, unsigned)
{
	struct client *client = QE_CONTAINER_OF(watch, struct client, watch);

	if (client->asked)
		end_client(client);
	else if (client->stream.out)
		flush_client(client);
	else
		read_question(client);
}

static void client_too_slow(struct qe_alarm *alarm, qe_time)
{
	end_client(QE_CONTAINER_OF(alarm, struct client, alarm));
}

static size_t connections_from(const struct qe_dns_side *side, const struct qe_addr *addr)
{
	size_t n = 0;

	for (size_t i = 0; i < QE_DNS_CLIENTS_MAX; i++) {
		if (side->clients[i].watch.fd >= 0)
			n += qe_addr_equal(&side->clients[i].from.addr, addr);
	}
	return n;
}

/* A free place, or that of the client who has been silent for longest. */
static struct client *take_place(struct qe_dns_side *side)
{
	struct client *oldest = &side->clients[0];

	for (size_t i = 0; i < QE_DNS_CLIENTS_MAX; i++) {
		struct client *client = &side->clients[i];

		if (client->watch.fd < 0)
			return client;
		if (client->alarm.timer.at < oldest->alarm.timer.at)
			oldest = client;
	}
	end_client(oldest);
	return oldest;
}

static void admit(struct qe_dns_side *side, int fd, const struct qe_endpoint *from)
{
	struct client *client;

	if (side->members && connections_from(side, &from->addr) >= QE_DNS_CLIENTS_OF_SOURCE_MAX) {
		qe_socket_close(fd);
		return;
	}
	client = take_place(side);
	if (qe_dns_stream_init(&client->stream, fd, QE_DNS_QUERY_MAX) != QE_OK)
		return;
	client->watch.fd = fd;
	client->from = *from;
	if (qe_loop_add(side->loop, &client->watch, QE_READABLE) != QE_OK || !be_patient(client))
		end_client(client);
}

/* Whoever waits would be told of on and on while there is no descriptor or memory for him. */
static void pause_accepting(struct listener *listener)
{
	struct qe_loop *loop = listener->side->loop;

	if (qe_loop_set_alarm(loop, &listener->alarm, qe_clock_now() + ACCEPT_PAUSE) == QE_OK)
		qe_loop_change(loop, &listener->tcp, 0);
}

static void connection_ready(struct qe_watch *watch, unsigned)
{
	struct listener *listener = QE_CONTAINER_OF(watch, struct listener, tcp);
	struct qe_endpoint from;
	int fd;

	enum qe_error error = qe_socket_accept(watch->fd, &fd, &from);

	if (error == QE_OK)
		admit(listener->side, fd, &from);
	else if (error != -EAGAIN)
		pause_accepting(listener);
}

static void accept_again(struct qe_alarm *alarm, qe_time)
{
	struct listener *listener = QE_CONTAINER_OF(alarm, struct listener, alarm);

	qe_loop_change(listener->side->loop, &listener->tcp, QE_READABLE);
}

/* ---- answers ---- */

static void reply(void *ctx, const struct qe_dns_client *to, struct qe_bytes message)
{
	struct qe_dns_side *side = ctx;
	struct client *client;

	if (!to->stream) {
		/* What the socket's buffer has no room for is lost, as it is with UDP. */
		(void)!qe_socket_send_to(side->listeners[to->cookie].udp.fd, message, &to->from);
		return;
	}
	client = find_client(side, to->cookie);
	if (!client)
		return;
	client->asked = false;
	if (qe_dns_stream_queue(&client->stream, message) == QE_OK && be_patient(client))
		flush_client(client);
	else
		end_client(client);
}

static void drop(void *ctx, const struct qe_dns_client *to)
{
	struct client *client = find_client(ctx, to->cookie);

	if (client)
		end_client(client);
}

/* ---- servers ---- */

static unsigned number_of(const struct upstream *upstream)
{
	return (unsigned)(upstream - upstream->side->upstreams);
}

static void broken(struct upstream *upstream)
{
	qe_dns_forwarder_broken(upstream->side->forwarder, number_of(upstream), qe_clock_now());
}

static void answer(struct upstream *upstream, struct qe_bytes message)
{
	qe_dns_forwarder_answer(
		upstream->side->forwarder, number_of(upstream), message, qe_clock_now());
}

static void stream_ready(struct upstream *upstream)
{
	enum qe_error error = QE_OK;
	struct qe_bytes message;

	if (upstream->stream.out) {
		error = qe_dns_stream_flush(&upstream->stream);
		if (error == QE_OK)
			qe_loop_change(upstream->side->loop, &upstream->watch, QE_READABLE);
	} else {
		error = qe_dns_stream_receive(&upstream->stream, &message);
		if (error == QE_OK)
			answer(upstream, message);
	}
	if (error != QE_OK && error != -EAGAIN)
		broken(upstream);
}

/* One datagram for each call: an answer ends the socket. */
static void datagram_from_server(struct upstream *upstream)
{
	struct qe_dns_side *side = upstream->side;
	size_t len;
	enum qe_error error = qe_socket_receive(
		upstream->watch.fd, side->buffer, sizeof(side->buffer), &len);

	if (error == QE_OK)
		answer(upstream, (struct qe_bytes){side->buffer, len});
	else if (error != -EAGAIN && error != QE_ERR_CLOSED)
		broken(upstream);
}

static void upstream_ready(struct qe_watch *watch, unsigned)
{
	struct upstream *upstream = QE_CONTAINER_OF(watch, struct upstream, watch);

	if (upstream->is_stream)
		stream_ready(upstream);
	else
		datagram_from_server(upstream);
}

static void close_upstream(void *ctx, unsigned exchange)
{
	struct qe_dns_side *side = ctx;
	struct upstream *upstream = &side->upstreams[exchange];

	qe_loop_remove(side->loop, &upstream->watch);
	if (upstream->is_stream)
		qe_dns_stream_done(&upstream->stream);
	else
		qe_socket_close(upstream->watch.fd);
	upstream->watch.fd = -1;
}

static enum qe_error open_datagram(
	struct upstream *upstream, const struct qe_endpoint *server, struct qe_bytes message)
{
	size_t sent;
	int fd;
	enum qe_error error;

	QE_TRY(qe_socket_datagram(&fd, server));
	error = qe_socket_send(fd, message, &sent);
	upstream->watch.fd = fd;
	if (error == QE_OK)
		error = qe_loop_add(upstream->side->loop, &upstream->watch, QE_READABLE);
	if (error != QE_OK)
		qe_socket_close(fd);
	return error;
}

static enum qe_error open_stream(
	struct upstream *upstream, const struct qe_endpoint *server, struct qe_bytes message)
{
	enum qe_error error;
	int fd;

	QE_TRY(qe_socket_stream(&fd, server));
	QE_TRY(qe_dns_stream_init(&upstream->stream, fd, QE_DNS_ANSWER_MAX));
	upstream->watch.fd = fd;
	error = qe_dns_stream_queue(&upstream->stream, message);
	if (error == QE_OK)
		error = qe_loop_add(upstream->side->loop, &upstream->watch, QE_WRITABLE);
	if (error != QE_OK)
		qe_dns_stream_done(&upstream->stream);
	return error;
}

static enum qe_error open_upstream(void *ctx, unsigned exchange, const struct qe_endpoint *server,
	bool stream, struct qe_bytes message)
{
	struct qe_dns_side *side = ctx;
	struct upstream *upstream = &side->upstreams[exchange];
	enum qe_error error;

	upstream->is_stream = stream;
	error = stream ? open_stream(upstream, server, message)
		       : open_datagram(upstream, server, message);
	if (error != QE_OK)
		upstream->watch.fd = -1;
	return error;
}

static uint64_t random_u64(void *)
{
	return qe_random_u64();
}

static const struct qe_dns_ops ops = {
	.open = open_upstream,
	.close = close_upstream,
	.reply = reply,
	.drop = drop,
	.random = random_u64,
};

/* ---- life ---- */

static void close_watch(struct qe_dns_side *side, struct qe_watch *watch)
{
	if (watch->fd < 0)
		return;
	qe_loop_remove(side->loop, watch);
	qe_socket_close(watch->fd);
	watch->fd = -1;
}

static enum qe_error open_watch(struct qe_dns_side *side, struct qe_watch *watch, int fd)
{
	enum qe_error error = QE_OK;

	watch->fd = fd;
	if (fd >= 0)
		error = qe_loop_add(side->loop, watch, QE_READABLE);
	if (error == QE_OK)
		return QE_OK;
	qe_socket_close(fd);
	watch->fd = -1;
	return error;
}

enum qe_error qe_dns_side_listen(struct qe_dns_side *side, int udp, int tcp)
{
	struct listener *listener = &side->listeners[side->n_listeners];
	enum qe_error error, of_tcp;

	if (side->n_listeners == QE_DNS_LISTENERS_MAX) {
		if (udp >= 0)
			qe_socket_close(udp);
		if (tcp >= 0)
			qe_socket_close(tcp);
		return QE_ERR_FULL;
	}
	*listener = (struct listener){.udp.ready = datagram_ready,
		.tcp.ready = connection_ready,
		.alarm.ring = accept_again,
		.side = side,
		.number = side->n_listeners++};
	error = open_watch(side, &listener->udp, udp);
	of_tcp = open_watch(side, &listener->tcp, tcp);
	return error != QE_OK ? error : of_tcp;
}

enum qe_error qe_dns_side_new(struct qe_dns_side **ret_side, struct qe_loop *loop, bool members)
{
	struct qe_dns_side *side = calloc(1, sizeof(*side));
	enum qe_error error;

	if (!side)
		return -ENOMEM;
	side->loop = loop;
	side->members = members;
	for (size_t i = 0; i < QE_DNS_CLIENTS_MAX; i++) {
		side->clients[i] = (struct client){
			.watch = {-1, client_ready}, .alarm.ring = client_too_slow, .side = side};
	}
	for (size_t i = 0; i < QE_DNS_EXCHANGES; i++)
		side->upstreams[i] = (struct upstream){.watch = {-1, upstream_ready}, .side = side};
	error = qe_dns_forwarder_new(
		&side->forwarder, members ? &limits_of_members : &limits_of_host, &ops, side);
	if (error != QE_OK) {
		qe_dns_side_free(side);
		return error;
	}
	*ret_side = side;
	return QE_OK;
}

struct qe_dns_side *qe_dns_side_free(struct qe_dns_side *side)
{
	if (!side)
		return nullptr;
	qe_dns_forwarder_free(side->forwarder);
	for (unsigned i = 0; i < side->n_listeners; i++) {
		(void)!qe_loop_set_alarm(side->loop, &side->listeners[i].alarm, QE_TIME_NEVER);
		close_watch(side, &side->listeners[i].udp);
		close_watch(side, &side->listeners[i].tcp);
	}
	for (size_t i = 0; i < QE_DNS_CLIENTS_MAX; i++) {
		if (side->clients[i].watch.fd >= 0)
			end_client(&side->clients[i]);
	}
	free(side);
	return nullptr;
}

void qe_dns_side_set_zone(struct qe_dns_side *side, const struct qe_dns_zone *zone, qe_time now)
{
	qe_dns_forwarder_set_zone(side->forwarder, zone, now);
}

void qe_dns_side_run(struct qe_dns_side *side, qe_time now)
{
	qe_dns_forwarder_run(side->forwarder, now);
}

qe_time qe_dns_side_deadline(const struct qe_dns_side *side)
{
	return qe_dns_forwarder_deadline(side->forwarder);
}

const struct qe_dns_forwarder_counts *qe_dns_side_counts(const struct qe_dns_side *side)
{
	return qe_dns_forwarder_get_counts(side->forwarder);
}
