/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "cli/output.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/client.h"
#include "rpc/diagnostics.h"

#define CELL_SIZE 512
#define OVERLAY "fd51:e7" /* how every overlay address begins */

/* ---- errors ---- */

enum qe_exit qe_fail(const struct qe_args *args, enum qe_exit code, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (qe_args_get(args, "json"))
		qe_print_json(
			json_pack("{s:{s:i,s:s}}", "error", "exit", (int)code, "message", text));
	else
		fprintf(stderr, "quicether: %s\n", text);
	return code;
}

void qe_print_diagnostics(const char *words, const struct qe_diagnostics *diagnostics)
{
	for (size_t i = 0; i < diagnostics->n; i++) {
		char line[1024];
		struct qe_text text = qe_text_init(line, sizeof line);
		qe_diagnostic_format(&text, &diagnostics->items[i]);
		fprintf(stderr, "%s%s\n", words, line);
	}
	if (diagnostics->dropped)
		fprintf(stderr, "and %zu more\n", diagnostics->dropped);
}

enum qe_exit qe_fail_diagnostics(
	const struct qe_args *args, enum qe_exit code, const struct qe_diagnostics *diagnostics)
{
	if (qe_args_get(args, "json"))
		qe_print_json(qe_diagnostics_answer(diagnostics));
	else
		qe_print_diagnostics("", diagnostics);
	return code;
}

enum qe_exit qe_exit_of(enum qe_error error)
{
	int code = error;

	return code == -EACCES || code == -EPERM ? QE_EXIT_PERMISSION : QE_EXIT_ERROR;
}

/* ---- the daemon ---- */

enum qe_exit qe_fail_call(
	const struct qe_args *args, enum qe_error error, const struct qe_rpc_error *why)
{
	int code = why->code == 0 ? error : 0; /* of the socket, and not of the daemon's answer */

	if (code == -ECONNREFUSED)
		return qe_fail(args, QE_EXIT_NO_DAEMON,
			"no daemon listens on %s; start one with: quicether start",
			qe_args_socket(args));
	if (code == -EACCES)
		return qe_fail(args, QE_EXIT_PERMISSION,
			"%s is not yours to use; try as root, or as a member of its group",
			qe_args_socket(args));
	return qe_fail(args, QE_EXIT_ERROR, "%s", why->message);
}

enum qe_exit qe_call_raw(
	const struct qe_args *args, const char *method, json_t *params, json_t **ret_result)
{
	struct qe_rpc_error why = {};
	enum qe_error error = qe_rpc_call(qe_args_socket(args), method, params, ret_result, &why);

	json_decref(params);
	return error == QE_OK ? QE_EXIT_OK : qe_fail_call(args, error, &why);
}

enum qe_exit qe_call(const struct qe_args *args, const char *method, json_t *params,
	void (*show)(json_t *result))
{
	json_t *result;
	enum qe_exit code = qe_call_raw(args, method, params, &result);

	if (code != QE_EXIT_OK)
		return code;
	if (qe_args_get(args, "json"))
		return qe_print_json(result);
	show(result);
	json_decref(result);
	return QE_EXIT_OK;
}

enum qe_exit qe_print_json(json_t *json)
{
	int failed = json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));

	fputc('\n', stdout);
	json_decref(json);
	return failed ? QE_EXIT_ERROR : QE_EXIT_OK;
}

json_t *qe_get(json_t *object, const char *key)
{
	const char *dot;

	while ((dot = strchr(key, '.'))) {
		object = json_object_getn(object, key, (size_t)(dot - key));
		key = dot + 1;
	}
	return json_object_get(object, key);
}

const char *qe_get_text(json_t *object, const char *key)
{
	const char *text = json_string_value(qe_get(object, key));

	return text && text[0] ? text : "-";
}

