/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/unix_socket.h"

constexpr int backlog = 16;
constexpr size_t groups_max = 65536; /* NGROUPS_MAX */

struct qe_unix_listener {
	int fd, directory;
	struct sockaddr_un address;
	char name[sizeof((struct sockaddr_un){}.sun_path)]; /* of the file, in the directory */
	gid_t group;
	bool bound;
	dev_t device; /* of the socket's file, once bound */
	ino_t inode;
};

static enum qe_error fill_address(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	strcpy(address->sun_path, path);
	return QE_OK;
}

static enum qe_error try_connect(int *ret_fd, const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return qe_error_errno();
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
		enum qe_error error = qe_error_errno();

		close(fd);
		return error;
	}
	*ret_fd = fd;
	return QE_OK;
}

/* Only the last directory is made: a path that is wrong further up is a mistake to be told. Whoever
 * may use the socket comes through it whatever the umask is; nobody else can open and so lock it.
 */
static enum qe_error open_directory(struct qe_unix_listener *listener)
{
	char copy[sizeof(listener->address.sun_path)];
	const char *path;
	bool made;

	strcpy(copy, listener->address.sun_path);
	strcpy(listener->name, basename(copy));
	strcpy(copy, listener->address.sun_path);
	path = dirname(copy);
	made = mkdir(path, 0700) == 0;
	if (!made && errno != EEXIST)
		return qe_error_errno();
	listener->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (listener->directory < 0 || (made && fchmod(listener->directory, 0711) < 0))
		return qe_error_errno();
	return QE_OK;
}

/* A socket that refuses belongs to nobody any more. One that answers, or is too busy to, lives. */
static enum qe_error clear_path(const struct sockaddr_un *address)
{
	struct stat status;
	enum qe_error error;
	int fd = -1;

	if (lstat(address->sun_path, &status) < 0)
		return errno == ENOENT ? QE_OK : qe_error_errno();
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	error = try_connect(&fd, address);
	if (error == QE_OK)
		close(fd);
	if (error == QE_OK || error == -EAGAIN)
		return -EADDRINUSE;
	if (error != -ECONNREFUSED)
		return error;
	return unlink(address->sun_path) < 0 ? qe_error_errno() : QE_OK;
}

/* The mode is set before the file exists (bind takes it from the descriptor), and opened to the
 * group after the group is the right one. */
static enum qe_error bind_path(struct qe_unix_listener *listener)
{
	const char *path = listener->address.sun_path;
	struct stat status;

	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0 || fchmod(listener->fd, 0600) < 0 ||
		bind(listener->fd, (struct sockaddr *)&listener->address,
			sizeof(listener->address)) < 0)
		return qe_error_errno();
	if (lstat(path, &status) < 0)
		return qe_error_errno();
	listener->bound = true;
	listener->device = status.st_dev;
	listener->inode = status.st_ino;
	if (chown(path, (uid_t)-1, listener->group) < 0 || chmod(path, 0660) < 0 ||
		listen(listener->fd, backlog) < 0)
		return qe_error_errno();
	return QE_OK;
}

/* A socket that is bound but does not listen yet looks as if it were left behind: so two daemons do
 * not start there at once. */
static enum qe_error take_path(struct qe_unix_listener *listener)
{
	enum qe_error error;

