/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/args.h"
#include "config/schema.h"

#define WORDS_MAX 8

static const struct qe_command plain = {
	.name = "ping",
	.operands = "PEER",
	.n_min = 1,
	.n_max = 1,
	.takes_socket = true,
	.summary = "Measure.",
	.options = {{"count", 'c', "COUNT", "How many."}, {"quiet", 'q', nullptr, "Say less."}},
	.examples = {"quicether ping x"},
};
static const struct qe_command configured = {
	.name = "start", .summary = "Start.", .takes_config = true};

static struct qe_args args;
static char problem[512];

/* Words with single spaces between them. */
static enum qe_error parse(const struct qe_command *command, const char *line)
{
	static char copy[256];
	static char *words[WORDS_MAX + 1];
	char *rest = copy;
	struct qe_text text = qe_text_init(problem, sizeof problem);

	snprintf(copy, sizeof copy, "%s", line);
	memset(words, 0, sizeof words);
	for (size_t i = 0; i < WORDS_MAX && rest && *copy; i++)
		words[i] = strsep(&rest, " ");
	return qe_args_parse(&args, command, words, &text);
}

static void options_are_read([[maybe_unused]] void **state)
{
	static const char *const forms[] = {
		"x -c 7", "-c7 x", "--count 7 x", "--count=7 -- x", "--count 1 x --count 7"};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		assert_int_equal(parse(&plain, forms[i]), QE_OK);
		assert_string_equal(qe_args_get(&args, "count"), "7");
		assert_null(qe_args_get(&args, "json"));
		assert_int_equal(args.n_operands, 1);
		assert_string_equal(args.operands[0], "x");
	}
	assert_int_equal(parse(&plain, "-q --json -- --count"), QE_OK);
	assert_non_null(qe_args_get(&args, "quiet"));
	assert_non_null(qe_args_get(&args, "json"));
	assert_string_equal(args.operands[0], "--count");
	assert_int_equal(parse(&plain, "--help"), QE_OK);
	assert_int_equal(parse(&plain, "-"), QE_OK);
	assert_string_equal(args.operands[0], "-");
}

/* From the first operand on, or after two dashes, all is the program's. */
static void a_program_keeps_its_words([[maybe_unused]] void **state)
{
	static const struct qe_command command = {.name = "bypass",
		.operands = "[--] COMMAND...",
		.takes_command = true,
		.options = {{"user", 'u', "USER", "Whom it runs as."}}};
	static const char *const forms[] = {
		"--user a curl --user b -- c", "-u a -- curl --user b -- c"};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		assert_int_equal(parse(&command, forms[i]), QE_OK);
		assert_string_equal(qe_args_get(&args, "user"), "a");
		assert_string_equal(args.words[0], "curl");
		assert_string_equal(args.words[1], "--user");
		assert_string_equal(args.words[3], "--");
		assert_string_equal(args.words[4], "c");
		assert_null(args.words[5]);
	}
	assert_int_equal(parse(&command, "-u a"), QE_ERR_SYNTAX);
	assert_int_equal(parse(&command, "-u a --"), QE_ERR_SYNTAX);
	assert_string_equal(problem, "[--] COMMAND... is missing");
	assert_int_equal(parse(&command, "--help"), QE_OK);
}

