/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The reference in docs/configuration.md is what the schema says, and the manual page names every
 * key. Runs at the root of the source tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/schema.h"

#define FILE_MAX (64 * 1024)
#define BEGIN "<!-- reference: made from src/config/schema.c, kept by config_docs_test -->\n"
#define END "<!-- end of the reference -->\n"

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, FILE_MAX);

	assert_non_null(file);
	assert_true(fread(text, 1, FILE_MAX - 1, file) < FILE_MAX - 1);
	fclose(file);
	return text;
}

static void add_type(struct qe_text *to, const struct qe_schema_key *key)
{
	if (key->words)
		qe_schema_add_expected_item(to, key);
	else if (key->type->integer)
		qe_text_addf(to, "%u to %u%s%s%s", key->min, key->max, key->zero ? " or \"" : "",
			key->zero ? key->zero : "", key->zero ? "\"" : "");
	else
		qe_text_add(to, key->type->name);
	if (key->list_max)
		qe_text_addf(to, ", list of at most %zu", key->list_max);
	for (const struct qe_schema_short *at = key->shorts; at && at->word; at++)
		qe_text_addf(to, "%s or `%s`", at == key->shorts ? "," : "", at->word);
}

static void add_sources(struct qe_text *to, const struct qe_schema_key *key)
{
	if (!qe_schema_is_peer(key)) {
		qe_text_add(to, "`");
		qe_schema_add_environment(to, key);
		qe_text_add(to, "`");
	}
	if (key->flag)
		qe_text_addf(to, "%s`--%s`", qe_schema_is_peer(key) ? "" : ", ", key->flag);
}

static void add_row(struct qe_text *to, const struct qe_schema_key *key)
{
	qe_text_addf(to, "| `%s` | ", key->key);
	add_type(to, key);
	qe_text_add(to, key->fallback ? " | `" : " | ");
	qe_schema_add_default(to, key);
	qe_text_add(to, key->fallback ? "` | " : " | ");
	add_sources(to, key);
	qe_text_addf(to, " | %s%s |\n", key->help, key->restart ? " (restart)" : "");
}

static void add_reference(struct qe_text *to)
{
	const char *section = "";

	qe_text_add(to, BEGIN);
	for (size_t i = 0; i < QE_SCHEMA_KEYS; i++) {
		const struct qe_schema_key *key = &qe_schema[i];
		if (strcmp(section, key->section) != 0)
			qe_text_addf(to,
				"\n### %s%s%s\n\n| key | value | default | environment, flag | "
				"meaning |\n|---|---|---|---|---|\n",
				qe_schema_is_peer(key) ? "[[" : "[", key->section,
				qe_schema_is_peer(key) ? "]]" : "]");
		section = key->section;
		add_row(to, key);
	}
	qe_text_add(to, "\n" END);
}

static void the_reference_is_what_the_schema_says([[maybe_unused]] void **state)
{
	char *text = read_file("docs/configuration.md"), *reference = calloc(1, FILE_MAX);
	struct qe_text to = qe_text_init(reference, FILE_MAX);

	add_reference(&to);
	assert_false(to.truncated);
	if (!strstr(text, reference))
		print_error("docs/configuration.md lacks this:\n%s", reference);
	assert_non_null(strstr(text, reference));
	free(text);
	free(reference);
}

static void the_manual_names_every_key([[maybe_unused]] void **state)
{
	char *text = read_file("man/quicether.toml.5");

	for (size_t i = 0; i < QE_SCHEMA_KEYS; i++) {
		char item[64];
		snprintf(item, sizeof item, ".It Ic %s\n", qe_schema[i].key);
		if (!strstr(text, item))
			print_error("man/quicether.toml.5 lacks %s", item);
		assert_non_null(strstr(text, item));
	}
	free(text);
}

static void the_manual_names_every_flag([[maybe_unused]] void **state)
{
	char *text = read_file("man/quicether.1");

	for (size_t i = 0; i < QE_SCHEMA_KEYS; i++) {
		char item[64];
		if (!qe_schema[i].flag)
			continue;
		snprintf(item, sizeof item, ".It Fl Fl %s%s", qe_schema[i].flag,
			qe_schema[i].metavar ? " Ar" : "\n");
		if (!strstr(text, item))
			print_error("man/quicether.1 lacks %s\n", item);
		assert_non_null(strstr(text, item));
	}
	free(text);
}

/* The rows that the compiler cannot compare with their types. */
static void every_row_is_sound([[maybe_unused]] void **state)
{
	for (size_t i = 0; i < QE_SCHEMA_KEYS; i++) {
		const struct qe_schema_key *key = &qe_schema[i];
		assert_int_equal(
			strcmp(key->section, QE_SCHEMA_PEERS) == 0, qe_schema_is_peer(key));
		assert_ptr_equal(qe_schema_find(key->section, key->key), key);
		assert_true(!key->shorts || (key->list_max && key->fallback));
		assert_true((key->type == &qe_type_choice) == (key->words != nullptr));
		assert_true(key->type->integer == (key->max != 0) && key->max <= UINT16_MAX);
		bool takes_value = key->flag && !key->type->boolean;
		assert_true(takes_value == (key->metavar != nullptr));
		assert_true(!key->type->table || (key->list_max && strchr(key->example, '=')));
		assert_true(!key->flag || qe_schema_find_flag(key->flag) == key);
		assert_non_null(key->example);
		assert_non_null(key->help);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reference_is_what_the_schema_says),
		cmocka_unit_test(the_manual_names_every_key),
		cmocka_unit_test(the_manual_names_every_flag),
		cmocka_unit_test(every_row_is_sound),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
