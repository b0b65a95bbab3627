/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The configuration and the key, as the commands that need them get them. */
#pragma once

#include "cli/output.h"
#include "crypto/key.h"

/* The configuration that the arguments, the environment and the file make, or the errors on
 * standard error. */
enum qe_exit qe_settings_load(struct qe_config **ret_config, const struct qe_args *args);
/* The same for a process that leaves the current folder and loads it again from the inputs: the
 * path of a file that is named begins at the root. The inputs refer to args, to the environment and
 * to *ret_path, which is to be freed. */
enum qe_exit qe_settings_load_to_stay(struct qe_config **ret_config,
	struct qe_config_inputs *ret_inputs, char **ret_path, const struct qe_args *args);
/* The same without flags, for the key file's path alone: *ret_path is to be freed. */
enum qe_exit qe_settings_key_file(char **ret_path, const struct qe_args *args);
/* Make a key and its file, and the folders above with mode 0700. */
enum qe_exit qe_settings_make_key(struct qe_key **ret_key, const struct qe_args *args,
	enum qe_key_type type, const char *path);
enum qe_exit qe_settings_load_key(
	struct qe_key **ret_key, const struct qe_args *args, const char *path);
/* A fresh machine has no key yet: it gets one, and its owner is told the NodeId to give to others.
 */
enum qe_exit qe_settings_load_or_make_key(
	struct qe_key **ret_key, const struct qe_args *args, const char *path);
/* The policy file of a configuration, if it names one: what is wrong there, failing tests too, is
 * said as of the configuration. */
enum qe_exit qe_settings_check_policy(const struct qe_args *args, const struct qe_config *config);
