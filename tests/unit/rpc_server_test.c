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

static const struct qe_rpc_method rows[] = {
	{"echo", echo, "Gives back its parameters"},
	{"big", big, "A long answer"},
	{"refuse", refuse, "Fails"},
	{"end", end, "Ends the server"},
};
static const struct qe_rpc_methods methods = {rows, 4, nullptr};

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
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
