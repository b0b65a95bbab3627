/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "os/host_dns.h"
#include "os/kill_switch.h"
#include "os/nft.h"
#include "os/policy_routes.h"
#include "os/sysctl.h"
#include "os/undo.h"

constexpr char table_prefix[] = "quicether_";

void qe_undo_say(struct qe_undo *undo, enum qe_undone outcome, const char *format, ...)
{
	char line[600], printable[800];
	struct qe_text text = qe_text_init(printable, sizeof(printable));
	va_list arguments;

	undo->counts[outcome]++;
	if (!undo->say)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	qe_text_add_printable(&text, line);
	undo->say(undo->ctx, outcome, printable);
}

/* ---- the kinds ---- */

/* The interface went with the daemon, which held it open, and its addresses and routes went with
 * it; the gateway is only remembered. */
static bool forget(struct qe_undo *, const struct qe_journal_entry *, size_t)
{
	return true;
}

static bool undo_nft(struct qe_undo *undo, const struct qe_journal_entry *entry, size_t)
{
	const char *name = entry->words[1], *interface = name + strlen(table_prefix);
	char text[200] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));
	enum qe_error error = QE_ERR_RANGE;

	if (strcmp(name, QE_VPN_NFT_TABLE) == 0)
		error = qe_kill_switch_remove(&why);
	else if (strncmp(name, table_prefix, strlen(table_prefix)) == 0)
		error = qe_nft_set_gateway(interface, nullptr, &why);
	if (error == QE_OK)
		qe_undo_say(undo, QE_UNDONE, "nftables table inet %s is removed", name);
	else
		qe_undo_say(undo, QE_UNDO_FAILED, "nftables table inet %s cannot be removed: %s",
			name, text[0] ? text : qe_error_text(error));
	return error == QE_OK;
}

/* "ipv4/rest". */
static const char *split_family(const char *text, enum qe_family *ret_family)
{
	if (strncmp(text, "ipv4/", 5) != 0 && strncmp(text, "ipv6/", 5) != 0)
		return "";
	*ret_family = text[3] == '4' ? QE_FAMILY_IPV4 : QE_FAMILY_IPV6;
	return text + 5;
}

static bool undo_rule(struct qe_undo *undo, const struct qe_journal_entry *entry, size_t)
{
	enum qe_family family = QE_FAMILY_IPV4;
	const char *name = split_family(entry->words[1], &family);
	enum qe_error error = QE_ERR_RANGE;

	for (size_t i = 0; i < QE_POLICY_RULES; i++) {
		if (strcmp(name, qe_policy_rule_name((enum qe_policy_rule)i)) == 0)
			error = qe_policy_rule_remove(
				undo->netlink, family, (enum qe_policy_rule)i);
	}
	if (error == QE_OK)
		qe_undo_say(undo, QE_UNDONE, "the routing rule \"%s\" is removed", entry->words[1]);
	else if (error != QE_ERR_NOT_FOUND)
		qe_undo_say(undo, QE_UNDO_FAILED, "the routing rule \"%s\" cannot be removed: %s",
			entry->words[1], qe_error_text(error));
	return error == QE_OK || error == QE_ERR_NOT_FOUND;
}

static bool undo_routes(struct qe_undo *undo, const struct qe_journal_entry *entry, size_t)
{
	enum qe_family family = QE_FAMILY_IPV4;
	uint32_t table = (uint32_t)strtoul(split_family(entry->words[1], &family), nullptr, 10);
	enum qe_error error = QE_ERR_RANGE;
	size_t ours = 0, others = 0;

	if (table == QE_DEFAULT_TABLE || table == QE_VPN_ONLY_MARK)
		error = qe_policy_table_clear(undo->netlink, family, table, &ours, &others);
	if (error != QE_OK)
		qe_undo_say(undo, QE_UNDO_FAILED, "the routing table %s cannot be emptied: %s",
			entry->words[1], qe_error_text(error));
	if (ours > 0)
		qe_undo_say(undo, QE_UNDONE, "%zu %s of table %s %s removed", ours,
			ours == 1 ? "route" : "routes", entry->words[1], ours == 1 ? "is" : "are");
	if (others > 0)
		qe_undo_say(undo, QE_UNDO_THEIRS,
			"table %s has %zu %s of somebody else, left alone", entry->words[1], others,
			others == 1 ? "route" : "routes");
	return error == QE_OK;
}

