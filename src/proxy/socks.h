/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * SOCKS version 5 (RFC 1928), with names and passwords (RFC 1929): the messages, and nothing of
 * what is done with them. Each read takes what has come so far: QE_ERR_TRUNCATED until the message
 * is whole, QE_ERR_SYNTAX when it is none.
 */
#pragma once

#include "proxy/target.h"

#define QE_SOCKS_VERSION 5
#define QE_SOCKS_REPLY_MAX 22
#define QE_SOCKS_LOGIN_MAX 256 /* a name or a password, with its zero */

enum qe_socks_method : uint8_t {
	QE_SOCKS_NO_LOGIN = 0,
	QE_SOCKS_LOGIN = 2,
	QE_SOCKS_NO_METHOD = 0xff
};

enum qe_socks_reply : uint8_t {
	QE_SOCKS_OK = 0,
	QE_SOCKS_FAILURE = 1,
	QE_SOCKS_NOT_ALLOWED = 2,
	QE_SOCKS_NETWORK_UNREACHABLE = 3,
	QE_SOCKS_HOST_UNREACHABLE = 4,
	QE_SOCKS_REFUSED = 5,
	QE_SOCKS_EXPIRED = 6,
	QE_SOCKS_COMMAND_UNKNOWN = 7,
	QE_SOCKS_ADDRESS_UNKNOWN = 8
};

struct qe_socks_greeting {
	bool no_login, login; /* what the client can do */
};

struct qe_socks_login {
	char name[QE_SOCKS_LOGIN_MAX], password[QE_SOCKS_LOGIN_MAX];
};

struct qe_socks_request {
	/* What to answer to a whole request that asks for what is not to be had: another command
	 * than CONNECT, an address of an unknown type, a name that is none. QE_SOCKS_OK: none of
	 * these. */
	enum qe_socks_reply problem;
	struct qe_target target;
};

enum qe_error qe_socks_read_greeting(
	struct qe_bytes in, size_t *ret_used, struct qe_socks_greeting *ret_greeting);
enum qe_error qe_socks_read_login(
	struct qe_bytes in, size_t *ret_used, struct qe_socks_login *ret_login);
enum qe_error qe_socks_read_request(
	struct qe_bytes in, size_t *ret_used, struct qe_socks_request *ret_request);
/* bound: NULL, or the address that the connection has in the tunnel. Returns the length. */
size_t qe_socks_write_reply(uint8_t to[static QE_SOCKS_REPLY_MAX], enum qe_socks_reply reply,
	const struct qe_endpoint *bound);
