/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the head of an HTTP/1.1 answer says (RFC 9112), as far as a probe asks. */
#pragma once

#include "base/bytes.h"

#define QE_HTTP_HEAD_MAX 4096 /* that is looked at */

struct qe_http_answer {
	unsigned status;    /* 100 to 999 */
	char location[128]; /* where it leads to, cut short if it is long; "" if nowhere */
};

/* -EAGAIN: there is more to come, unless it has ended. QE_ERR_SYNTAX: no such answer. */
enum qe_error qe_http_parse(
	struct qe_http_answer *ret_answer, struct qe_bytes head, bool has_ended);
