/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * To write net.ipv4.ip_forward or net.ipv6.conf.all.forwarding is to write others, too. So a group
 * is undone as a whole: first all are read, which tells what somebody else has changed meanwhile;
 * then the last one is written, and then each of the others that is not as it should be: as before,
 * or as somebody else made it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/sysctl.h"

constexpr char proc[] = "/proc/sys/net/";

enum qe_error qe_sysctl_read(const char *path, char *to, size_t size)
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

enum qe_error qe_sysctl_write(const char *path, const char *value)
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

/* ---- what may stand in a journal ---- */

/* Of an interface, or of all. */
static bool is_of_interface(const char *rest)
{
	static const char *const names[] = {
		"forwarding", "accept_ra", "accept_redirects", "src_valid_mark"};
	const char *slash = strchr(rest, '/');

	if (!slash || slash == rest || rest[0] == '.')
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(slash + 1, names[i]) == 0)
			return true;
	}
	return false;
}

static bool is_known(const char *path)
{
	if (strlen(path) >= sizeof((struct qe_sysctl){}.path) ||
		strncmp(path, proc, strlen(proc)) != 0)
		return false;
	path += strlen(proc);
	if (strcmp(path, "ipv4/ip_forward") == 0)
		return true;
	return (strncmp(path, "ipv4/conf/", 10) == 0 || strncmp(path, "ipv6/conf/", 10) == 0) &&
	       is_of_interface(path + 10);
}

static bool is_value(const char *value)
{
	size_t len = strlen(value);

	return len > 0 && len < sizeof((struct qe_sysctl){}.before) &&
	       strspn(value, "-0123456789") == len;
}

/* ---- writing ---- */

enum qe_error qe_sysctl_journal(
	struct qe_journal *journal, const char *group, const struct qe_sysctl *settings, size_t n)
{
	struct qe_journal_entry *entries = calloc(n, sizeof(*entries));
	enum qe_error error;

	if (!entries)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		entries[i] = (struct qe_journal_entry){
			{QE_JOURNAL_SYSCTL, settings[i].path, group, settings[i].before,
				settings[i].after},
			5};
	error = qe_journal_add(journal, entries, n);
	free(entries);
	return error;
}

enum qe_error qe_sysctl_set(
	struct qe_journal *journal, const char *group, const char *path, const char *value)
{
	struct qe_sysctl setting = {};

	snprintf(setting.path, sizeof(setting.path), "%s", path);
	snprintf(setting.after, sizeof(setting.after), "%s", value);
	QE_TRY(qe_sysctl_read(path, setting.before, sizeof(setting.before)));
	if (strcmp(setting.before, value) == 0)
		return QE_OK;
	QE_TRY(qe_sysctl_journal(journal, group, &setting, 1));
	return qe_sysctl_write(path, value);
}

/* ---- undoing ---- */

struct plan {
	const char *path, *before, *after;
	char seen[12];
	const char *wanted; /* NULL: it is gone, as interfaces go */
	bool is_theirs;
};

static bool is_valid(const struct qe_journal_entry *entry)
{
	return is_known(entry->words[1]) && is_value(entry->words[3]) && is_value(entry->words[4]);
}

static void look(struct plan *plan, const struct qe_journal_entry *entry)
{
	plan->path = entry->words[1];
	plan->before = entry->words[3];
	plan->after = entry->words[4];
	if (qe_sysctl_read(plan->path, plan->seen, sizeof(plan->seen)) != QE_OK)
		return;
	plan->is_theirs = strcmp(plan->seen, plan->before) != 0 &&
			  strcmp(plan->seen, plan->after) != 0;
	plan->wanted = strcmp(plan->seen, plan->after) == 0 ? plan->before : plan->seen;
}

static bool put_back(struct qe_undo *undo, const struct plan *plan)
{
	char value[12];
	enum qe_error error;

	if (!plan->wanted || qe_sysctl_read(plan->path, value, sizeof(value)) != QE_OK ||
		strcmp(value, plan->wanted) == 0)
		return true;
	error = qe_sysctl_write(plan->path, plan->wanted);
	if (error == QE_OK || error == -ENOENT)
		return true;
	qe_undo_say(undo, QE_UNDO_FAILED, "%s cannot be set to %s again: %s", plan->path,
		plan->wanted, qe_error_text(error));
	return false;
}

static void tell(struct qe_undo *undo, const struct plan *plan)
{
	if (!plan->wanted)
		return;
	if (plan->is_theirs)
		qe_undo_say(undo, QE_UNDO_THEIRS,
			"%s was %s before, we set it to %s, and somebody else to %s, which stays",
			plan->path, plan->before, plan->after, plan->seen);
	else if (strcmp(plan->seen, plan->wanted) != 0)
		qe_undo_say(undo, QE_UNDONE, "%s is %s again", plan->path, plan->wanted);
}

bool qe_sysctl_undo(struct qe_undo *undo, const struct qe_journal_entry *entries, size_t n)
{
	struct plan *plans = calloc(n, sizeof(*plans));
	bool done = plans;

	for (size_t i = 0; i < n && done; i++) {
		done = is_valid(&entries[i]);
		if (done)
			look(&plans[i], &entries[i]);
		else
			qe_undo_say(undo, QE_UNDO_FAILED,
				"the journal names a setting that is none of ours: %s",
				entries[i].words[1]);
	}
	for (size_t i = n; i > 0 && done; i--)
		done = put_back(undo, &plans[i - 1]);
	for (size_t i = 0; i < n && done; i++)
		tell(undo, &plans[i]);
	free(plans);
	return done;
}
