/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * JSON-RPC over a UNIX socket, for the command line and for whoever else the socket's mode lets in.
 *
 * codec.c knows the messages, method.c the calls, client.c one blocking call; this file knows the
 * clients of a server. Each holds one place of a fixed array. A call names its caller by place and
 * generation, so that an answer that comes after its caller has gone meets nobody.
 *
 * All of it runs on the control thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "os/clock.h"
#include "rpc/server.h"

struct client {
	struct qe_watch watch; /* fd -1: the place is free */
	struct qe_rpc_server *server;
	uint32_t generation;
	bool closing;    /* as soon as all is sent */
	unsigned calls;  /* not answered yet */
	uint32_t events; /* that it gets: a bit for each of methods' */
	size_t input_len;
	uint8_t *input; /* QE_RPC_MESSAGE_MAX bytes */
	char *output;
	size_t output_at, output_len;
};

struct qe_rpc_server {
	struct qe_loop *loop;
	struct qe_unix_listener *listener;
	const struct qe_rpc_methods *methods;
	struct qe_watch door;
	struct client clients[QE_RPC_CLIENTS_MAX];
};

static void drop(struct client *client)
{
	qe_loop_remove(client->server->loop, &client->watch);
	qe_unix_close(client->watch.fd);
	free(client->input);
	free(client->output);
	*client = (struct client){
		.watch.fd = -1,
		.watch.ready = client->watch.ready,
		.server = client->server,
		.generation = client->generation + 1,
	};
}

/* ---- output ---- */

static bool has_output(const struct client *client)
{
	return client->output_at < client->output_len;
}

static void send_output(struct client *client)
{
	while (has_output(client)) {
		struct qe_bytes rest = {(const uint8_t *)client->output + client->output_at,
			client->output_len - client->output_at};
		size_t sent;
		enum qe_error error = qe_unix_send(client->watch.fd, rest, &sent);

		if (error == -EAGAIN) {
			qe_loop_change(
				client->server->loop, &client->watch, QE_READABLE | QE_WRITABLE);
			return;
		}
		if (error != QE_OK) {
			drop(client);
			return;
		}
		client->output_at += sent;
	}
	client->output_at = client->output_len = 0;
	qe_loop_change(client->server->loop, &client->watch, QE_READABLE);
	if (client->closing && client->calls == 0)
		drop(client);
}

static bool append_output(struct client *client, const char *line, size_t len)
{
	size_t waiting = client->output_len - client->output_at;
	char *output;

	if (len > QE_RPC_OUTPUT_MAX - waiting)
		return false;
	output = malloc(waiting + len);
	if (!output)
		return false;
	if (waiting)
		memcpy(output, client->output + client->output_at, waiting);
	memcpy(output + waiting, line, len);
	free(client->output);
	client->output = output;
	client->output_at = 0;
	client->output_len = waiting + len;
	return true;
}

static uint64_t caller_of(const struct client *client)
{
	return (uint64_t)client->generation << 32 | (uint64_t)(client - client->server->clients);
}

static void send_line(void *ctx, uint64_t caller, const char *line, size_t len)
{
	struct qe_rpc_server *server = ctx;
	struct client *client = &server->clients[caller & UINT32_MAX];

	if (client->watch.fd < 0 || caller_of(client) != caller)
		return;
	client->calls--;
	if (line && !append_output(client, line, len))
		drop(client);
	else
		send_output(client);
}

/* ---- input ---- */

/* Hands over each whole line; a client may be gone after any of them. */
static void take_lines(struct client *client)
{
	struct qe_rpc_server *server = client->server;
	uint64_t caller = caller_of(client);
	size_t at = 0;

	while (client->watch.fd >= 0 && caller_of(client) == caller) {
		const uint8_t *begin = client->input + at;
		const uint8_t *end = memchr(begin, '\n', client->input_len - at);

		if (!end) {
			client->input_len -= at;
			memmove(client->input, begin, client->input_len);
			return;
		}
		at += (size_t)(end - begin) + 1;
		client->calls++;
		qe_rpc_dispatch(server->methods, (struct qe_bytes){begin, (size_t)(end - begin)},
			send_line, server, caller);
	}
}

