/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Routing by rules and tables of our own, beside the main table, which is left alone. Packets with
 * QE_VPN_MARK, which sockets of os/udp.h give them, go by none of these.
 *
 * All that we add carries our protocol number, and nothing else is ever removed.
 */
#pragma once

#include "os/vpn_plan.h"

enum qe_policy_rule : uint8_t {
	QE_RULE_KNOWN,    /* by the main table goes what has a route there but a default one */
	QE_RULE_UNMARKED, /* by QE_DEFAULT_TABLE what has not our mark */
	QE_RULE_ONLY,     /* by table QE_VPN_ONLY_MARK what has that mark */
};
#define QE_POLICY_RULES 3

/* "unmarked" */
const char *qe_policy_rule_name(enum qe_policy_rule rule);
/* One that is there is no error. QE_ERR_UNSUPPORTED: the host has not this family. */
enum qe_error qe_policy_rule_add(
	struct qe_netlink *netlink, enum qe_family family, enum qe_policy_rule rule);
/* QE_ERR_NOT_FOUND: there is none. */
enum qe_error qe_policy_rule_remove(
	struct qe_netlink *netlink, enum qe_family family, enum qe_policy_rule rule);

enum qe_policy_route_type : uint8_t {
	QE_POLICY_INTO,        /* an interface */
	QE_POLICY_UNREACHABLE, /* behind all others of the prefix */
	QE_POLICY_THROW,       /* on to the next rule */
};

struct qe_policy_route {
	struct qe_prefix prefix;
	enum qe_policy_route_type type;
};

/* What of the family the table has of ours: these and no others, index being the interface. New
 * ones come before former ones go, so that no packet meets less than both have in common.
 * QE_ERR_UNSUPPORTED: the host has not this family. */
enum qe_error qe_policy_table_set(struct qe_netlink *netlink, enum qe_family family, uint32_t table,
	unsigned index, const struct qe_policy_route *routes, size_t n);
/* Takes ours away. ret_ours, ret_others: how many these were, and how many stay. */
enum qe_error qe_policy_table_clear(struct qe_netlink *netlink, enum qe_family family,
	uint32_t table, size_t *ret_ours, size_t *ret_others);

/* QE_ERR_CONFLICT, and why, if somebody uses our tables or marks; ours_too: as we do. */
enum qe_error qe_policy_check_free(struct qe_netlink *netlink, bool ours_too, struct qe_text *why);
