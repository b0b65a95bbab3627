/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#pragma once

#include <string.h>

#include "config/config.h"
#include "random.h"

/* A configuration that is in order; to be freed. */
static inline struct qe_config *parse(const char *text)
{
	static struct qe_diagnostics diagnostics;
	const struct qe_config_inputs inputs = {};
	struct qe_config *config = nullptr;
	struct qe_bytes bytes = {(const uint8_t *)text, strlen(text)};

	assert_int_equal(
		qe_config_parse(&config, &inputs, "test.toml", bytes, &diagnostics), QE_OK);
	return config;
}
