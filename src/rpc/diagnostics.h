/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What is wrong with a configuration, as JSON: the same from a command and from the daemon. */
#pragma once

#include <jansson.h>

#include "config/diagnostics.h"

/* Both are NULL without memory. Each error: "where", "line", "column", "key", "text", without what
 * is not known. */
json_t *qe_diagnostics_json(const struct qe_diagnostics *diagnostics); /* an array */
/* {"ok": false, "errors": [...], "more": N} */
json_t *qe_diagnostics_answer(const struct qe_diagnostics *diagnostics);
