/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/unix_socket.h"
#include "random.h"

static char base[] = "/tmp/qe-unix-XXXXXX";
static char directory[64], path[96];

static int set_up(void **)
{
	if (!mkdtemp(base))
		return -1;
	snprintf(directory, sizeof(directory), "%s/run", base);
	snprintf(path, sizeof(path), "%s/socket", directory);
	return 0;
}

static int tear_down(void **)
{
	rmdir(directory);
	return rmdir(base);
}

static mode_t mode_of(const char *name)
{
	struct stat status;

	assert_int_equal(lstat(name, &status), 0);
	return status.st_mode & 07777;
}

static struct qe_unix_listener *listen_there(void)
{
	struct qe_unix_listener *listener = nullptr;

	assert_int_equal(qe_unix_listener_new(&listener, path, "no-such-group"), QE_OK);
	return listener;
}

static void test_modes_and_end(void **)
{
	struct qe_unix_listener *listener = listen_there();

	assert_int_equal(mode_of(directory), 0711);
	assert_int_equal(mode_of(path), 0660);
	qe_unix_listener_free(listener);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_talk(void **)
{
	struct qe_unix_listener *listener = listen_there();
	int here = -1, there = -1;
	char bytes[8];
	size_t n = 0;

	assert_int_equal(qe_unix_accept(listener, &there), -EAGAIN);
	assert_int_equal(qe_unix_connect(&here, path), QE_OK);
	assert_int_equal(qe_unix_accept(listener, &there), QE_OK);
	assert_int_equal(qe_unix_receive(there, bytes, sizeof(bytes), &n), -EAGAIN);
	assert_int_equal(qe_unix_wait_readable(there, qe_clock_now()), -ETIMEDOUT);
	assert_int_equal(
		qe_unix_send(here, (struct qe_bytes){(const uint8_t *)"hello", 5}, &n), QE_OK);
	assert_int_equal(qe_unix_wait_readable(there, qe_clock_now()), QE_OK);
	assert_int_equal(qe_unix_receive(there, bytes, sizeof(bytes), &n), QE_OK);
	assert_int_equal(n, 5);
	qe_unix_close(here);
	assert_int_equal(qe_unix_receive(there, bytes, sizeof(bytes), &n), QE_ERR_CLOSED);
	assert_int_equal(
		qe_unix_send(there, (struct qe_bytes){(const uint8_t *)"x", 1}, &n), QE_ERR_CLOSED);
	qe_unix_close(there);
	qe_unix_listener_free(listener);
}

static void test_live_and_stale(void **)
{
	struct qe_unix_listener *first = listen_there(), *second = nullptr;
	char aside[112];

	assert_int_equal(qe_unix_listener_new(&second, path, "no-such-group"), -EADDRINUSE);
	/* A crash leaves the file, but nobody behind it. */
	snprintf(aside, sizeof(aside), "%s.aside", path);
	assert_int_equal(rename(path, aside), 0);
	qe_unix_listener_free(first);
	assert_int_equal(rename(aside, path), 0);
	second = listen_there();
	qe_unix_listener_free(second);
}

/* Another daemon may have taken the path over. */
static void test_removes_only_its_own(void **)
{
	struct qe_unix_listener *first = listen_there(), *second;

	assert_int_equal(unlink(path), 0);
	second = listen_there();
	qe_unix_listener_free(first);
	assert_int_equal(access(path, F_OK), 0);
	qe_unix_listener_free(second);
}

static void test_what_is_in_the_way(void **)
{
	struct qe_unix_listener *listener = nullptr;
	char long_path[200];
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(qe_unix_listener_new(&listener, path, "no-such-group"), -EEXIST);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(
		qe_unix_listener_new(&listener, "/nonexistent/a/b", "no-such-group"), -ENOENT);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(
		qe_unix_listener_new(&listener, long_path, "no-such-group"), -ENAMETOOLONG);
}

/* As if another daemon were between bind and listen. */
static void test_two_at_once(void **)
{
	struct qe_unix_listener *listener = nullptr;
	int fd = open(directory, O_RDONLY | O_DIRECTORY);

	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(qe_unix_listener_new(&listener, path, "no-such-group"), -EBUSY);
	assert_int_equal(access(path, F_OK), -1);
	close(fd);
	qe_unix_listener_free(listen_there());
}

static void test_nobody_there(void **)
{
	int fd;

	assert_int_equal(qe_unix_connect(&fd, path), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes_and_end),
		cmocka_unit_test(test_talk),
		cmocka_unit_test(test_live_and_stale),
		cmocka_unit_test(test_removes_only_its_own),
		cmocka_unit_test(test_what_is_in_the_way),
		cmocka_unit_test(test_two_at_once),
		cmocka_unit_test(test_nobody_there),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
