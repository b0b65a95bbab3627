/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The state of VPN mode: what it is, and who is told when it changes. */
#include "base/time.h"
#include "crypto/node_id.h"
#include "daemon/configured.h"
#include "daemon/vpn_internal.h"
#include "os/clock.h"

/* How long it may take until it is said that it does not succeed. */
constexpr qe_time patience = 30 * QE_SECOND;

/* ---- the gateway ---- */

const struct qe_config *vpn_config(const struct qe_vpn *vpn)
{
	return qe_directory_config(vpn->settings.directory);
}

const struct qe_config_peer *vpn_gateway(const struct qe_vpn *vpn)
{
	const struct qe_config *config = vpn_config(vpn);

	for (size_t i = 0; i < config->n_peers; i++) {
		if (qe_node_id_equal(&config->peers[i].id, &vpn->via))
			return &config->peers[i];
	}
	return nullptr;
}

static void format_gateway(const struct qe_vpn *vpn, char to[static QE_NAME_MAX + 1])
{
	const struct qe_config_peer *peer = vpn_gateway(vpn);

	if (peer)
		qe_peer_label(to, peer);
	else
		qe_node_id_format(to, &vpn->via);
}

/* ---- the state ---- */

static json_t *record(const struct qe_vpn *vpn, enum qe_vpn_state before)
{
	const struct qe_config_peer *peer = vpn_gateway(vpn);
	char id[QE_NODE_ID_TEXT_SIZE];

	qe_node_id_format(id, &vpn->via);
	return json_pack("{s:s, s:s, s:s?, s:s?, s:s}", "state", qe_vpn_state_name(vpn->state),
		"before", qe_vpn_state_name(before), "reason",
		vpn->reason[0] ? vpn->reason : nullptr, "node", peer ? peer->name : nullptr, "id",
		id);
}

static json_t *event(const struct qe_vpn *vpn)
{
	return json_pack("{s:s, s:s?}", "state", qe_vpn_state_name(vpn->state), "reason",
		vpn->reason[0] ? vpn->reason : nullptr);
}

static void tell(const struct qe_vpn *vpn, enum qe_vpn_state before)
{
	bool good = vpn->state == QE_VPN_OFF || vpn->state == QE_VPN_CONNECTED ||
		    vpn->state == QE_VPN_CONNECTING;
	char label[QE_NAME_MAX + 1];

	format_gateway(vpn, label);
	qe_log(vpn->settings.log, good ? QE_LOG_INFO : QE_LOG_WARN, "vpn", label,
		"VPN mode: %s, by way of %s%s%s", qe_vpn_state_name(vpn->state), label,
		vpn->reason[0] ? ": " : "", vpn->reason);
	qe_audit_add(vpn->settings.audit, "vpn", record(vpn, before));
	vpn->settings.notify(vpn->settings.ctx, event(vpn));
}

void vpn_begin_to_wait(struct qe_vpn *vpn)
{
	vpn->lost_at = qe_clock_now();
	(void)!qe_loop_set_alarm(vpn->settings.loop, &vpn->alarm, vpn->lost_at + patience);
}

void vpn_enter(struct qe_vpn *vpn, enum qe_vpn_state state, const char *reason)
{
	enum qe_vpn_state before = vpn->state;
	struct qe_text to = qe_text_init(vpn->reason, sizeof(vpn->reason));

	qe_text_add(&to, reason);
	if (state == before)
		return;
	if (state == QE_VPN_CONNECTED)
		vpn->has_connected = true;
	if (before == QE_VPN_CONNECTED)
		vpn_begin_to_wait(vpn);
	if (state == QE_VPN_CONNECTED && vpn->naming)
		qe_naming_connected(vpn->naming);
	vpn->state = state;
	vpn->since = qe_clock_now();
	tell(vpn, before);
}

/* What does not mend itself; nothing is added if there is no such thing. */
static void add_obstacle(
	const struct qe_vpn *vpn, const struct qe_exit_status *exit, struct qe_text *reason)
{
	const struct qe_config *config = vpn_config(vpn);
	const struct qe_config_peer *peer = vpn_gateway(vpn);
	char label[QE_NAME_MAX + 1];

	format_gateway(vpn, label);
	if (vpn->leads_nowhere)
		qe_text_addf(reason, "the interface %s is down", config->network.tun_name);
	else if (!peer || !qe_configured_is_exit(config, (size_t)(peer - config->peers)))
		qe_text_addf(reason, "%s may not be a way to everywhere any more", label);
	else if (exit->answers && exit->announced && !exit->ipv4 && !exit->ipv6)
		qe_text_addf(reason, "%s does not offer a way to the Internet", label);
}

/* What is likely to pass. */
static void add_delay(
	const struct qe_vpn *vpn, const struct qe_exit_status *exit, struct qe_text *reason)
{
	char label[QE_NAME_MAX + 1];

	format_gateway(vpn, label);
	if (!exit->up)
		qe_text_addf(reason, "no link to %s", label);
	else if (!exit->answers)
		qe_text_addf(reason, "%s does not answer", label);
	else if (!exit->announced)
		qe_text_addf(reason, "%s has not said yet what it offers", label);
}

enum qe_vpn_state vpn_assess(struct qe_vpn *vpn, struct qe_text *reason)
{
	size_t slot = qe_node_find_peer(vpn->settings.node, &vpn->via);
	struct qe_exit_status exit = qe_node_exit_status(vpn->settings.node, slot);

	vpn->ipv4 = exit.ipv4;
	vpn->ipv6 = exit.ipv6;
	add_obstacle(vpn, &exit, reason);
	if (reason->len > 0)
		return QE_VPN_BLOCKED;
	add_delay(vpn, &exit, reason);
	if (reason->len == 0)
		return QE_VPN_CONNECTED;
	if (qe_portal_found(vpn->portal)) {
		*reason = qe_text_init(reason->at, reason->size);
		qe_text_add(reason, qe_portal_found(vpn->portal));
		return QE_VPN_BLOCKED;
	}
	if (vpn->state != QE_VPN_CONNECTED &&
		qe_time_since(vpn->lost_at, qe_clock_now()) >= patience)
		return QE_VPN_BLOCKED;
	return vpn->has_connected ? QE_VPN_RECONNECTING : QE_VPN_CONNECTING;
}
