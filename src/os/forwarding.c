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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/forwarding.h"
#include "os/sysctl.h"

constexpr size_t settings_max = 16384;

/* What to remember of a family: the setting that is meant, one of all interfaces that it changes
 * with it, and of each interface what it changes and what is to be changed before. */
static const struct family {
	const char *group, *meant, *common, *interfaces;
	bool listens; /* to router advertisements, as long as it does not forward */
} families[] = {
	[QE_FAMILY_IPV4] = {"ipv4_forwarding", "/proc/sys/net/ipv4/ip_forward",
		"/proc/sys/net/ipv4/conf/all/accept_redirects", "/proc/sys/net/ipv4/conf", false},
	[QE_FAMILY_IPV6] = {"ipv6_forwarding", "/proc/sys/net/ipv6/conf/all/forwarding", nullptr,
		"/proc/sys/net/ipv6/conf", true},
};

struct settings {
	struct qe_sysctl *items;
	size_t n;
};

static enum qe_error remember(struct settings *settings, const char *path, const char *after)
{
	struct qe_sysctl setting = {}, *grown;

	if (strlen(path) >= sizeof(setting.path))
		return -ENAMETOOLONG;
	strcpy(setting.path, path);
	QE_TRY(qe_sysctl_read(path, setting.before, sizeof(setting.before)));
	strcpy(setting.after, after ? after : setting.before);
	if (settings->n == settings_max)
		return QE_ERR_FULL;
	grown = reallocarray(settings->items, settings->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	settings->items = grown;
	settings->items[settings->n++] = setting;
	return QE_OK;
}

/* Interfaces come and go while they are listed: one that is gone is no error. */
static enum qe_error remember_of(struct settings *settings, const struct family *family,
	const char *interface, const char *name, const char *after)
{
	char path[96];
	enum qe_error error;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s/%s", family->interfaces, interface, name) >=
		sizeof(path))
		return -ENAMETOOLONG;
	if (strcmp(path, family->meant) == 0)
		return QE_OK;
	error = remember(settings, path, after);
	return error == -ENOENT ? QE_OK : error;
}

static enum qe_error remember_interface(
	struct settings *settings, const struct family *family, const char *interface)
{
	size_t at;

	QE_TRY(remember_of(settings, family, interface, "forwarding", "1"));
	if (!family->listens)
		return QE_OK;
	at = settings->n;
	QE_TRY(remember_of(settings, family, interface, "accept_ra", nullptr));
	if (settings->n > at && strcmp(settings->items[at].before, "1") == 0)
		strcpy(settings->items[at].after, "2");
	return QE_OK;
}

static enum qe_error remember_interfaces(struct settings *settings, const struct family *family)
{
	enum qe_error error = QE_OK;
	struct dirent *entry;
	DIR *folder = opendir(family->interfaces);

	if (!folder)
		return qe_error_errno();
	while (error == QE_OK && (entry = readdir(folder))) {
		if (entry->d_name[0] != '.')
			error = remember_interface(settings, family, entry->d_name);
	}
	closedir(folder);
	return error;
}

/* The one that is meant comes last: see qe_sysctl_journal. */
static enum qe_error remember_all(struct settings *settings, const struct family *family)
{
	if (family->common)
		QE_TRY(remember(settings, family->common, "0"));
	QE_TRY(remember_interfaces(settings, family));
	return remember(settings, family->meant, "1");
}

static enum qe_error change(const struct settings *settings)
{
	const struct qe_sysctl *meant = &settings->items[settings->n - 1];

	for (size_t i = 0; i < settings->n; i++) {
		const struct qe_sysctl *setting = &settings->items[i];

		if (strcmp(setting->after, "2") == 0 && strcmp(setting->before, "2") != 0)
			(void)!qe_sysctl_write(setting->path, setting->after);
	}
	return qe_sysctl_write(meant->path, meant->after);
}

enum qe_error qe_forwarding_enable(struct qe_journal *journal, enum qe_family family)
{
	const struct family *paths = &families[family];
	struct settings settings = {};
	enum qe_error error;
	char value[12];

	QE_TRY(qe_sysctl_read(paths->meant, value, sizeof(value)));
	if (strcmp(value, "0") != 0)
		return QE_OK;
	error = remember_all(&settings, paths);
	if (error == QE_OK)
		error = qe_sysctl_journal(journal, paths->group, settings.items, settings.n);
	if (error == QE_OK)
		error = change(&settings);
	free(settings.items);
	return error;
}

static bool is_of(void *ctx, const struct qe_journal_entry *entry)
{
	return entry->n > 2 && strcmp(entry->words[0], QE_JOURNAL_SYSCTL) == 0 &&
	       strcmp(entry->words[2], ctx) == 0;
}

enum qe_error qe_forwarding_restore(
	struct qe_undo *undo, struct qe_journal *journal, enum qe_family family)
{
	char group[24];

	snprintf(group, sizeof(group), "%s", families[family].group);
	return qe_undo_run(undo, journal, is_of, group);
}