uint64_t qe_get_uint(json_t *object, const char *key)
{
	json_int_t value = json_integer_value(qe_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

double qe_get_real(json_t *object, const char *key)
{
	return json_number_value(qe_get(object, key));
}

static bool is_host(const char *length)
{
	return strcmp(length, "/32") == 0 || strcmp(length, "/128") == 0;
}

void qe_add_addresses(struct qe_text *to, json_t *prefixes)
{
	bool others = json_array_size(prefixes) > 1;
	const char *between = "";

	if (json_array_size(prefixes) == 0)
		qe_text_add(to, "-");
	for (size_t i = 0; i < json_array_size(prefixes); i++) {
		const char *prefix = json_string_value(json_array_get(prefixes, i));
		if (!prefix || (others && strncmp(prefix, OVERLAY, strlen(OVERLAY)) == 0))
			continue;
		size_t bare = strcspn(prefix, "/");
		int len = (int)(is_host(prefix + bare) ? bare : strlen(prefix));
		qe_text_addf(to, "%s%.*s", between, len, prefix);
		between = ", ";
	}
}

/* ---- tables ---- */

void qe_table_init(struct qe_table *table, const char *const *head, size_t n_columns)
{
	assert(n_columns <= QE_COLUMNS_MAX);
	*table = (struct qe_table){.n_columns = n_columns};
	for (size_t i = 0; i < n_columns; i++)
		qe_table_add(table, "%s", head[i]);
}

void qe_table_add(struct qe_table *table, const char *format, ...)
{
	char text[CELL_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (table->n == table->capacity) {
		table->capacity = table->capacity ? table->capacity * 2 : 64;
		table->cells = reallocarray(table->cells, table->capacity, sizeof *table->cells);
	}
	/* A command that prints one answer and ends has nothing better to do without memory. */
	if (!table->cells || !(table->cells[table->n++] = strdup(text)))
		abort();
}

void qe_table_print(FILE *to, const struct qe_table *table)
{
	size_t widths[QE_COLUMNS_MAX] = {};

	for (size_t i = 0; i < table->n; i++) {
		size_t *width = &widths[i % table->n_columns], len = strlen(table->cells[i]);
		*width = len > *width ? len : *width;
	}
	for (size_t i = 0; i < table->n; i++) {
		size_t column = i % table->n_columns;
		if (column + 1 < table->n_columns)
			fprintf(to, "%-*s", (int)widths[column] + 2, table->cells[i]);
		else
			fprintf(to, "%s\n", table->cells[i]);
	}
}

void qe_table_done(struct qe_table *table)
{
	for (size_t i = 0; i < table->n; i++)
		free(table->cells[i]);
	free(table->cells);
}

/* ---- units ---- */

void qe_add_bytes(struct qe_text *to, uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes / 1024;
	size_t i = 0;

	if (bytes < 1024) {
		qe_text_addf(to, "%" PRIu64 " B", bytes);
		return;
	}
	/* What would be printed as 1024.0 is one of the next unit. */
	for (; value >= 1023.95 && i + 1 < sizeof units / sizeof *units; i++)
		value /= 1024;
	qe_text_addf(to, "%.1f %s", value, units[i]);
}

void qe_add_duration(struct qe_text *to, uint64_t seconds)
{
	uint64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;

	if (days)
		qe_text_addf(to, "%" PRIu64 " d %" PRIu64 " h", days, hours % 24);
	else if (hours)
		qe_text_addf(to, "%" PRIu64 " h %" PRIu64 " min", hours, minutes % 60);
	else if (minutes)
		qe_text_addf(to, "%" PRIu64 " min %" PRIu64 " s", minutes, seconds % 60);
	else
		qe_text_addf(to, "%" PRIu64 " s", seconds);
}

void qe_add_ms(struct qe_text *to, double ms)
{
	if (ms >= 999.5)
		qe_text_addf(to, "%.1f s", ms / 1000);
	else
		qe_text_addf(to, "%.*f ms", ms < 9.995 ? 2 : ms < 99.95 ? 1 : 0, ms);
}
