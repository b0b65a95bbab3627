/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "net/http.h"

#define LOCATION "location:"

/* Cuts the next line off, without its end; false if it has none yet. */
static bool take_line(struct qe_bytes *rest, struct qe_bytes *ret_line)
{
	const uint8_t *end = rest->len > 0 ? memchr(rest->data, '\n', rest->len) : nullptr;
	size_t len = end ? (size_t)(end - rest->data) : 0;

	if (!end)
		return false;
	*ret_line = (struct qe_bytes){rest->data, len};
	*rest = (struct qe_bytes){end + 1, rest->len - len - 1};
	if (len > 0 && end[-1] == '\r')
		ret_line->len--;
	return true;
}

/* "HTTP/1.1 302 Found". */
static bool read_status(struct qe_bytes line, unsigned *ret_status)
{
	static const char version[] = "HTTP/1.";
	const size_t at = sizeof(version) + 1; /* of the digits */
	unsigned status = 0;

	if (line.len < at + 3 || memcmp(line.data, version, sizeof(version) - 1) != 0 ||
		!isdigit(line.data[at - 2]) || line.data[at - 1] != ' ' ||
		(line.len > at + 3 && line.data[at + 3] != ' '))
		return false;
	for (size_t i = at; i < at + 3; i++) {
		if (!isdigit(line.data[i]))
			return false;
		status = status * 10 + (unsigned)(line.data[i] - '0');
	}
	*ret_status = status;
	return status >= 100;
}

static void read_field(struct qe_http_answer *answer, struct qe_bytes line)
{
	const size_t name = sizeof(LOCATION) - 1;
	size_t len = 0;

	if (line.len < name || strncasecmp((const char *)line.data, LOCATION, name) != 0)
		return;
	for (size_t i = name; i < line.len && len + 1 < sizeof(answer->location); i++) {
		if (isgraph(line.data[i]))
			answer->location[len++] = (char)line.data[i];
	}
	answer->location[len] = '\0';
}

enum qe_error qe_http_parse(struct qe_http_answer *ret_answer, struct qe_bytes head, bool has_ended)
{
	struct qe_http_answer answer = {};
	struct qe_bytes line;

	if (!take_line(&head, &line))
		return has_ended ? QE_ERR_SYNTAX : -EAGAIN;
	if (!read_status(line, &answer.status))
		return QE_ERR_SYNTAX;
	while (take_line(&head, &line)) {
		if (line.len == 0) {
			has_ended = true;
			break;
		}
		read_field(&answer, line);
	}
	if (!has_ended)
		return -EAGAIN;
	*ret_answer = answer;
	return QE_OK;
}
