/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The journal: what was added is there again after any end of the process, however the file ends;
 * files that are no journals, or others' to write, are refused; a full disk changes nothing. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/journal.h"
#include "random.h"

#define HEAD "quicether host journal 1\n"

static char folder_path[] = "/tmp/qe-journal-XXXXXX";
static char socket_path[64], path[64];
static int folder;

static int set_up(void **state)
{
	if (!mkdtemp(folder_path))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/socket", folder_path);
	snprintf(path, sizeof(path), "%s/" QE_JOURNAL_NAME, folder_path);
	folder = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder < 0 ? -1 : random_setup(state);
}

static int tear_down(void **)
{
	close(folder);
	return rmdir(folder_path);
}

static struct qe_journal *open_it(void)
{
	struct qe_journal *journal;

	assert_int_equal(qe_journal_open(&journal, folder), QE_OK);
	return journal;
}

static struct qe_journal_entry entry(const char *kind, const char *which, const char *rest)
{
	return (struct qe_journal_entry){{kind, which, rest}, rest ? 3 : 2};
}

static enum qe_error add(
	struct qe_journal *journal, const char *kind, const char *which, const char *rest)
{
	const struct qe_journal_entry new = entry(kind, which, rest);

	return qe_journal_add(journal, &new, 1);
}

static bool is_there(void)
{
	return access(path, F_OK) == 0;
}

static void write_file(const char *text, size_t len)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static size_t read_file(char *to, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, to, size);

	assert_true(n >= 0);
	close(fd);
	return (size_t)n;
}

/* ---- what it is for ---- */

static void test_life(void **)
{
	struct qe_journal *journal = open_it(), *second;
	struct qe_journal_entry found;
	struct stat status;

	assert_false(is_there());
	assert_int_equal(add(journal, "sysctl", "/proc/a b", "%\n"), QE_OK);
	assert_int_equal(add(journal, "rule", "x", ""), QE_OK);
	assert_int_equal(add(journal, "rule", "x", "later"), QE_OK); /* the first one stays */
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(qe_journal_open(&second, folder), -EBUSY);
	assert_int_equal(qe_journal_open_copy(&second, folder), QE_OK);
	assert_int_equal(qe_journal_count(second), 2);
	qe_journal_close(second);
	qe_journal_close(journal); /* as at SIGKILL: entries and file stay */
	journal = open_it();
	assert_int_equal(qe_journal_count(journal), 2);
	found = qe_journal_at(journal, 0);
	assert_string_equal(found.words[1], "/proc/a b");
	assert_string_equal(found.words[2], "%\n");
	found = qe_journal_at(journal, 1);
	assert_int_equal(found.n, 3);
	assert_string_equal(found.words[2], "");
	assert_true(qe_journal_has(journal, "rule", "x"));
	qe_journal_drop(journal, 0);
	qe_journal_save(journal);
	assert_int_equal(qe_journal_open(&second, folder), -EBUSY); /* the new file, too */
	qe_journal_close(journal);
	journal = open_it();
	assert_int_equal(qe_journal_count(journal), 1);
	qe_journal_drop(journal, 0);
	qe_journal_save(journal);
	qe_journal_close(journal);
	assert_false(is_there());
}

/* Without a file, as in tests of what uses it. */
static void test_memory(void **)
{
	struct qe_journal *journal;

	assert_int_equal(qe_journal_open(&journal, -1), QE_OK);
	assert_int_equal(add(journal, "a", "b", nullptr), QE_OK);
	qe_journal_drop(journal, 0);
	qe_journal_save(journal);
	assert_int_equal(qe_journal_count(journal), 0);
	qe_journal_close(journal);
}

static void test_bounds(void **)
{
	static char long_word[QE_JOURNAL_LINE_MAX + 2];
	struct qe_journal *journal = open_it();
	struct qe_journal_entry two[] = {entry("a", "b", nullptr), entry("c", long_word, nullptr)};

	memset(long_word, 'x', sizeof(long_word) - 1);
	assert_int_equal(qe_journal_add(journal, two, 2), QE_ERR_TOO_BIG);
	assert_int_equal(qe_journal_count(journal), 0);
	assert_false(is_there());
	long_word[QE_JOURNAL_LINE_MAX - 4] = '\0';
	assert_int_equal(qe_journal_add(journal, two, 2), QE_OK);
	qe_journal_close(journal);
	journal = open_it();
	assert_int_equal(qe_journal_count(journal), 2);
	qe_journal_drop(journal, 1);
	qe_journal_drop(journal, 0);
	qe_journal_close(journal);
}

