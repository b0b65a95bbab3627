/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Who writes net.ipv4.ip_forward or net.ipv6.conf.all.forwarding overwrites the setting of each
 * interface, and for IPv4 whether redirects are believed; so all of these are remembered. A router
 * does not listen to IPv6 router advertisements, and its kernel forgets at once what it has learnt
 * from them, unless accept_ra is 2: interfaces that listen are told to go on, or a host that got
 * its default route that way would lose it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/forwarding.h"

constexpr size_t settings_max = 16384;

struct qe_setting {
	char path[96];
	char value[12];
};

/* What to remember of a family: the setting that is meant, one of all interfaces that it changes
 * with it, and two of each interface. */
static const struct family {
	const char *meant, *common, *interfaces, *each[2];
} families[] = {
	[QE_FAMILY_IPV4] = {"/proc/sys/net/ipv4/ip_forward",
		"/proc/sys/net/ipv4/conf/all/accept_redirects", "/proc/sys/net/ipv4/conf",
		{"forwarding"}},
	[QE_FAMILY_IPV6] = {"/proc/sys/net/ipv6/conf/all/forwarding", nullptr,
		"/proc/sys/net/ipv6/conf", {"forwarding", "accept_ra"}},
};

static enum qe_error read_setting(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return qe_error_errno();
	n = read(fd, to, size - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	to[n] = '\0';
	to[strcspn(to, "\n")] = '\0';
	return QE_OK;
}

static enum qe_error write_setting(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	enum qe_error error = QE_OK;

	if (fd < 0)
		return qe_error_errno();
	if (write(fd, value, strlen(value)) < 0)
		error = qe_error_errno();
	close(fd);
	return error;
}

static enum qe_error remember(struct qe_forwarding *forwarding, const char *path)
{
	struct qe_setting *settings;
	struct qe_setting setting;

	if (strlen(path) >= sizeof(setting.path))
		return -ENAMETOOLONG;
	strcpy(setting.path, path);
	QE_TRY(read_setting(path, setting.value, sizeof(setting.value)));
	if (forwarding->n == settings_max)
		return QE_ERR_FULL;
	settings = reallocarray(forwarding->settings, forwarding->n + 1, sizeof(*settings));
	if (!settings)
		return -ENOMEM;
	forwarding->settings = settings;
	forwarding->settings[forwarding->n++] = setting;
	return QE_OK;
}

/* Interfaces come and go while they are listed: one that is gone is no error. */
static enum qe_error remember_interface(
	struct qe_forwarding *forwarding, const struct family *family, const char *name)
{
	char path[96];

	for (size_t i = 0; i < 2 && family->each[i]; i++) {
		enum qe_error error;

		if ((size_t)snprintf(path, sizeof(path), "%s/%s/%s", family->interfaces, name,
			    family->each[i]) >= sizeof(path))
			return -ENAMETOOLONG;
		error = remember(forwarding, path);
		if (error != QE_OK && error != -ENOENT)
			return error;
	}
	return QE_OK;
}

static enum qe_error remember_all(struct qe_forwarding *forwarding, const struct family *family)
{
	enum qe_error error = QE_OK;
	struct dirent *entry;
	DIR *folder;

	QE_TRY(remember(forwarding, family->meant));
	if (family->common)
		QE_TRY(remember(forwarding, family->common));
	folder = opendir(family->interfaces);
	if (!folder)
		return qe_error_errno();
	while (error == QE_OK && (entry = readdir(folder))) {
		if (entry->d_name[0] != '.')
			error = remember_interface(forwarding, family, entry->d_name);
	}
	closedir(folder);
	return error;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text);

	return len >= strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

static void go_on_listening(const struct qe_forwarding *forwarding, size_t from)
{
	for (size_t i = from; i < forwarding->n; i++) {
		const struct qe_setting *setting = &forwarding->settings[i];

		if (ends_with(setting->path, "/accept_ra") && strcmp(setting->value, "1") == 0)
			(void)!write_setting(setting->path, "2");
	}
}

static void restore_from(struct qe_forwarding *forwarding, size_t from)
{
	char value[12];

	for (size_t i = from; i < forwarding->n; i++) {
		const struct qe_setting *setting = &forwarding->settings[i];

		if (read_setting(setting->path, value, sizeof(value)) == QE_OK &&
			strcmp(value, setting->value) != 0)
			(void)!write_setting(setting->path, setting->value);
	}
	forwarding->n = from;
}

enum qe_error qe_forwarding_enable(struct qe_forwarding *forwarding, enum qe_family family)
{
	const struct family *paths = &families[family];
	size_t before = forwarding->n;
	enum qe_error error;
	char value[12];

	QE_TRY(read_setting(paths->meant, value, sizeof(value)));
	if (strcmp(value, "0") != 0)
		return QE_OK;
	error = remember_all(forwarding, paths);
	if (error == QE_OK) {
		go_on_listening(forwarding, before);
		error = write_setting(paths->meant, "1");
	}
	if (error != QE_OK)
		restore_from(forwarding, before);
	return error;
}

void qe_forwarding_restore(struct qe_forwarding *forwarding)
{
	restore_from(forwarding, 0);
	free(forwarding->settings);
	*forwarding = (struct qe_forwarding){};
}
