/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Text: a bounded builder that never overruns, base32 as NodeIds use it, and the nearest word for
 * error messages. */
#pragma once

#include "base/bytes.h"

struct qe_text {
	char *at; /* always zero-terminated */
	size_t len, size;
	bool truncated;
};

struct qe_text qe_text_init(char *to, size_t size);
void qe_text_add(struct qe_text *text, const char *string);
[[gnu::format(printf, 2, 3)]] void qe_text_addf(struct qe_text *text, const char *format, ...);

/* What goes to a terminal, a log or into JSON and may hold anything: printable ASCII as it is, all
 * other bytes as "\x1b". */
void qe_text_add_printable(struct qe_text *text, const char *string);

/* Lower-case base32 (RFC 4648 alphabet a-z2-7) without padding. to: (len * 8 + 4) / 5 + 1 bytes. */
void qe_base32_encode(char *to, struct qe_bytes bytes);
/* Upper case is accepted. Exactly ret_len bytes must come of it; spare bits must be zero. */
enum qe_error qe_base32_decode(uint8_t *to, size_t len, const char *text);

/* The word nearest to given by edit distance, or NULL if none is near (more than a third of its
 * letters differ). words: n pointers. */
const char *qe_text_nearest(const char *given, const char *const *words, size_t n);
