/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "cli/args.h"

#include <stdlib.h>
#include <string.h>

#include "config/schema.h"

#define HELP_COLUMN 32
#define HELP_WIDTH 96

static const struct qe_option common[] = {
	{"json", 0, nullptr, "Print JSON."},
	{"help", 'h', nullptr, "Print this help."},
};
static const struct qe_option option_socket = {"socket", 0, "PATH",
	"The daemon's control socket (default " QE_SOCKET_PATH_DEFAULT "; " QE_SOCKET_ENVIRONMENT
	")."};
static const struct qe_option option_config = {"config", 0, "FILE",
	"The configuration file (default /etc/quicether/config.toml, then "
	"~/.config/quicether/config.toml; QUICETHER_CONFIG)."};

#define N_COMMON (sizeof common / sizeof *common)
#define OPTIONS_MAX (QE_COMMAND_OPTIONS_MAX + N_COMMON + 2)

/* ---- which options there are ---- */

static size_t collect(const struct qe_option **to, const struct qe_command *command)
{
	size_t n = 0;

	for (size_t i = 0; i < QE_COMMAND_OPTIONS_MAX && command->options[i].name; i++)
		to[n++] = &command->options[i];
	if (command->takes_config)
		to[n++] = &option_config;
	if (command->takes_socket)
		to[n++] = &option_socket;
	for (size_t i = 0; i < N_COMMON; i++)
		to[n++] = &common[i];
	return n;
}

/* By name (of len bytes), or by letter if name is NULL. */
static const struct qe_option *find_option(
	const struct qe_command *command, const char *name, size_t len, char letter)
{
	const struct qe_option *options[OPTIONS_MAX];
	size_t n = collect(options, command);

	for (size_t i = 0; i < n; i++)
		if (name ? strlen(options[i]->name) == len &&
					strncmp(options[i]->name, name, len) == 0
			 : options[i]->letter == letter)
			return options[i];
	return nullptr;
}

static const struct qe_schema_key *find_flag(
	const struct qe_command *command, const char *name, size_t len)
{
	char flag[64];

	if (!command->takes_config || len >= sizeof flag)
		return nullptr;
	memcpy(flag, name, len);
	flag[len] = '\0';
	return qe_schema_find_flag(flag);
}

static void add_nearest(struct qe_text *problem, const struct qe_command *command, const char *name)
{
	const struct qe_option *options[OPTIONS_MAX];
	const char *words[OPTIONS_MAX + QE_SCHEMA_KEYS];
	size_t n = collect(options, command);

	for (size_t i = 0; i < n; i++)
		words[i] = options[i]->name;
	for (size_t i = 0; command->takes_config && i < QE_SCHEMA_KEYS; i++)
		if (qe_schema[i].flag)
			words[n++] = qe_schema[i].flag;
	const char *nearest = qe_text_nearest(name, words, n);
	if (nearest)
		qe_text_addf(problem, "; did you mean --%s?", nearest);
}

/* ---- taking apart ---- */

struct parser {
	struct qe_args *args;
	char *const *at; /* the next argument */
	struct qe_text *problem;
};

static enum qe_error add(struct parser *parser, struct qe_config_flag *list, size_t *n,
	const char *name, const char *value)
{
	if (*n == QE_ARGS_MAX) {
		qe_text_addf(parser->problem, "more than %d options", QE_ARGS_MAX);
		return QE_ERR_SYNTAX;
	}
	list[(*n)++] = (struct qe_config_flag){name, value};
	return QE_OK;
}

/* The value that belongs to an option: behind "=" or the letter, or the next argument. */
static enum qe_error take_value(
	struct parser *parser, const char *shown, const char *attached, const char **ret_value)
{
	const char *value = attached ? attached : *parser->at;

	if (!value) {
		qe_text_addf(parser->problem, "%s needs a value", shown);
		return QE_ERR_SYNTAX;
	}
	parser->at += attached ? 0 : 1;
	*ret_value = value;
	return QE_OK;
}

