/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A new file beside it changes places with the former one, whatever that is, in one system call: so
 * nobody ever finds none, and the former keeps its inode under the other name until it comes back.
 * Whoever finds the two can tell by their first line which one is ours, and what has to be done.
 *
 * A mount point cannot change places (containers, "ip netns exec"). There ours is written over the
 * former one, and holds a copy of it, behind its end: if the copy is being put back and that is
 * broken off, the copy is still there. It is written at once, and is the longer one, so that
 * nothing has to be cut off.
 *
 * A process that has put a file there holds a lock on it as long as it lives: one for writing,
 * which takes the right to write, so that nobody else on the host can have us think that it does.
 */
#include "os/resolv_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

constexpr size_t file_max = 65536;                /* of somebody else's */
constexpr size_t whole_max = 4 * file_max + 4096; /* with a copy in which each line is empty */
constexpr char beside[] = ".quicether";
constexpr char first_line[] =
	"# Made by quicether, which brings back the former one when VPN mode ends.\n";
constexpr char copy_line[] = "\n# quicether: this was here before, bytes: ";

/* ---- reading ---- */

/* Whole, with a zero behind it; to be freed. flags: of open. */
static enum qe_error read_file(
	char **ret_text, size_t *ret_len, int *ret_fd, const char *path, int flags)
{
	int fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat status;
	ssize_t n = -1;
	char *text;

	if (fd < 0)
		return qe_error_errno();
	text = malloc(whole_max + 1);
	if (text && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		n = pread(fd, text, whole_max + 1, 0);
	if (n < 0 || n > (ssize_t)whole_max) {
		free(text);
		close(fd);
		return QE_ERR_RANGE;
	}
	text[n] = '\0';
	*ret_text = text;
	*ret_len = (size_t)n;
	if (ret_fd)
		*ret_fd = fd;
	else
		close(fd);
	return QE_OK;
}

static void add_server(struct qe_resolv_conf *conf, const char *word)
{
	struct qe_addr addr;

	if (conf->n_servers < QE_RESOLV_SERVERS_MAX && qe_addr_parse(&addr, word) == QE_OK)
		conf->servers[conf->n_servers++] = addr;
}

/* A word that does not fit is left out with all that follow. */
static void add_word(char *to, const char *word)
{
	struct qe_text text = {to, strlen(to), QE_RESOLV_TEXT_MAX, false};
	size_t before = text.len;

	if (before > 0)
		qe_text_add(&text, " ");
	qe_text_add(&text, word);
	if (text.truncated)
		to[before] = '\0';
}

/* Of "domain" and "search" the last line counts, of "options" all (resolv.conf(5)). */
static void take_line(struct qe_resolv_conf *conf, char *line)
{
	char *rest = nullptr, *key = strtok_r(line, " \t\r", &rest), *word;
	bool search = key && (strcmp(key, "search") == 0 || strcmp(key, "domain") == 0);

	if (search)
		conf->search[0] = '\0';
	while (key && (word = strtok_r(nullptr, " \t\r", &rest))) {
		if (strcmp(key, "nameserver") == 0)
			add_server(conf, word);
		else if (search)
			add_word(conf->search, word);
		else if (strcmp(key, "options") == 0)
			add_word(conf->options, word);
	}
}

enum qe_error qe_resolv_file_read(struct qe_resolv_conf *ret_conf, const char *path)
{
	struct qe_resolv_conf conf = {};
	char *text, *rest = nullptr;
	size_t len;

	QE_TRY(read_file(&text, &len, nullptr, path, O_RDONLY));
	for (char *line = strtok_r(text, "\n", &rest); line;
		line = strtok_r(nullptr, "\n", &rest)) {
		if (line[0] != '#' && line[0] != ';')
			take_line(&conf, line);
		else if (strstr(line, "enerated by resolvconf"))
			conf.of_resolvconf = true;
	}
	free(text);
	*ret_conf = conf;
	return QE_OK;
}

/* ---- what is there ---- */

enum kind : uint8_t { MISSING, OURS, OURS_IN_PLACE, OTHER };

struct found {
	enum kind kind;
	char *text; /* of ours */
	size_t len;
	int fd;         /* or -1 */
	const char *at; /* the copy, of OURS_IN_PLACE */
	size_t was;     /* how long it is */
};

static void done(struct found *found)
{
	free(found->text);
	if (found->fd >= 0)
		close(found->fd);
}

static bool is_ours(const char *text)
{
	return strncmp(text, first_line, strlen(first_line)) == 0;
}

/* Where only the first part of ours is written over, the copy is still whole. */
static bool find_copy(struct found *found)
{
	const char *line = memmem(found->text, found->len, copy_line, strlen(copy_line));
	char *end;

	if (!line)
		return false;
	found->was = strtoul(line + strlen(copy_line), &end, 10);
	found->at = end + 1;
	return *end == '\n' && found->was <= file_max;
}

static enum kind classify(struct found *found)
{
	if (find_copy(found))
		return OURS_IN_PLACE;
	return is_ours(found->text) ? OURS : OTHER;
}

/* Not released until all that have the file open by this descriptor are gone. */
static bool lock(int fd)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

static bool is_locked(int fd)
{
	struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type == F_WRLCK;
}

/* -EBUSY: it is ours, and another process's, unless force says that this is no matter. */
static enum qe_error find(struct found *ret_found, const char *path, bool force)
{
	struct found found = {.fd = -1};
	enum qe_error error = read_file(
		&found.text, &found.len, &found.fd, path, O_RDONLY | O_NOFOLLOW);

	if (error == -ENOENT)
		found.kind = MISSING;
	else if (error != QE_OK)
		found.kind = OTHER;
	else
		found.kind = classify(&found);
	if ((found.kind == OURS || found.kind == OURS_IN_PLACE) && !force && is_locked(found.fd)) {
		done(&found);
		return -EBUSY;
	}
	*ret_found = found;
	return QE_OK;
}

/* ---- the former back ---- */

static enum qe_error write_whole(int fd, const char *text, size_t len)
{
	ssize_t n = pwrite(fd, text, len, 0);

	if (n >= 0 && (size_t)n < len)
		return -ENOSPC;
	return n < 0 || fsync(fd) < 0 ? qe_error_errno() : QE_OK;
}

static bool decode(char *to, size_t was, const char *at, const char *end)
{
	bool line_begins = true;

	for (size_t i = 0; i < was; at++) {
		if (at == end)
			return false;
		if (line_begins && *at != '#')
			return false;
		if (!line_begins)
			to[i++] = *at;
		line_begins = !line_begins && *at == '\n';
	}
	return true;
}

static enum qe_error restore_in_place(const char *path, const struct found *found)
{
	char *former = malloc(found->was + 1);
	int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	enum qe_error error = QE_OK;

	if (fd < 0 || !former)
		error = fd < 0 ? qe_error_errno() : -ENOMEM;
	else if (!decode(former, found->was, found->at, found->text + found->len))
		error = QE_ERR_SYNTAX;
	if (error == QE_OK)
		error = write_whole(fd, former, found->was);
	if (error == QE_OK && (ftruncate(fd, (off_t)found->was) < 0 || fsync(fd) < 0))
		error = qe_error_errno();
	if (fd >= 0)
		close(fd);
	free(former);
	return error;
}

static enum qe_error from_errno(int result)
{
	return result < 0 ? qe_error_errno() : QE_OK;
}

/* Ours, as far as it came. */
static bool is_torn(const struct found *found)
{
	return found->text && found->len < strlen(first_line) &&
	       memcmp(found->text, first_line, found->len) == 0;
}

/* What stands beside ours is the former one, whatever it says; else it is the former one if
 * somebody has taken ours away or replaced it, or ours, if it never came to its place. */
static enum qe_error restore(const char *path, const char *other, const struct found *at,
	const struct found *aside, enum qe_resolv_undo *ret_undo)
{
	bool former = aside->kind == OTHER && !is_torn(aside);

	*ret_undo = at->kind == OTHER || at->kind == MISSING ? QE_RESOLV_NOTHING
							     : QE_RESOLV_RESTORED;
	if (at->kind == OURS_IN_PLACE) {
		QE_TRY(restore_in_place(path, at));
	} else if (at->kind == OURS ? aside->kind != MISSING : at->kind == MISSING && former) {
		*ret_undo = QE_RESOLV_RESTORED;
		return from_errno(rename(other, path));
	} else if (at->kind == OURS) {
		QE_TRY(from_errno(unlink(path)));
	} else if (former) {
		*ret_undo = QE_RESOLV_THEIRS;
	}
	return aside->kind == MISSING ? QE_OK : from_errno(unlink(other));
}

static enum qe_error name_beside(char to[static PATH_MAX], const char *path)
{
	return snprintf(to, PATH_MAX, "%s%s", path, beside) < PATH_MAX ? QE_OK : -ENAMETOOLONG;
}

enum qe_error qe_resolv_file_restore(const char *path, bool force, enum qe_resolv_undo *ret_undo)
{
	char other[PATH_MAX];
	struct found at, aside;
	enum qe_resolv_undo undo;
	enum qe_error error;

	QE_TRY(name_beside(other, path));
	QE_TRY(find(&at, path, force));
	error = find(&aside, other, force);
	if (error == QE_OK) {
		error = restore(path, other, &at, &aside, &undo);
		done(&aside);
	}
	done(&at);
	if (error == QE_OK)
		*ret_undo = undo;
	return error;
}

/* ---- ours ---- */

/* trust-ad would believe what nobody has verified. */
static void add_options(struct qe_text *text, const char *options)
{
	char copy[QE_RESOLV_TEXT_MAX], *rest = nullptr;
	const char *before = "options ";

	snprintf(copy, sizeof(copy), "%s", options);
	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(nullptr, " ", &rest)) {
		if (strcmp(word, "trust-ad") == 0)
			continue;
		qe_text_add(text, before);
		qe_text_add(text, word);
		before = " ";
	}
	if (before[1] == '\0')
		qe_text_add(text, "\n");
}

