/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "proxy/target.h"

constexpr size_t label_max = 63;

static bool is_name_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool is_name(const char *name)
{
	size_t label = 0;

	for (const char *at = name; *at; at++) {
		if (*at == '.' ? label == 0 : !is_name_letter(*at) || label == label_max)
			return false;
		label = *at == '.' ? 0 : label + 1;
	}
	return label > 0;
}

enum qe_error qe_target_set_host(struct qe_target *target, struct qe_bytes host)
{
	char text[QE_TARGET_NAME_SIZE + 1];

	if (host.len > 0 && host.data[host.len - 1] == '.')
		host.len--;
	if (host.len == 0 || host.len >= QE_TARGET_NAME_SIZE || memchr(host.data, 0, host.len))
		return QE_ERR_SYNTAX;
	for (size_t i = 0; i < host.len; i++) {
		const char c = (char)host.data[i];

		text[i] = c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
	}
	text[host.len] = '\0';
	target->name[0] = '\0';
	if (qe_addr_parse(&target->addr, text) == QE_OK)
		return QE_OK;
	if (!is_name(text))
		return QE_ERR_SYNTAX;
	target->addr = (struct qe_addr){};
	memcpy(target->name, text, host.len + 1);
	return QE_OK;
}
