/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A bounded collection of errors in what the operator wrote, each with its place. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define QE_DIAGNOSTICS_MAX 20

struct qe_diagnostic {
	char where[160];       /* a file, "QUICETHER_NETWORK_MTU" or "--listen" */
	uint32_t line, column; /* from 1; 0 outside of a file */
	char key[64];          /* "network.mtu"; empty if none is meant */
	char text[400];        /* what is wrong and what is expected; no full stop */
};

struct qe_diagnostics {
	struct qe_diagnostic items[QE_DIAGNOSTICS_MAX];
	size_t n;
	size_t dropped; /* found when the collection was full */
};

/* Adds an error; counts it only, when the collection is full. key may be NULL. */
[[gnu::format(printf, 6, 7)]] void qe_diagnostics_add(struct qe_diagnostics *diagnostics,
	const char *where, uint32_t line, uint32_t column, const char *key, const char *format,
	...);
/* By line and column; what stands in no file comes last. */
void qe_diagnostics_sort(struct qe_diagnostics *diagnostics);
/* "FILE:12:8: network.mtu: 70000 is out of range; expected 1280 to 9000", one error in one line. */
void qe_diagnostic_format(struct qe_text *to, const struct qe_diagnostic *diagnostic);
