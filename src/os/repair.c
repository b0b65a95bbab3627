/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/helper_vpn.h"
#include "os/kill_switch.h"
#include "os/namespace_lock.h"
#include "os/policy_routes.h"
#include "os/repair.h"

/* Longer than nft may take. */
constexpr unsigned journal_tries = 1200;
constexpr int journal_pause_ms = 10;

/* What is ours whatever a journal says. */
static const struct qe_journal_entry known[] = {
	{{QE_JOURNAL_ROUTES, "ipv4/20805"}, 2},
	{{QE_JOURNAL_ROUTES, "ipv6/20805"}, 2},
	{{QE_JOURNAL_ROUTES, "ipv4/20806"}, 2},
	{{QE_JOURNAL_ROUTES, "ipv6/20806"}, 2},
	{{QE_JOURNAL_RULE, "ipv4/known"}, 2},
	{{QE_JOURNAL_RULE, "ipv6/known"}, 2},
	{{QE_JOURNAL_RULE, "ipv4/unmarked"}, 2},
	{{QE_JOURNAL_RULE, "ipv6/unmarked"}, 2},
	{{QE_JOURNAL_RULE, "ipv4/only"}, 2},
	{{QE_JOURNAL_RULE, "ipv6/only"}, 2},
	{{QE_JOURNAL_RESOLVER, "file", "-"}, 3},
};
static_assert(QE_DEFAULT_TABLE == 20805 && QE_VPN_ONLY_MARK == 20806);

static const struct qe_journal_entry known_table = {{QE_JOURNAL_NFT, QE_VPN_NFT_TABLE}, 2};

bool qe_repair_is_blocked(void)
{
	char unheard[200];
	struct qe_text why = qe_text_init(unheard, sizeof(unheard));
	bool exists = true;

	(void)!qe_kill_switch_exists(&exists, &why);
	return exists;
}

/* As if they stood in a journal. */
static enum qe_error undo_known(struct qe_undo *undo)
{
	struct qe_journal *journal;
	enum qe_error error;

	QE_TRY(qe_journal_open(&journal, -1));
	error = qe_repair_is_blocked() ? qe_journal_add(journal, &known_table, 1) : QE_OK;
	if (error == QE_OK)
		error = qe_journal_add(journal, known, sizeof(known) / sizeof(known[0]));
	if (error == QE_OK)
		error = qe_undo_run(undo, journal, nullptr, nullptr);
	qe_journal_close(journal);
	return error;
}

/* The helper of a daemon that was killed just now may still be at it. */
static enum qe_error open_journal(struct qe_journal **ret_journal, int folder, unsigned tries)
{
	enum qe_error error = -EBUSY;

	for (unsigned i = 0; i < tries && error == -EBUSY; i++) {
		if (i > 0)
			poll(nullptr, 0, journal_pause_ms);
		error = qe_journal_open(ret_journal, folder);
	}
	return error;
}

static void tell_damaged(struct qe_undo *undo, const struct qe_journal *journal)
{
	size_t n = qe_journal_damaged(journal);

	if (n > 0)
		qe_undo_say(undo, QE_UNDO_FAILED, "%zu %s of the journal made no sense", n,
			n == 1 ? "line" : "lines");
}

static enum qe_error undo_journal(struct qe_undo *undo, int folder)
{
	struct qe_journal *journal;
	enum qe_error error = open_journal(&journal, folder, journal_tries);

	if (error == QE_ERR_SYNTAX) {
		qe_undo_say(undo, QE_UNDO_FAILED,
			QE_JOURNAL_NAME " is damaged, or of another version: see what of it still "
					"holds, and remove it");
		return QE_ERR_INTERNAL;
	}
	if (error != QE_OK)
		return error;
	tell_damaged(undo, journal);
	error = qe_undo_run(undo, journal, nullptr, nullptr);
	qe_journal_close(journal);
	return error;
}

/* What is known to be ours may be another daemon's, which then has the lock. */
static enum qe_error repair(int folder, struct qe_undo *undo)
{
	enum qe_error error = undo_journal(undo, folder), rest = QE_OK;
	int lock;

	if (error == -EBUSY)
		return error;
	lock = qe_namespace_lock();
	if (lock >= 0)
		rest = undo_known(undo);
	qe_namespace_unlock(lock);
	return error != QE_OK ? error : rest;
}

enum qe_error qe_repair(const char *socket_path, struct qe_undo *undo)
{
	enum qe_error error;
	int folder = -1;

	if (geteuid() != 0)
		return -EPERM;
	error = qe_journal_find_folder(&folder, socket_path);
	if (error != QE_OK && error != -ENOENT)
		return error;
	QE_TRY(qe_netlink_new(&undo->netlink));
	error = repair(folder, undo);
	undo->netlink = qe_netlink_free(undo->netlink);
	if (folder >= 0)
		qe_journal_close_folder(folder);
	return error;
}

/* ---- panic ---- */

/* A helper that lives keeps its journal, and finds nothing to undo one day. */
static enum qe_error undo_block(struct qe_undo *undo, int folder)
{
	struct qe_journal *journal;
	enum qe_error error = open_journal(&journal, folder, 1);

	if (error == -EBUSY)
		error = qe_journal_open_copy(&journal, folder);
	if (error != QE_OK)
		return QE_OK; /* what is known goes all the same */
	error = qe_undo_run(undo, journal, qe_vpn_is_block, nullptr);
	qe_journal_close(journal);
	return error;
}

enum qe_error qe_panic_off(const char *socket_path, struct qe_undo *undo)
{
	enum qe_error error = QE_OK, rest;
	int folder = -1;

	if (geteuid() != 0)
		return -EPERM;
	undo->force = true;
	QE_TRY(qe_netlink_new(&undo->netlink));
	if (qe_journal_find_folder(&folder, socket_path) == QE_OK) {
		error = undo_block(undo, folder);
		qe_journal_close_folder(folder);
	}
	rest = undo_known(undo);
	undo->netlink = qe_netlink_free(undo->netlink);
	return error != QE_OK ? error : rest;
}
