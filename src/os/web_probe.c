/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/sockaddr.h"
#include "os/web_probe.h"

constexpr qe_time patience = 5 * QE_SECOND;

struct qe_web_probe {
	struct qe_watch watch;
	struct qe_alarm alarm; /* the end of patience */
	struct qe_loop *loop;
	void (*done)(void *ctx, const struct qe_http_answer *answer, const char *why);
	void *ctx;
	char question[1024]; /* a host and a path of 255 characters at most */
	size_t sent, len;
	uint8_t head[QE_HTTP_HEAD_MAX];
	size_t head_len;
};

static void finish(struct qe_web_probe *probe, const struct qe_http_answer *answer, const char *why)
{
	qe_loop_remove(probe->loop, &probe->watch);
	(void)!qe_loop_set_alarm(probe->loop, &probe->alarm, QE_TIME_NEVER);
	probe->done(probe->ctx, answer, why);
}

static void finish_failed(struct qe_web_probe *probe, enum qe_error error)
{
	finish(probe, nullptr, qe_error_text(error));
}

static void time_is_up(struct qe_alarm *alarm, qe_time)
{
	finish_failed(QE_CONTAINER_OF(alarm, struct qe_web_probe, alarm), -ETIMEDOUT);
}

/* True while there is more to send. */
static bool send_question(struct qe_web_probe *probe, enum qe_error *error)
{
	ssize_t n = send(probe->watch.fd, probe->question + probe->sent, probe->len - probe->sent,
		MSG_NOSIGNAL);

	*error = n < 0 && errno != EAGAIN ? qe_error_errno() : QE_OK;
	probe->sent += n > 0 ? (size_t)n : 0;
	return *error == QE_OK && probe->sent < probe->len;
}

static void read_answer(struct qe_web_probe *probe)
{
	ssize_t n = recv(probe->watch.fd, probe->head + probe->head_len,
		sizeof(probe->head) - probe->head_len, 0);
	struct qe_http_answer answer;
	enum qe_error error;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0) {
		finish_failed(probe, qe_error_errno());
		return;
	}
	probe->head_len += (size_t)n;
	error = qe_http_parse(&answer, (struct qe_bytes){probe->head, probe->head_len},
		n == 0 || probe->head_len == sizeof(probe->head));
	if (error == QE_OK)
		finish(probe, &answer, nullptr);
	else if (error != -EAGAIN)
		finish(probe, nullptr, "what answers there does not speak HTTP");
}

static void ready(struct qe_watch *watch, unsigned events)
{
	struct qe_web_probe *probe = QE_CONTAINER_OF(watch, struct qe_web_probe, watch);
	enum qe_error error = QE_OK;

	if (probe->sent < probe->len) {
		if (!send_question(probe, &error) && error == QE_OK)
			qe_loop_change(probe->loop, watch, QE_READABLE);
		if (error != QE_OK)
			finish_failed(probe, error);
	} else if (events & QE_READABLE) {
		read_answer(probe);
	}
}

static void write_question(struct qe_web_probe *probe, const struct qe_web_request *request)
{
	struct qe_text text = qe_text_init(probe->question, sizeof(probe->question));
	bool bracketed = strchr(request->host, ':');

	qe_text_addf(&text, "GET %s%s HTTP/1.1\r\nHost: %s%s%s", request->path[0] == '/' ? "" : "/",
		request->path, bracketed ? "[" : "", request->host, bracketed ? "]" : "");
	if (request->server.port != 80)
		qe_text_addf(&text, ":%u", request->server.port);
	qe_text_add(&text, "\r\nUser-Agent: quicether\r\nAccept: */*\r\nConnection: close\r\n\r\n");
	probe->len = text.len;
}

static enum qe_error begin(struct qe_web_probe *probe, const struct qe_endpoint *server)
{
	struct sockaddr_storage addr;
	socklen_t len = qe_sockaddr_from_endpoint(&addr, server, false);

	if (connect(probe->watch.fd, (struct sockaddr *)&addr, len) < 0 && errno != EINPROGRESS)
		return qe_error_errno();
	QE_TRY(qe_loop_set_alarm(probe->loop, &probe->alarm, qe_clock_now() + patience));
	return qe_loop_add(probe->loop, &probe->watch, QE_WRITABLE | QE_READABLE);
}

enum qe_error qe_web_probe_new(struct qe_web_probe **ret_probe, struct qe_loop *loop, int fd,
	const struct qe_web_request *request,
	void (*done)(void *ctx, const struct qe_http_answer *answer, const char *why), void *ctx)
{
	struct qe_web_probe *probe = calloc(1, sizeof(*probe));
	enum qe_error error;

	if (!probe) {
		close(fd);
		return -ENOMEM;
	}
	probe->watch = (struct qe_watch){fd, ready};
	probe->alarm.ring = time_is_up;
	probe->loop = loop;
	probe->done = done;
	probe->ctx = ctx;
	write_question(probe, request);
	error = begin(probe, &request->server);
	if (error != QE_OK) {
		qe_web_probe_free(probe);
		return error;
	}
	*ret_probe = probe;
	return QE_OK;
}

struct qe_web_probe *qe_web_probe_free(struct qe_web_probe *probe)
{
	if (!probe)
		return nullptr;
	qe_loop_remove(probe->loop, &probe->watch);
	(void)!qe_loop_set_alarm(probe->loop, &probe->alarm, QE_TIME_NEVER);
	close(probe->watch.fd);
	free(probe);
	return nullptr;
}
