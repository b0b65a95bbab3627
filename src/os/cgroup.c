/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The hierarchy is mounted for this process alone, without a place in the file system: where the
 * host has it, and whether it does, does not matter, nor what a network namespace's own /sys hides.
 *
 * The mark is put on sockets as they are made, by a program of four instructions in the kernel. So
 * a program's very first look at the routing table is with the mark: it gets the source address
 * that belongs to its way, and is not turned away because the others' way is closed; nothing has to
 * be routed anew, or translated. The program goes with the cgroup.
 */
#include "os/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FOLDER "quicether"
constexpr int tries = 10;

struct qe_cgroup {
	int root, folder, fd;
	char name[32];
};

/* ---- the hierarchy ---- */

static enum qe_error mount_hierarchy(int *ret_root)
{
	int context = fsopen("cgroup2", FSOPEN_CLOEXEC), root = -1;
	enum qe_error error = QE_OK;

	if (context < 0)
		return qe_error_errno();
	if (fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0)
		root = fsmount(context, FSMOUNT_CLOEXEC, 0);
	if (root < 0)
		error = qe_error_errno();
	close(context);
	if (error == QE_OK)
		*ret_root = root;
	return error;
}

static enum qe_error open_folder(int at, const char *name, int *ret_fd)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return qe_error_errno();
	*ret_fd = fd;
	return QE_OK;
}