static void refuse(struct client *client, int code, const char *message)
{
	json_t *refusal = qe_rpc_error_new(nullptr, code, message);
	size_t len;
	char *line = refusal ? qe_rpc_format(refusal, &len) : nullptr;

	client->closing = true;
	client->calls++;
	send_line(client->server, caller_of(client), line, line ? len : 0);
	free(line);
	json_decref(refusal);
}

static void read_input(struct client *client)
{
	size_t len;
	enum qe_error error = qe_unix_receive(client->watch.fd, client->input + client->input_len,
		QE_RPC_MESSAGE_MAX - client->input_len, &len);

	if (error == -EAGAIN)
		return;
	if (error != QE_OK) {
		drop(client);
		return;
	}
	if (client->closing)
		return; /* what comes after a refusal is not looked at */
	client->input_len += len;
	take_lines(client);
	if (client->watch.fd >= 0 && client->input_len == QE_RPC_MESSAGE_MAX)
		refuse(client, QE_RPC_INVALID_REQUEST, "a request is at most 64 KiB long");
}

static void client_ready(struct qe_watch *watch, unsigned events)
{
	struct client *client = QE_CONTAINER_OF(watch, struct client, watch);

	if (events & QE_WRITABLE)
		send_output(client);
	if (client->watch.fd >= 0 && events & QE_READABLE)
		read_input(client);
}

/* ---- events ---- */

/* The bit of an event; 0 if there is none of that name. */
static uint32_t bit_of(const struct qe_rpc_server *server, const char *event)
{
	const char *const *events = server->methods->events;

	for (size_t i = 0; events && events[i]; i++) {
		if (strcmp(events[i], event) == 0)
			return 1u << i;
	}
	return 0;
}

static size_t count_subscribers(const struct qe_rpc_server *server)
{
	size_t n = 0;

	for (size_t i = 0; i < QE_RPC_CLIENTS_MAX; i++)
		n += server->clients[i].events != 0;
	return n;
}

enum qe_error qe_rpc_server_subscribe(const struct qe_rpc_call *call, const char *event)
{
	uint64_t caller;
	struct qe_rpc_server *server = qe_rpc_call_sender(call, &caller);
	struct client *client = &server->clients[caller & UINT32_MAX];
	uint32_t bit = bit_of(server, event);

	if (bit == 0)
		return QE_ERR_NOT_FOUND;
	if (caller_of(client) != caller)
		return QE_OK; /* it has gone */
	if (client->events == 0 && count_subscribers(server) == QE_RPC_SUBSCRIBERS_MAX)
		return QE_ERR_FULL;
	client->events |= bit;
	return QE_OK;
}

bool qe_rpc_server_is_heard(const struct qe_rpc_server *server, const char *event)
{
	for (size_t i = 0; server && i < QE_RPC_CLIENTS_MAX; i++) {
		if (server->clients[i].events & bit_of(server, event))
			return true;
	}
	return false;
}

/* One line, with its newline; to be freed. Takes params over. */
static char *format_event(const char *event, json_t *params, size_t *ret_len)
{
	char now[QE_CLOCK_TEXT_SIZE], *line = nullptr;
	json_t *all, *message = nullptr;

	qe_clock_format(now, qe_clock_wall_ms());
	all = json_pack("{s:s, s:s}", "event", event, "time", now);
	if (all && params && json_object_update(all, params) == 0)
		message = json_pack(
			"{s:s, s:s, s:O}", "jsonrpc", "2.0", "method", "event", "params", all);
	if (message)
		line = qe_rpc_format(message, ret_len);
	json_decref(message);
	json_decref(all);
	json_decref(params);
	return line;
}

