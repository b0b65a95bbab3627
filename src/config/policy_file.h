/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The policy file: TOML into struct qe_policy_source (policy/source.h). docs/policy.md says what it
 * may hold. Only what stands in the file is judged here; what its names mean, and whether its rules
 * can match, is seen by config/policy_check.h.
 */
#pragma once

#include "config/diagnostics.h"
#include "policy/source.h"

#define QE_POLICY_FILE_MAX (4 * 1024 * 1024)

/* *ret_text is to be freed. Otherwise what kept the file from being read is in diagnostics, too,
 * which is emptied first. */
enum qe_error qe_policy_file_read(
	char **ret_text, size_t *ret_len, const char *path, struct qe_diagnostics *diagnostics);
/* Either a whole policy or QE_ERR_SYNTAX and errors, at least one of them in diagnostics, which is
 * emptied first. name: the file's. Reads the files of the time zones that schedules name. */
enum qe_error qe_policy_file_parse(struct qe_policy_source *ret_source, const char *name,
	struct qe_bytes text, struct qe_diagnostics *diagnostics);

/* In the words of a test, but all of it text. */
struct qe_policy_question {
	const char *from, *to, *protocol;
	const char *port; /* NULL if there is none */
};

/* A test from what somebody asks; expect is left open. Names are the caller's to free. */
enum qe_error qe_policy_question_parse(struct qe_policy_test *ret_test,
	const struct qe_policy_question *question, struct qe_diagnostics *diagnostics);
