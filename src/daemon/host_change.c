/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/host_change.h"

#include "daemon/host.h"
#include "net/addr.h"

struct qe_host_routes_settings qe_host_routes_settings_of(const struct qe_config *config)
{
	return (struct qe_host_routes_settings){
		.interface = config->network.tun_name,
		.accept = config->overlay.accept_routes.prefixes,
		.n_accept = config->overlay.accept_routes.n,
		.over_lan = config->overlay.accept_routes_over_lan,
	};
}

enum qe_error qe_host_routes_want(
	struct qe_host_routes *routes, const struct qe_config *config, bool wanted)
{
	for (size_t i = 0; i < config->n_peers; i++) {
		const struct qe_config_peer *peer = &config->peers[i];

		for (size_t j = 0; j < peer->n_prefixes; j++)
			QE_TRY(qe_host_routes_set(routes, &peer->prefixes[j], wanted));
	}
	return QE_OK;
}

/* ---- addresses ---- */

static bool has_addr(const struct qe_config *config, const struct qe_interface_addr *addr)
{
	const struct qe_config_list *addrs = &config->network.tun_addr;

	for (size_t i = 0; i < addrs->n; i++) {
		if (qe_addr_equal(&addrs->addrs[i].addr, &addr->addr) &&
			addrs->addrs[i].prefix.length == addr->prefix.length)
			return true;
	}
	return false;
}

typedef enum qe_error change_addr(
	struct qe_helper *helper, const struct qe_addr *addr, uint8_t length);

/* Those of the first that the second has not. */
static void change_addrs(struct qe_helper *helper, change_addr *change,
	const struct qe_config *first, const struct qe_config *second, const struct qe_log *log)
{
	const struct qe_config_list *addrs = &first->network.tun_addr;

	for (size_t i = 0; i < addrs->n; i++) {
		const struct qe_interface_addr *addr = &addrs->addrs[i];
		char text[QE_ADDR_TEXT_SIZE];
		enum qe_error error;

		if (has_addr(second, addr))
			continue;
		error = change(helper, &addr->addr, addr->prefix.length);
		if (error == QE_OK)
			continue;
		qe_addr_format(text, &addr->addr);
		qe_log(log, QE_LOG_ERROR, "address_failed", nullptr,
			"the address %s/%u of the interface cannot be changed: %s", text,
			addr->prefix.length, qe_error_text(error));
	}
}

/* ---- all of it ---- */

/* Of all that is said of a prefix, the last counts: those in both are not touched. */
static void change_routes(struct qe_host_routes *routes, const struct qe_config *before,
	const struct qe_config *next, const struct qe_log *log)
{
	const struct qe_host_routes_settings settings = qe_host_routes_settings_of(next);
	enum qe_error error = qe_host_routes_configure(routes, &settings);

	if (error == QE_OK)
		error = qe_host_routes_want(routes, before, false);
	if (error == QE_OK)
		error = qe_host_routes_want(routes, next, true);
	if (error != QE_OK)
		qe_log(log, QE_LOG_ERROR, "routes_failed", nullptr,
			"routes of this host cannot be changed: %s", qe_error_text(error));
	qe_host_routes_run(routes);
}

void qe_host_change(struct qe_helper *helper, struct qe_host_routes *routes,
	const struct qe_config *before, const struct qe_config *next, const struct qe_log *log)
{
	char why_text[400] = "";
	struct qe_text why = qe_text_init(why_text, sizeof(why_text));

	change_addrs(helper, qe_helper_remove_addr, before, next, log);
	change_addrs(helper, qe_helper_add_addr, next, before, log);
	change_routes(routes, before, next, log);
	if (qe_host_route_for_others(helper, next, &why) != QE_OK)
		qe_log(log, QE_LOG_WARN, "no_forwarding", nullptr, "%s", why_text);
}
