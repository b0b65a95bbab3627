/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Preloaded into the program, it counts the calls by which the daemon's helper changes the host, or
 * its journal, and at one of them fails or stops the process, so that it can be killed just there.
 * What it is to do, and what it has seen, stands in the file QE_HOST_CHANGES, which the test maps,
 * too: see host_changes.py.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum mode : uint32_t { OFF, COUNT, FAIL, STOP_BEFORE, STOP_AFTER };
enum kind { NETLINK, SETTING, JOURNAL, RESOLVER, NFT_BEGINS, NFT_ENDS, KINDS };

static struct shared {
	_Atomic uint32_t mode, at; /* of the at-th call, the first one being 1 */
	_Atomic uint32_t count, stopped;
	_Atomic uint32_t kinds[KINDS];
} *shared;

[[gnu::constructor]] static void map(void)
{
	const char *path = getenv("QE_HOST_CHANGES");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at = MAP_FAILED;

	if (fd >= 0)
		at = mmap(nullptr, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at != MAP_FAILED)
		shared = at;
	if (fd >= 0)
		close(fd);
}

static bool is_helper(void)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name, 0, 0, 0);
	return strcmp(name, "quicether-host") == 0;
}

static void stop_here(void)
{
	shared->stopped = 1;
	raise(SIGSTOP);
}

/* What is to be done at this call: OFF for nothing. */
static enum mode meet(enum kind kind)
{
	enum mode mode = shared ? (enum mode)shared->mode : OFF;

	if (mode == OFF || !is_helper())
		return OFF;
	atomic_fetch_add(&shared->kinds[kind], 1);
	if (atomic_fetch_add(&shared->count, 1) + 1 != shared->at || mode == COUNT)
		return OFF;
	if (mode == STOP_BEFORE)
		stop_here();
	return mode;
}

static long finish(enum mode mode, long result)
{
	int error = errno;

	if (mode == STOP_AFTER)
		stop_here();
	errno = error;
	return result;
}

static long fail(int error)
{
	errno = error;
	return -1;
}

/* ---- netlink: requests that change something ---- */

static bool is_change(int fd, const struct msghdr *message)
{
	const struct nlmsghdr *header = message->msg_iov ? message->msg_iov->iov_base : nullptr;
	int domain = 0, protocol = -1;
	socklen_t size = sizeof(domain);

	if (!header || message->msg_iov->iov_len < sizeof(*header) ||
		getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_NETLINK ||
		getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) < 0 ||
		protocol != NETLINK_ROUTE)
		return false;
	/* NEW, DEL, GET, SET: the order in each group of four. */
	return header->nlmsg_type >= RTM_BASE && (header->nlmsg_type & 3) != 2;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	enum mode mode = is_change(fd, message) ? meet(NETLINK) : OFF;

	if (mode == FAIL)
		return fail(ENOBUFS);
	return finish(mode, syscall(SYS_sendmsg, fd, message, flags));
}

/* ---- files ---- */

static bool is_in(const char *path, const char *what)
{
	return path && strstr(path, what);
}

/* Which kind the file is of that the descriptor leads to, or KINDS. */
static enum kind kind_of(const char *path)
{
	if (is_in(path, "/proc/sys/"))
		return SETTING;
	if (is_in(path, "host.journal"))
		return JOURNAL;
	return is_in(path, "resolv.conf") ? RESOLVER : KINDS;
}

static enum mode meet_path(const char *path)
{
	enum kind kind = kind_of(path);

	return kind == KINDS ? OFF : meet(kind);
}

static enum mode meet_fd(int fd)
{
	char link[32], path[256];
	ssize_t n;

	if (!shared || shared->mode == OFF || !is_helper())
		return OFF;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return OFF;
	path[n] = '\0';
	return meet_path(path);
}

ssize_t write(int fd, const void *data, size_t len)
{
	enum mode mode = meet_fd(fd);

	if (mode == FAIL)
		return fail(ENOSPC);
	return finish(mode, syscall(SYS_write, fd, data, len));
}

/* ftruncate64, with files as large as meson has them. */
int ftruncate(int fd, off_t len)
{
	enum mode mode = meet_fd(fd);

	if (mode == FAIL)
		return (int)fail(EIO);
	return (int)finish(mode, syscall(SYS_ftruncate, fd, len));
}

static int rename_file(int from, const char *from_path, int to, const char *to_path, unsigned flags)
{
	enum mode mode = meet_path(to_path);

	if (mode == FAIL)
		return (int)fail(EROFS);
	return (int)finish(mode, syscall(SYS_renameat2, from, from_path, to, to_path, flags));
}

int rename(const char *from, const char *to)
{
	return rename_file(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from, const char *from_path, int to, const char *to_path)
{
	return rename_file(from, from_path, to, to_path, 0);
}

int renameat2(int from, const char *from_path, int to, const char *to_path, unsigned flags)
{
	return rename_file(from, from_path, to, to_path, flags);
}

static int remove_file(int folder, const char *path, int flags)
{
	enum mode mode = meet_path(path);

	if (mode == FAIL)
		return (int)fail(EROFS);
	return (int)finish(mode, syscall(SYS_unlinkat, folder, path, flags));
}

int unlinkat(int folder, const char *path, int flags)
{
	return remove_file(folder, path, flags);
}

int unlink(const char *path)
{
	return remove_file(AT_FDCWD, path, 0);
}

int symlinkat(const char *target, int folder, const char *path)
{
	enum mode mode = meet_path(path);

	if (mode == FAIL)
		return (int)fail(EROFS);
	return (int)finish(mode, syscall(SYS_symlinkat, target, folder, path));
}

/* ---- nft: begun, and ended ---- */

/* A pointer to a function, which ISO C has no cast for. */
static void find_next(void *ret_function, const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	memcpy(ret_function, &found, sizeof(found));
}

pid_t fork(void)
{
	enum mode mode = meet(NFT_BEGINS);
	pid_t (*real)(void), child;

	if (mode == FAIL)
		return (pid_t)fail(EAGAIN);
	find_next((void *)&real, "fork");
	child = real();
	return child == 0 ? 0 : (pid_t)finish(mode, child);
}

/* It has done what it was told, and yet it is taken for failed. */
pid_t waitpid(pid_t child, int *ret_status, int options)
{
	enum mode mode = meet(NFT_ENDS);
	pid_t (*real)(pid_t, int *, int), result;

	find_next((void *)&real, "waitpid");
	result = real(child, ret_status, options);
	if (mode == FAIL && ret_status)
		*ret_status = W_EXITCODE(1, 0);
	return (pid_t)finish(mode, result);
}
