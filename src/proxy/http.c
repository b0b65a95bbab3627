/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "proxy/http.h"

#include <stdckdint.h>

/* ---- words and lines ---- */

static bool is(struct qe_bytes bytes, const char *word)
{
	return bytes.len == strlen(word) && memcmp(bytes.data, word, bytes.len) == 0;
}

static char lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c);
}

/* word in lower case. */
static bool is_any_case(struct qe_bytes bytes, const char *word)
{
	if (bytes.len != strlen(word))
		return false;
	for (size_t i = 0; i < bytes.len; i++)
		if (lower(bytes.data[i]) != word[i])
			return false;
	return true;
}

static bool begins_any_case(struct qe_bytes bytes, const char *word)
{
	const size_t len = strlen(word);

	return bytes.len >= len && is_any_case((struct qe_bytes){bytes.data, len}, word);
}

static struct qe_bytes skip(struct qe_bytes bytes, size_t n)
{
	return (struct qe_bytes){bytes.data + n, bytes.len - n};
}

/* What stands before the first such letter, which is taken too; false if there is none. */
static bool cut(struct qe_bytes *rest, char letter, struct qe_bytes *ret_before)
{
	const uint8_t *at = rest->len > 0 ? memchr(rest->data, letter, rest->len) : nullptr;

	if (!at)
		return false;
	*ret_before = (struct qe_bytes){rest->data, (size_t)(at - rest->data)};
	*rest = skip(*rest, ret_before->len + 1);
	return true;
}

/* A line without its end, CR LF; the last one, which is empty, is given too. */
static bool next_line(struct qe_bytes *rest, struct qe_bytes *ret_line)
{
	if (!cut(rest, '\n', ret_line) || ret_line->len == 0)
		return false;
	return ret_line->data[--ret_line->len] == '\r';
}

static struct qe_bytes trim(struct qe_bytes bytes)
{
	while (bytes.len > 0 && (bytes.data[0] == ' ' || bytes.data[0] == '\t'))
		bytes = skip(bytes, 1);
	while (bytes.len > 0 &&
		(bytes.data[bytes.len - 1] == ' ' || bytes.data[bytes.len - 1] == '\t'))
		bytes.len--;
	return bytes;
}

static bool read_number(struct qe_bytes text, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	for (size_t i = 0; i < text.len; i++) {
		const uint8_t c = text.data[i];

		if (c < '0' || c > '9' || ckd_mul(&number, number, 10) ||
			ckd_add(&number, number, c - '0') || number > max)
			return false;
	}
	*ret_number = number;
	return text.len > 0;
}

/* ---- where to ---- */

static enum qe_error set_port(struct qe_target *target, struct qe_bytes text)
{
	uint64_t port;

	if (!read_number(text, UINT16_MAX, &port) || port == 0)
		return QE_ERR_SYNTAX;
	target->port = (uint16_t)port;
	return QE_OK;
}

/* "host:port", "[v6]:port"; the port may be left out where there is a default. */
static enum qe_error read_authority(
	struct qe_target *target, struct qe_bytes text, uint16_t default_port)
{
	struct qe_bytes host;

	target->port = default_port;
	if (text.len > 0 && text.data[0] == '[') {
		text = skip(text, 1);
		if (!cut(&text, ']', &host) || !memchr(host.data, ':', host.len))
			return QE_ERR_SYNTAX;
		if (text.len > 0 && text.data[0] != ':')
			return QE_ERR_SYNTAX;
		text = text.len > 0 ? skip(text, 1) : text;
	} else if (!cut(&text, ':', &host)) {
		host = text;
		text = skip(text, text.len);
	}
	QE_TRY(qe_target_set_host(target, host));
	return text.len == 0 && default_port ? QE_OK : set_port(target, text);
}

/* "http://host[:port][/path][?query]"; *ret_path begins behind the authority. */
static enum qe_error read_absolute(
	struct qe_target *target, struct qe_bytes uri, struct qe_bytes *ret_path)
{
	static const char scheme[] = "http://";
	struct qe_bytes authority;

	if (!begins_any_case(uri, scheme))
		return uri.len > 0 && uri.data[0] != '/' ? QE_ERR_UNSUPPORTED : QE_ERR_SYNTAX;
	uri = skip(uri, sizeof(scheme) - 1);
	authority = uri;
	for (authority.len = 0; authority.len < uri.len; authority.len++)
		if (memchr("/?#", uri.data[authority.len], 3))
			break;
	*ret_path = skip(uri, authority.len);
	return read_authority(target, authority, 80);
}

