/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the next configuration changes of the one in effect. */
#pragma once

#include "config/schema.h"

struct qe_config_change {
	const struct qe_schema_key *keys[QE_CONFIG_KEYS]; /* that can be changed while it runs */
	size_t n_keys;
	const struct qe_schema_key *restart[QE_CONFIG_KEYS]; /* that count from the next start */
	size_t n_restart;
};

/* The keys whose values differ, but those of peers. */
struct qe_config_change qe_config_compare(
	const struct qe_config *now, const struct qe_config *next);
/* Exchanges the values of keys that count from the next start, so that next says what is in
 * effect. */
void qe_config_keep(struct qe_config *now, struct qe_config *next);
bool qe_config_same_peer(const struct qe_config_peer *a, const struct qe_config_peer *b);