static void compose(char *to, size_t size, const struct qe_resolv_conf *conf)
{
	struct qe_text text = qe_text_init(to, size);
	char addr[QE_ADDR_TEXT_SIZE];

	qe_text_add(&text, first_line);
	for (size_t i = 0; i < conf->n_servers; i++) {
		qe_addr_format(addr, &conf->servers[i]);
		qe_text_addf(&text, "nameserver %s\n", addr);
	}
	if (conf->search[0])
		qe_text_addf(&text, "search %s\n", conf->search);
	add_options(&text, conf->options);
}

/* In place of what is left of a former one that never came to its place. */
static enum qe_error make_beside(const char *other, const char *text, int *ret_fd)
{
	int fd = open(other, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	enum qe_error error;

	if (fd < 0)
		return qe_error_errno();
	error = write_whole(fd, text, strlen(text));
	if (error == QE_OK && (!lock(fd) || fchmod(fd, 0644) < 0))
		error = qe_error_errno();
	if (error != QE_OK) {
		unlink(other);
		close(fd);
		return error;
	}
	*ret_fd = fd;
	return QE_OK;
}

static enum qe_error change_places(const char *other, const char *path)
{
	if (renameat2(AT_FDCWD, other, AT_FDCWD, path, RENAME_EXCHANGE) == 0)
		return QE_OK;
	if (errno != ENOENT)
		return qe_error_errno();
	return from_errno(renameat2(AT_FDCWD, other, AT_FDCWD, path, RENAME_NOREPLACE));
}

static enum qe_error put_beside(const char *path, const char *text, int *ret_fd)
{
	char other[PATH_MAX];
	enum qe_error error;
	int fd = -1;

