/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "proxy/http.h"
#include "random.h"

#define ROUNDS 20000

static struct qe_bytes bytes_of(const char *text)
{
	return (struct qe_bytes){(const uint8_t *)text, strlen(text)};
}

/* What is read of each, and why not of the others. */
static const struct row {
	const char *head;
	enum qe_error error;
	bool connect;
	const char *name; /* "": an address */
	uint16_t port;
	uint64_t body_len;
	const char *rewritten;
} rows[] = {
	{"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", QE_OK, true,
		"example.org", 443, 0, nullptr},
	{"CONNECT 192.0.2.1:22 HTTP/1.0\r\n\r\n", QE_OK, true, "", 22, 0, nullptr},
	{"CONNECT [2001:db8::1]:22 HTTP/1.1\r\n\r\n", QE_OK, true, "", 22, 0, nullptr},
	{"CONNECT example.org HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT example.org: HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT example.org:0 HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT example.org:65536 HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT example.org:99999999999999999999 HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT user@example.org:443 HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT [example.org]:443 HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT 2001:db8::1:443 HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT [2001:db8::1 HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT [2001:db8::1]443 HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT  example.org:443 HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT example.org:443 HTTP/2.0\r\n\r\n", QE_ERR_UNSUPPORTED},
	{"CONNECT example.org:443\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT example.org:443 HTTP/1.1\r\nno colon\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT example.org:443 HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT example.org:443 HTTP/1.1\r\nA : b\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT example.org:443 HTTP/1.1\r\nA: b\nC: d\r\n\r\n", QE_ERR_SYNTAX},
	{"CONNECT example.org:443 HTTP/1.1\r\nA: b\rC: d\r\n\r\n", QE_ERR_SYNTAX},
	{"\r\n\r\n", QE_ERR_SYNTAX},
	{"GET http://example.org/a?b#c HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n"
	 "Proxy-Connection: keep-alive\r\nConnection: close\r\n"
	 "proxy-authorization: Basic eDp5\r\n\r\n",
		QE_OK, false, "example.org", 80, 0,
		"GET /a?b#c HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n"
		"Connection: close\r\n\r\n"},
	{"POST HTTP://Example.org:8080?q HTTP/1.0\r\nContent-Length: 12\r\ncontent-length:12\r\n"
	 "\r\n",
		QE_OK, false, "example.org", 8080, 12,
		"POST /?q HTTP/1.1\r\nContent-Length: 12\r\ncontent-length: 12\r\n"
		"Connection: close\r\n\r\n"},
	{"GET http://[2001:db8::1] HTTP/1.1\r\n\r\n", QE_OK, false, "", 80, 0,
		"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"},
	{"GET /index.html HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"GET https://example.org/ HTTP/1.1\r\n\r\n", QE_ERR_UNSUPPORTED},
	{"GET http:// HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"GET http://user:word@example.org/ HTTP/1.1\r\n\r\n", QE_ERR_SYNTAX},
	{"POST http://example.org/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		QE_ERR_SYNTAX},
	{"POST http://example.org/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n", QE_ERR_SYNTAX},
	{"POST http://example.org/ HTTP/1.1\r\nContent-Length: +1\r\n\r\n", QE_ERR_SYNTAX},
	{"POST http://example.org/ HTTP/1.1\r\nContent-Length: 18446744073709551617\r\n\r\n",
		QE_ERR_SYNTAX},
	{"POST http://example.org/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
		QE_ERR_UNSUPPORTED},
};

static void check_row(const struct row *row)
{
	static uint8_t rewritten[QE_HTTP_REWRITTEN_MAX];
	const struct qe_bytes head = bytes_of(row->head);
	struct qe_http_request request = {};
	size_t len;

	assert_int_equal(qe_http_read_request(head, &request), row->error);
	if (row->error != QE_OK)
		return;
	assert_int_equal(request.connect, row->connect);
	assert_string_equal(request.target.name, row->name);
	assert_int_equal(request.target.port, row->port);
	assert_int_equal(request.head_len, head.len);
	assert_int_equal(request.body_len, row->body_len);
	if (!row->rewritten)
		return;
	len = qe_http_rewrite(rewritten, head);
	assert_int_equal(len, strlen(row->rewritten));
	assert_memory_equal(rewritten, row->rewritten, len);
}

static void requests_are_read(void **)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		check_row(&rows[i]);
		for (size_t len = 0; rows[i].error == QE_OK && len < strlen(rows[i].head); len++) {
			const struct qe_bytes part = {(const uint8_t *)rows[i].head, len};
			struct qe_http_request request;

			assert_int_equal(qe_http_read_request(part, &request), QE_ERR_TRUNCATED);
		}
	}
}

static void what_follows_is_left_alone(void **)
{
	static const char two[] = "CONNECT a.example:1 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n";
	struct qe_http_request request;

	assert_int_equal(qe_http_read_request(bytes_of(two), &request), QE_OK);
	assert_int_equal(request.head_len, strlen("CONNECT a.example:1 HTTP/1.1\r\n\r\n"));
}

static void long_heads_are_refused(void **)
{
	static char head[QE_HTTP_HEAD_MAX + 1];
	struct qe_http_request request;

	memset(head, 'a', sizeof(head) - 1);
	assert_int_equal(qe_http_read_request(bytes_of(head), &request), QE_ERR_FULL);
	head[QE_HTTP_HEAD_MAX - 1] = '\0';
	assert_int_equal(qe_http_read_request(bytes_of(head), &request), QE_ERR_TRUNCATED);
}

static void encode_base64(char *to, const uint8_t *from, size_t len)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		const uint32_t bits = (uint32_t)from[i] << 16 |
				      (i + 1 < len ? (uint32_t)from[i + 1] << 8 : 0) |
				      (i + 2 < len ? from[i + 2] : 0);

		*to++ = alphabet[bits >> 18];
		*to++ = alphabet[bits >> 12 & 63];
		*to++ = i + 1 < len ? alphabet[bits >> 6 & 63] : '=';
		*to++ = i + 2 < len ? alphabet[bits & 63] : '=';
	}
	*to = '\0';
}

