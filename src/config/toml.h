/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A TOML text as a tree of values, each with its place. toml++ stands behind this, in toml.cpp. */
#pragma once

#include "base/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

enum qe_toml_type {
	QE_TOML_STRING,
	QE_TOML_INTEGER,
	QE_TOML_FLOAT,
	QE_TOML_BOOLEAN,
	QE_TOML_DATE, /* or time, or both */
	QE_TOML_ARRAY,
	QE_TOML_TABLE
};

struct qe_toml_place {
	uint32_t line, column; /* from 1; columns count characters */
};

struct qe_toml_value {
	enum qe_toml_type type;
	const char *key; /* of a member of a table; NULL elsewhere */
	struct qe_toml_place key_place, place;
	const char *string; /* of a string */
	int64_t integer;    /* of an integer; 1 or 0 of a boolean */
	/* Of an array or a table, whose members are in alphabetical order. */
	const struct qe_toml_value *children;
	size_t n;
};

struct qe_toml_error {
	struct qe_toml_place place;
	char text[240]; /* no full stop */
};

struct qe_toml;

/* QE_ERR_SYNTAX with *ret_error, which is also written only then. Strings and keys with a zero byte
 * in them, and keys or values nested deeper than 16, are refused. */
enum qe_error qe_toml_parse(
	struct qe_toml **ret_toml, struct qe_bytes text, struct qe_toml_error *ret_error);
struct qe_toml *qe_toml_free(struct qe_toml *toml);                   /* NULL-safe; returns NULL */
const char *qe_toml_type_name(enum qe_toml_type type);                /* "a string" */
const struct qe_toml_value *qe_toml_root(const struct qe_toml *toml); /* a table; the toml's */

#ifdef __cplusplus
}
#endif
