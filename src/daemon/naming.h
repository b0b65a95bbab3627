/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Who asks this node for names, and whom it asks: members on a gateway that lets them out, this
 * host's programs while VPN mode is on. It tells the resolver (daemon/dns.h) what to answer, and
 * when this host is to ask it. Control thread.
 */
#pragma once

#include <jansson.h>

#include "daemon/directory.h"
#include "daemon/dns.h"
#include "daemon/host_names.h"
#include "daemon/router.h"

struct qe_naming;

/* Nothing is owned. */
struct qe_naming_settings {
	const struct qe_directory *directory;
	const struct qe_node *node;
	struct qe_router *router;
	struct qe_loop *loop;
	const struct qe_log *log;
	void (*wake)(void *ctx); /* from other threads: the resolver has an answer to take */
	void *ctx;
};

/* The interface is up, and privileges are dropped. What fails of it is logged, and no reason not to
 * start. */
enum qe_error qe_naming_new(
	struct qe_naming **ret_naming, const struct qe_naming_settings *settings);
/* Leaves the host's resolver to the helper; NULL-safe. */
struct qe_naming *qe_naming_free(struct qe_naming *naming);

/* VPN mode goes through that peer now; NULL: it is off. As often as one likes. */
void qe_naming_set_vpn(struct qe_naming *naming, const struct qe_config_peer *gateway);
/* Names are asked of whom this host asked before, as a page to log in at is only known there. */
void qe_naming_set_portal(struct qe_naming *naming, bool open);
/* The tunnel is there: the gateway is asked for the address that it gives to what leaves it. */
void qe_naming_connected(struct qe_naming *naming);
void qe_naming_network_changed(struct qe_naming *naming);
/* The configuration is another. */
void qe_naming_changed(struct qe_naming *naming);

/* Whether an answer that was taken from the resolver was for this. */
bool qe_naming_take(struct qe_naming *naming, const struct qe_resolved *resolved);
/* While VPN mode is on: whom this host asked before; how many. 0: it is off, or nobody is known. */
size_t qe_naming_former_servers(
	const struct qe_naming *naming, struct qe_endpoint to[static QE_DNS_SERVERS_MAX]);
struct qe_dns *qe_naming_dns(const struct qe_naming *naming); /* for other look-ups */
bool qe_naming_has_vpn(const struct qe_naming *naming);

struct qe_naming_status {
	enum qe_host_names_state for_host;
	enum qe_host_dns_method method;
	struct qe_endpoint servers[QE_DNS_SERVERS_MAX]; /* whom we ask for it */
	size_t n_servers;
	/* As the gateway says. */
	struct qe_addr exit_addrs[2];
	size_t n_exit_addrs;
};

/* Whom this host asked before it asked the node; NULL: it does not ask the node. */
const struct qe_host_dns_answer *qe_naming_former(const struct qe_naming *naming);
void qe_naming_get_status(const struct qe_naming *naming, struct qe_naming_status *ret_status);
/* "dns" of the status, as docs/rpc.md has it; NULL without memory. */
json_t *qe_naming_json(const struct qe_naming *naming);
