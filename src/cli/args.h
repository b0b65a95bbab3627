/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What stands on the command line, taken apart along a command's row, and the help that is made
 * from the same row. */
#pragma once

#include <stdio.h>

#include "cli/command.h"

#define QE_ARGS_MAX 256 /* options, and flags of the schema, each */
#define QE_OPERANDS_MAX 2

struct qe_args {
	const struct qe_command *command;
	const char *operands[QE_OPERANDS_MAX];
	size_t n_operands;
	char *const *words;                         /* of a program to run, then NULL; NULL: none */
	struct qe_config_flag options[QE_ARGS_MAX]; /* value is "" for those that take none */
	size_t n_options;
	struct qe_config_flag flags[QE_ARGS_MAX]; /* of the schema, in the order given */
	size_t n_flags;
};

/* arguments: what follows the command's name, then NULL; *ret_args points into it. QE_ERR_SYNTAX
 * with what is wrong in problem; what was read until then is in *ret_args. */
enum qe_error qe_args_parse(struct qe_args *ret_args, const struct qe_command *command,
	char *const *arguments, struct qe_text *problem);
/* The last value given; NULL if there is none. */
const char *qe_args_get(const struct qe_args *args, const char *option);
/* Of --socket, QUICETHER_SOCKET, or the default. */
const char *qe_args_socket(const struct qe_args *args);

void qe_help_command(FILE *to, const struct qe_command *command);
void qe_help_overview(FILE *to, const struct qe_command *commands, size_t n);