static void mistakes_are_told([[maybe_unused]] void **state)
{
	static const struct {
		const struct qe_command *command;
		const char *line, *problem;
	} cases[] = {
		{&plain, "", "PEER is missing"},
		{&plain, "x y", "unexpected argument y"},
		{&plain, "x --cuont 7", "unknown option --cuont; did you mean --count?"},
		{&plain, "x --zzzzzzzz", "unknown option --zzzzzzzz"},
		{&plain, "x -z", "unknown option -z"},
		{&plain, "x --count", "--count needs a value"},
		{&plain, "x -c", "-c needs a value"},
		{&plain, "x --json=1", "--json=1 takes no value"},
		{&plain, "x --listen 1", "unknown option --listen"},
		{&configured, "--listn 1", "unknown option --listn; did you mean --listen?"},
		{&configured, "--socket /x", "unknown option --socket"},
		{&configured, "x", "unexpected argument x"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(parse(cases[i].command, cases[i].line), QE_ERR_SYNTAX);
		assert_string_equal(problem, cases[i].problem);
	}
}

static void flags_of_the_schema_keep_their_order([[maybe_unused]] void **state)
{
	assert_int_equal(parse(&configured, "--peer a --listen=:1 --config f --peer b"), QE_OK);
	assert_int_equal(args.n_flags, 3);
	assert_string_equal(args.flags[0].name, "peer");
	assert_string_equal(args.flags[1].name, "listen");
	assert_string_equal(args.flags[1].value, ":1");
	assert_string_equal(args.flags[2].value, "b");
	assert_string_equal(qe_args_get(&args, "config"), "f");
	/* That of a boolean takes no next argument. */
	assert_int_equal(parse(&configured, "--vpn --via gw --vpn=false"), QE_OK);
	assert_string_equal(args.flags[0].value, "true");
	assert_string_equal(args.flags[1].value, "gw");
	assert_string_equal(args.flags[2].value, "false");
}

static void too_many_are_refused([[maybe_unused]] void **state)
{
	static char flag[] = "--listen=1";
	static char *words[QE_ARGS_MAX + 2];
	struct qe_text text = qe_text_init(problem, sizeof problem);

	for (size_t i = 0; i <= QE_ARGS_MAX; i++)
		words[i] = flag;
	assert_int_equal(qe_args_parse(&args, &configured, words, &text), QE_ERR_SYNTAX);
	words[QE_ARGS_MAX] = nullptr;
	assert_int_equal(qe_args_parse(&args, &configured, words, &text), QE_OK);
}

static void the_socket_has_an_order([[maybe_unused]] void **state)
{
	assert_int_equal(unsetenv(QE_SOCKET_ENVIRONMENT), 0);
	assert_int_equal(parse(&plain, "x"), QE_OK);
	assert_string_equal(qe_args_socket(&args), QE_SOCKET_PATH_DEFAULT);
	assert_int_equal(setenv(QE_SOCKET_ENVIRONMENT, "/a", 1), 0);
	assert_string_equal(qe_args_socket(&args), "/a");
	assert_int_equal(parse(&plain, "x --socket /b"), QE_OK);
	assert_string_equal(qe_args_socket(&args), "/b");
}

/* Every option and flag stands in the help, and no line is wider than a terminal. */
static void help_is_whole([[maybe_unused]] void **state)
{
	char *help = nullptr;
	size_t len;
	FILE *to = open_memstream(&help, &len);

	qe_help_command(to, &plain);
	qe_help_command(to, &configured);
	assert_int_equal(fclose(to), 0);
	assert_non_null(strstr(help, "usage: quicether ping [OPTION...] PEER\n"));
	assert_non_null(strstr(help, "  -c, --count COUNT             How many.\n"));
	assert_non_null(strstr(help, "  --json "));
	for (size_t i = 0; i < QE_SCHEMA_KEYS; i++) {
		char term[64];
		snprintf(term, sizeof term, "  --%s %s", qe_schema[i].flag,
			qe_schema[i].metavar ? qe_schema[i].metavar : "");
		assert_true(!qe_schema[i].flag || strstr(help, term));
	}
	char *rest = help;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
		assert_true(strlen(line) <= 100);
	free(help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_read),
		cmocka_unit_test(a_program_keeps_its_words),
		cmocka_unit_test(mistakes_are_told),
		cmocka_unit_test(flags_of_the_schema_keep_their_order),
		cmocka_unit_test(too_many_are_refused),
		cmocka_unit_test(the_socket_has_an_order),
		cmocka_unit_test(help_is_whole),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
