/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/gateway.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct qe_gateway {
	struct qe_helper *helper;
	struct qe_netlink *netlink;
	struct qe_nft_gateway holds, next;
	bool is_known; /* what holds */
};

enum qe_error qe_gateway_new(
	struct qe_gateway **ret_gateway, struct qe_helper *helper, struct qe_netlink *netlink)
{
	struct qe_gateway *gateway = calloc(1, sizeof(*gateway));

	if (!gateway)
		return -ENOMEM;
	gateway->helper = helper;
	gateway->netlink = netlink;
	*ret_gateway = gateway;
	return QE_OK;
}

struct qe_gateway *qe_gateway_free(struct qe_gateway *gateway)
{
	free(gateway);
	return nullptr;
}

/* ---- networks ---- */

struct survey {
	const char *tun;
	struct qe_nft_gateway *next;
	bool is_full;
};

/* What is private is closed in any case; there may be many such networks, of containers. */
static void add_network(void *ctx, const struct qe_host_entry *entry)
{
	struct survey *survey = ctx;
	struct qe_nft_gateway *next = survey->next;

	if (entry->is_route || entry->prefix.length == 0 ||
		strcmp(entry->interface, survey->tun) == 0 || qe_nft_is_private(&entry->prefix))
		return;
	for (size_t i = 0; i < next->n_networks; i++) {
		if (qe_prefix_compare(&next->networks[i], &entry->prefix) == 0)
			return;
	}
	survey->is_full = next->n_networks == QE_NFT_NETWORKS_MAX;
	if (!survey->is_full)
		next->networks[next->n_networks++] = entry->prefix;
}

static int compare(const void *a, const void *b)
{
	return qe_prefix_compare(a, b);
}

/* In an order of their own, as the kernel's means nothing. */
static enum qe_error survey_networks(
	struct qe_gateway *gateway, const struct qe_config *config, struct qe_text *why)
{
	struct survey survey = {config->network.tun_name, &gateway->next, false};
	enum qe_error error = qe_netlink_visit(gateway->netlink, add_network, &survey);

	if (error == QE_OK && survey.is_full)
		error = QE_ERR_FULL;
	if (error != QE_OK)
		qe_text_addf(why, "the networks of this host cannot be listed: %s",
			qe_error_text(error));
	qsort(gateway->next.networks, gateway->next.n_networks, sizeof(gateway->next.networks[0]),
		compare);
	return error;
}

/* ---- the table ---- */

static void add_named(struct qe_nft_gateway *next, const struct qe_config_list *list)
{
	static_assert(QE_ADVERTISE_MAX + QE_FORWARD_MAX <= QE_NFT_LIST_MAX);
	for (size_t i = 0; i < list->n; i++) {
		if (list->prefixes[i].length > 0)
			next->named[next->n_named++] = list->prefixes[i];
	}
}

static enum qe_error fill(
	struct qe_gateway *gateway, const struct qe_config *config, struct qe_text *why)
{
	const struct qe_config_list *masquerade = &config->network.masquerade;
	struct qe_nft_gateway *next = &gateway->next;

	static_assert(QE_FORWARD_MAX <= QE_NFT_LIST_MAX / 2);
	memset(next, 0, sizeof(*next));
	next->exit = config->network.exit;
	for (size_t i = 0; i < masquerade->n; i++)
		next->masquerade[next->n_masquerade++] = masquerade->prefixes[i];
	if (!next->exit)
		return QE_OK;
	add_named(next, &config->network.advertise_subnets);
	add_named(next, &config->network.forward_subnets);
	return survey_networks(gateway, config, why);
}

enum qe_error qe_gateway_guard(
	struct qe_gateway *gateway, const struct qe_config *config, struct qe_text *why)
{
	struct qe_nft_gateway *next = &gateway->next;
	enum qe_error error;

	QE_TRY(fill(gateway, config, why));
	if (gateway->is_known && memcmp(next, &gateway->holds, sizeof(*next)) == 0)
		return QE_OK;
	error = qe_helper_gateway(
		gateway->helper, next->exit || next->n_masquerade > 0 ? next : nullptr, why);
	gateway->is_known = error == QE_OK;
	if (error == QE_OK)
		gateway->holds = *next;
	return error;
}

/* ---- forwarding ---- */

static bool has_family(const struct qe_prefix *prefixes, size_t n, enum qe_family family)
{
	for (size_t i = 0; i < n; i++) {
		if (prefixes[i].addr.family == family)
			return true;
	}
	return false;
}

static bool forwards(const struct qe_config *config, enum qe_family family)
{
	const struct qe_config_list *advertised = &config->network.advertise_subnets;

	return has_family(advertised->prefixes, advertised->n, family) ||
	       has_family(config->forward, config->n_forward, family);
}

enum qe_error qe_gateway_forward(
	struct qe_gateway *gateway, const struct qe_config *config, struct qe_text *why)
{
	enum qe_error error = qe_helper_forward(gateway->helper, forwards(config, QE_FAMILY_IPV4),
		forwards(config, QE_FAMILY_IPV6));

	if (error != QE_OK)
		qe_text_addf(why,
			"this host cannot be made to forward: %s: \"sysctl -w "
			"net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1\" does",
			qe_error_text(error));
	return error;
}
