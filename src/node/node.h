/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The immutable part of a node, shared by its shards; see include/quicether.h. */
#pragma once

#include "crypto/tls.h"
#include "route/table.h"

struct node_peer {
	struct qe_node_id id;
	char *name; /* nullptr: none */
	bool dial;
};

struct qe_node {
	struct qe_node_id id;
	struct qe_key *key;
	uint16_t mtu;
	qe_time rotate;
	unsigned workers;
	uint64_t instance; /* random: tells this life of the node from the one before */
	struct qe_tls_context *tls;
	uint8_t cid_secret[32];
	char provider[64];
	struct node_peer *peers;
	uint32_t *by_id; /* indices of peers, in the order of their NodeIds */
	size_t n_peers;
	struct qe_route_table *routes;
};

/* The index of a known peer, or SIZE_MAX. */
size_t node_find_peer(const struct qe_node *node, const struct qe_node_id *id);
