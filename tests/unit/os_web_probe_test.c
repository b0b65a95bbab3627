/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Probes of a server that answers in all manners, and what networks say of portals. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/portal_hint.h"
#include "os/web_probe.h"
#include "random.h"

struct server {
	int fd;
	uint16_t port;
	const char *answer;  /* NULL: hangs up at once */
	char question[1024]; /* as it came */
};

struct outcome {
	bool done;
	unsigned status;
	char location[128], why[128];
};

static void *serve(void *ctx)
{
	struct server *server = ctx;
	int fd = accept(server->fd, nullptr, nullptr);
	size_t len = 0;

	while (server->answer && len + 1 < sizeof(server->question) &&
		!strstr(server->question, "\r\n\r\n")) {
		ssize_t n = read(fd, server->question + len, sizeof(server->question) - 1 - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	/* In pieces, as networks do. */
	for (const char *at = server->answer; at && *at; at++) {
		if (send(fd, at, 1, MSG_NOSIGNAL) != 1)
			break;
	}
	close(fd);
	return nullptr;
}

static void done(void *ctx, const struct qe_http_answer *answer, const char *why)
{
	struct outcome *outcome = ctx;

	outcome->done = true;
	outcome->status = answer ? answer->status : 0;
	snprintf(
		outcome->location, sizeof(outcome->location), "%s", answer ? answer->location : "");
	snprintf(outcome->why, sizeof(outcome->why), "%s", why ? why : "");
}

static void open_server(struct server *server)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	socklen_t len = sizeof(addr);

	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(server->fd, 1), 0);
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&addr, &len), 0);
	server->port = ntohs(addr.sin_port);
}

static struct outcome probe(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const struct qe_web_request request = {
		.server = {.addr = {QE_FAMILY_IPV4, {127, 0, 0, 1}}, .port = port},
		.host = "portal.example",
		.path = "/probe?x",
	};
	struct qe_web_probe *probe;
	struct outcome outcome = {};
	struct qe_loop *loop;

	assert_int_equal(qe_loop_new(&loop), QE_OK);
	if (qe_web_probe_new(&probe, loop, fd, &request, done, &outcome) == QE_OK) {
		while (!outcome.done)
			qe_loop_turn(loop, QE_TIME_NEVER);
		qe_web_probe_free(probe);
	}
	qe_loop_free(loop);
	return outcome;
}

static void test_answers(void **)
{
	static char endless[3 * QE_HTTP_HEAD_MAX] = "HTTP/1.1 200 OK\r\nX: ";
	const struct {
		const char *answer, *location;
		unsigned status;
	} cases[] = {
		{"HTTP/1.1 204 No Content\r\n\r\n", "", 204},
		{"HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n<html>", "http://login/",
			302},
		{"HTTP/1.0 511 x\r\n", "", 511}, /* and ends */
		{endless, "", 200},
		{"SSH-2.0-OpenSSH\r\n", "", 0},
		{"", "", 0},
		{nullptr, "", 0},
	};

	memset(endless + strlen(endless), 'x', sizeof(endless) - 1 - strlen(endless));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct server server = {.answer = cases[i].answer};
		struct outcome outcome;
		pthread_t thread;

		open_server(&server);
		assert_int_equal(pthread_create(&thread, nullptr, serve, &server), 0);
		outcome = probe(server.port);
		assert_int_equal(pthread_join(thread, nullptr), 0);
		close(server.fd);
		assert_int_equal(outcome.status, cases[i].status);
		assert_string_equal(outcome.location, cases[i].location);
		assert_int_equal(outcome.why[0] == '\0', cases[i].status != 0);
		if (server.answer)
			assert_non_null(strstr(server.question, "GET /probe?x HTTP/1.1\r\nHost: "
								"portal.example:"));
	}
}

static void test_nobody_answers(void **)
{
	struct server server;
	struct outcome outcome;

	open_server(&server);
	close(server.fd);
	outcome = probe(server.port);
	assert_int_equal(outcome.status, 0);
}

/* ---- what networks say ---- */

static void write_link(const char *folder, const char *text)
{
	char path[100];
	FILE *file;

	snprintf(path, sizeof(path), "%s/1", folder); /* loopback, which every host has */
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void test_hints(void **)
{
	static const struct {
		const char *text, *hint;
	} cases[] = {
		{"ADMIN_STATE=configured\nCAPTIVE_PORTAL=https://portal.example/api\nDNS=\n",
			"https://portal.example/api"},
		{"CAPTIVE_PORTAL=\n", ""},
		{"CAPTIVE_PORTAL=urn:ietf:params:capport:unrestricted\n", ""},
		{"CAPTIVE_PORTAL=http://a\x1b[2J\n", "http://a\\x1b[2J"},
		{"DNS=10.0.0.1\n", ""},
		{"", ""},
	};
	char folder[] = "/tmp/qe-links-XXXXXX", path[100];

	assert_non_null(mkdtemp(folder));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char hint[200];
		struct qe_text to = qe_text_init(hint, sizeof(hint));

		write_link(folder, cases[i].text);
		assert_int_equal(qe_portal_hint(&to, folder), cases[i].hint[0] != '\0');
		assert_string_equal(hint, cases[i].hint);
	}
	snprintf(path, sizeof(path), "%s/1", folder);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
	assert_false(qe_portal_hint(&(struct qe_text){}, folder));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_nobody_answers),
		cmocka_unit_test(test_hints),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