/* Against a plain list, with ends at random. */
static void test_random(void **)
{
	bool there[20] = {};
	struct qe_journal *journal = open_it();

	for (unsigned i = 0; i < 3000; i++) {
		unsigned at = random_below(20);
		char which[16];
		size_t n = 0;

		snprintf(which, sizeof(which), "%u", at);
		if (random_below(8) == 0) {
			qe_journal_close(journal);
			journal = open_it();
		} else if (!there[at]) {
			assert_int_equal(add(journal, "kind", which, "rest of it"), QE_OK);
			there[at] = true;
		} else if (random_below(3) == 0) {
			while (strcmp(qe_journal_at(journal, n).words[1], which) != 0)
				n++;
			qe_journal_drop(journal, n);
			qe_journal_save(journal);
			there[at] = false;
		}
		n = 0;
		for (size_t j = 0; j < 20; j++) {
			snprintf(which, sizeof(which), "%zu", j);
			assert_int_equal(qe_journal_has(journal, "kind", which), there[j]);
			n += there[j];
		}
		assert_int_equal(qe_journal_count(journal), n);
	}
	while (qe_journal_count(journal) > 0)
		qe_journal_drop(journal, 0);
	qe_journal_close(journal);
}

/* ---- files that end early, or hold something else ---- */

/* Cut anywhere, it has the entries whose lines are whole, and goes on after these. */
static void test_torn(void **)
{
	static const char whole[] = HEAD "a 1\nbb 22\nccc 333\n";

	for (size_t len = 0; len < sizeof(whole); len++) {
		size_t lines = 0;
		struct qe_journal *journal;
		char text[256];
		size_t n;

		for (size_t i = 0; i < len; i++)
			lines += whole[i] == '\n';
		write_file(whole, len);
		journal = open_it();
		assert_int_equal(qe_journal_count(journal), lines > 0 ? lines - 1 : 0);
		assert_int_equal(qe_journal_damaged(journal), 0);
		assert_int_equal(add(journal, "new", "one", nullptr), QE_OK);
		n = read_file(text, sizeof(text));
		assert_true(n > 8 && memcmp(text + n - 8, "new one\n", 8) == 0);
		assert_memory_equal(text, HEAD, strlen(HEAD));
		qe_journal_close(journal);
		journal = open_it();
		assert_int_equal(qe_journal_count(journal), lines > 0 ? lines : 1);
		while (qe_journal_count(journal) > 0)
			qe_journal_drop(journal, 0);
		qe_journal_close(journal);
		assert_false(is_there());
	}
}

static void test_garbage(void **)
{
	static const char text[] = HEAD "a\n"      /* no name */
					"a b\n"    /* good */
					"\n"       /* nothing */
					"a b\n"    /* twice */
					"c d%4x\n" /* no such letter */
					"c d%00\n" /* the end of a string */
					"c d%61\n" /* not how "a" is written */
					"c d\te\n" /* not written plainly */
					"c  d\n"   /* an empty word */
					"c d e f g h i\n"
					"e %\n"; /* good: an empty name */
	struct qe_journal *journal;

	write_file(text, strlen(text));
	journal = open_it();
	assert_int_equal(qe_journal_count(journal), 2);
	assert_int_equal(qe_journal_damaged(journal), 9);
	qe_journal_drop(journal, 1);
	qe_journal_drop(journal, 0);
	qe_journal_close(journal);
	assert_false(is_there());
}

static void test_no_journal(void **)
{
	static const char *const texts[] = {"quicether host journal 2\na b\n", "\n", "#!/bin/sh\n",
		"quicether host journal 11"};
	struct qe_journal *journal;
	char noise[4096];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_file(texts[i], strlen(texts[i]));
		assert_int_equal(qe_journal_open(&journal, folder), QE_ERR_SYNTAX);
	}
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)random_below(256);
	write_file(noise, sizeof(noise));
	assert_int_equal(qe_journal_open(&journal, folder), QE_ERR_SYNTAX);
	assert_int_equal(truncate(path, 1LL << 40), 0);
	assert_int_equal(qe_journal_open(&journal, folder), QE_ERR_SYNTAX);
	assert_true(is_there());
	unlink(path);
}

