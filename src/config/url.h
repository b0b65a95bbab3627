/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* URLs of plain HTTP, as far as a page to probe needs them. */
#pragma once

#include "quicether.h"

#define QE_URL_MAX 255
#define QE_URL_HOST_SIZE 64

struct qe_url {
	char host[QE_URL_HOST_SIZE]; /* its address as it is written, without brackets */
	struct qe_endpoint server;
	const char *path; /* within the text; "" stands for "/" */
};

/* NULL if it is one; otherwise what is wrong with it, as a predicate. */
const char *qe_url_parse(struct qe_url *ret_url, const char *text);
