/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "config/diagnostics.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the operator wrote goes back to a terminal or into JSON. */
static void copy_printable(char *to, size_t size, const char *from)
{
	struct qe_text text = qe_text_init(to, size);

	qe_text_add_printable(&text, from);
}

void qe_diagnostics_add(struct qe_diagnostics *diagnostics, const char *where, uint32_t line,
	uint32_t column, const char *key, const char *format, ...)
{
	struct qe_diagnostic *to = &diagnostics->items[diagnostics->n];
	char text[sizeof to->text];
	va_list args;

	if (diagnostics->n == QE_DIAGNOSTICS_MAX) {
		diagnostics->dropped++;
		return;
	}
	diagnostics->n++;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	copy_printable(to->text, sizeof to->text, text);
	copy_printable(to->where, sizeof to->where, where);
	copy_printable(to->key, sizeof to->key, key ? key : "");
	to->line = line;
	to->column = column;
}

/* What stands in no file comes last. */
static bool is_before(const struct qe_diagnostic *a, const struct qe_diagnostic *b)
{
	if (a->line == 0 || b->line == 0)
		return a->line != 0 && b->line == 0;
	return a->line != b->line ? a->line < b->line : a->column < b->column;
}

void qe_diagnostics_sort(struct qe_diagnostics *diagnostics)
{
	struct qe_diagnostic *items = diagnostics->items;

	for (size_t i = 1; i < diagnostics->n; i++) {
		struct qe_diagnostic item = items[i];
		size_t to = i;
		for (; to > 0 && is_before(&item, &items[to - 1]); to--)
			items[to] = items[to - 1];
		items[to] = item;
	}
}

void qe_diagnostic_format(struct qe_text *to, const struct qe_diagnostic *diagnostic)
{
	qe_text_add(to, diagnostic->where);
	if (diagnostic->line)
		qe_text_addf(to, ":%u:%u", diagnostic->line, diagnostic->column);
	qe_text_add(to, ": ");
	if (diagnostic->line && diagnostic->key[0])
		qe_text_addf(to, "%s: ", diagnostic->key);
	qe_text_add(to, diagnostic->text);
}
