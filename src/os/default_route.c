/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * First, all that has a route but a default one goes there; then what has not our mark, here. So
 * what has it comes to the host's own default route.
 */
#include <errno.h>

#include "os/default_route.h"
#include "os/policy_routes.h"

static const enum qe_policy_rule rules[] = {QE_RULE_KNOWN, QE_RULE_UNMARKED};

/* As they stand in the journal. */
static const struct {
	const char *rules[2], *table;
} names[] = {
	[QE_FAMILY_IPV4] = {{"ipv4/known", "ipv4/unmarked"}, "ipv4/20805"},
	[QE_FAMILY_IPV6] = {{"ipv6/known", "ipv6/unmarked"}, "ipv6/20805"},
};

enum qe_error qe_default_route_check(struct qe_netlink *netlink, bool alone)
{
	char unheard[200];
	struct qe_text why = qe_text_init(unheard, sizeof(unheard));
	enum qe_error error = qe_policy_check_free(netlink, !alone, &why);

	return error == QE_ERR_CONFLICT ? -EEXIST : error;
}

static enum qe_error note(struct qe_journal *journal, const char *kind, const char *which)
{
	const struct qe_journal_entry entry = {{kind, which}, 2};

	return qe_journal_add(journal, &entry, 1);
}

static enum qe_error add(struct qe_netlink *netlink, struct qe_journal *journal, unsigned index,
	enum qe_family family)
{
	const struct qe_policy_route route = {{.addr.family = (uint8_t)family}, QE_POLICY_INTO};

	QE_TRY(note(journal, QE_JOURNAL_ROUTES, names[family].table));
	QE_TRY(qe_policy_table_set(netlink, family, QE_DEFAULT_TABLE, index, &route, 1));
	for (size_t i = 0; i < 2; i++) {
		QE_TRY(note(journal, QE_JOURNAL_RULE, names[family].rules[i]));
		QE_TRY(qe_policy_rule_add(netlink, family, rules[i]));
	}
	return QE_OK;
}

enum qe_error qe_default_route_take(struct qe_netlink *netlink, struct qe_journal *journal,
	unsigned index, enum qe_family family)
{
	enum qe_error error = add(netlink, journal, index, family);

	if (error != QE_OK)
		qe_default_route_leave(netlink, journal, family);
	return error;
}

void qe_default_route_leave(
	struct qe_netlink *netlink, struct qe_journal *journal, enum qe_family family)
{
	struct qe_undo undo = {.netlink = netlink};

	for (size_t i = 2; i > 0; i--)
		(void)!qe_undo_one(&undo, journal, QE_JOURNAL_RULE, names[family].rules[i - 1]);
	(void)!qe_undo_one(&undo, journal, QE_JOURNAL_ROUTES, names[family].table);
}
