/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What each kind of entry in the journal means, and how it is undone: if what is there now is what
 * we made, the former is put back; if it is the former, there is nothing to do; if it is neither,
 * somebody else has made it since, and theirs stays.
 *
 * A new kind is a row in undo.c and a function that undoes it. It looks at what the entry says as
 * at something a stranger wrote: it may name nothing that we never touch.
 */
#pragma once

#include "os/journal.h"
#include "os/netlink.h"

/* The kinds, and what stands in an entry after the word. */
#define QE_JOURNAL_INTERFACE "interface" /* name; addresses and routes go with it */
#define QE_JOURNAL_NFT "nft"             /* name of a table of family inet */
#define QE_JOURNAL_SYSCTL "sysctl"       /* path, group, value before, value after */
#define QE_JOURNAL_ROUTES "routes"       /* "ipv4/20805": family, table */
#define QE_JOURNAL_RULE "rule"           /* "ipv4/unmarked": family, name */
#define QE_JOURNAL_GATEWAY "gateway"     /* NodeId; nothing of the host: VPN mode blocks for it */
#define QE_JOURNAL_RESOLVER "resolver"   /* way (os/host_dns.c), interface */

enum qe_undone : uint8_t {
	QE_UNDONE,
	QE_UNDO_THEIRS, /* left as somebody else has made it */
	QE_UNDO_FAILED,
};

struct qe_undo {
	struct qe_netlink *netlink;
	/* Told of each thing; a sentence without its end. May be NULL. */
	void (*say)(void *ctx, enum qe_undone outcome, const char *what);
	void *ctx;
	bool force;         /* also what a process that lives, but does not answer, has made */
	unsigned counts[3]; /* by outcome */
};

[[gnu::format(printf, 3, 4)]] void qe_undo_say(
	struct qe_undo *undo, enum qe_undone outcome, const char *format, ...);

/* Undoes one entry, or a group: entries of one kind and with the same third word, in the order in
 * which they came. False: failed, which it has said; the entries stay. */
typedef bool qe_undo_kind(struct qe_undo *undo, const struct qe_journal_entry *entries, size_t n);

/* Undoes what is selected (NULL: all), last first, and takes it out of the journal. What fails does
 * not keep the others, and stays in it; QE_ERR_INTERNAL then. */
enum qe_error qe_undo_run(struct qe_undo *undo, struct qe_journal *journal,
	bool (*selects)(void *ctx, const struct qe_journal_entry *entry), void *ctx);
/* The one of that kind and name. */
enum qe_error qe_undo_one(
	struct qe_undo *undo, struct qe_journal *journal, const char *kind, const char *which);
