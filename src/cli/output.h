/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the commands have in common when they speak: errors, calls to the daemon, tables, units. */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "base/text.h"
#include "cli/args.h"

/* ---- errors: on standard error, or with --json as {"error": {...}} on standard output ---- */

[[gnu::format(printf, 3, 4)]] enum qe_exit qe_fail(
	const struct qe_args *args, enum qe_exit code, const char *format, ...);
enum qe_exit qe_fail_diagnostics(
	const struct qe_args *args, enum qe_exit code, const struct qe_diagnostics *diagnostics);
/* On standard error, a line for each, behind the words. */
void qe_print_diagnostics(const char *words, const struct qe_diagnostics *diagnostics);
/* QE_EXIT_PERMISSION for what the system forbids, otherwise QE_EXIT_ERROR. */
enum qe_exit qe_exit_of(enum qe_error error);

/* ---- the daemon ---- */

struct qe_rpc_error;

/* What to say when qe_rpc_call has failed. */
enum qe_exit qe_fail_call(
	const struct qe_args *args, enum qe_error error, const struct qe_rpc_error *why);

/* Calls a method (params are stolen, and may be NULL) and hands the result to show, or prints it
 * with --json. Says what went wrong. */
enum qe_exit qe_call(const struct qe_args *args, const char *method, json_t *params,
	void (*show)(json_t *result));
/* The result is the caller's. */
enum qe_exit qe_call_raw(
	const struct qe_args *args, const char *method, json_t *params, json_t **ret_result);

/* Takes the reference. */
enum qe_exit qe_print_json(json_t *json);
/* Members of an answer, whatever version of the daemon it comes from: "-", 0 and false where there
 * is none. key may go down: "link.remote". */
const char *qe_get_text(json_t *object, const char *key);
uint64_t qe_get_uint(json_t *object, const char *key);
double qe_get_real(json_t *object, const char *key);
json_t *qe_get(json_t *object, const char *key);
/* The prefixes of an array, with commas between, hosts without their length; "-" for an empty one.
 * The overlay address, which everybody has, only where there is no other. */
void qe_add_addresses(struct qe_text *to, json_t *prefixes);

/* ---- tables: all cells first, so that every column is as wide as its widest cell ---- */

#define QE_COLUMNS_MAX 12

struct qe_table {
	char **cells; /* row by row; the first row is the head */
	size_t n, capacity, n_columns;
};

/* head: one cell for each column. */
void qe_table_init(struct qe_table *table, const char *const *head, size_t n_columns);
[[gnu::format(printf, 2, 3)]] void qe_table_add(struct qe_table *table, const char *format, ...);
void qe_table_print(FILE *to, const struct qe_table *table);
void qe_table_done(struct qe_table *table);

/* ---- units ---- */

void qe_add_bytes(struct qe_text *to, uint64_t bytes);      /* "1.2 GiB" */
void qe_add_duration(struct qe_text *to, uint64_t seconds); /* "3 min 12 s" */
void qe_add_ms(struct qe_text *to, double ms);              /* "0.41 ms", "1.2 s" */
