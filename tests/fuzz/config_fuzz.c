/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Any bytes as a configuration file. What loads is shown, and what is shown loads again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

static void show_and_load_again(const struct qe_config *config)
{
	static struct qe_diagnostics diagnostics;
	struct qe_config *again;
	char *text, *json;

	if (qe_config_show(&text, config, QE_CONFIG_TOML) != QE_OK ||
		qe_config_show(&json, config, QE_CONFIG_JSON) != QE_OK)
		abort();
	struct qe_bytes bytes = {(const uint8_t *)text, strlen(text)};
	if (bytes.len <= QE_CONFIG_FILE_MAX) {
		enum qe_error error = qe_config_parse(
			&again, &(struct qe_config_inputs){}, "again.toml", bytes, &diagnostics);
		assert(error == QE_OK);
		assert(again->n_peers == config->n_peers);
		qe_config_free(again);
	}
	free(text);
	free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct qe_diagnostics diagnostics;
	static const struct qe_node_id own;
	struct qe_config *config;

	if (qe_config_parse(&config, &(struct qe_config_inputs){}, "fuzz.toml",
		    (struct qe_bytes){data, len}, &diagnostics) != QE_OK) {
		assert(diagnostics.n > 0);
		return 0;
	}
	show_and_load_again(config);
	(void)!qe_config_check_identity(config, &own, &diagnostics);
	qe_config_free(config);
	return 0;
}
