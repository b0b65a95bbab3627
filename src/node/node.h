/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the shards of a node share: what never changes, and the views of what does; see
 * include/quicether.h. */
#pragma once

#include "crypto/tls.h"
#include "node/routing.h"

struct qe_node {
	/* What never changes. */
	struct qe_node_id id;
	struct qe_key *key;
	uint16_t mtu;
	qe_time rotate;
	unsigned workers;
	uint64_t instance; /* random: tells this life of the node from the one before */
	struct qe_tls_context *tls;
	uint8_t cid_secret[32];
	char provider[64];
	struct views views;

	/* The control thread's. */
	struct qe_node_sink sink;
	struct routing routing;
	struct qe_gate *gate; /* nullptr: there has been no policy yet */
	struct qe_gate_sink gate_sink;
	bool account;
	qe_time reclaim_at, retry_at, sweep_at;
};
