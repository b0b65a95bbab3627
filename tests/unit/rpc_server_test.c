/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A server on a loop in a thread of its own, and clients of all manners. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/thread.h"
#include "random.h"
#include "rpc/client.h"
#include "rpc/server.h"

static char directory[] = "/tmp/qe-rpc-XXXXXX";
static char path[64];
static struct qe_loop *loop;
static struct qe_unix_listener *listener;
static struct qe_rpc_server *server;
static struct qe_thread *thread;
static bool ending; /* the server's thread's */

static void echo(void *, struct qe_rpc_call *call, const json_t *params)
{
	qe_rpc_answer(call, params ? json_deep_copy(params) : json_object());
}

/* 8 MiB: far more than the socket takes at once. */
static void big(void *, struct qe_rpc_call *call, const json_t *)
{
	const size_t size = 8 * 1024 * 1024;
	char *text = malloc(size);

	memset(text, 'x', size);
	qe_rpc_answer(call, json_pack("{s:o}", "text", json_stringn(text, size)));
	free(text);
}

static void refuse(void *, struct qe_rpc_call *call, const json_t *)
{
	qe_rpc_fail(call, QE_ERR_AMBIGUOUS, "which one");
}

static void end(void *, struct qe_rpc_call *call, const json_t *)
{
	ending = true;
	qe_rpc_answer(call, json_object());
}

static void subscribe(void *, struct qe_rpc_call *call, const json_t *params)
{
	const char *event = json_string_value(json_array_get(json_object_get(params, "events"), 0));
	enum qe_error error = qe_rpc_server_subscribe(call, event);

	if (error != QE_OK)
		qe_rpc_fail(call, error, "no");
	else
		qe_rpc_answer(call, json_object());
}

/* An event of the name "event" with the parameters. */
static void tell(void *, struct qe_rpc_call *call, const json_t *params)
{
	const char *event = json_string_value(json_object_get(params, "name"));
	bool heard = qe_rpc_server_is_heard(server, event);

	qe_rpc_server_notify(server, event, json_deep_copy(params));
	qe_rpc_answer(call, json_pack("{s:b}", "heard", heard));
}

static const struct qe_rpc_method rows[] = {
	{"echo", echo, "Gives back its parameters"},
	{"big", big, "A long answer"},
	{"refuse", refuse, "Fails"},
	{"end", end, "Ends the server"},
	{"events.subscribe", subscribe, "Subscribes"},
	{"tell", tell, "Makes an event"},
};
static const char *const events[] = {"news", "weather", nullptr};
static const struct qe_rpc_methods methods = {rows, 6, nullptr, events};

static void serve(void *)
{
	while (!ending)
		qe_loop_turn(loop, QE_TIME_NEVER);
	qe_rpc_server_finish(server);
	while (qe_rpc_server_is_busy(server))
		qe_loop_turn(loop, QE_TIME_NEVER);
}

static int set_up(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/socket", directory);
	assert_int_equal(qe_loop_new(&loop), QE_OK);
	assert_int_equal(qe_unix_listener_new(&listener, path, "no-such-group"), QE_OK);
	assert_int_equal(qe_rpc_server_new(&server, loop, listener, &methods), QE_OK);
	assert_int_equal(qe_thread_new(&thread, "server", serve, nullptr), QE_OK);
	return random_setup(state);
}

static int tear_down(void **)
{
	struct qe_rpc_error why;
	json_t *result = nullptr;

	if (qe_rpc_call(path, "end", nullptr, &result, &why) != QE_OK)
		return -1;
	json_decref(result);
	qe_thread_join(thread);
	qe_rpc_server_free(server);
	qe_unix_listener_free(listener);
	qe_loop_free(loop);
	return rmdir(directory);
}

static void test_call(void **)
{
	struct qe_rpc_error why;
	json_t *params = json_pack("{s:i}", "n", 5), *result = nullptr;

	for (int i = 0; i < 500; i++) {
		assert_int_equal(qe_rpc_call(path, "echo", params, &result, &why), QE_OK);
		assert_true(json_equal(params, result));
		json_decref(result);
	}
	json_decref(params);
}

static void test_long_answer(void **)
{
	struct qe_rpc_error why;
	json_t *result = nullptr;

	assert_int_equal(qe_rpc_call(path, "big", nullptr, &result, &why), QE_OK);
	assert_int_equal(json_string_length(json_object_get(result, "text")), 8 * 1024 * 1024);
	json_decref(result);
}