static enum qe_error take_option(struct parser *parser, const char *shown,
	const struct qe_option *option, const char *attached)
{
	struct qe_args *args = parser->args;
	const char *value = "";

	if (option->metavar)
		QE_TRY(take_value(parser, shown, attached, &value));
	else if (attached) {
		qe_text_addf(parser->problem, "%s takes no value", shown);
		return QE_ERR_SYNTAX;
	}
	return add(parser, args->options, &args->n_options, option->name, value);
}

static enum qe_error take_long(struct parser *parser, const char *argument)
{
	struct qe_args *args = parser->args;
	const char *name = argument + 2, *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const char *attached = equals ? equals + 1 : nullptr, *value;
	const struct qe_option *option = find_option(args->command, name, len, 0);
	const struct qe_schema_key *key = find_flag(args->command, name, len);

	if (option)
		return take_option(parser, argument, option, attached);
	if (key) {
		value = attached ? attached : "true";
		if (key->metavar)
			QE_TRY(take_value(parser, argument, attached, &value));
		return add(parser, args->flags, &args->n_flags, key->flag, value);
	}
	qe_text_addf(parser->problem, "unknown option %s", argument);
	add_nearest(parser->problem, args->command, name);
	return QE_ERR_SYNTAX;
}

static enum qe_error take_short(struct parser *parser, const char *argument)
{
	const struct qe_option *option = find_option(
		parser->args->command, nullptr, 0, argument[1]);

	if (option)
		return take_option(parser, argument, option, argument[2] ? argument + 2 : nullptr);
	qe_text_addf(parser->problem, "unknown option %s", argument);
	return QE_ERR_SYNTAX;
}

static enum qe_error take_operand(struct parser *parser, const char *argument)
{
	struct qe_args *args = parser->args;

	if (args->command->takes_command) {
		args->words = parser->at - 1;
		return QE_OK;
	}
	if (args->n_operands == args->command->n_max) {
		qe_text_addf(parser->problem, "unexpected argument %s", argument);
		return QE_ERR_SYNTAX;
	}
	args->operands[args->n_operands++] = argument;
	return QE_OK;
}

static enum qe_error take_all(struct parser *parser)
{
	bool options = true;

	while (*parser->at && !parser->args->words) {
		const char *argument = *parser->at++;
		if (options && strcmp(argument, "--") == 0)
			options = false;
		else if (options && strncmp(argument, "--", 2) == 0)
			QE_TRY(take_long(parser, argument));
		else if (options && argument[0] == '-' && argument[1] != '\0')
			QE_TRY(take_short(parser, argument));
		else
			QE_TRY(take_operand(parser, argument));
	}
	return QE_OK;
}

enum qe_error qe_args_parse(struct qe_args *ret_args, const struct qe_command *command,
	char *const *arguments, struct qe_text *problem)
{
	struct parser parser = {ret_args, arguments, problem};

	*ret_args = (struct qe_args){.command = command};
	QE_TRY(take_all(&parser));
	if ((ret_args->n_operands < command->n_min ||
		    (command->takes_command && !ret_args->words)) &&
		!qe_args_get(ret_args, "help")) {
		qe_text_addf(problem, "%s is missing", command->operands);
		return QE_ERR_SYNTAX;
	}
	return QE_OK;
}

const char *qe_args_get(const struct qe_args *args, const char *option)
{
	for (size_t i = args->n_options; i > 0; i--)
		if (strcmp(args->options[i - 1].name, option) == 0)
			return args->options[i - 1].value;
	return nullptr;
}

const char *qe_args_socket(const struct qe_args *args)
{
	const char *given = qe_args_get(args, "socket");
	const char *environment = getenv(QE_SOCKET_ENVIRONMENT);

	if (given)
		return given;
	return environment && environment[0] ? environment : QE_SOCKET_PATH_DEFAULT;
}

/* ---- help ---- */

