/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* docs/policy.md: the example is a policy whose tests pass, and its tables name every key; so does
 * the manual page. Runs at the root of the source tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/policy_load.h"
#include "config/policy_members.h"
#include "config/policy_values.h"

#define FILE_MAX (64 * 1024)

/* The nodes that the example speaks of. */
static const char toml[] =
	"[node]\nname = \"gateway\"\n"
	"[[peers]]\nname = \"laptop\"\nid = \"oz2mrw5ugm4ttcsqcdlwk3ocehjqzjcp\"\n"
	"[[peers]]\nname = \"desk\"\nid = \"mrofhja5bbknvmc2mnkex2bjif5m4tqc\"\n"
	"[[peers]]\nname = \"guest\"\nid = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n"
	"[[peers]]\nname = \"nas\"\nid = \"tlfyo6oxqnsbkuwkeshjqz6yx6vzcjyd\"\n"
	"addresses = [\"100.64.0.3\"]\n"
	"[[peers]]\nname = \"laser\"\nid = \"baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n"
	"groups = [\"printers\"]\n";

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, FILE_MAX);

	assert_non_null(file);
	assert_true(fread(text, 1, FILE_MAX - 1, file) < FILE_MAX - 1);
	fclose(file);
	return text;
}

static void assert_none(const struct qe_diagnostics *diagnostics)
{
	for (size_t i = 0; i < diagnostics->n; i++)
		print_error(
			"line %u: %s\n", diagnostics->items[i].line, diagnostics->items[i].text);
	assert_int_equal(diagnostics->n, 0);
}

static void the_example_holds([[maybe_unused]] void **state)
{
	static struct qe_policy_findings findings;
	static struct qe_diagnostics diagnostics;
	char *text = read_file("docs/policy.md"), *begin = strstr(text, "```toml\n");
	struct qe_bytes bytes = {(const uint8_t *)toml, sizeof toml - 1};
	struct qe_policy_members members;
	struct qe_policy_source source;
	struct qe_config *config;

	assert_non_null(begin);
	begin += strlen("```toml\n");
	struct qe_bytes example = {(const uint8_t *)begin, (size_t)(strstr(begin, "```") - begin)};
	assert_int_equal(qe_config_parse(&config, &(struct qe_config_inputs){}, "c.toml", bytes,
				 &diagnostics),
		QE_OK);
	assert_int_equal(qe_policy_members_init(&members, config, nullptr), QE_OK);
	enum qe_error error = qe_policy_parse(
		&source, "policy.md", example, members.items, members.n, &findings);
	assert_none(&findings.errors);
	assert_none(&findings.failures);
	assert_none(&findings.warnings);
	assert_int_equal(error, QE_OK);
	assert_true(source.n_tests > 1);
	qe_policy_source_done(&source);
	qe_policy_members_done(&members);
	qe_config_free(config);
	free(text);
}

static void assert_named(
	const char *path, const char *before, const char *behind, const struct qe_policy_key *keys)
{
	char *text = read_file(path);

	for (; keys->name; keys++) {
		char item[64];
		snprintf(item, sizeof item, "%s%s%s", before, keys->name, behind);
		if (!strstr(text, item))
			print_error("%s lacks %s\n", path, item);
		assert_non_null(strstr(text, item));
	}
	free(text);
}

static void every_key_is_described([[maybe_unused]] void **state)
{
	static const struct qe_policy_key *const tables[] = {
		qe_policy_group_keys, qe_policy_rule_keys, qe_policy_test_keys};

	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		assert_named("docs/policy.md", "\n| `", "` | ", tables[i]);
		assert_named("man/quicether.toml.5", ".It Ic ", "\n", tables[i]);
	}
	assert_named("docs/policy.md", "`", "` (", qe_policy_schedule_keys);
	assert_named("man/quicether.toml.5", ".Ic ", "\n", qe_policy_schedule_keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_holds),
		cmocka_unit_test(every_key_is_described),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
