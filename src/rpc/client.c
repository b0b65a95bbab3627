/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "os/unix_socket.h"
#include "rpc/client.h"
#include "rpc/codec.h"
#include "rpc/server.h"

constexpr size_t answer_first = 16 * 1024;
constexpr size_t answer_max = QE_RPC_OUTPUT_MAX;

struct answer {
	char *bytes;
	size_t len, capacity;
	size_t taken; /* bytes of the line given out last */
};

static enum qe_error send_all(int fd, struct qe_bytes bytes, qe_time until)
{
	while (bytes.len > 0) {
		size_t sent = 0;
		enum qe_error error = qe_unix_send(fd, bytes, &sent);

		if (error == -EAGAIN)
			QE_TRY(qe_unix_wait_writable(fd, until));
		else
			QE_TRY(error);
		bytes = (struct qe_bytes){bytes.data + sent, bytes.len - sent};
	}
	return QE_OK;
}

static enum qe_error grow(struct answer *answer)
{
	size_t capacity = answer->capacity ? answer->capacity * 2 : answer_first;
	char *bytes;

	if (answer->len < answer->capacity)
		return QE_OK;
	if (capacity > answer_max)
		return QE_ERR_PROTOCOL;
	bytes = realloc(answer->bytes, capacity);
	if (!bytes)
		return -ENOMEM;
	answer->bytes = bytes;
	answer->capacity = capacity;
	return QE_OK;
}

/* The next line, without its newline: valid until the next call. */
static enum qe_error receive_line(
	struct answer *answer, int fd, qe_time until, struct qe_bytes *ret_line)
{
	size_t seen = 0; /* without a newline in it */

	if (answer->taken > 0) {
		answer->len -= answer->taken;
		memmove(answer->bytes, answer->bytes + answer->taken, answer->len);
		answer->taken = 0;
	}
	for (;;) {
		const char *end = answer->len > seen
					  ? memchr(answer->bytes + seen, '\n', answer->len - seen)
					  : nullptr;
		size_t len = 0;
		enum qe_error error;

		if (end) {
			answer->taken = (size_t)(end - answer->bytes) + 1;
			*ret_line = (struct qe_bytes){
				(const uint8_t *)answer->bytes, answer->taken - 1};
			return QE_OK;
		}
		seen = answer->len;
		QE_TRY(grow(answer));
		error = qe_unix_receive(
			fd, answer->bytes + answer->len, answer->capacity - answer->len, &len);
		if (error == -EAGAIN)
			QE_TRY(qe_unix_wait_readable(fd, until));
		else
			QE_TRY(error);
		answer->len += len;
	}
}

static enum qe_error exchange(struct answer *answer, int fd, const char *method, json_t *params,
	qe_time until, struct qe_bytes *ret_line)
{
	json_t *request = qe_rpc_request_new(method, json_incref(params));
	size_t len = 0;
	char *line = request ? qe_rpc_format(request, &len) : nullptr;
	enum qe_error error = line ? QE_OK : -ENOMEM;

	if (error == QE_OK)
		error = send_all(fd, (struct qe_bytes){(const uint8_t *)line, len}, until);
	/* A refusal may have come before the request was sent. */
	if (error == QE_OK || error == QE_ERR_CLOSED)
		error = receive_line(answer, fd, until, ret_line);
	free(line);
	json_decref(request);
	return error;
}

/* The specification's own codes are not values of enum qe_error. */
static enum qe_error error_of_code(int code)
{
	if (code == QE_RPC_METHOD_NOT_FOUND)
		return QE_ERR_UNSUPPORTED;
	if (code == QE_RPC_INVALID_PARAMS)
		return QE_ERR_RANGE;
	return code < 0 && code >= QE_ERR_INTERNAL ? (enum qe_error)code : QE_ERR_PROTOCOL;
}

static enum qe_error read_answer(
	struct qe_bytes line, json_t **ret_result, struct qe_rpc_error *ret_error)
{
	json_t *root = json_loadb((const char *)line.data, line.len, 0, nullptr);
	json_t *result = json_object_get(root, "result");
	const char *message = nullptr;
	enum qe_error error = QE_ERR_PROTOCOL;

	if (result) {
		*ret_result = json_incref(result);
		error = QE_OK;
	} else if (json_unpack(root, "{s:{s:i, s:s}}", "error", "code", &ret_error->code, "message",
			   &message) == 0) {
		snprintf(ret_error->message, sizeof(ret_error->message), "%s", message);
		error = error_of_code(ret_error->code);
	}
	json_decref(root);
	return error;
}

