/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the types of the schema share. Private to this folder. */
#pragma once

#include "config/schema.h"

#define QE_HOST_NAME_MAX 253

/* Says in problem what is wrong with the text, and returns false. */
[[gnu::format(printf, 3, 4)]] bool qe_type_refuse(
	struct qe_text *problem, const char *text, const char *format, ...);

/* Of types that are a char *. */
bool qe_type_take_string(void *to, const char *text, struct qe_text *problem);
void qe_type_format_string(struct qe_text *to, const void *value, const struct qe_schema_key *key);
void qe_type_done_string(void *value);

/* "host", "192.0.2.1", "[2001:db8::1]", each perhaps with ":port"; otherwise *ret_port is fallback.
 * host: size bytes. */
bool qe_type_split_host(
	char *host, size_t size, uint16_t *ret_port, const char *text, uint16_t fallback);
