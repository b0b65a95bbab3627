/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * VPN mode is three things, each of which is made by somebody else and put together here: a plan
 * for the host (vpn_plan.c), which the helper carries out; a node that takes one peer alone for an
 * exit; and a state, which says what is the case and not what was asked for.
 *
 * The state follows from facts alone: whether the gateway answers, and whether it says that it
 * forwards to everywhere. They are looked at after each turn of the loop, in one place (assess),
 * and one function (enter) tells of a change. So nothing has to be thought of when a link comes or
 * goes, and there is no event that could be missed.
 *
 * The plan is the same in all states but "off": that the tunnel is not there is no reason to open
 * anything. It is replaced only when what it is made of changes, and then as a whole; if that
 * fails, the one before stays in effect.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/time.h"
#include "crypto/node_id.h"
#include "daemon/configured.h"
#include "daemon/vpn_check.h"
#include "daemon/vpn_internal.h"

/* What is told so soon after a change of ours is our own doing. */
constexpr qe_time own_doing = QE_SECOND / 2;

/* ---- the plan ---- */

static struct qe_helper *helper_of(const struct qe_vpn *vpn)
{
	return qe_router_helper(vpn->settings.router);
}

static enum qe_error make_plan(
	const struct qe_vpn *vpn, struct qe_vpn_plan *ret_plan, struct qe_text *why)
{
	const struct qe_config *config = vpn_config(vpn);
	const struct qe_vpn_facts facts = {
		.overlay = &vpn->overlay,
		.gateway = vpn_gateway(vpn),
	};
	enum qe_error error = qe_vpn_make_plan(ret_plan, config, &facts, vpn->settings.netlink);

	if (error != QE_OK)
		qe_text_addf(why, "the host's networks cannot be read: %s", qe_error_text(error));
	return error;
}

/* That are left, rounded up: the daemon shuts it before the kernel does. */
static uint32_t portal_seconds(const struct qe_vpn *vpn)
{
	qe_time left = qe_time_since(qe_clock_now(), vpn->portal_until);

	return (uint32_t)((left + QE_SECOND - 1) / QE_SECOND);
}

static enum qe_error give_helper(
	struct qe_vpn *vpn, const struct qe_vpn_plan *plan, struct qe_text *why)
{
	enum qe_error error = qe_helper_vpn(helper_of(vpn), plan, why);

	vpn->put_at = qe_clock_now();
	if (error == QE_OK)
		vpn->leads_nowhere = vpn->interface_is_down;
	else if (why->len == 0)
		qe_text_add(why, qe_error_text(error));
	return error;
}

static enum qe_error put_plan(struct qe_vpn *vpn, struct qe_text *why)
{
	struct qe_vpn_plan plan;

	QE_TRY(make_plan(vpn, &plan, why));
	plan.portal_seconds = portal_seconds(vpn);
	if (vpn->on && qe_vpn_same_plan(&plan, &vpn->plan))
		return QE_OK;
	QE_TRY(give_helper(vpn, &plan, why));
	vpn->plan = plan;
	vpn->is_lost = false;
	qe_router_set_vpn(vpn->settings.router, true);
	return QE_OK;
}

/* Of programs that go another way, while the rest of the host does not. */
static enum qe_error put_only_plan(struct qe_vpn *vpn, struct qe_text *why)
{
	struct qe_vpn_plan plan;

	qe_vpn_make_only_plan(&plan, vpn_config(vpn), &vpn->overlay);
	return give_helper(vpn, &plan, why);
}

static void tell_naming(struct qe_vpn *vpn)
{
	if (vpn->naming)
		qe_naming_set_vpn(vpn->naming, vpn->on ? vpn_gateway(vpn) : nullptr);
}

/* While it is on: what fails leaves the plan of before in effect. */
static void renew_plan(struct qe_vpn *vpn)
{
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));

	if (put_plan(vpn, &why) != QE_OK)
		qe_log(vpn->settings.log, QE_LOG_ERROR, "vpn_failed", nullptr,
			"VPN mode stays as it was before the change: %s", text);
}