	if (flock(listener->directory, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : qe_error_errno();
	error = clear_path(&listener->address);
	if (error == QE_OK)
		error = bind_path(listener);
	flock(listener->directory, LOCK_UN);
	return error;
}

static enum qe_error open_listener(
	struct qe_unix_listener *listener, const char *path, const char *group)
{
	const struct group *entry = getgrnam(group);

	listener->group = entry ? entry->gr_gid : getegid();
	QE_TRY(fill_address(&listener->address, path));
	QE_TRY(open_directory(listener));
	return take_path(listener);
}

enum qe_error qe_unix_listener_new(
	struct qe_unix_listener **ret_listener, const char *path, const char *group)
{
	struct qe_unix_listener *listener = malloc(sizeof(*listener));
	enum qe_error error;

	if (!listener)
		return -ENOMEM;
	*listener = (struct qe_unix_listener){.fd = -1, .directory = -1};
	error = open_listener(listener, path, group);
	if (error != QE_OK) {
		qe_unix_listener_free(listener);
		return error;
	}
	*ret_listener = listener;
	return QE_OK;
}

struct qe_unix_listener *qe_unix_listener_free(struct qe_unix_listener *listener)
{
	struct stat status;

	if (!listener)
		return nullptr;
	if (listener->bound &&
		fstatat(listener->directory, listener->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		status.st_dev == listener->device && status.st_ino == listener->inode)
		unlinkat(listener->directory, listener->name, 0);
	if (listener->fd >= 0)
		close(listener->fd);
	if (listener->directory >= 0)
		close(listener->directory);
	free(listener);
	return nullptr;
}

int qe_unix_listener_fd(const struct qe_unix_listener *listener)
{
	return listener->fd;
}

int qe_unix_listener_directory(const struct qe_unix_listener *listener)
{
	return listener->directory;
}

/* The kernel remembers the supplementary groups of who connected. */
static bool is_in_group(int fd, gid_t group)
{
	socklen_t size = groups_max * sizeof(gid_t);
	gid_t *groups = malloc(size);
	bool found = false;

	if (groups && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0) {
		for (size_t i = 0; i < size / sizeof(gid_t) && !found; i++)
			found = groups[i] == group;
	}
	free(groups);
	return found;
}

static bool may_connect(const struct qe_unix_listener *listener, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid() || peer.gid == listener->group ||
	       is_in_group(fd, listener->group);
}

enum qe_error qe_unix_accept(struct qe_unix_listener *listener, int *ret_fd)
{
	int fd = accept4(listener->fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return qe_error_errno();
	*ret_fd = fd;
	return may_connect(listener, fd) ? QE_OK : -EACCES;
}

enum qe_error qe_unix_connect(int *ret_fd, const char *path)
{
	struct sockaddr_un address;

	QE_TRY(fill_address(&address, path));
	return try_connect(ret_fd, &address);
}

void qe_unix_close(int fd)
{
	close(fd);
}

/* A broken connection has many names. */
static enum qe_error connection_error(void)
{
	if (errno == EPIPE || errno == ECONNRESET)
		return QE_ERR_CLOSED;
	return errno == EINTR ? -EAGAIN : qe_error_errno();
}

enum qe_error qe_unix_send(int fd, struct qe_bytes bytes, size_t *ret_sent)
{
	ssize_t n = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);

	if (n < 0)
		return connection_error();
	*ret_sent = (size_t)n;
	return QE_OK;
}

enum qe_error qe_unix_receive(int fd, void *to, size_t capacity, size_t *ret_len)
{
	ssize_t n = recv(fd, to, capacity, 0);

	if (n < 0)
		return connection_error();
	if (n == 0)
		return QE_ERR_CLOSED;
	*ret_len = (size_t)n;
	return QE_OK;
}

/* In milliseconds, as poll takes it: rather too early than never. */
static int poll_timeout(qe_time left)
{
	return left / QE_MILLISECOND < INT_MAX ? (int)((left + QE_MILLISECOND - 1) / QE_MILLISECOND)
					       : INT_MAX;
}

static enum qe_error wait_for(int fd, short events, qe_time until)
{
	struct pollfd watched = {.fd = fd, .events = events};

	for (;;) {
		qe_time left = qe_time_since(qe_clock_now(), until);
		int n = poll(&watched, 1, poll_timeout(left));

		if (n > 0)
			return QE_OK;
		if (n < 0 && errno != EINTR)
			return qe_error_errno();
		if (left == 0)
			return -ETIMEDOUT;
	}
}

enum qe_error qe_unix_wait_readable(int fd, qe_time until)
{
	return wait_for(fd, POLLIN, until);
}

enum qe_error qe_unix_wait_writable(int fd, qe_time until)
{
	return wait_for(fd, POLLOUT, until);
}
