/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/configured.h"

#include <errno.h>
#include <stdlib.h>

#include "base/time.h"
#include "crypto/key.h"
#include "crypto/node_id.h"
#include "net/addr.h"

static void fill_local(
	struct qe_prefix *local, const struct qe_config *config, const struct qe_key *key)
{
	struct qe_addr overlay = qe_node_id_overlay_addr(qe_key_get_id(key));

	local[0] = qe_prefix_host(&overlay);
	for (size_t i = 0; i < config->n_local; i++)
		local[i + 1] = config->local[i];
}

bool qe_configured_is_exit(const struct qe_config *config, size_t peer)
{
	return config->peers[peer].exit || peer == config->default_gateway;
}

static void fill_peer(struct qe_peer_settings *to, const struct qe_config *config, size_t i)
{
	const struct qe_config_peer *peer = &config->peers[i];

	*to = (struct qe_peer_settings){
		.name = peer->name,
		.id = peer->id,
		.prefixes = peer->prefixes,
		.n_prefixes = peer->n_prefixes,
		.gateway_prefixes = peer->gateway_subnets.prefixes,
		.n_gateway_prefixes = peer->gateway_subnets.n,
		.exit = peer->exit,
		.default_gateway = i == config->default_gateway,
		.dial = peer->endpoints.n > 0,
	};
}

static void fill_peers(struct qe_peer_settings *peers, const struct qe_config *config,
	const struct qe_node_id *exit)
{
	for (size_t i = 0; i < config->n_peers; i++) {
		fill_peer(&peers[i], config, i);
		if (exit)
			peers[i].exit = peers[i].default_gateway = qe_node_id_equal(
									   &peers[i].id, exit) &&
								   qe_configured_is_exit(config, i);
	}
}

enum qe_error qe_configured_init(struct qe_configured *ret_configured,
	const struct qe_config *config, struct qe_key *key, unsigned workers,
	const struct qe_node_id *exit)
{
	struct qe_configured configured = {
		.local = calloc(config->n_local + 1, sizeof(*configured.local)),
		.peers = calloc(config->n_peers + 1, sizeof(*configured.peers)),
	};

	if (!configured.local || !configured.peers) {
		qe_configured_done(&configured);
		return -ENOMEM;
	}
	fill_local(configured.local, config, key);
	fill_peers(configured.peers, config, exit);
	configured.settings = (struct qe_node_settings){
		.name = config->node.name,
		.key = key,
		.mtu = config->network.mtu,
		.pq = config->security.pq,
		.cipher = config->security.cipher,
		.rotate = config->security.rotate_secs * QE_SECOND,
		.local = configured.local,
		.n_local = config->n_local + 1,
		.forward = config->forward,
		.n_forward = config->n_forward,
		.metric = config->network.metric,
		.peers = configured.peers,
		.n_peers = config->n_peers,
		.workers = workers,
	};
	*ret_configured = configured;
	return QE_OK;
}

void qe_configured_done(struct qe_configured *configured)
{
	free(configured->local);
	free(configured->peers);
}