/* All of it, which takes as little as to look what is missing. If that fails, what was before is in
 * effect as far as it stands. */
static enum qe_error put_anew(struct qe_vpn *vpn, struct qe_text *why)
{
	const struct qe_vpn_plan before = vpn->plan;
	enum qe_error error;

	vpn->plan = (struct qe_vpn_plan){};
	error = vpn->on ? put_plan(vpn, why) : put_only_plan(vpn, why);
	vpn->is_lost = error != QE_OK;
	if (vpn->is_lost)
		vpn->plan = before;
	return error;
}

/* An interface that goes down takes its routes along: nobody has meant them. */
static bool has_way_in(const struct qe_vpn *vpn)
{
	bool up;

	return qe_netlink_is_up(vpn->settings.netlink, vpn_config(vpn)->network.tun_name, &up) ==
		       QE_OK &&
	       up;
}

static bool put_back(void *ctx)
{
	struct qe_vpn *vpn = ctx;
	bool foreign = qe_time_since(vpn->put_at, qe_clock_now()) >= own_doing && has_way_in(vpn);
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));

	if (!vpn->on && !vpn->only)
		return true;
	if (put_anew(vpn, &why) != QE_OK)
		qe_log(vpn->settings.log, QE_LOG_ERROR, "vpn_lost", nullptr,
			"another program has taken away a part of VPN mode, which cannot be put "
			"back: %s",
			text);
	else if (foreign)
		qe_log(vpn->settings.log, QE_LOG_WARN, "vpn_restored", nullptr,
			"another program has taken away a part of VPN mode: it is put back");
	return !vpn->is_lost;
}

void qe_vpn_interface_changed(struct qe_vpn *vpn, bool up)
{
	char unheard[200];
	struct qe_text why = qe_text_init(unheard, sizeof(unheard));

	vpn->interface_is_down = !up;
	vpn->leads_nowhere |= !up;
	if ((vpn->on || vpn->only) && put_anew(vpn, &why) != QE_OK)
		qe_vpn_watch_suspect(vpn->watch);
}

void qe_vpn_host_changed(struct qe_vpn *vpn)
{
	qe_portal_host_changed(vpn->portal);
	if (vpn->on)
		renew_plan(vpn);
}

/* ---- a portal ---- */

static void set_portal(struct qe_vpn *vpn, qe_time until)
{
	vpn->portal_until = until;
	if (vpn->naming)
		qe_naming_set_portal(vpn->naming, until > 0);
	(void)!qe_loop_set_alarm(
		vpn->settings.loop, &vpn->portal_alarm, until > 0 ? until : QE_TIME_NEVER);
}

static void shut_portal(struct qe_vpn *vpn)
{
	if (vpn->portal_until == 0)
		return;
	set_portal(vpn, 0);
	renew_plan(vpn);
	qe_log(vpn->settings.log, QE_LOG_INFO, "portal", nullptr,
		"VPN mode: web pages and names go through the tunnel again");
}

static void portal_time_ends(struct qe_alarm *alarm, qe_time)
{
	shut_portal(QE_CONTAINER_OF(alarm, struct qe_vpn, portal_alarm));
}

enum qe_error qe_vpn_open_portal(struct qe_vpn *vpn, unsigned seconds, struct qe_text *why)
{
	const qe_time before = vpn->portal_until;
	enum qe_error error;

	if (vpn->state == QE_VPN_OFF || vpn->state == QE_VPN_CONNECTED) {
		qe_text_addf(why, "VPN mode is %s: there is nothing in the way of a login",
			qe_vpn_state_name(vpn->state));
		return QE_ERR_NOT_FOUND;
	}
	set_portal(vpn, qe_clock_now() + seconds * QE_SECOND);
	error = put_plan(vpn, why);
	if (error != QE_OK) {
		set_portal(vpn, before);
		return error;
	}
	qe_log(vpn->settings.log, QE_LOG_WARN, "portal", nullptr,
		"VPN mode: web pages and names go beside the tunnel for %u s", seconds);
	qe_audit_add(
		vpn->settings.audit, "vpn_portal", json_pack("{s:i}", "seconds", (int)seconds));
	return QE_OK;
}