/* What others could have written, or lies elsewhere. */
static void test_not_ours(void **)
{
	struct qe_journal *journal;
	char other[64];

	snprintf(other, sizeof(other), "%s/other", folder_path);
	write_file(HEAD "a b\n", strlen(HEAD "a b\n"));
	assert_int_equal(chmod(path, 0620), 0);
	assert_int_equal(qe_journal_open(&journal, folder), -EPERM);
	assert_int_equal(qe_journal_open_copy(&journal, folder), -EPERM);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(link(path, other), 0);
	assert_int_equal(qe_journal_open(&journal, folder), -EPERM);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("other", path), 0);
	assert_int_equal(qe_journal_open(&journal, folder), -EPERM);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(qe_journal_open(&journal, folder), -EPERM);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(qe_journal_open(&journal, folder) != QE_OK);
	assert_int_equal(rmdir(path), 0);
	if (geteuid() == 0) {
		assert_int_equal(rename(other, path), 0);
		assert_int_equal(chown(path, 1, 0), 0);
		assert_int_equal(qe_journal_open(&journal, folder), -EPERM);
		assert_int_equal(rename(path, other), 0);
	}
	assert_int_equal(unlink(other), 0);
}

/* ---- a disk that is full ---- */

static void limit_files(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* At each size: an entry is there whole, or an error was told and the file is as before. */
static void test_full(void **)
{
	struct qe_journal_entry pair[] = {entry("b", "22", "22"), entry("c", "333", "333")};

	signal(SIGXFSZ, SIG_IGN);
	for (rlim_t size = 0; size < 64; size++) {
		struct qe_journal *journal = open_it();
		size_t n = 0;

		limit_files(size);
		n += add(journal, "a", "1", "1") == QE_OK;
		n += qe_journal_add(journal, pair, 2) == QE_OK ? 2 : 0;
		limit_files(RLIM_INFINITY);
		assert_int_equal(qe_journal_count(journal), n);
		qe_journal_close(journal);
		journal = open_it();
		assert_int_equal(qe_journal_count(journal), n);
		assert_int_equal(qe_journal_damaged(journal), 0);
		/* To take one away needs a new file: where there is no room, it stays. */
		limit_files(size / 2);
		if (n > 0)
			qe_journal_drop(journal, 0);
		qe_journal_save(journal);
		limit_files(RLIM_INFINITY);
		qe_journal_close(journal);
		journal = open_it();
		assert_true(qe_journal_count(journal) <= n);
		while (qe_journal_count(journal) > 0)
			qe_journal_drop(journal, 0);
		qe_journal_close(journal);
		assert_false(is_there());
	}
	signal(SIGXFSZ, SIG_DFL);
}

/* ---- two at once ---- */

/* Each has it alone while it has it, whoever makes, replaces and removes the file meanwhile. */
static void take_turns(void)
{
	for (unsigned i = 0; i < 300; i++) {
		struct qe_journal *journal;
		enum qe_error error;

		do
			error = qe_journal_open(&journal, folder);
		while (error == -EBUSY);
		if (error != QE_OK || qe_journal_count(journal) != 0)
			_exit(1);
		error = add(journal, "a", "1", nullptr);
		if (error == -EBUSY) { /* the file was made by the other one meanwhile */
			qe_journal_close(journal);
			continue;
		}
		if (error != QE_OK || add(journal, "b", "1", nullptr) != QE_OK)
			_exit(2);
		qe_journal_drop(journal, 0);
		qe_journal_save(journal);
		qe_journal_drop(journal, 0);
		qe_journal_save(journal);
		qe_journal_close(journal);
	}
	_exit(0);
}

static void test_two(void **)
{
	pid_t children[2];

	for (size_t i = 0; i < 2; i++) {
		children[i] = fork();
		if (children[i] == 0)
			take_turns();
	}
	for (size_t i = 0; i < 2; i++) {
		int status;

		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	assert_false(is_there());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_torn),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_no_journal),
		cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_two),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
