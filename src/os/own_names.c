/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * By a mount namespace, in which files of a private tmpfs lie over those of the host. What is
 * mounted on the host later comes up here, too.
 */
#include "os/own_names.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESOLV_CONF "/etc/resolv.conf"

/* Sockets by which the C library asks somebody else first: nss-resolve, nscd, nss-mdns. */
static const char *const services[] = {
	"/run/systemd/resolve/io.systemd.Resolve",
	"/run/nscd/socket",
	"/run/avahi-daemon/socket",
};

static int make_tmpfs(void)
{
	int context = fsopen("tmpfs", FSOPEN_CLOEXEC), made = -1;

	if (context < 0)
		return -1;
	if (fsconfig(context, FSCONFIG_SET_STRING, "size", "64k", 0) == 0 &&
		fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0)
		made = fsmount(context, FSMOUNT_CLOEXEC,
			MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	close(context);
	return made;
}

static enum qe_error write_file(
	int folder, const char *name, const struct qe_addr *servers, size_t n)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	FILE *file = fd < 0 ? nullptr : fdopen(fd, "w");
	char text[QE_ADDR_TEXT_SIZE];

	if (!file)
		return qe_error_errno();
	fchmod(fd, 0644);
	for (size_t i = 0; i < n && i < QE_OWN_NAMES_MAX; i++) {
		qe_addr_format(text, &servers[i]);
		fprintf(file, "nameserver %s\n", text);
	}
	return fclose(file) == 0 ? QE_OK : -EIO;
}

static enum qe_error lay_over(int folder, const char *name, const char *path)
{
	int file = open_tree(folder, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	enum qe_error error = QE_OK;

	if (file < 0)
		return qe_error_errno();
	if (move_mount(file, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) <
		0)
		error = qe_error_errno();
	close(file);
	return error;
}

static enum qe_error lay_all(int folder, const struct qe_addr *servers, size_t n)
{
	QE_TRY(write_file(folder, "resolv.conf", servers, n));
	QE_TRY(write_file(folder, "nobody", nullptr, 0));
	QE_TRY(lay_over(folder, "resolv.conf", RESOLV_CONF));
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		enum qe_error error = lay_over(folder, "nobody", services[i]);

		if (error != QE_OK && error != -ENOENT && error != -ENOTDIR)
			return error;
	}
	return QE_OK;
}

enum qe_error qe_own_names_enter(const struct qe_addr *servers, size_t n, struct qe_text *why)
{
	enum qe_error error = QE_OK;
	int folder = -1;

	if (unshare(CLONE_NEWNS) < 0 ||
		mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) < 0)
		error = qe_error_errno();
	if (error == QE_OK) {
		folder = make_tmpfs();
		error = folder < 0 ? qe_error_errno() : lay_all(folder, servers, n);
	}
	if (folder >= 0)
		close(folder);
	if (error != QE_OK)
		qe_text_addf(why, "the program cannot get a " RESOLV_CONF " of its own: %s",
			qe_error_text(error));
	return error;
}
