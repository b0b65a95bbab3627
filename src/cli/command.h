/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A command of quicether: one row of the table in main.c says what it takes, what its help says and
 * what runs it. */
#pragma once

#include "config/config.h"

enum qe_exit {
	QE_EXIT_OK = 0,
	QE_EXIT_ERROR = 1,
	QE_EXIT_USAGE = 2,
	QE_EXIT_NO_DAEMON = 3,
	QE_EXIT_PERMISSION = 4,
};

struct qe_option {
	const char *name;    /* "count", for --count */
	char letter;         /* 'c', for -c; 0 if there is none */
	const char *metavar; /* "N"; NULL if it takes no value */
	const char *help;
};

struct qe_args;

#define QE_COMMAND_OPTIONS_MAX 6
#define QE_COMMAND_EXAMPLES_MAX 4

struct qe_command {
	const char *name;     /* one word, or two: "config show" */
	const char *operands; /* "PEER", "[PATH]"; NULL: it takes none */
	size_t n_min, n_max;  /* how many operands */
	bool takes_command;   /* its operands are a program to run, with whatever is for that */
	const char *summary;
	const char *description;                          /* NULL: nothing to add */
	bool takes_config;                                /* --config and the flags of the schema */
	bool takes_socket;                                /* --socket */
	struct qe_option options[QE_COMMAND_OPTIONS_MAX]; /* up to the first without a name */
	const char *examples[QE_COMMAND_EXAMPLES_MAX];    /* up to the first NULL */
	enum qe_exit (*run)(const struct qe_args *args);
};

enum qe_exit qe_command_keygen(const struct qe_args *args);
enum qe_exit qe_command_id(const struct qe_args *args);
enum qe_exit qe_command_start(const struct qe_args *args);
enum qe_exit qe_command_stop(const struct qe_args *args);
enum qe_exit qe_command_reload(const struct qe_args *args);
enum qe_exit qe_command_proxy(const struct qe_args *args);
enum qe_exit qe_command_status(const struct qe_args *args);
enum qe_exit qe_command_peers(const struct qe_args *args);
enum qe_exit qe_command_routes(const struct qe_args *args);
enum qe_exit qe_command_route_get(const struct qe_args *args);
enum qe_exit qe_command_ping(const struct qe_args *args);
enum qe_exit qe_command_config_show(const struct qe_args *args);
enum qe_exit qe_command_config_validate(const struct qe_args *args);
enum qe_exit qe_command_policy_check(const struct qe_args *args);
enum qe_exit qe_command_policy_reload(const struct qe_args *args);
enum qe_exit qe_command_policy_status(const struct qe_args *args);
enum qe_exit qe_command_policy_explain(const struct qe_args *args);
enum qe_exit qe_command_vpn_up(const struct qe_args *args);
enum qe_exit qe_command_vpn_down(const struct qe_args *args);
enum qe_exit qe_command_vpn_portal(const struct qe_args *args);
enum qe_exit qe_command_vpn_status(const struct qe_args *args);
enum qe_exit qe_command_vpn_panic_off(const struct qe_args *args);
enum qe_exit qe_command_repair(const struct qe_args *args);
enum qe_exit qe_command_bypass(const struct qe_args *args);
enum qe_exit qe_command_only(const struct qe_args *args);
enum qe_exit qe_command_version(const struct qe_args *args);
