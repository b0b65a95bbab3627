/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What was changed on the host, with what was there before: host.journal, in the folder of the
 * control socket. An entry is on disk before its change is made, and goes once the change is undone
 * (os/undo.h). Whoever has the journal open holds a lock on it; the others wait or stay away.
 */
#pragma once

#include "base/bytes.h"

#define QE_JOURNAL_NAME "host.journal"
#define QE_JOURNAL_WORDS_MAX 6
#define QE_JOURNAL_LINE_MAX 1024
#define QE_JOURNAL_ENTRIES_MAX 65536

/* The first word is the kind of change, the second says which of its kind: there is one entry of
 * both. */
struct qe_journal_entry {
	const char *words[QE_JOURNAL_WORDS_MAX];
	size_t n;
};

struct qe_journal;

/* folder: of the file; -1: no file, what is said is only remembered. The file is made with the
 * first entry. -EBUSY: somebody has it open; -EPERM: what is there is not a file that only this
 * user can write; QE_ERR_SYNTAX: it is no journal of this version. */
enum qe_error qe_journal_open(struct qe_journal **ret_journal, int folder);
/* The same without the lock, and whatever is done to it stays in memory. */
enum qe_error qe_journal_open_copy(struct qe_journal **ret_journal, int folder);
/* Removes the file if there is no entry left. NULL-safe. */
struct qe_journal *qe_journal_close(struct qe_journal *journal);

/* Opens, and makes if need be, the folder of a control socket. Closed by qe_journal_close_folder.
 */
enum qe_error qe_journal_open_folder(int *ret_folder, const char *socket_path);
/* Without making it. -ENOENT. */
enum qe_error qe_journal_find_folder(int *ret_folder, const char *socket_path);
void qe_journal_close_folder(int folder);

/* All of them or none; those that are there already stay as they are. On disk when it returns. */
enum qe_error qe_journal_add(
	struct qe_journal *journal, const struct qe_journal_entry *entries, size_t n);
size_t qe_journal_count(const struct qe_journal *journal);
/* In the order in which they came; valid until the next change. */
struct qe_journal_entry qe_journal_at(const struct qe_journal *journal, size_t i);
/* Takes the i-th one away, in memory; qe_journal_save, on disk. */
void qe_journal_drop(struct qe_journal *journal, size_t i);
void qe_journal_save(struct qe_journal *journal);
bool qe_journal_has(const struct qe_journal *journal, const char *kind, const char *which);
/* Lines of the file that made no sense, and were left out. A last one without an end is none. */
size_t qe_journal_damaged(const struct qe_journal *journal);

/* What stands in a file. QE_ERR_SYNTAX: no journal of this version. */
enum qe_error qe_journal_parse(struct qe_journal *journal, const char *text, size_t len);