/* In the user's words, where the daemon had no word to say. */
static void explain(struct qe_rpc_error *ret_error, enum qe_error error, const char *socket_path)
{
	static const struct {
		enum qe_error error;
		const char *format;
	} texts[] = {
		{-ECONNREFUSED, "no daemon is running (nobody listens on %s)"},
		{-EACCES, "no permission to talk to the daemon on %s"},
		{-ETIMEDOUT, "the daemon on %s did not answer in time"},
		{QE_ERR_PROTOCOL, "what answers on %s does not speak as a QuicEther daemon does"},
	};

	if (ret_error->message[0])
		return;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].error != error)
			continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(ret_error->message, sizeof(ret_error->message), texts[i].format,
			socket_path);
#pragma GCC diagnostic pop
		return;
	}
	snprintf(ret_error->message, sizeof(ret_error->message), "%s: %s", socket_path,
		qe_error_text(error));
}

/* ---- one call ---- */

static enum qe_error call(struct answer *answer, int fd, const char *method, json_t *params,
	qe_time until, json_t **ret_result, struct qe_rpc_error *ret_error)
{
	struct qe_bytes line;
	enum qe_error error = exchange(answer, fd, method, params, until, &line);

	if (error == QE_OK)
		error = read_answer(line, ret_result, ret_error);
	return error == QE_ERR_CLOSED ? QE_ERR_PROTOCOL : error;
}

/* Makes what is known of a failure whole. */
static enum qe_error fail(struct qe_rpc_error *why, enum qe_error error, const char *socket_path)
{
	if (error == -ENOENT)
		error = -ECONNREFUSED;
	explain(why, error, socket_path);
	return error;
}

enum qe_error qe_rpc_call(const char *socket_path, const char *method, json_t *params,
	json_t **ret_result, struct qe_rpc_error *ret_error)
{
	return qe_rpc_call_until(socket_path, method, params, qe_clock_now() + QE_RPC_CALL_TIMEOUT,
		ret_result, ret_error);
}

enum qe_error qe_rpc_call_until(const char *socket_path, const char *method, json_t *params,
	qe_time until, json_t **ret_result, struct qe_rpc_error *ret_error)
{
	struct qe_rpc_error why = {};
	struct answer answer = {};
	int fd;
	enum qe_error error = qe_unix_connect(&fd, socket_path);

	if (error == QE_OK) {
		error = call(&answer, fd, method, params, until, ret_result, &why);
		qe_unix_close(fd);
		free(answer.bytes);
	}
	if (error == QE_OK)
		return QE_OK;
	error = fail(&why, error, socket_path);
	*ret_error = why;
	return error;
}

/* ---- events ---- */

struct qe_rpc_events {
	int fd;
	struct answer answer;
};

static enum qe_error subscribe(
	struct qe_rpc_events *events, const char *event, struct qe_rpc_error *why)
{
	json_t *params = json_pack("{s:[s]}", "events", event), *result = nullptr;
	enum qe_error error = params ? QE_OK : -ENOMEM;

	if (error == QE_OK)
		error = call(&events->answer, events->fd, "events.subscribe", params,
			qe_clock_now() + QE_RPC_CALL_TIMEOUT, &result, why);
	json_decref(params);
	json_decref(result);
	return error;
}

enum qe_error qe_rpc_events_new(struct qe_rpc_events **ret_events, const char *socket_path,
	const char *event, struct qe_rpc_error *ret_error)
{
	struct qe_rpc_events *events = calloc(1, sizeof(*events));
	struct qe_rpc_error why = {};
	enum qe_error error = events ? qe_unix_connect(&events->fd, socket_path) : -ENOMEM;

	if (error == QE_OK) {
		error = subscribe(events, event, &why);
		if (error == QE_OK) {
			*ret_events = events;
			return QE_OK;
		}
		qe_rpc_events_free(events);
	} else {
		free(events);
	}
	error = fail(&why, error, socket_path);
	*ret_error = why;
	return error;
}

enum qe_error qe_rpc_events_next(struct qe_rpc_events *events, qe_time until, json_t **ret_params)
{
	struct qe_bytes line;
	json_t *message, *params;

	QE_TRY(receive_line(&events->answer, events->fd, until, &line));
	message = json_loadb((const char *)line.data, line.len, 0, nullptr);
	params = json_incref(json_object_get(message, "params"));
	json_decref(message);
	if (!json_is_object(params)) {
		json_decref(params);
		return QE_ERR_PROTOCOL;
	}
	*ret_params = params;
	return QE_OK;
}

struct qe_rpc_events *qe_rpc_events_free(struct qe_rpc_events *events)
{
	if (!events)
		return nullptr;
	qe_unix_close(events->fd);
	free(events->answer.bytes);
	free(events);
	return nullptr;
}