	QE_TRY(name_beside(other, path));
	QE_TRY(make_beside(other, text, &fd));
	error = change_places(other, path);
	if (error != QE_OK) {
		unlink(other);
		close(fd);
		return error;
	}
	*ret_fd = fd;
	return QE_OK;
}

/* Ours, then nothing of meaning up to where the former one ended, then the copy. */
static size_t compose_with_copy(char *to, const char *text, const char *former, size_t was)
{
	struct qe_text whole = qe_text_init(to, whole_max);
	bool line_begins = true;

	qe_text_add(&whole, text);
	while (whole.len < was)
		qe_text_add(&whole, "#\n");
	qe_text_addf(&whole, "%s%zu\n", copy_line, was);
	for (size_t i = 0; i < was; i++) {
		if (line_begins)
			to[whole.len++] = '#';
		to[whole.len++] = former[i];
		line_begins = former[i] == '\n';
	}
	if (!line_begins)
		to[whole.len++] = '\n';
	return whole.len;
}

/* What has come half way is taken back. */
static enum qe_error overwrite(int fd, const char *text, const char *former, size_t was)
{
	char *whole = malloc(whole_max);
	enum qe_error error;

	if (!whole)
		return -ENOMEM;
	error = write_whole(fd, whole, compose_with_copy(whole, text, former, was));
	if (error != QE_OK && write_whole(fd, former, was) == QE_OK)
		(void)!ftruncate(fd, (off_t)was);
	free(whole);
	return error;
}

static enum qe_error put_in_place(const char *path, const char *text, int *ret_fd)
{
	enum qe_error error;
	char *former;
	size_t was;
	int fd;

