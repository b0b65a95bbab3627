/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What a client asks for, and what it is told. */
#include <errno.h>
#include <stdlib.h>

#include "crypto/random.h"
#include "os/tcp.h"
#include "proxy/client_internal.h"
#include "proxy/http.h"
#include "proxy/socks.h"

/* ---- answers ---- */

/* All of these are short, and among the first that the socket gets to send. */
static bool say(struct client *client, const void *data, size_t len)
{
	size_t sent = 0;

	return qe_tcp_send(client->watch.fd, (struct qe_bytes){data, len}, &sent) == QE_OK &&
	       sent == len;
}

static bool say_socks(
	struct client *client, enum qe_socks_reply reply, const struct qe_endpoint *bound)
{
	uint8_t bytes[QE_SOCKS_REPLY_MAX];

	return say(client, bytes, qe_socks_write_reply(bytes, reply, bound));
}

static bool say_http(struct client *client, enum qe_http_status status, const char *why)
{
	char text[QE_HTTP_ANSWER_MAX];

	return say(client, text, qe_http_write_answer(text, status, why));
}

/* Why nothing comes of a request, in both languages. */
static const struct refusal {
	enum qe_error error;
	enum qe_socks_reply socks;
	enum qe_http_status http;
	const char *why;
} refusals[] = {
	{-ECONNREFUSED, QE_SOCKS_REFUSED, QE_HTTP_BAD_GATEWAY, "The server refuses the connection"},
	{-ECONNRESET, QE_SOCKS_REFUSED, QE_HTTP_BAD_GATEWAY,
		"The server has broken the connection"},
	{-ENETUNREACH, QE_SOCKS_NETWORK_UNREACHABLE, QE_HTTP_BAD_GATEWAY,
		"There is no way through the tunnel to the server's network"},
	{-EHOSTUNREACH, QE_SOCKS_HOST_UNREACHABLE, QE_HTTP_BAD_GATEWAY,
		"The server cannot be reached"},
	{-ETIMEDOUT, QE_SOCKS_EXPIRED, QE_HTTP_GATEWAY_TIMEOUT, "The server does not answer"},
	{-ENETDOWN, QE_SOCKS_NETWORK_UNREACHABLE, QE_HTTP_UNAVAILABLE,
		"The tunnel is not connected"},
	{-EACCES, QE_SOCKS_NOT_ALLOWED, QE_HTTP_FORBIDDEN, "A policy does not allow it"},
	{-EADDRNOTAVAIL, QE_SOCKS_NOT_ALLOWED, QE_HTTP_FORBIDDEN,
		"The address is none that lies behind the tunnel"},
	{QE_ERR_NOT_FOUND, QE_SOCKS_HOST_UNREACHABLE, QE_HTTP_BAD_GATEWAY,
		"The name cannot be resolved"},
	{QE_ERR_SYNTAX, QE_SOCKS_FAILURE, QE_HTTP_BAD_REQUEST, "The request is malformed"},
	{QE_ERR_FULL, QE_SOCKS_FAILURE, QE_HTTP_UNAVAILABLE, "There are too many connections"},
	{},
};

void client_say_refused(struct client *client, enum qe_error error)
{
	const struct refusal other = {
		error, QE_SOCKS_FAILURE, QE_HTTP_UNAVAILABLE, qe_error_text(error)};
	const struct refusal *refusal = refusals;

	while (refusal->why && refusal->error != error)
		refusal++;
	if (!refusal->why)
		refusal = &other;
	if (client->protocol == QE_CLIENT_SOCKS)
		(void)say_socks(client, refusal->socks, nullptr);
	else
		(void)say_http(client, refusal->http, refusal->why);
}

bool client_say_connected(struct client *client)
{
	const struct qe_endpoint local = qe_stream_local(client->stream);

	if (client->protocol == QE_CLIENT_SOCKS)
		return say_socks(client, QE_SOCKS_OK, &local);
	return client->plain_http || say_http(client, QE_HTTP_OK, nullptr);
}

/* ---- the handshake ---- */

static struct qe_bytes input(const struct client *client)
{
	return (struct qe_bytes){client->in + client->at, client->n - client->at};
}

/* Either a method, or the client goes. */
static enum qe_error take_greeting(struct client *client)
{
	struct qe_socks_greeting greeting;
	size_t used = 0;
	const bool needs_login = client->all->users != nullptr;

	QE_TRY(qe_socks_read_greeting(input(client), &used, &greeting));
	client->at += used;
	const bool fits = needs_login ? greeting.login : greeting.no_login;
	const uint8_t answer[] = {QE_SOCKS_VERSION, !fits         ? QE_SOCKS_NO_METHOD
						    : needs_login ? QE_SOCKS_LOGIN
								  : QE_SOCKS_NO_LOGIN};

	if (!say(client, answer, sizeof(answer)))
		return QE_ERR_CLOSED;
	if (!fits)
		client_leave(client);
	else
		client->state = needs_login ? LOGIN : REQUEST;
	return QE_OK;
}

