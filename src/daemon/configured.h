/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the node is told of a configuration, and of the one gateway that VPN mode goes through. */
#pragma once

#include "config/config.h"

struct qe_configured {
	struct qe_node_settings
		settings; /* refers to the configuration, the key and what follows */
	struct qe_prefix *local;
	struct qe_peer_settings *peers;
};

/* exit: of all peers only that one is an exit, and it is the default gateway; NULL: as the
 * configuration has it. What is not granted there is not granted by this. */
enum qe_error qe_configured_init(struct qe_configured *ret_configured,
	const struct qe_config *config, struct qe_key *key, unsigned workers,
	const struct qe_node_id *exit);
/* Whether what nobody owns may come from the peer and go there. */
bool qe_configured_is_exit(const struct qe_config *config, size_t peer);
void qe_configured_done(struct qe_configured *configured);
