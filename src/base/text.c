/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WORD_MAX 63

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

struct qe_text qe_text_init(char *to, size_t size)
{
	assert(size > 0);
	to[0] = '\0';
	return (struct qe_text){.at = to, .size = size};
}

/* What came out cut stays the end: text after a gap would mislead. */
static void advance(struct qe_text *text, size_t len)
{
	size_t room = text->size - text->len - 1;

	text->truncated = len > room;
	text->len += len > room ? room : len;
	text->at[text->len] = '\0';
}

void qe_text_add(struct qe_text *text, const char *string)
{
	size_t len = strlen(string), room = text->size - text->len - 1;

	if (text->truncated)
		return;
	memcpy(text->at + text->len, string, len > room ? room : len);
	advance(text, len);
}

void qe_text_addf(struct qe_text *text, const char *format, ...)
{
	va_list arguments;
	int len;

	if (text->truncated)
		return;
	va_start(arguments, format);
	len = vsnprintf(text->at + text->len, text->size - text->len, format, arguments);
	va_end(arguments);
	advance(text, len > 0 ? (size_t)len : 0);
}

void qe_text_add_printable(struct qe_text *text, const char *string)
{
	for (; *string; string++) {
		unsigned char c = (unsigned char)*string;

		qe_text_addf(text, c >= ' ' && c < 0x7f ? "%c" : "\\x%02x", c);
	}
}

void qe_base32_encode(char *to, struct qe_bytes bytes)
{
	uint32_t window = 0; /* its lowest n_bits bits are not written yet */
	unsigned n_bits = 0;

	for (size_t i = 0; i < bytes.len; i++) {
		window = window << 8 | bytes.data[i];
		for (n_bits += 8; n_bits >= 5; n_bits -= 5)
			*to++ = alphabet[window >> (n_bits - 5) & 31];
	}
	if (n_bits > 0)
		*to++ = alphabet[window << (5 - n_bits) & 31];
	*to = '\0';
}

/* 0 to 31, or -1. */
static int digit_of(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

static bool is_base32_of(const char *text, size_t len)
{
	size_t n = (len * 8 + 4) / 5, spare = n * 5 - len * 8;

	for (size_t i = 0; i < n; i++)
		if (digit_of(text[i]) < 0)
			return false;
	return text[n] == '\0' && (n == 0 || (digit_of(text[n - 1]) & ((1 << spare) - 1)) == 0);
}

enum qe_error qe_base32_decode(uint8_t *to, size_t len, const char *text)
{
	uint32_t window = 0;
	unsigned n_bits = 0;

	if (!is_base32_of(text, len))
		return QE_ERR_SYNTAX;
	for (; *text; text++) {
		window = window << 5 | (uint32_t)digit_of(*text);
		n_bits += 5;
		if (n_bits >= 8) {
			n_bits -= 8;
			*to++ = (uint8_t)(window >> n_bits);
		}
	}
	return QE_OK;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

/* Insertions, deletions, substitutions and swaps of neighbours, each at a cost of one (optimal
 * string alignment). Neither word is longer than WORD_MAX. */
static unsigned edit_distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2], *spare;
	size_t b_len = strlen(b);

	for (unsigned j = 0; j <= b_len; j++)
		above[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		row[0] = i;
		for (unsigned j = 1; j <= b_len; j++) {
			row[j] = min3(above[j] + 1, row[j - 1] + 1,
				above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[b_len];
}

const char *qe_text_nearest(const char *given, const char *const *words, size_t n)
{
	const char *nearest = nullptr;
	size_t given_len = strlen(given);
	unsigned least = (unsigned)given_len / 3 + 1; /* the first distance that is too far */

	if (given_len > WORD_MAX)
		return nullptr;
	for (size_t i = 0; i < n; i++) {
		unsigned distance;

		if (strlen(words[i]) > WORD_MAX)
			continue;
		distance = edit_distance(given, words[i]);
		if (distance < least) {
			least = distance;
			nearest = words[i];
		}
	}
	return nearest;
}