/* ---- again and again ---- */

void qe_vpn_run(struct qe_vpn *vpn)
{
	char text[sizeof(vpn->reason)] = "";
	struct qe_text reason = qe_text_init(text, sizeof(text));

	if (!vpn->on || !vpn->has_interface)
		return;
	vpn_enter(vpn, vpn_assess(vpn, &reason), text);
	if (vpn->state == QE_VPN_CONNECTED) {
		shut_portal(vpn);
		qe_portal_stop(vpn->portal);
	} else {
		qe_portal_look(vpn->portal, vpn_config(vpn)->vpn.captive_portal);
	}
}

static void patience_ends(struct qe_alarm *alarm, qe_time)
{
	qe_vpn_run(QE_CONTAINER_OF(alarm, struct qe_vpn, alarm));
}

/* ---- up and down ---- */

static enum qe_error set_exit(
	struct qe_vpn *vpn, const struct qe_node_id *exit, struct qe_text *why)
{
	enum qe_error error = vpn->settings.set_exit(vpn->settings.ctx, exit);

	if (error != QE_OK)
		qe_text_addf(why, "the node's gateway cannot be changed: %s", qe_error_text(error));
	return error;
}

/* Through another gateway than before, or for the first time. */
static enum qe_error go_through(
	struct qe_vpn *vpn, const struct qe_node_id *gateway, struct qe_text *why)
{
	struct qe_node_id before = vpn->via;
	char unheard[1];
	struct qe_text nobody = qe_text_init(unheard, sizeof(unheard));
	enum qe_error error;

	QE_TRY(set_exit(vpn, gateway, why));
	vpn->via = *gateway;
	error = put_plan(vpn, why);
	if (error != QE_OK) {
		vpn->via = before;
		(void)!set_exit(vpn, vpn->on ? &vpn->via : nullptr, &nobody);
	}
	return error;
}

static void begin(struct qe_vpn *vpn)
{
	vpn->on = true;
	vpn->has_connected = false;
	vpn_begin_to_wait(vpn);
	tell_naming(vpn);
	vpn_enter(vpn, QE_VPN_CONNECTING, "");
	qe_vpn_run(vpn);
}

enum qe_error qe_vpn_up(struct qe_vpn *vpn, const char *via, struct qe_text *why)
{
	const struct qe_directory *directory = vpn->settings.directory;
	const struct qe_node_id *gateway;
	size_t found = 0;

	QE_TRY(qe_vpn_find_gateway(&found, directory, via, why));
	gateway = &vpn_config(vpn)->peers[found].id;
	if (vpn->on && (!via || qe_node_id_equal(gateway, &vpn->via)))
		return QE_OK;
	if (!vpn->on)
		QE_TRY(qe_vpn_check_way(directory, vpn->settings.node, vpn->endpoints, found, why));
	QE_TRY(go_through(vpn, gateway, why));
	begin(vpn);
	return QE_OK;
}

/* ---- programs that go another way ---- */

enum qe_error qe_vpn_only(struct qe_vpn *vpn, json_t **ret_answer, struct qe_text *why)
{
	const struct qe_config_peer *gateway = vpn->on ? vpn_gateway(vpn) : nullptr;
	size_t found = 0;

	if (!gateway) {
		QE_TRY(qe_vpn_find_gateway(&found, vpn->settings.directory, nullptr, why));
		gateway = &vpn_config(vpn)->peers[found];
	}
	if (!vpn->on && !vpn->only)
		QE_TRY(put_only_plan(vpn, why));
	vpn->only = true;
	*ret_answer = qe_vpn_only_json(vpn_config(vpn), gateway);
	return QE_OK;
}