static const struct kind {
	const char *name;
	size_t n_words;
	bool has_groups;
	qe_undo_kind *undo;
} kinds[] = {
	{QE_JOURNAL_INTERFACE, 2, false, forget},
	{QE_JOURNAL_GATEWAY, 2, false, forget},
	{QE_JOURNAL_NFT, 2, false, undo_nft},
	{QE_JOURNAL_SYSCTL, 5, true, qe_sysctl_undo},
	{QE_JOURNAL_ROUTES, 2, false, undo_routes},
	{QE_JOURNAL_RULE, 2, false, undo_rule},
	{QE_JOURNAL_RESOLVER, 3, false, qe_host_dns_undo},
};

static const struct kind *find_kind(const struct qe_journal_entry *entry)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, entry->words[0]) == 0)
			return kinds[i].n_words == entry->n ? &kinds[i] : nullptr;
	}
	return nullptr;
}

/* ---- all of it ---- */

static bool is_of_group(
	const struct kind *kind, const struct qe_journal_entry *a, const struct qe_journal_entry *b)
{
	return find_kind(a) == kind && strcmp(a->words[2], b->words[2]) == 0;
}

/* Where the group begins whose last entry that is. */
static size_t begin_of(const struct qe_journal *journal, const struct kind *kind, size_t last)
{
	const struct qe_journal_entry entry = qe_journal_at(journal, last);
	size_t first = last;

	while (kind->has_groups && first > 0) {
		const struct qe_journal_entry before = qe_journal_at(journal, first - 1);

		if (!is_of_group(kind, &before, &entry))
			break;
		first--;
	}
	return first;
}

static bool undo_group(struct qe_undo *undo, const struct qe_journal *journal,
	const struct kind *kind, size_t first, size_t n)
{
	struct qe_journal_entry *entries = calloc(n, sizeof(*entries));
	bool done;

	if (!entries)
		return false;
	for (size_t i = 0; i < n; i++)
		entries[i] = qe_journal_at(journal, first + i);
	done = kind->undo(undo, entries, n);
	free(entries);
	return done;
}

/* Whoever wrote an entry that nobody understands knows better what to do with it. */
static bool undo_from(
	struct qe_undo *undo, struct qe_journal *journal, size_t last, size_t *ret_first)
{
	const struct qe_journal_entry entry = qe_journal_at(journal, last);
	const struct kind *kind = find_kind(&entry);
	size_t first = kind ? begin_of(journal, kind, last) : last;
	bool done = false;

	if (kind)
		done = undo_group(undo, journal, kind, first, last - first + 1);
	else
		qe_undo_say(undo, QE_UNDO_FAILED,
			"the journal's entry \"%s %s\" is of no kind known here", entry.words[0],
			entry.words[1]);
	for (size_t i = last + 1; done && i > first; i--)
		qe_journal_drop(journal, i - 1);
	*ret_first = first;
	return done;
}

enum qe_error qe_undo_run(struct qe_undo *undo, struct qe_journal *journal,
	bool (*selects)(void *ctx, const struct qe_journal_entry *entry), void *ctx)
{
	bool all_done = true, any = false;

	for (size_t i = qe_journal_count(journal); i > 0;) {
		const struct qe_journal_entry entry = qe_journal_at(journal, i - 1);
		size_t first = i - 1;

		if (!selects || selects(ctx, &entry)) {
			all_done &= undo_from(undo, journal, i - 1, &first);
			any = true;
		}
		i = first;
	}
	if (any)
		qe_journal_save(journal);
	return all_done ? QE_OK : QE_ERR_INTERNAL;
}

static bool is_the_one(void *ctx, const struct qe_journal_entry *entry)
{
	const char *const *names = ctx;

	return strcmp(entry->words[0], names[0]) == 0 && strcmp(entry->words[1], names[1]) == 0;
}

enum qe_error qe_undo_one(
	struct qe_undo *undo, struct qe_journal *journal, const char *kind, const char *which)
{
	const char *names[] = {kind, which};

	return qe_undo_run(undo, journal, is_the_one, names);
}