/* A term and its explanation, broken between words. */
static void put_entry(FILE *to, const char *term, const char *help)
{
	int column = fprintf(to, "  %s", term);

	if (column >= HELP_COLUMN)
		column = fprintf(to, "\n") - 1;
	column += fprintf(to, "%*s", HELP_COLUMN - column, "");
	for (bool first = true; *help; first = false) {
		int len = (int)strcspn(help, " ");
		if (!first && column + 1 + len > HELP_WIDTH)
			column = fprintf(to, "\n%*s", HELP_COLUMN, "") - 1;
		else if (!first)
			column += fprintf(to, " ");
		column += fprintf(to, "%.*s", len, help);
		help += len;
		help += strspn(help, " ");
	}
	fprintf(to, "\n");
}

static void put_option(FILE *to, const struct qe_option *option)
{
	char term[64], letter[8] = "";

	if (option->letter)
		snprintf(letter, sizeof letter, "-%c, ", option->letter);
	snprintf(term, sizeof term, "%s--%s%s%s", letter, option->name, option->metavar ? " " : "",
		option->metavar ? option->metavar : "");
	put_entry(to, term, option->help);
}

static void put_flag(FILE *to, const struct qe_schema_key *key)
{
	char term[64], help[400];
	struct qe_text text = qe_text_init(help, sizeof help);

	snprintf(term, sizeof term, "--%s%s%s", key->flag, key->metavar ? " " : "",
		key->metavar ? key->metavar : "");
	qe_text_add(&text, key->flag_help ? key->flag_help : key->help);
	if (key->words) {
		qe_text_add(&text, " One of ");
		qe_schema_add_expected_item(&text, key);
		qe_text_add(&text, ".");
	}
	if (key->list_max)
		qe_text_add(&text, " Repeatable.");
	if (!key->required) {
		qe_text_add(&text, " (default ");
		qe_schema_add_default(&text, key);
		qe_text_add(&text, "; ");
		qe_schema_add_environment(&text, key);
		qe_text_add(&text, ")");
	}
	put_entry(to, term, help);
}

void qe_help_command(FILE *to, const struct qe_command *command)
{
	const struct qe_option *options[OPTIONS_MAX];
	size_t n = collect(options, command);

	fprintf(to, "usage: quicether %s [OPTION...]%s%s\n\n%s\n", command->name,
		command->operands ? " " : "", command->operands ? command->operands : "",
		command->summary);
	if (command->description)
		fprintf(to, "\n%s\n", command->description);
	fprintf(to, "\nOptions:\n");
	for (size_t i = 0; i < n; i++)
		put_option(to, options[i]);
	if (command->takes_config)
		fprintf(to, "\nSettings, on top of the configuration file and the environment:\n");
	for (size_t i = 0; command->takes_config && i < QE_SCHEMA_KEYS; i++)
		if (qe_schema[i].flag)
			put_flag(to, &qe_schema[i]);
	if (command->examples[0])
		fprintf(to, "\nExamples:\n");
	for (size_t i = 0; i < QE_COMMAND_EXAMPLES_MAX && command->examples[i]; i++)
		fprintf(to, "  %s\n", command->examples[i]);
	fprintf(to, "\nExit codes: 0 success, 1 error, 2 bad arguments, 3 no daemon, "
		    "4 no permission.\n");
}

void qe_help_overview(FILE *to, const struct qe_command *commands, size_t n)
{
	fprintf(to, "usage: quicether COMMAND [OPTION...]\n\n"
		    "A post-quantum layer-3 mesh VPN over QUIC.\n\nCommands:\n");
	for (size_t i = 0; i < n; i++) {
		char term[64];
		snprintf(term, sizeof term, "%s%s%s", commands[i].name,
			commands[i].operands ? " " : "",
			commands[i].operands ? commands[i].operands : "");
		put_entry(to, term, commands[i].summary);
	}
	fprintf(to, "\n\"quicether COMMAND --help\" says more. Every command takes --json.\n");
}