json_t *qe_vpn_bypass(const struct qe_vpn *vpn)
{
	return qe_vpn_bypass_json(vpn->naming ? qe_naming_former(vpn->naming) : nullptr);
}

/* ---- the way back ---- */

enum qe_error qe_vpn_down(struct qe_vpn *vpn, struct qe_text *why)
{
	enum qe_error error;

	if (!vpn->on)
		return QE_OK;
	/* No name is asked of a server that was to be reached through the tunnel alone. */
	vpn->on = false;
	tell_naming(vpn);
	error = vpn->only ? put_only_plan(vpn, why) : qe_helper_vpn(helper_of(vpn), nullptr, why);
	if (error != QE_OK) {
		vpn->on = true;
		tell_naming(vpn);
		return error;
	}
	qe_router_set_vpn(vpn->settings.router, false);
	qe_portal_stop(vpn->portal);
	set_portal(vpn, 0);
	(void)!qe_loop_set_alarm(vpn->settings.loop, &vpn->alarm, QE_TIME_NEVER);
	vpn_enter(vpn, QE_VPN_OFF, "");
	return set_exit(vpn, nullptr, why);
}

/* ---- the configuration ---- */

const struct qe_node_id *qe_vpn_configured_exit(const struct qe_config *config)
{
	return config->vpn.enabled ? &config->peers[config->vpn_gateway].id : nullptr;
}

const struct qe_node_id *qe_vpn_exit(const struct qe_vpn *vpn)
{
	return vpn->on ? &vpn->via : nullptr;
}

static void log_failure(const struct qe_vpn *vpn, const char *text)
{
	qe_log(vpn->settings.log, QE_LOG_ERROR, "vpn_failed", nullptr, "VPN mode: %s", text);
}

/* What was asked for by hand stays, unless the configuration says anew what is to be. */
void qe_vpn_reconfigure(struct qe_vpn *vpn)
{
	bool wanted = vpn_config(vpn)->vpn.enabled, changed = wanted != vpn->was_wanted;
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));

	vpn->was_wanted = wanted;
	if (changed && (wanted ? qe_vpn_up(vpn, nullptr, &why) : qe_vpn_down(vpn, &why)) != QE_OK)
		log_failure(vpn, text);
	else if (vpn->on)
		renew_plan(vpn);
	else if (vpn->only && put_only_plan(vpn, &why) != QE_OK)
		log_failure(vpn, text);
	if (vpn->naming)
		qe_naming_changed(vpn->naming);
	tell_naming(vpn);
}

/* ---- life ---- */

static void portal_changed(void *ctx)
{
	qe_vpn_run(ctx);
}

static enum qe_error make_portal(struct qe_vpn *vpn)
{
	const struct qe_portal_settings settings = {
		.loop = vpn->settings.loop,
		.helper = helper_of(vpn),
		.log = vpn->settings.log,
		.changed = portal_changed,
		.ctx = vpn,
	};

	return qe_portal_new(&vpn->portal, &settings);
}

/* As far as it can be so early. */
static enum qe_error block(
	struct qe_vpn *vpn, const struct qe_node_id *gateway, struct qe_text *why)
{
	vpn->via = *gateway;
	QE_TRY(put_plan(vpn, why));
	vpn->on = true;
	return QE_OK;
}

/* A daemon that was killed, or has ended with QE_GOODBYE_HOLD, was in VPN mode, and nobody has said
 * since that the host may send in the clear. */
static enum qe_error resume(struct qe_vpn *vpn, struct qe_text *why)
{
	const struct qe_vpn_settings *settings = &vpn->settings;
	enum qe_error error;
	size_t found = 0;

	error = qe_vpn_find_gateway(&found, settings->directory, settings->before, why);
	if (error == QE_OK)
		error = set_exit(vpn, &vpn_config(vpn)->peers[found].id, why);
	if (error == QE_OK)
		error = block(vpn, &vpn_config(vpn)->peers[found].id, why);
	if (error != QE_OK) {
		qe_text_add(why, "; it stands since a daemon before this one: \"quicether repair\" "
				 "opens the host");
		return error;
	}
	qe_log(settings->log, QE_LOG_WARN, "vpn_resumed", nullptr,
		"VPN mode: nobody has ended it since a daemon before this one, and so it goes on: "
		"\"quicether vpn down\" ends it");
	return QE_OK;
}

