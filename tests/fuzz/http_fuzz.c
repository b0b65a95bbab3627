/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Any bytes as the head of an answer: what is read of it is a status and printable. Cut anywhere,
 * there is more to come, or it is already decided. */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "net/http.h"

static void check(const struct qe_http_answer *answer)
{
	assert(answer->status >= 100 && answer->status <= 999);
	assert(memchr(answer->location, '\0', sizeof(answer->location)));
	for (const char *at = answer->location; *at; at++)
		assert(isgraph((unsigned char)*at));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qe_http_answer whole = {}, part = {};
	enum qe_error error = qe_http_parse(&whole, (struct qe_bytes){data, size}, false);
	struct qe_bytes half = {data, size / 2};

	if (error == QE_OK)
		check(&whole);
	if (qe_http_parse(&part, half, false) == QE_OK)
		assert(error == QE_OK && memcmp(&part, &whole, sizeof(part)) == 0);
	if (qe_http_parse(&part, half, true) == QE_OK)
		check(&part);
	return 0;
}
