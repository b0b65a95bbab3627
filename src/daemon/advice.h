/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What an error means where it came up, and what to do about it. */
#pragma once

#include "base/error.h"

struct qe_advice {
	enum qe_error error;
	const char *text; /* NULL ends a table */
};

/* The table's word on the error, or else the system's. */
const char *qe_find_advice(const struct qe_advice *rows, enum qe_error error);
