/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/vpn_check.h"

#include <errno.h>

#include "daemon/configured.h"
#include "os/udp.h"

/* ---- which one ---- */

static enum qe_error find(size_t *ret_gateway, const struct qe_directory *directory,
	const char *text, struct qe_text *why)
{
	const struct qe_config *config = qe_directory_config(directory);
	enum qe_error error;
	size_t slot = 0;

	if (!text && config->vpn_gateway == SIZE_MAX) {
		qe_text_add(why, "no gateway is named: say --via NODE, or via = \"NODE\" in [vpn]");
		return QE_ERR_NOT_FOUND;
	}
	if (!text) {
		*ret_gateway = config->vpn_gateway;
		return QE_OK;
	}
	error = qe_directory_find(directory, text, &slot);
	if (error == QE_ERR_AMBIGUOUS)
		qe_text_addf(why, "more than one peer's NodeId begins with \"%.64s\"", text);
	else if (error != QE_OK)
		qe_text_addf(why, "no peer has the name or NodeId \"%.64s\"", text);
	else
		*ret_gateway = (size_t)(qe_directory_peer(directory, slot) - config->peers);
	return error;
}

enum qe_error qe_vpn_find_gateway(size_t *ret_gateway, const struct qe_directory *directory,
	const char *text, struct qe_text *why)
{
	const struct qe_config *config = qe_directory_config(directory);
	char label[QE_NAME_MAX + 1];
	size_t gateway = 0;

	QE_TRY(find(&gateway, directory, text, why));
	if (!qe_configured_is_exit(config, gateway)) {
		qe_peer_label(label, &config->peers[gateway]);
		qe_text_addf(why,
			"%s may not be a way to everywhere: exit = true in its [[peers]] allows it",
			label);
		return QE_ERR_CONFLICT;
	}
	*ret_gateway = gateway;
	return QE_OK;
}

/* ---- whether it can be reached ---- */

/* A name that is not resolved yet speaks for nothing. */
static bool has_way(const struct qe_endpoint *known, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (qe_udp_has_way(&known[i]))
			return true;
	}
	return n == 0;
}

enum qe_error qe_vpn_check_way(const struct qe_directory *directory, const struct qe_node *node,
	const struct qe_endpoints *endpoints, size_t gateway, struct qe_text *why)
{
	const struct qe_config_peer *peer = &qe_directory_config(directory)->peers[gateway];
	size_t slot = qe_directory_slot(directory, gateway);
	struct qe_endpoint known[QE_PEER_ENDPOINTS_MAX];
	char label[QE_NAME_MAX + 1];

	qe_peer_label(label, peer);
	if (qe_node_exit_status(node, slot).up)
		return QE_OK;
	if (peer->endpoints.n == 0) {
		qe_text_addf(why,
			"%s is not connected, and there are no endpoints to reach it at: it must "
			"connect first",
			label);
		return -EHOSTUNREACH;
	}
	if (!has_way(known, qe_endpoints_known(endpoints, slot, known))) {
		qe_text_addf(why, "this host has no route to %s", label);
		return -ENETUNREACH;
	}
	return QE_OK;
}