static void test_failures(void **)
{
	struct qe_rpc_error why;
	json_t *result = nullptr;

	assert_int_equal(qe_rpc_call(path, "refuse", nullptr, &result, &why), QE_ERR_AMBIGUOUS);
	assert_string_equal(why.message, "which one");
	assert_int_equal(why.code, QE_ERR_AMBIGUOUS);
	assert_int_equal(qe_rpc_call(path, "nope", nullptr, &result, &why), QE_ERR_UNSUPPORTED);
	assert_int_equal(
		qe_rpc_call("/nonexistent", "echo", nullptr, &result, &why), -ECONNREFUSED);
	assert_int_equal(why.code, 0);
	assert_non_null(strstr(why.message, "no daemon"));
	assert_null(result);
}

static int connect_raw(void)
{
	int fd = -1;

	assert_int_equal(qe_unix_connect(&fd, path), QE_OK);
	return fd;
}

static void send_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		size_t n = 0;
		enum qe_error error = qe_unix_send(
			fd, (struct qe_bytes){(const uint8_t *)bytes, len}, &n);

		if (error == -EAGAIN)
			error = qe_unix_wait_writable(fd, qe_clock_now() + 5 * QE_SECOND);
		assert_int_equal(error, QE_OK);
		bytes += n;
		len -= n;
	}
}

/* Reads until n newlines have come, or the end. */
static size_t read_lines(int fd, char *to, size_t size, size_t n)
{
	size_t at = 0, lines = 0;

	while (lines < n) {
		size_t len = 0;
		enum qe_error error;

		assert_int_equal(qe_unix_wait_readable(fd, qe_clock_now() + 5 * QE_SECOND), QE_OK);
		error = qe_unix_receive(fd, to + at, size - 1 - at, &len);
		if (error == QE_ERR_CLOSED)
			break;
		assert_true(error == QE_OK || error == -EAGAIN);
		for (size_t i = 0; i < len; i++)
			lines += to[at + i] == '\n';
		at += len;
	}
	to[at] = '\0';
	return lines;
}

/* However the bytes are cut into pieces, each line is one request. */
static void test_pieces(void **)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n";
	static char bytes[100 * sizeof(line)], answers[100 * 64];
	size_t len = 0;
	int fd = connect_raw();

	for (int i = 0; i < 100; i++) {
		memcpy(bytes + len, line, sizeof(line) - 1);
		len += sizeof(line) - 1;
	}
	for (size_t at = 0, piece; at < len; at += piece) {
		piece = 1 + random_below(60);
		piece = piece < len - at ? piece : len - at;
		send_all(fd, bytes + at, piece);
	}
	assert_int_equal(read_lines(fd, answers, sizeof(answers), 100), 100);
	qe_unix_close(fd);
}

static void test_too_long(void **)
{
	static char bytes[QE_RPC_MESSAGE_MAX], answer[1024];
	int fd = connect_raw();

	memset(bytes, ' ', sizeof(bytes));
	send_all(fd, bytes, sizeof(bytes));
	assert_int_equal(read_lines(fd, answer, sizeof(answer), 2), 1);
	assert_non_null(strstr(answer, "64 KiB"));
	qe_unix_close(fd);
}

/* Who asks and asks and never reads is dropped, and all others are served meanwhile. */
static void test_slow_client(void **)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\"}\n";
	int fd = connect_raw();
	size_t n = 0;

	for (size_t i = 0; i < QE_RPC_OUTPUT_MAX / (8 * 1024 * 1024) + 2; i++) {
		if (qe_unix_send(fd, (struct qe_bytes){(const uint8_t *)line, sizeof(line) - 1},
			    &n) != QE_OK)
			break;
		test_call(nullptr);
	}
	assert_int_equal(
		qe_unix_send(fd, (struct qe_bytes){(const uint8_t *)line, 1}, &n), QE_ERR_CLOSED);
	qe_unix_close(fd);
}

/* More clients than places: the last ones are sent away; when the others leave, there is room. */
static void test_many_clients(void **)
{
	int fds[QE_RPC_CLIENTS_MAX + 1];
	char byte;
	size_t n;

	for (size_t i = 0; i <= QE_RPC_CLIENTS_MAX; i++) {
		while (qe_unix_connect(&fds[i], path) != QE_OK)
			sched_yield(); /* the backlog is full */
	}
	assert_int_equal(
		qe_unix_wait_readable(fds[QE_RPC_CLIENTS_MAX], qe_clock_now() + 5 * QE_SECOND),
		QE_OK);
	assert_int_equal(qe_unix_receive(fds[QE_RPC_CLIENTS_MAX], &byte, 1, &n), QE_ERR_CLOSED);
	for (size_t i = 0; i <= QE_RPC_CLIENTS_MAX; i++)
		qe_unix_close(fds[i]);
	for (;;) {
		struct qe_rpc_error why;
		json_t *result = nullptr;

		if (qe_rpc_call(path, "echo", nullptr, &result, &why) != QE_OK)
			continue;
		json_decref(result);
		return;
	}
}