/* ---- the request line ---- */

struct request_line {
	struct qe_bytes method, uri;
};

static bool is_visible(struct qe_bytes bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		if (bytes.data[i] <= ' ' || bytes.data[i] >= 0x7f)
			return false;
	return bytes.len > 0;
}

static enum qe_error read_line(struct request_line *line, struct qe_bytes text)
{
	if (!cut(&text, ' ', &line->method) || !cut(&text, ' ', &line->uri))
		return QE_ERR_SYNTAX;
	if (!is_visible(line->method) || !is_visible(line->uri) || !is_visible(text))
		return QE_ERR_SYNTAX;
	return is(text, "HTTP/1.1") || is(text, "HTTP/1.0") ? QE_OK : QE_ERR_UNSUPPORTED;
}

/* ---- the fields ---- */

static bool next_field(struct qe_bytes *rest, struct qe_bytes *ret_name, struct qe_bytes *ret_value)
{
	struct qe_bytes line;

	if (!next_line(rest, &line) || line.len == 0 || !cut(&line, ':', ret_name))
		return false;
	*ret_value = trim(line);
	return true;
}

static int base64_value(uint8_t c)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(alphabet, c) : nullptr;

	return at ? (int)(at - alphabet) : -1;
}

/* A zero within makes it nobody's. */
static enum qe_error decode_base64(char to[static QE_HTTP_LOGIN_MAX], struct qe_bytes text)
{
	uint32_t bits = 0;
	size_t n = 0, n_bits = 0;

	while (text.len > 0 && text.data[text.len - 1] == '=')
		text.len--;
	for (size_t i = 0; i < text.len; i++) {
		const int value = base64_value(text.data[i]);

		if (value < 0 || n == QE_HTTP_LOGIN_MAX - 1)
			return QE_ERR_SYNTAX;
		bits = bits << 6 | (uint32_t)value;
		n_bits += 6;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		to[n++] = (char)(bits >> n_bits & 0xff);
	}
	to[n] = '\0';
	return memchr(to, 0, n) ? QE_ERR_SYNTAX : QE_OK;
}

static enum qe_error read_login(struct qe_http_request *request, struct qe_bytes value)
{
	static const char scheme[] = "basic ";

	if (!begins_any_case(value, scheme))
		return QE_OK;
	return decode_base64(request->login, trim(skip(value, sizeof(scheme) - 1)));
}

/* Two lengths, or a length and an encoding, are how one request becomes two for who comes next (RFC
 * 9112, section 11.2). */
static enum qe_error read_length(
	struct qe_http_request *request, struct qe_bytes value, bool *has_length)
{
	uint64_t len;

	if (!read_number(value, INT64_MAX, &len) || (*has_length && len != request->body_len))
		return QE_ERR_SYNTAX;
	*has_length = true;
	request->body_len = len;
	return QE_OK;
}

