/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "proxy/socks.h"

constexpr uint8_t connect_command = 1;
enum address : uint8_t { ipv4 = 1, name = 3, ipv6 = 4 };
constexpr uint8_t login_version = 1;

static enum qe_error finish(const struct qe_reader *reader, struct qe_bytes in, size_t *ret_used)
{
	if (reader->error != QE_OK)
		return reader->error;
	*ret_used = (size_t)(reader->at - in.data);
	return QE_OK;
}

enum qe_error qe_socks_read_greeting(
	struct qe_bytes in, size_t *ret_used, struct qe_socks_greeting *ret_greeting)
{
	struct qe_reader reader = qe_reader_init(in);
	struct qe_bytes methods;

	if (in.len > 0 && qe_read_u8(&reader) != QE_SOCKS_VERSION)
		return QE_ERR_SYNTAX;
	methods = qe_read_bytes(&reader, qe_read_u8(&reader));
	QE_TRY(finish(&reader, in, ret_used));
	*ret_greeting = (struct qe_socks_greeting){};
	for (size_t i = 0; i < methods.len; i++) {
		ret_greeting->no_login |= methods.data[i] == QE_SOCKS_NO_LOGIN;
		ret_greeting->login |= methods.data[i] == QE_SOCKS_LOGIN;
	}
	return QE_OK;
}

/* A zero within would end what is compared too early. */
static enum qe_error copy_word(char to[static QE_SOCKS_LOGIN_MAX], struct qe_bytes word)
{
	if (word.len > 0 && memchr(word.data, 0, word.len))
		return QE_ERR_SYNTAX;
	if (word.len > 0)
		memcpy(to, word.data, word.len);
	to[word.len] = '\0';
	return QE_OK;
}

enum qe_error qe_socks_read_login(
	struct qe_bytes in, size_t *ret_used, struct qe_socks_login *ret_login)
{
	struct qe_reader reader = qe_reader_init(in);
	struct qe_bytes user, password;
	size_t used;

	if (in.len > 0 && qe_read_u8(&reader) != login_version)
		return QE_ERR_SYNTAX;
	user = qe_read_bytes(&reader, qe_read_u8(&reader));
	password = qe_read_bytes(&reader, qe_read_u8(&reader));
	QE_TRY(finish(&reader, in, &used));
	QE_TRY(copy_word(ret_login->name, user));
	QE_TRY(copy_word(ret_login->password, password));
	*ret_used = used;
	return QE_OK;
}

/* What is wrong with the target is told only once the request is whole. */
static enum qe_socks_reply read_target(struct qe_reader *reader, struct qe_target *target)
{
	enum qe_socks_reply problem = QE_SOCKS_OK;
	uint8_t bytes[16], type = qe_read_u8(reader);

	if (type == ipv4) {
		qe_read_copy(reader, bytes, 4);
		target->addr = qe_addr_ipv4(bytes);
	} else if (type == ipv6) {
		qe_read_copy(reader, bytes, 16);
		target->addr = qe_addr_ipv6(bytes);
	} else if (type == name) {
		struct qe_bytes host = qe_read_bytes(reader, qe_read_u8(reader));

		if (reader->error == QE_OK && qe_target_set_host(target, host) != QE_OK)
			problem = QE_SOCKS_FAILURE;
	} else {
		return QE_SOCKS_ADDRESS_UNKNOWN; /* how long it is nobody knows */
	}
	target->port = qe_read_u16(reader);
	return problem;
}

enum qe_error qe_socks_read_request(
	struct qe_bytes in, size_t *ret_used, struct qe_socks_request *ret_request)
{
	struct qe_reader reader = qe_reader_init(in);
	struct qe_socks_request request = {};
	uint8_t command;

	if (in.len > 0 && qe_read_u8(&reader) != QE_SOCKS_VERSION)
		return QE_ERR_SYNTAX;
	command = qe_read_u8(&reader);
	qe_read_skip(&reader, 1);
	request.problem = read_target(&reader, &request.target);
	QE_TRY(finish(&reader, in, ret_used));
	if (request.problem == QE_SOCKS_OK && command != connect_command)
		request.problem = QE_SOCKS_COMMAND_UNKNOWN;
	*ret_request = request;
	return QE_OK;
}

size_t qe_socks_write_reply(uint8_t to[static QE_SOCKS_REPLY_MAX], enum qe_socks_reply reply,
	const struct qe_endpoint *bound)
{
	static const struct qe_endpoint none = {.addr.family = QE_FAMILY_IPV4};
	const struct qe_endpoint *at = bound ? bound : &none;
	bool is_ipv4 = at->addr.family == QE_FAMILY_IPV4;
	struct qe_writer writer = qe_writer_init(to, QE_SOCKS_REPLY_MAX);

	qe_write_u8(&writer, QE_SOCKS_VERSION);
	qe_write_u8(&writer, reply);
	qe_write_u8(&writer, 0);
	qe_write_u8(&writer, is_ipv4 ? ipv4 : ipv6);
	qe_write_bytes(&writer, (struct qe_bytes){at->addr.bytes, is_ipv4 ? 4 : 16});
	qe_write_u16(&writer, at->port);
	return qe_writer_len(&writer);
}