static void logins_are_read(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		char login[100] = "", coded[200], head[400];
		struct qe_http_request request;
		const size_t len = 1 + random_below(sizeof(login) - 1);

		for (size_t i = 0; i < len; i++)
			login[i] = (char)(1 + random_below(255));
		encode_base64(coded, (const uint8_t *)login, len);
		snprintf(head, sizeof(head),
			"CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: %s %s\r\n\r\n",
			random_below(2) ? "Basic" : "bAsIc", coded);
		assert_int_equal(qe_http_read_request(bytes_of(head), &request), QE_OK);
		assert_memory_equal(request.login, login, len);
		assert_int_equal(request.login[len], 0);
	}
}

static void bad_logins_are_refused(void **)
{
	static const char *const values[] = {"Basic ????", "Basic AAAA", "Basic QQA="};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char head[200];
		struct qe_http_request request;

		snprintf(head, sizeof(head),
			"CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: %s\r\n\r\n", values[i]);
		assert_int_equal(qe_http_read_request(bytes_of(head), &request), QE_ERR_SYNTAX);
	}
}

/* Rows with bytes changed, doubled and left out: what is read all the same is a request that can be
 * passed on. */
static void broken_requests_do_no_harm(void **)
{
	static uint8_t rewritten[QE_HTTP_REWRITTEN_MAX];

	for (unsigned round = 0; round < ROUNDS; round++) {
		const char *head = rows[random_below(sizeof(rows) / sizeof(rows[0]))].head;
		uint8_t bytes[1024];
		size_t len = strlen(head);
		struct qe_http_request request;

		memcpy(bytes, head, len);
		for (size_t n = random_below(4); n > 0 && len > 0; n--)
			bytes[random_below(len)] = (uint8_t)random_u64();
		if (qe_http_read_request((struct qe_bytes){bytes, len}, &request) != QE_OK)
			continue;
		assert_true(request.head_len <= len);
		assert_true(request.target.port > 0);
		assert_true(
			request.connect ||
			qe_http_rewrite(rewritten, (struct qe_bytes){bytes, request.head_len}) > 0);
	}
}

/* A head that is cut short would make a body its fields. */
static void rewritten_heads_are_whole(void **)
{
	static const char line[] = "GET http://a/ HTTP/1.1\r\n", field[] = "a:\r\n",
			  end[] = "\r\nConnection: close\r\n\r\n";
	static uint8_t rewritten[QE_HTTP_REWRITTEN_MAX];
	static char head[QE_HTTP_HEAD_MAX + 1];
	struct qe_http_request request;
	size_t len = strlen(line);

	strcpy(head, line);
	for (; len + strlen(field) + 2 <= QE_HTTP_HEAD_MAX; len += strlen(field))
		strcpy(head + len, field);
	strcpy(head + len, "\r\n");
	const struct qe_bytes bytes = {(const uint8_t *)head, len + 2};

	assert_int_equal(qe_http_read_request(bytes, &request), QE_OK);
	assert_int_equal(request.head_len, bytes.len);
	len = qe_http_rewrite(rewritten, bytes);
	assert_true(len > strlen(end));
	assert_memory_equal(rewritten + len - strlen(end), end, strlen(end));
}

static void answers_are_written(void **)
{
	char to[QE_HTTP_ANSWER_MAX];

	qe_http_write_answer(to, QE_HTTP_OK, nullptr);
	assert_string_equal(to, "HTTP/1.1 200 Connection established\r\n\r\n");
	qe_http_write_answer(to, QE_HTTP_LOGIN_REQUIRED, "Who is it");
	assert_string_equal(to, "HTTP/1.1 407 Proxy Authentication Required\r\n"
				"Proxy-Authenticate: Basic realm=\"quicether\"\r\n"
				"Content-Type: text/plain\r\nContent-Length: 10\r\n"
				"Connection: close\r\n\r\nWho is it\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_read),
		cmocka_unit_test(what_follows_is_left_alone),
		cmocka_unit_test(long_heads_are_refused),
		cmocka_unit_test(logins_are_read),
		cmocka_unit_test(bad_logins_are_refused),
		cmocka_unit_test(broken_requests_do_no_harm),
		cmocka_unit_test(rewritten_heads_are_whole),
		cmocka_unit_test(answers_are_written),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