static void send_event(struct client *client, const char *line, size_t len)
{
	if (client->output_len - client->output_at + len > QE_RPC_EVENTS_MAX ||
		!append_output(client, line, len))
		drop(client);
	else
		send_output(client);
}

void qe_rpc_server_notify(struct qe_rpc_server *server, const char *event, json_t *params)
{
	size_t len = 0;
	char *line;

	if (!qe_rpc_server_is_heard(server, event)) {
		json_decref(params);
		return;
	}
	line = format_event(event, params, &len);
	for (size_t i = 0; line && i < QE_RPC_CLIENTS_MAX; i++) {
		if (server->clients[i].events & bit_of(server, event))
			send_event(&server->clients[i], line, len);
	}
	free(line);
}

/* ---- the door ---- */

static struct client *find_place(struct qe_rpc_server *server)
{
	for (size_t i = 0; i < QE_RPC_CLIENTS_MAX; i++) {
		if (server->clients[i].watch.fd < 0)
			return &server->clients[i];
	}
	return nullptr;
}

static struct client *admit(struct qe_rpc_server *server, int fd)
{
	struct client *client = find_place(server);

	if (!client)
		return nullptr;
	client->input = malloc(QE_RPC_MESSAGE_MAX);
	client->watch.fd = fd;
	if (!client->input || qe_loop_add(server->loop, &client->watch, QE_READABLE) != QE_OK) {
		free(client->input);
		client->input = nullptr;
		client->watch.fd = -1;
		return nullptr;
	}
	return client;
}

/* One knock per turn of the loop; the others wait in the backlog. */
static void door_ready(struct qe_watch *watch, unsigned)
{
	struct qe_rpc_server *server = QE_CONTAINER_OF(watch, struct qe_rpc_server, door);
	struct client *client;
	int fd = -1;
	enum qe_error error = qe_unix_accept(server->listener, &fd);

	if (error != QE_OK && error != -EACCES)
		return;
	client = admit(server, fd);
	if (!client)
		qe_unix_close(fd);
	else if (error == -EACCES)
		refuse(client, error, "only root and the members of the socket's group may");
}

enum qe_error qe_rpc_server_new(struct qe_rpc_server **ret_server, struct qe_loop *loop,
	struct qe_unix_listener *listener, const struct qe_rpc_methods *methods)
{
	struct qe_rpc_server *server = calloc(1, sizeof(*server));
	enum qe_error error;

	if (!server)
		return -ENOMEM;
	server->loop = loop;
	server->listener = listener;
	server->methods = methods;
	server->door = (struct qe_watch){qe_unix_listener_fd(listener), door_ready};
	for (size_t i = 0; i < QE_RPC_CLIENTS_MAX; i++)
		server->clients[i] = (struct client){
			.watch = {-1, client_ready},
			.server = server,
		};
	error = qe_loop_add(loop, &server->door, QE_READABLE);
	if (error != QE_OK) {
		free(server);
		return error;
	}
	*ret_server = server;
	return QE_OK;
}

struct qe_rpc_server *qe_rpc_server_free(struct qe_rpc_server *server)
{
	if (!server)
		return nullptr;
	for (size_t i = 0; i < QE_RPC_CLIENTS_MAX; i++) {
		if (server->clients[i].watch.fd >= 0)
			drop(&server->clients[i]);
	}
	qe_loop_remove(server->loop, &server->door);
	free(server);
	return nullptr;
}

void qe_rpc_server_finish(struct qe_rpc_server *server)
{
	qe_loop_remove(server->loop, &server->door);
	for (size_t i = 0; i < QE_RPC_CLIENTS_MAX; i++)
		server->clients[i].closing = true;
}

bool qe_rpc_server_is_busy(const struct qe_rpc_server *server)
{
	for (size_t i = 0; i < QE_RPC_CLIENTS_MAX; i++) {
		if (has_output(&server->clients[i]))
			return true;
	}
	return false;
}
