/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/networks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct survey {
	const char *own; /* interface */
	struct qe_networks networks;
	size_t capacity;
	bool failed;
};

static bool is_network(const struct qe_host_entry *entry)
{
	if (entry->prefix.length == 0 || qe_addr_is_link_local(&entry->prefix.addr) ||
		qe_addr_is_multicast(&entry->prefix.addr) ||
		qe_addr_is_loopback(&entry->prefix.addr))
		return false;
	/* A host of its own, with nobody else in its network, is reached locally in any case. */
	return entry->is_route || entry->prefix.length < qe_addr_bits(&entry->addr);
}

static bool reserve(struct survey *survey)
{
	size_t capacity = 2 * survey->capacity + 16;
	struct qe_network_entry *items;

	if (survey->networks.n < survey->capacity)
		return true;
	items = reallocarray(survey->networks.items, capacity, sizeof(*items));
	if (!items)
		return false;
	survey->networks.items = items;
	survey->capacity = capacity;
	return true;
}

static void add_network(void *ctx, const struct qe_host_entry *entry)
{
	struct survey *survey = ctx;
	struct qe_network_entry *network;

	if (survey->failed || strcmp(entry->interface, survey->own) == 0 || !is_network(entry))
		return;
	survey->failed = !reserve(survey);
	if (survey->failed)
		return;
	network = &survey->networks.items[survey->networks.n++];
	*network = (struct qe_network_entry){.prefix = entry->prefix,
		.connected = entry->gateway.family == QE_FAMILY_NONE && entry->interface[0]};
	memcpy(network->interface, entry->interface, sizeof(network->interface));
}

enum qe_error qe_networks_read(
	struct qe_networks *networks, struct qe_netlink *netlink, const char *own)
{
	struct survey survey = {.own = own};
	enum qe_error error = qe_netlink_visit(netlink, add_network, &survey);

	if (error == QE_OK && survey.failed)
		error = -ENOMEM;
	if (error != QE_OK) {
		qe_networks_done(&survey.networks);
		return error;
	}
	qe_networks_done(networks);
	*networks = survey.networks;
	return QE_OK;
}

void qe_networks_done(struct qe_networks *networks)
{
	free(networks->items);
	*networks = (struct qe_networks){};
}

const struct qe_network_entry *qe_networks_overlap(
	const struct qe_networks *networks, const struct qe_prefix *prefix)
{
	for (size_t i = 0; i < networks->n; i++) {
		const struct qe_network_entry *network = &networks->items[i];

		if (network->connected ? qe_prefix_overlaps(&network->prefix, prefix)
				       : qe_prefix_compare(&network->prefix, prefix) == 0)
			return network;
	}
	return nullptr;
}

bool qe_networks_contain(const struct qe_networks *networks, const struct qe_prefix *prefix)
{
	for (size_t i = 0; i < networks->n; i++) {
		if (qe_prefix_compare(&networks->items[i].prefix, prefix) == 0)
			return true;
	}
	return false;
}