static bool is_token(struct qe_bytes name)
{
	for (size_t i = 0; i < name.len; i++) {
		const char c = lower(name.data[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
			(c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return name.len > 0;
}

static bool is_field_value(struct qe_bytes value)
{
	for (size_t i = 0; i < value.len; i++)
		if ((value.data[i] < ' ' && value.data[i] != '\t') || value.data[i] == 0x7f)
			return false;
	return true;
}

static enum qe_error read_field(struct qe_http_request *request, struct qe_bytes name,
	struct qe_bytes value, bool *has_length)
{
	if (!is_token(name) || !is_field_value(value))
		return QE_ERR_SYNTAX;
	if (is_any_case(name, "proxy-authorization"))
		return read_login(request, value);
	if (request->connect)
		return QE_OK;
	if (is_any_case(name, "transfer-encoding"))
		return QE_ERR_UNSUPPORTED;
	if (is_any_case(name, "content-length"))
		return read_length(request, value, has_length);
	return QE_OK;
}

static enum qe_error read_fields(struct qe_http_request *request, struct qe_bytes rest)
{
	struct qe_bytes name, value;
	bool has_length = false;

	while (next_field(&rest, &name, &value))
		QE_TRY(read_field(request, name, value, &has_length));
	/* All but the empty line at the end has been fields. */
	return rest.len == 0 ? QE_OK : QE_ERR_SYNTAX;
}

/* ---- the whole ---- */

static enum qe_error find_end(struct qe_bytes in, size_t *ret_len)
{
	const size_t max = in.len < QE_HTTP_HEAD_MAX ? in.len : QE_HTTP_HEAD_MAX;
	const uint8_t *end = memmem(in.data, max, "\r\n\r\n", 4);

	if (!end)
		return in.len >= QE_HTTP_HEAD_MAX ? QE_ERR_FULL : QE_ERR_TRUNCATED;
	*ret_len = (size_t)(end - in.data) + 4;
	return QE_OK;
}

enum qe_error qe_http_read_request(struct qe_bytes in, struct qe_http_request *ret_request)
{
	struct qe_http_request request = {};
	struct qe_bytes text, path;
	struct request_line line;

	QE_TRY(find_end(in, &request.head_len));
	in.len = request.head_len;
	if (!next_line(&in, &text))
		return QE_ERR_SYNTAX;
	QE_TRY(read_line(&line, text));
	request.connect = is(line.method, "CONNECT");
	if (request.connect)
		QE_TRY(read_authority(&request.target, line.uri, 0));
	else
		QE_TRY(read_absolute(&request.target, line.uri, &path));
	QE_TRY(read_fields(&request, in));
	*ret_request = request;
	return QE_OK;
}

/* Meant for the proxy, or for this connection alone. */
static bool is_dropped(struct qe_bytes name)
{
	static const char *const dropped[] = {
		"proxy-authorization", "proxy-connection", "connection", "keep-alive"};

	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
		if (is_any_case(name, dropped[i]))
			return true;
	return false;
}

static void add(struct qe_writer *writer, const char *words)
{
	qe_write_bytes(writer, (struct qe_bytes){(const uint8_t *)words, strlen(words)});
}

static void add_fields(struct qe_writer *writer, struct qe_bytes rest)
{
	struct qe_bytes name, value;

	while (next_field(&rest, &name, &value)) {
		if (is_dropped(name))
			continue;
		qe_write_bytes(writer, name);
		add(writer, ": ");
		qe_write_bytes(writer, value);
		add(writer, "\r\n");
	}
}

size_t qe_http_rewrite(uint8_t to[static QE_HTTP_REWRITTEN_MAX], struct qe_bytes head)
{
	struct qe_writer writer = qe_writer_init(to, QE_HTTP_REWRITTEN_MAX);
	struct qe_bytes text, path = {};
	struct request_line line = {};
	struct qe_target target;

	if (!next_line(&head, &text) || read_line(&line, text) != QE_OK ||
		read_absolute(&target, line.uri, &path) != QE_OK)
		return 0;
	qe_write_bytes(&writer, line.method);
	add(&writer, path.len > 0 && path.data[0] == '/' ? " " : " /");
	qe_write_bytes(&writer, path);
	add(&writer, " HTTP/1.1\r\n");
	add_fields(&writer, head);
	add(&writer, "Connection: close\r\n\r\n");
	return qe_writer_len(&writer);
}

/* ---- answers ---- */

static const char *phrase(enum qe_http_status status)
{
	switch (status) {
	case QE_HTTP_OK:
		return "Connection established";
	case QE_HTTP_BAD_REQUEST:
		return "Bad Request";
	case QE_HTTP_FORBIDDEN:
		return "Forbidden";
	case QE_HTTP_LOGIN_REQUIRED:
		return "Proxy Authentication Required";
	case QE_HTTP_TIMEOUT:
		return "Request Timeout";
	case QE_HTTP_TOO_LARGE:
		return "Request Header Fields Too Large";
	case QE_HTTP_NOT_IMPLEMENTED:
		return "Not Implemented";
	case QE_HTTP_BAD_GATEWAY:
		return "Bad Gateway";
	case QE_HTTP_UNAVAILABLE:
		return "Service Unavailable";
	case QE_HTTP_GATEWAY_TIMEOUT:
		return "Gateway Timeout";
	}
	return "";
}

size_t qe_http_write_answer(
	char to[static QE_HTTP_ANSWER_MAX], enum qe_http_status status, const char *why)
{
	struct qe_text text = qe_text_init(to, QE_HTTP_ANSWER_MAX);

	qe_text_addf(&text, "HTTP/1.1 %d %s\r\n", status, phrase(status));
	if (status == QE_HTTP_LOGIN_REQUIRED)
		qe_text_add(&text, "Proxy-Authenticate: Basic realm=\"quicether\"\r\n");
	if (why)
		qe_text_addf(&text,
			"Content-Type: text/plain\r\nContent-Length: %zu\r\n"
			"Connection: close\r\n\r\n%s\n",
			strlen(why) + 1, why);
	else
		qe_text_add(&text, "\r\n");
	return text.len;
}
