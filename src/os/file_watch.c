/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Of a folder, what comes and goes in it; of the file, also what is written to it, which its folder
 * does not tell where the file is a mount point.
 */
#include "os/file_watch.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

constexpr uint32_t folder_events = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
				   IN_CLOSE_WRITE | IN_ONLYDIR;
constexpr uint32_t file_events = IN_CLOSE_WRITE | IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr unsigned links_max = 8;

enum qe_error qe_file_watch_init(struct qe_file_watch *watch)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd < 0)
		return qe_error_errno();
	watch->fd = fd;
	return QE_OK;
}

void qe_file_watch_done(struct qe_file_watch *watch)
{
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = -1;
}

static void add_folder(const struct qe_file_watch *watch, const char *path)
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", path);
	inotify_add_watch(watch->fd, dirname(copy), folder_events);
}

/* In path itself, which the link's text is relative to; false where there is none. */
static bool follow(char path[static PATH_MAX])
{
	char target[PATH_MAX], copy[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = '\0';
	memcpy(copy, path, PATH_MAX);
	if (target[0] == '/')
		return snprintf(path, PATH_MAX, "%s", target) < PATH_MAX;
	return snprintf(path, PATH_MAX, "%s/%s", dirname(copy), target) < PATH_MAX;
}

void qe_file_watch_add(struct qe_file_watch *watch, const char *path)
{
	char at[PATH_MAX];

	if (snprintf(at, sizeof(at), "%s", path) >= PATH_MAX)
		return;
	add_folder(watch, at);
	for (unsigned i = 0; i < links_max && follow(at); i++)
		add_folder(watch, at);
	inotify_add_watch(watch->fd, at, file_events);
}

/* A watched file itself has no name in what is told of it. */
bool qe_file_watch_take(struct qe_file_watch *watch, const char *word)
{
	alignas(struct inotify_event) char buffer[4096];
	bool concerned = false;
	ssize_t n;

	while ((n = read(watch->fd, buffer, sizeof(buffer))) > 0) {
		for (char *at = buffer; at < buffer + n;) {
			const struct inotify_event *event = (const struct inotify_event *)at;

			concerned = concerned || event->mask & IN_Q_OVERFLOW || event->len == 0 ||
				    strstr(event->name, word);
			at += sizeof(*event) + event->len;
		}
	}
	return concerned;
}
