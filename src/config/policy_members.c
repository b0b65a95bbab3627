/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "config/policy_members.h"

#include <errno.h>
#include <stdlib.h>

#include "crypto/node_id.h"
#include "net/addr.h"

static size_t count_addresses(const struct qe_config *config)
{
	size_t n = 1 + config->network.tun_addr.n;

	for (size_t i = 0; i < config->n_peers; i++)
		n += 1 + config->peers[i].addresses.n;
	return n;
}

/* The overlay address comes first; it may be among the others too. */
static struct qe_prefix *add_overlay(struct qe_prefix *to, const struct qe_node_id *id)
{
	struct qe_addr overlay = qe_node_id_overlay_addr(id);

	*to = qe_prefix_host(&overlay);
	return to + 1;
}

static struct qe_prefix *add_peer(struct qe_policy_member *member, struct qe_prefix *addresses,
	const struct qe_config_peer *peer, uint32_t slot)
{
	struct qe_prefix *end = add_overlay(addresses, &peer->id);

	for (size_t i = 0; i < peer->addresses.n; i++)
		*end++ = peer->addresses.prefixes[i];
	*member = (struct qe_policy_member){
		.name = peer->name,
		.id = peer->id,
		.slot = slot,
		.addresses = addresses,
		.n_addresses = (size_t)(end - addresses),
		.groups = (const char *const *)peer->groups.names,
		.n_groups = peer->groups.n,
	};
	return end;
}

static void add_self(struct qe_policy_member *member, struct qe_prefix *addresses,
	const struct qe_config *config, const struct qe_node_id *own)
{
	struct qe_prefix *end = own ? add_overlay(addresses, own) : addresses;

	for (size_t i = 0; i < config->network.tun_addr.n; i++)
		*end++ = qe_prefix_host(&config->network.tun_addr.addrs[i].addr);
	*member = (struct qe_policy_member){
		.name = config->node.name,
		.slot = QE_POLICY_SELF,
		.addresses = addresses,
		.n_addresses = (size_t)(end - addresses),
	};
	if (own)
		member->id = *own;
}

enum qe_error qe_policy_members_init(struct qe_policy_members *members,
	const struct qe_config *config, const struct qe_node_id *own)
{
	struct qe_policy_member *items = calloc(config->n_peers + 1, sizeof *items);
	struct qe_prefix *addresses = calloc(count_addresses(config), sizeof *addresses);
	struct qe_prefix *end = addresses;

	if (!items || !addresses) {
		free(items);
		free(addresses);
		return -ENOMEM;
	}
	for (size_t i = 0; i < config->n_peers; i++)
		end = add_peer(&items[i], end, &config->peers[i], (uint32_t)i);
	add_self(&items[config->n_peers], end, config, own);
	*members = (struct qe_policy_members){items, config->n_peers + 1, addresses};
	return QE_OK;
}

void qe_policy_members_done(struct qe_policy_members *members)
{
	free(members->items);
	free(members->addresses);
	*members = (struct qe_policy_members){};
}
