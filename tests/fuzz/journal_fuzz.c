/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The journal's reader: what it takes out of a file, it takes out of it again once it has written
 * it; names are there once. */
#include <stdlib.h>
#include <string.h>

#include "os/journal.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_once(const struct qe_journal *journal, size_t at)
{
	const struct qe_journal_entry entry = qe_journal_at(journal, at);

	for (size_t i = 0; i < at; i++) {
		const struct qe_journal_entry other = qe_journal_at(journal, i);

		require(strcmp(other.words[0], entry.words[0]) != 0 ||
			strcmp(other.words[1], entry.words[1]) != 0);
	}
}

static void check_copy(struct qe_journal *copy, const struct qe_journal *journal, size_t at)
{
	const struct qe_journal_entry entry = qe_journal_at(journal, at);
	struct qe_journal_entry copied;

	require(entry.n >= 2 && entry.n <= QE_JOURNAL_WORDS_MAX);
	require(qe_journal_add(copy, &entry, 1) == QE_OK);
	copied = qe_journal_at(copy, at);
	require(copied.n == entry.n);
	for (size_t i = 0; i < entry.n; i++)
		require(strcmp(copied.words[i], entry.words[i]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qe_journal *journal, *copy;

	require(qe_journal_open(&journal, -1) == QE_OK && qe_journal_open(&copy, -1) == QE_OK);
	(void)!qe_journal_parse(journal, (const char *)data, size);
	for (size_t i = 0; i < qe_journal_count(journal); i++) {
		check_once(journal, i);
		check_copy(copy, journal, i);
	}
	qe_journal_close(copy);
	qe_journal_close(journal);
	return 0;
}