enum qe_error qe_vpn_new(
	struct qe_vpn **ret_vpn, const struct qe_vpn_settings *settings, struct qe_text *why)
{
	struct qe_vpn *vpn = calloc(1, sizeof(*vpn));
	enum qe_error error = QE_OK;

	if (!vpn)
		return -ENOMEM;
	vpn->settings = *settings;
	vpn->overlay = qe_node_id_overlay_addr(qe_node_get_id(settings->node));
	vpn->alarm.ring = patience_ends;
	vpn->portal_alarm.ring = portal_time_ends;
	vpn->since = qe_clock_now();
	vpn->was_wanted = vpn_config(vpn)->vpn.enabled;
	error = make_portal(vpn);
	if (error == QE_OK)
		error = qe_vpn_watch_new(&vpn->watch, settings->loop, put_back, vpn);
	if (error == QE_OK && vpn->was_wanted)
		error = block(vpn, qe_vpn_configured_exit(vpn_config(vpn)), why);
	else if (error == QE_OK && settings->before[0])
		error = resume(vpn, why);
	if (error != QE_OK) {
		qe_vpn_free(vpn, QE_GOODBYE_AS_FOUND);
		return error;
	}
	*ret_vpn = vpn;
	return QE_OK;
}

enum qe_error qe_vpn_start(struct qe_vpn *vpn, struct qe_text *why)
{
	vpn->has_interface = true;
	if (!vpn->on)
		return QE_OK;
	vpn->plan = (struct qe_vpn_plan){}; /* there is something now that routes can lead into */
	QE_TRY(put_plan(vpn, why));
	begin(vpn);
	return QE_OK;
}

bool qe_vpn_blocks(const struct qe_vpn *vpn)
{
	return vpn->on && vpn->plan.kill_switch;
}

void qe_vpn_set_endpoints(struct qe_vpn *vpn, const struct qe_endpoints *endpoints)
{
	vpn->endpoints = endpoints;
}

void qe_vpn_set_naming(struct qe_vpn *vpn, struct qe_naming *naming)
{
	vpn->naming = naming;
	tell_naming(vpn);
}

struct qe_vpn *qe_vpn_free(struct qe_vpn *vpn, enum qe_goodbye goodbye)
{
	if (!vpn)
		return nullptr;
	if (vpn->on && goodbye == QE_GOODBYE)
		vpn_enter(vpn, QE_VPN_OFF, "the daemon ends");
	else if (vpn->on)
		vpn_enter(vpn, QE_VPN_BLOCKED, "the daemon ends, and what blocks stays");
	set_portal(vpn, 0);
	vpn->portal = qe_portal_free(vpn->portal);
	vpn->watch = qe_vpn_watch_free(vpn->watch);
	(void)!qe_loop_set_alarm(vpn->settings.loop, &vpn->alarm, QE_TIME_NEVER);
	free(vpn);
	return nullptr;
}

json_t *qe_vpn_status(const struct qe_vpn *vpn)
{
	struct qe_naming_status names = {};

	if (vpn->naming)
		qe_naming_get_status(vpn->naming, &names);
	return qe_vpn_report_json(&(struct qe_vpn_report){
		.state = vpn->state,
		.reason = vpn->reason[0] ? vpn->reason : nullptr,
		.via = vpn->on ? vpn_gateway(vpn) : nullptr,
		.since = vpn->since,
		.ipv4 = vpn->on && vpn->ipv4,
		.ipv6 = vpn->on && vpn->ipv6,
		.is_lost = vpn->is_lost,
		.plan = vpn->on ? &vpn->plan : nullptr,
		.portal_until = vpn->portal_until,
		.names = vpn->on ? &names : nullptr,
	});
}
