/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Who may use the proxy, from a file with a line NAME:PASSWORD for each. */
#pragma once

#include "base/text.h"

#define QE_USERS_MAX 256

struct qe_users;

/* What is wrong is said in why. The file must be out of the reach of others, as a key's. */
enum qe_error qe_users_load(struct qe_users **ret_users, const char *path, struct qe_text *why);
struct qe_users *qe_users_free(struct qe_users *users); /* NULL-safe; wipes */
/* In a time that tells nothing of the passwords. */
bool qe_users_know(const struct qe_users *users, const char *name, const char *password);
