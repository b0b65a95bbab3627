/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/appender.h"
#include "random.h"

#define LINES 20000

static char folder[] = "/tmp/qe-appender-XXXXXX";
static char path[64], moved[64];

static int set_up(void **)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/log", folder);
	snprintf(moved, sizeof(moved), "%s/log.1", folder);
	signal(SIGXFSZ, SIG_IGN);
	return 0;
}

static int tear_down(void **)
{
	return rmdir(folder);
}

static int remove_files(void **)
{
	unlink(path);
	unlink(moved);
	return 0;
}

static void format_lost(char *to, size_t size, uint64_t n)
{
	snprintf(to, size, "lost %" PRIu64, n);
}

static struct qe_appender *make(void)
{
	struct qe_appender *appender;

	assert_int_equal(qe_appender_new(&appender, path, format_lost), QE_OK);
	assert_int_equal(qe_appender_start(appender), QE_OK);
	return appender;
}

static void add(struct qe_appender *appender, const char *text)
{
	qe_appender_add(appender, text, strlen(text));
}

static void check_file(const char *name, const char *expected)
{
	char content[4096];
	FILE *file = fopen(name, "r");

	assert_non_null(file);
	content[fread(content, 1, sizeof(content) - 1, file)] = '\0';
	fclose(file);
	assert_string_equal(content, expected);
}

static void limit_size(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Until the thread has seen to it. */
static void await_lost(struct qe_appender *appender, uint64_t n)
{
	while (qe_appender_lost(appender) < n)
		poll(nullptr, 0, 1);
	assert_int_equal(qe_appender_lost(appender), n);
}

static void test_appends(void **)
{
	struct stat stat_of;
	mode_t before = umask(0);
	struct qe_appender *appender = make();

	umask(before);
	add(appender, "one");
	add(appender, "two");
	qe_appender_free(appender);
	assert_int_equal(stat(path, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 07777, 0640);
	appender = make();
	add(appender, "three");
	qe_appender_free(appender);
	check_file(path, "one\ntwo\nthree\n");
}

static void test_keeps_what_came_before_the_thread(void **)
{
	struct qe_appender *appender;

	assert_int_equal(qe_appender_new(&appender, path, format_lost), QE_OK);
	add(appender, "early");
	assert_int_equal(qe_appender_start(appender), QE_OK);
	qe_appender_free(appender);
	check_file(path, "early\n");
}

static void test_refuses_what_is_no_file_of_its_own(void **)
{
	struct qe_appender *appender;

	assert_int_equal(qe_appender_new(&appender, "/nowhere/log", format_lost), -ENOENT);
	assert_int_equal(qe_appender_new(&appender, folder, format_lost), -EISDIR);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(qe_appender_new(&appender, path, format_lost), -ELOOP);
}

static void test_goes_to_a_new_file(void **)
{
	struct qe_appender *appender = make();
	struct stat stat_of;

	add(appender, "old");
	do
		assert_int_equal(stat(path, &stat_of), 0);
	while (stat_of.st_size == 0 && poll(nullptr, 0, 1) == 0);
	assert_int_equal(rename(path, moved), 0);
	qe_appender_reopen(appender);
	add(appender, "new");
	qe_appender_free(appender);
	check_file(moved, "old\n");
	check_file(path, "new\n");
}

/* The third line comes in part, the fourth not at all; then there is room again. */
static void test_tells_what_a_full_disk_has_cost(void **)
{
	struct qe_appender *appender = make();

	limit_size(14);
	add(appender, "aaaa");
	add(appender, "bbbb");
	add(appender, "cccccccc");
	add(appender, "dddd");
	await_lost(appender, 2);
	limit_size(RLIM_INFINITY);
	add(appender, "eeee");
	qe_appender_free(appender);
	check_file(path, "aaaa\nbbbb\ncccc\nlost 2\neeee\n");
}

/* A pipe that nobody reads from is a disk that takes for ever. */
static void test_does_not_wait_for_a_slow_disk(void **)
{
	struct qe_appender *appender;
	char line[64];
	uint64_t whole = 0, lost, told = 0;
	FILE *file;
	int reader;

	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	assert_true(reader >= 0);
	appender = make();
	for (unsigned i = 0; i < LINES; i++) {
		snprintf(line, sizeof(line), "line %040u", i);
		add(appender, line);
	}
	lost = qe_appender_lost(appender);
	assert_true(lost > 0 && lost < LINES);

	assert_int_equal(fcntl(reader, F_SETFL, 0), 0);
	file = fdopen(reader, "r");
	assert_non_null(file);
	while (whole + told < LINES && fgets(line, sizeof(line), file)) {
		uint64_t n = 0;

		whole += sscanf(line, "lost %" SCNu64, &n) == 0;
		told += n;
	}
	assert_true(told >= lost);
	assert_int_equal(whole + told, LINES);
	qe_appender_free(appender);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_appends, remove_files),
		cmocka_unit_test_teardown(test_keeps_what_came_before_the_thread, remove_files),
		cmocka_unit_test_teardown(test_refuses_what_is_no_file_of_its_own, remove_files),
		cmocka_unit_test_teardown(test_goes_to_a_new_file, remove_files),
		cmocka_unit_test_teardown(test_tells_what_a_full_disk_has_cost, remove_files),
		cmocka_unit_test_teardown(test_does_not_wait_for_a_slow_disk, remove_files),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