	QE_TRY(read_file(&former, &was, &fd, path, O_RDWR | O_NOFOLLOW));
	error = was > file_max ? -EFBIG : QE_OK;
	(void)!lock(fd); /* whoever can read it can keep us from it, and gains nothing */
	if (error == QE_OK)
		error = overwrite(fd, text, former, was);
	free(former);
	if (error != QE_OK) {
		close(fd);
		return error;
	}
	*ret_fd = fd;
	return QE_OK;
}

/* A mount point, a file system that cannot change places, or a folder that cannot be written to
 * while the file perhaps can. */
static bool may_do_in_place(enum qe_error error)
{
	return error == -EBUSY || error == -EINVAL || error == -EXDEV || error == -EROFS ||
	       error == -EACCES || error == -EPERM;
}

static void explain(struct qe_text *why, const char *path, enum qe_error error)
{
	if (error == -EBUSY)
		qe_text_addf(why, "%s is another quicether's", path);
	else if (error == -EPERM || error == -EACCES)
		qe_text_addf(
			why, "%s cannot be changed: is it immutable (lsattr), or read-only?", path);
	else
		qe_text_addf(why, "%s cannot be replaced: %s", path, qe_error_text(error));
}

static enum qe_error put(const char *path, const char *text, int *ret_fd)
{
	enum qe_resolv_undo undo;
	enum qe_error error, second;
	struct stat status;

	if (lstat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return -EISDIR;
	QE_TRY(qe_resolv_file_restore(path, false, &undo));
	error = put_beside(path, text, ret_fd);
	if (!may_do_in_place(error))
		return error;
	second = put_in_place(path, text, ret_fd);
	return second == -ELOOP || second == -ENOENT ? error : second;
}

enum qe_error qe_resolv_file_put(struct qe_resolv_file *file, const char *path,
	const struct qe_resolv_conf *conf, struct qe_text *why)
{
	struct qe_resolv_file next = {};
	enum qe_error error;

	compose(next.text, sizeof(next.text), conf);
	if (strcmp(next.text, file->text) == 0 && qe_resolv_file_holds(file, path))
		return QE_OK;
	qe_resolv_file_done(file);
	error = put(path, next.text, &next.lock);
	if (error == QE_OK)
		*file = next;
	else
		explain(why, path, error);
	return error;
}

bool qe_resolv_file_holds(const struct qe_resolv_file *file, const char *path)
{
	char *text = nullptr;
	bool holds;
	size_t len;

	if (!file->text[0] || read_file(&text, &len, nullptr, path, O_RDONLY) != QE_OK)
		return false;
	holds = strncmp(text, file->text, strlen(file->text)) == 0;
	free(text);
	return holds;
}

void qe_resolv_file_done(struct qe_resolv_file *file)
{
	if (file->text[0])
		close(file->lock);
	*file = (struct qe_resolv_file){};
}