/* ---- events ---- */

static bool tell_all(const char *name, int number, const char *text)
{
	json_t *params = json_pack("{s:s, s:i, s:s}", "name", name, "number", number, "text", text);
	json_t *result = nullptr;
	struct qe_rpc_error why;

	assert_int_equal(qe_rpc_call(path, "tell", params, &result, &why), QE_OK);
	bool heard = json_is_true(json_object_get(result, "heard"));
	json_decref(params);
	json_decref(result);
	return heard;
}

static struct qe_rpc_events *listen_to(const char *event)
{
	struct qe_rpc_events *listener_of = nullptr;
	struct qe_rpc_error why;

	assert_int_equal(qe_rpc_events_new(&listener_of, path, event, &why), QE_OK);
	return listener_of;
}

static int next_number(struct qe_rpc_events *from, const char *event)
{
	json_t *params = nullptr;

	assert_int_equal(qe_rpc_events_next(from, qe_clock_now() + 5 * QE_SECOND, &params), QE_OK);
	assert_string_equal(json_string_value(json_object_get(params, "event")), event);
	assert_string_equal(json_string_value(json_object_get(params, "name")), event);
	assert_non_null(strstr(json_string_value(json_object_get(params, "time")), "Z"));
	int number = (int)json_integer_value(json_object_get(params, "number"));
	json_decref(params);
	return number;
}

/* Each subscriber gets what it has subscribed to, all of it and in order. */
static void test_events(void **)
{
	struct qe_rpc_events *one = listen_to("news"), *two = listen_to("news"),
			     *other = listen_to("weather");
	struct qe_rpc_error why;
	json_t *params;

	for (int i = 0; i < 200; i++)
		assert_true(tell_all(i % 10 ? "news" : "weather", i, ""));
	for (int i = 0; i < 200; i++) {
		if (i % 10 == 0) {
			assert_int_equal(next_number(other, "weather"), i);
			continue;
		}
		assert_int_equal(next_number(one, "news"), i);
		assert_int_equal(next_number(two, "news"), i);
	}
	assert_int_equal(qe_rpc_events_next(one, qe_clock_now(), &params), -ETIMEDOUT);
	qe_rpc_events_free(one);
	qe_rpc_events_free(two);
	qe_rpc_events_free(other);
	assert_int_equal(qe_rpc_events_new(&one, path, "gossip", &why), QE_ERR_NOT_FOUND);
}

static void wait_until_unheard(const char *event)
{
	while (tell_all(event, 0, ""))
		sched_yield();
}

/* Those who have gone are soon told nothing more. */
static void test_nobody_listens(void **)
{
	qe_rpc_events_free(listen_to("weather"));
	wait_until_unheard("weather");
}

/* Who does not read its events is dropped; who does gets all of them, and calls are answered. */
static void test_slow_subscriber(void **)
{
	enum { SIZE = 32 * 1024, ROUNDS = 200 }; /* more than the socket and the server hold */
	struct qe_rpc_events *slow = listen_to("news"), *quick = listen_to("news");
	char *text = calloc(1, SIZE + 1);
	enum qe_error error = QE_OK;
	json_t *params;
	int n = 0;

	memset(text, 'x', SIZE);
	for (int i = 0; i < ROUNDS; i++) {
		assert_true(tell_all("news", i, text));
		assert_int_equal(next_number(quick, "news"), i);
	}
	while (error == QE_OK) {
		error = qe_rpc_events_next(slow, qe_clock_now() + 5 * QE_SECOND, &params);
		if (error == QE_OK)
			json_decref(params);
		n += error == QE_OK;
	}
	assert_int_equal(error, QE_ERR_CLOSED);
	assert_in_range(n, 1, ROUNDS - 1);
	qe_rpc_events_free(slow);
	qe_rpc_events_free(quick);
	free(text);
}

static void test_many_subscribers(void **)
{
	struct qe_rpc_events *all[QE_RPC_SUBSCRIBERS_MAX], *one_more;
	struct qe_rpc_error why;

	wait_until_unheard("news");
	wait_until_unheard("weather");
	for (size_t i = 0; i < QE_RPC_SUBSCRIBERS_MAX; i++)
		all[i] = listen_to("news");
	assert_int_equal(qe_rpc_events_new(&one_more, path, "news", &why), QE_ERR_FULL);
	assert_true(tell_all("news", 7, ""));
	for (size_t i = 0; i < QE_RPC_SUBSCRIBERS_MAX; i++) {
		assert_int_equal(next_number(all[i], "news"), 7);
		qe_rpc_events_free(all[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call),
		cmocka_unit_test(test_long_answer),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_slow_client),
		cmocka_unit_test(test_many_clients),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_slow_subscriber),
		cmocka_unit_test(test_many_subscribers),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
