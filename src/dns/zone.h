/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What is answered here and what is asked elsewhere: the names and addresses of nodes, a few names
 * that never leave the host, and the servers for the rest by the longest suffix. Made once of
 * settings, then read only.
 */
#pragma once

#include "dns/message.h"
#include "dns/owners.h"

#define QE_DNS_SERVERS_MAX 8
#define QE_DNS_TOP "internal"
#define QE_DNS_EXIT_ADDRESS "exit-address.quicether.internal"

struct qe_dns_node {
	const char *name; /* one that is no domain name, as with a space, is left out */
	const struct qe_addr *addrs;
	size_t n;
};

struct qe_dns_domain {
	const char *suffix;
	struct qe_endpoint server; /* port 0: 53 */
};

struct qe_dns_settings {
	const char *network; /* nodes are NAME.NETWORK.internal; NULL: no names of nodes */
	const struct qe_dns_node *nodes;
	size_t n_nodes;
	const struct qe_prefix *overlay; /* reverse names in these, too, are asked nowhere else */
	size_t n_overlay;
	const struct qe_dns_domain *domains;
	size_t n_domains;
	const struct qe_dns_owner *owners; /* of the addresses that members ask from */
	size_t n_owners;
	/* Asked for this host: the gateway's resolver, or servers that the user names. None: every
	 * such question fails at once. */
	struct qe_endpoint upstream[QE_DNS_SERVERS_MAX];
	size_t n_upstream;
	/* Asked for members, on a gateway: the host's own servers. */
	struct qe_endpoint members_upstream[QE_DNS_SERVERS_MAX];
	size_t n_members_upstream;
	/* What members are told of QE_DNS_EXIT_ADDRESS. */
	struct qe_addr exit_addrs[2];
	size_t n_exit_addrs;
};

struct qe_dns_zone;

/* Settings are copied. A node's name is known once: of two that are the same, the first counts.
 * QE_ERR_SYNTAX or QE_ERR_RANGE: the network or a suffix is no domain name. */
enum qe_error qe_dns_zone_new(
	struct qe_dns_zone **ret_zone, const struct qe_dns_settings *settings);
struct qe_dns_zone *qe_dns_zone_free(struct qe_dns_zone *zone); /* NULL-safe */

/* member: of a member, by the tunnel; else of this host. Whether it is answered here; *ret_own
 * points into the zone. */
bool qe_dns_zone_answer(const struct qe_dns_zone *zone, const struct qe_dns_question *question,
	bool member, struct qe_dns_own *ret_own);
/* The member whose address it is; 0: unknown. */
uint32_t qe_dns_zone_owner(const struct qe_dns_zone *zone, const struct qe_addr *addr);
/* Whom to ask otherwise; 0: nobody. */
size_t qe_dns_zone_servers(const struct qe_dns_zone *zone, const struct qe_dns_name *name,
	bool member, struct qe_endpoint to[QE_DNS_SERVERS_MAX]);