static enum qe_error take_login(struct client *client)
{
	struct qe_socks_login login = {};
	size_t used = 0;
	const enum qe_error error = qe_socks_read_login(input(client), &used, &login);
	const bool known = error == QE_OK &&
			   qe_users_know(client->all->users, login.name, login.password);
	const uint8_t answer[] = {1, known ? 0 : 1};

	qe_wipe(&login, sizeof(login));
	QE_TRY(error);
	qe_wipe(client->in + client->at, used);
	client->at += used;
	if (!say(client, answer, sizeof(answer)))
		return QE_ERR_CLOSED;
	if (known)
		client->state = REQUEST;
	else
		client_leave(client);
	return QE_OK;
}

static enum qe_error take_socks_request(struct client *client)
{
	struct qe_socks_request request;
	size_t used = 0;

	QE_TRY(qe_socks_read_request(input(client), &used, &request));
	client->at += used;
	if (request.problem != QE_SOCKS_OK) {
		(void)say_socks(client, request.problem, nullptr);
		client_leave(client);
		return QE_OK;
	}
	client->target = request.target;
	client_connect(client);
	return QE_OK;
}

static bool may_use(const struct client *client, const char *login)
{
	const char *colon = strchr(login, ':');
	char name[QE_HTTP_LOGIN_MAX] = "";

	if (!client->all->users)
		return true;
	if (!colon)
		return false;
	memcpy(name, login, (size_t)(colon - login));
	return qe_users_know(client->all->users, name, colon + 1);
}

/* The head goes as the server is to get it, and what follows it stays behind it. */
static enum qe_error make_plain(struct client *client, const struct qe_http_request *request)
{
	const size_t rest = client->n - request->head_len;
	uint8_t *in = malloc(QE_HTTP_REWRITTEN_MAX + rest);
	size_t head;

	if (!in)
		return -ENOMEM;
	head = qe_http_rewrite(in, (struct qe_bytes){client->in, request->head_len});
	memcpy(in + head, client->in + request->head_len, rest);
	client_forget_input(client);
	client->in = in;
	client->n = head + rest;
	client->plain_http = true;
	client->left = head + request->body_len;
	return QE_OK;
}

static enum qe_error take_http_request(struct client *client)
{
	struct qe_http_request request = {};

	const enum qe_error error = qe_http_read_request(input(client), &request);
	const bool known = error == QE_OK && may_use(client, request.login);

	qe_wipe(request.login, sizeof(request.login));
	QE_TRY(error);
	if (!known) {
		(void)say_http(client, QE_HTTP_LOGIN_REQUIRED, "Name and password are required");
		client_leave(client);
		return QE_OK;
	}
	if (request.connect)
		client->at = request.head_len;
	else
		QE_TRY(make_plain(client, &request));
	client->target = request.target;
	client_connect(client);
	return QE_OK;
}

static enum qe_error take_request(struct client *client)
{
	if (client->state == GREETING)
		return take_greeting(client);
	if (client->state == LOGIN)
		return take_login(client);
	return client->protocol == QE_CLIENT_SOCKS ? take_socks_request(client)
						   : take_http_request(client);
}

static bool is_shaking_hands(const struct client *client)
{
	return client->state <= REQUEST;
}

/* What is no SOCKS from its first byte on gets no answer in it. */
static void refuse_request(struct client *client, enum qe_error error)
{
	if (client->state < REQUEST) {
		client_end(client, true);
		return;
	}
	if (client->protocol == QE_CLIENT_SOCKS ||
		(error != QE_ERR_UNSUPPORTED && error != QE_ERR_FULL)) {
		client_refuse(client, error);
		return;
	}
	if (error == QE_ERR_FULL)
		(void)say_http(client, QE_HTTP_TOO_LARGE, "The request is too long");
	else
		(void)say_http(client, QE_HTTP_NOT_IMPLEMENTED,
			"Only CONNECT is known here, and http:// with a length");
	client_leave(client);
}

static enum qe_error read_some(struct client *client)
{
	size_t len = 0;

	QE_TRY(qe_tcp_receive(
		client->watch.fd, client->in + client->n, QE_HTTP_HEAD_MAX - client->n, &len));
	client->n += len;
	return len > 0 ? QE_OK : QE_ERR_CLOSED;
}

void client_shake_hands(struct client *client)
{
	while (client->readable && is_shaking_hands(client)) {
		enum qe_error error = read_some(client);

		if (error == -EAGAIN) {
			client->readable = false;
			return;
		}
		if (error != QE_OK) {
			client_end(client, false);
			return;
		}
		while (error == QE_OK && is_shaking_hands(client))
			error = take_request(client);
		if (error != QE_OK && error != QE_ERR_TRUNCATED) {
			refuse_request(client, error);
			return;
		}
	}
}

void client_give_up_handshake(struct client *client)
{
	if (client->protocol == QE_CLIENT_SOCKS) {
		client_end(client, true);
		return;
	}
	(void)say_http(client, QE_HTTP_TIMEOUT, "The request did not come in time");
	client_leave(client);
}