static bool is_empty(int fd)
{
	char events[256];
	int file = openat(fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	ssize_t n = file < 0 ? -1 : read(file, events, sizeof(events) - 1);

	if (file >= 0)
		close(file);
	events[n > 0 ? n : 0] = '\0';
	return strstr(events, "populated 0") != nullptr;
}

/* Whose process is gone, and all that it started. */
static bool is_left_behind(int folder, const char *name, pid_t pid)
{
	bool empty;
	int fd = -1;

	if (kill(pid, 0) == 0 || errno != ESRCH || open_folder(folder, name, &fd) != QE_OK)
		return false;
	empty = is_empty(fd);
	close(fd);
	return empty;
}

static void sweep(const struct qe_cgroup *cgroup, const char *kind, void (*ended)(pid_t pid))
{
	DIR *list = fdopendir(fcntl(cgroup->folder, F_DUPFD_CLOEXEC, 0));
	struct dirent *entry;

	while (list && (entry = readdir(list))) {
		const char *dot = strchr(entry->d_name, '.');
		pid_t pid = dot ? atoi(dot + 1) : 0;

		if (pid <= 0 || strncmp(entry->d_name, kind, strlen(kind)) != 0 ||
			!is_left_behind(cgroup->folder, entry->d_name, pid))
			continue;
		ended(pid);
		(void)!unlinkat(cgroup->folder, entry->d_name, AT_REMOVEDIR);
	}
	if (list)
		closedir(list);
}

/* The folder may go at any time with the last one in it. */
static enum qe_error make(struct qe_cgroup *cgroup, const char *kind, void (*ended)(pid_t pid))
{
	enum qe_error error = -EAGAIN;

	for (int i = 0; i < tries && error != QE_OK; i++) {
		if (cgroup->folder >= 0)
			close(cgroup->folder);
		cgroup->folder = -1;
		if (mkdirat(cgroup->root, FOLDER, 0755) < 0 && errno != EEXIST)
			return qe_error_errno();
		error = open_folder(cgroup->root, FOLDER, &cgroup->folder);
		if (error != QE_OK)
			continue;
		sweep(cgroup, kind, ended);
		error = mkdirat(cgroup->folder, cgroup->name, 0755) < 0 ? qe_error_errno() : QE_OK;
	}
	return error == QE_OK ? open_folder(cgroup->folder, cgroup->name, &cgroup->fd) : error;
}

enum qe_error qe_cgroup_new(struct qe_cgroup **ret_cgroup, const char *kind,
	void (*ended)(pid_t pid), struct qe_text *why)
{
	struct qe_cgroup *cgroup = malloc(sizeof(*cgroup));
	enum qe_error error;

	if (!cgroup)
		return -ENOMEM;
	*cgroup = (struct qe_cgroup){.root = -1, .folder = -1, .fd = -1};
	snprintf(cgroup->name, sizeof(cgroup->name), "%s.%d", kind, getpid());
	error = mount_hierarchy(&cgroup->root);
	if (error == -ENODEV || error == -ENOSYS)
		qe_text_add(why, "this kernel has no cgroup v2");
	if (error == QE_OK)
		error = make(cgroup, kind, ended);
	if (error != QE_OK) {
		if (why->len == 0)
			qe_text_addf(why, "no cgroup can be made: %s", qe_error_text(error));
		qe_cgroup_free(cgroup);
		return error;
	}
	*ret_cgroup = cgroup;
	return QE_OK;
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

struct qe_cgroup *qe_cgroup_free(struct qe_cgroup *cgroup)
{
	if (!cgroup)
		return nullptr;
	close_if_open(cgroup->fd);
	if (cgroup->folder >= 0)
		(void)!unlinkat(cgroup->folder, cgroup->name, AT_REMOVEDIR);
	close_if_open(cgroup->folder);
	if (cgroup->root >= 0)
		(void)!unlinkat(cgroup->root, FOLDER, AT_REMOVEDIR);
	close_if_open(cgroup->root);
	free(cgroup);
	return nullptr;
}

/* ---- the mark ---- */

static int call_bpf(int command, union bpf_attr *attributes)
{
	return (int)syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

static int load(uint32_t mark)
{
	const struct bpf_insn program[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = (int32_t)mark},
		{.code = BPF_STX | BPF_MEM | BPF_W,
			.dst_reg = 1,
			.src_reg = 2,
			.off = offsetof(struct bpf_sock, mark)},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1}, /* it may be made */
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attributes = {
		.prog_type = BPF_PROG_TYPE_CGROUP_SOCK,
		.insns = (uint64_t)(uintptr_t)program,
		.insn_cnt = sizeof(program) / sizeof(program[0]),
		.license = (uint64_t)(uintptr_t)"Dual MIT/GPL",
	};

	return call_bpf(BPF_PROG_LOAD, &attributes);
}

enum qe_error qe_cgroup_mark(const struct qe_cgroup *cgroup, uint32_t mark, struct qe_text *why)
{
	int program = load(mark);
	union bpf_attr attributes = {
		.target_fd = (uint32_t)cgroup->fd,
		.attach_bpf_fd = (uint32_t)program,
		.attach_type = BPF_CGROUP_INET_SOCK_CREATE,
	};
	enum qe_error error = QE_OK;

	if (program < 0 || call_bpf(BPF_PROG_ATTACH, &attributes) < 0)
		error = qe_error_errno();
	if (error != QE_OK)
		qe_text_addf(why,
			"sockets of a cgroup cannot be marked: %s; the kernel needs BPF for "
			"cgroups "
			"(CONFIG_CGROUP_BPF), and the caller CAP_BPF and CAP_NET_ADMIN",
			qe_error_text(error));
	if (program >= 0)
		close(program);
	return error;
}

/* ---- who is in it ---- */

enum qe_error qe_cgroup_enter(const struct qe_cgroup *cgroup)
{
	int file = openat(cgroup->fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	enum qe_error error = QE_OK;

	if (file < 0)
		return qe_error_errno();
	if (write(file, "0", 1) != 1)
		error = qe_error_errno();
	close(file);
	return error;
}

bool qe_cgroup_is_empty(const struct qe_cgroup *cgroup)
{
	return is_empty(cgroup->fd);
}

/* Its file of events is readable out of band when it has changed since it was read. */
void qe_cgroup_wait(const struct qe_cgroup *cgroup)
{
	struct pollfd poller = {.events = POLLPRI};
	char events[256];

	poller.fd = openat(cgroup->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	while (poller.fd >= 0 && pread(poller.fd, events, sizeof(events), 0) > 0 &&
		!is_empty(cgroup->fd))
		poll(&poller, 1, -1);
	if (poller.fd >= 0)
		close(poller.fd);
}

/* ---- for nft ---- */

void qe_cgroup_path(const struct qe_cgroup *cgroup, char to[static QE_CGROUP_PATH_SIZE])
{
	snprintf(to, QE_CGROUP_PATH_SIZE, FOLDER "/%s", cgroup->name);
}

enum qe_error qe_cgroup_show(const struct qe_cgroup *cgroup)
{
	if (unshare(CLONE_NEWNS) < 0 ||
		mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
		return qe_error_errno();
	if (move_mount(cgroup->root, "", AT_FDCWD, "/sys/fs/cgroup", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return qe_error_errno();
	return QE_OK;
}
