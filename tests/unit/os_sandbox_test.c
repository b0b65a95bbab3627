/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/nft_run.h"
#include "os/sandbox.h"
#include "random.h"

static char folder[] = "/tmp/qe-sandbox-XXXXXX";
static char run[64], own[96], other[64], beside[96];
static char logs[64], new_log[96], texts[64], text[96];

static void make(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static int set_up(void **)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(run, sizeof(run), "%s/run", folder);
	snprintf(own, sizeof(own), "%s/socket", run);
	snprintf(other, sizeof(other), "%s/other", folder);
	snprintf(beside, sizeof(beside), "%s/new", run);
	snprintf(logs, sizeof(logs), "%s/logs", folder);
	snprintf(new_log, sizeof(new_log), "%s/log", logs);
	snprintf(texts, sizeof(texts), "%s/texts", folder);
	snprintf(text, sizeof(text), "%s/text", texts);
	return mkdir(run, 0700) || mkdir(logs, 0700) || mkdir(texts, 0700);
}

static int tear_down(void **)
{
	unlink(own);
	unlink(other);
	unlink(new_log);
	unlink(text);
	rmdir(run);
	rmdir(logs);
	rmdir(texts);
	return rmdir(folder);
}

/* In the child there is no test any more: it says by its exit code what went wrong. */
#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			_exit(1); \
		} \
	} while (0)

static bool is_refused(int result)
{
	return result < 0 && errno == EACCES;
}

static void check_files(int log)
{
	struct addrinfo *list = nullptr;

	CHECK(is_refused(open(other, O_WRONLY)));
	CHECK(is_refused(open(other, O_RDONLY)));
	CHECK(is_refused(truncate(other, 0)));
	CHECK(is_refused(open("/etc/hosts", O_WRONLY | O_APPEND)));
	CHECK(is_refused(open(beside, O_CREAT | O_WRONLY, 0600)));
	CHECK(is_refused(open("/proc/self/maps", O_RDONLY)));
	CHECK(is_refused(unlink(other)));
	CHECK(is_refused(execl("/bin/true", "true", nullptr)));
	CHECK(write(log, "line\n", 5) == 5);
	CHECK(open("/dev/null", O_RDWR) >= 0);
	CHECK(getaddrinfo("localhost", "1", nullptr, &list) == 0 && list);
	CHECK(unlink(own) == 0);
}

static void check_folders(void)
{
	CHECK(open(new_log, O_CREAT | O_WRONLY | O_APPEND, 0640) >= 0);
	CHECK(is_refused(open(new_log, O_RDONLY)));
	CHECK(is_refused(unlink(new_log)));
	CHECK(open(text, O_RDONLY) >= 0);
	CHECK(is_refused(open(text, O_WRONLY)));
	CHECK(is_refused(unlink(text)));
}

[[noreturn]] static void run_confined(void)
{
	const struct qe_sandbox_folder folders[] = {
		{open(run, O_RDONLY | O_DIRECTORY), QE_SANDBOX_REMOVE},
		{open(logs, O_RDONLY | O_DIRECTORY), QE_SANDBOX_WRITE},
		{open(texts, O_RDONLY | O_DIRECTORY), QE_SANDBOX_READ},
	};
	int log = open(other, O_WRONLY);
	bool confined = false;

	CHECK(log >= 0 && folders[0].fd >= 0 && folders[1].fd >= 0 && folders[2].fd >= 0);
	CHECK(qe_sandbox_enter(folders, 3, &confined) == QE_OK);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_DUMPABLE) == 0);
	CHECK(prctl(PR_CAPBSET_READ, CAP_NET_ADMIN, 0, 0, 0) == 0 || geteuid() != 0);
	if (confined) {
		check_files(log);
		check_folders();
	}
	_exit(confined ? 0 : 77);
}

static int run_nft(void)
{
	char *const words[] = {(char[]){"nft"}, (char[]){"--version"}, nullptr};
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
		execv(qe_nft_find(), words);
		_exit(126);
	}
	waitpid(child, &status, 0);
	return status;
}

static void check_helper_files(void)
{
	CHECK(is_refused(open(other, O_WRONLY)));
	CHECK(is_refused(open(other, O_RDONLY)));
	CHECK(open("/etc/nsswitch.conf", O_RDONLY) >= 0);
	CHECK(is_refused(open(beside, O_CREAT | O_WRONLY, 0600)));
	CHECK(is_refused(unlink(other)));
	CHECK(is_refused(open("/proc/sys/net/core/somaxconn", O_RDONLY)));
	CHECK(open("/proc/sys/net/ipv4/ip_forward", O_RDONLY) >= 0);
	CHECK(open("/proc/sys/net/ipv4/conf/all/forwarding", O_RDONLY) >= 0);
	CHECK(is_refused(execl("/bin/true", "true", nullptr)));
	CHECK(!qe_nft_find() || run_nft() == 0);
}

[[noreturn]] static void run_helper(void)
{
	bool confined = false;

	CHECK(qe_sandbox_enter_helper(nullptr, 0, &confined) == QE_OK);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_DUMPABLE) == 0);
	CHECK(prctl(PR_CAPBSET_READ, CAP_NET_RAW, 0, 0, 0) == 0 || geteuid() != 0);
	if (confined)
		check_helper_files();
	_exit(confined ? 0 : 77);
}

static void in_child(void (*confined)(void))
{
	int status;
	pid_t child;

	make(own);
	make(other);
	make(text);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		confined();
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* a kernel without Landlock */
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_confined(void **)
{
	in_child(run_confined);
}

static void test_helper(void **)
{
	in_child(run_helper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_confined),
		cmocka_unit_test(test_helper),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
