/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the node is told of a configuration. */
#pragma once

#include "config/config.h"

struct qe_configured {
	struct qe_node_settings
		settings; /* refers to the configuration, the key and what follows */
	struct qe_prefix *local;
	struct qe_peer_settings *peers;
};

enum qe_error qe_configured_init(struct qe_configured *ret_configured,
	const struct qe_config *config, struct qe_key *key, unsigned workers);
void qe_configured_done(struct qe_configured *configured);
