/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What a client of an HTTP proxy sends first (RFC 9110, RFC 9112): CONNECT, or a request for
 * another server in absolute form, "GET http://...", as clients send it where there is no TLS. Of
 * the latter one for each connection: the server is told to close it, and what follows the request
 * is not passed on, as it may be meant for another server.
 */
#pragma once

#include "proxy/target.h"

#define QE_HTTP_HEAD_MAX 16384
/* More than the head it is made from: "a:" CR LF, the shortest field, becomes longer by a quarter.
 */
#define QE_HTTP_REWRITTEN_MAX (QE_HTTP_HEAD_MAX + QE_HTTP_HEAD_MAX / 4 + 64)
#define QE_HTTP_LOGIN_MAX 512
#define QE_HTTP_ANSWER_MAX 512

struct qe_http_request {
	bool connect;
	struct qe_target target;
	char login[QE_HTTP_LOGIN_MAX]; /* "name:password", empty if none was sent */
	size_t head_len;               /* with its empty line */
	uint64_t body_len;             /* of a request that is not CONNECT */
};

/* QE_ERR_TRUNCATED until the head is whole; QE_ERR_SYNTAX; QE_ERR_UNSUPPORTED: a scheme, a version
 * or a body that is not told in bytes; QE_ERR_FULL: longer than QE_HTTP_HEAD_MAX. */
enum qe_error qe_http_read_request(struct qe_bytes in, struct qe_http_request *ret_request);
/* The head of a request that is not CONNECT as the server is to get it. Returns its length. head:
 * as it was read. */
size_t qe_http_rewrite(uint8_t to[static QE_HTTP_REWRITTEN_MAX], struct qe_bytes head);

enum qe_http_status {
	QE_HTTP_OK = 200,
	QE_HTTP_BAD_REQUEST = 400,
	QE_HTTP_FORBIDDEN = 403,
	QE_HTTP_LOGIN_REQUIRED = 407,
	QE_HTTP_TIMEOUT = 408,
	QE_HTTP_TOO_LARGE = 431,
	QE_HTTP_NOT_IMPLEMENTED = 501,
	QE_HTTP_BAD_GATEWAY = 502,
	QE_HTTP_UNAVAILABLE = 503,
	QE_HTTP_GATEWAY_TIMEOUT = 504
};
/* why: a sentence for the one at the client, without a full stop; NULL with QE_HTTP_OK, which is
 * the answer to CONNECT. Returns the length. */
size_t qe_http_write_answer(
	char to[static QE_HTTP_ANSWER_MAX], enum qe_http_status status, const char *why);
