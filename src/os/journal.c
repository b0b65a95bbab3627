/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * One line for each entry, words with spaces between them; what is no plain letter is written as
 * "%20". Lines are appended, several with one write; one without an end was torn, and its change
 * has not been made. To take entries away, a new file is renamed over the former one, or the file
 * cut down to its first line when none is left.
 *
 * The lock is that of the file which has the name: whoever has locked one looks whether it still
 * has, and the new file is locked before it gets the name.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/text.h"
#include "os/journal.h"

constexpr char head[] = "quicether host journal 1\n";
constexpr char new_name[] = QE_JOURNAL_NAME ".new";
constexpr size_t file_max = 16 << 20;
constexpr unsigned lock_tries = 100;

/* One line, taken apart in place. */
struct entry {
	char *text;
	struct qe_journal_entry words;
};

struct qe_journal {
	int folder, fd;
	struct entry *entries;
	size_t n, capacity, damaged;
};

/* ---- lines ---- */

static bool is_plain(char c)
{
	return c && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			   "./_:,@+=-",
			    c);
}

/* An empty word is a lone "%". */
static void write_word(FILE *to, const char *word)
{
	if (!word[0])
		fputc('%', to);
	for (; *word; word++) {
		if (is_plain(*word))
			fputc(*word, to);
		else
			fprintf(to, "%%%02x", (unsigned)(uint8_t)*word);
	}
}

static void write_line(FILE *to, const struct qe_journal_entry *words)
{
	for (size_t i = 0; i < words->n; i++) {
		if (i > 0)
			fputc(' ', to);
		write_word(to, words->words[i]);
	}
	fputc('\n', to);
}

static int hex(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : nullptr;

	return at ? (int)(at - digits) : -1;
}

/* In place. */
static bool decode_word(char *word)
{
	char *to = word;

	if (strcmp(word, "%") == 0) {
		word[0] = '\0';
		return true;
	}
	while (*word) {
		char c = *word++;

		if (c == '%') {
			int high = hex(word[0]), low = high < 0 ? -1 : hex(word[1]);

			c = (char)(high << 4 | low);
			if (low < 0 || c == 0 || is_plain(c))
				return false;
			word += 2;
		} else if (!is_plain(c)) {
			return false;
		}
		*to++ = c;
	}
	*to = '\0';
	return true;
}

/* A kind and which, at least. */
static bool take_apart(struct qe_journal_entry *ret_words, char *line)
{
	struct qe_journal_entry words = {};

	for (char *word; (word = strsep(&line, " "));) {
		if (words.n == QE_JOURNAL_WORDS_MAX || !word[0] || !decode_word(word))
			return false;
		words.words[words.n++] = word;
	}
	if (words.n < 2)
		return false;
	*ret_words = words;
	return true;
}

/* ---- entries ---- */

static struct entry *find(const struct qe_journal *journal, const char *kind, const char *which)
{
	for (size_t i = 0; i < journal->n; i++) {
		const struct qe_journal_entry *words = &journal->entries[i].words;

		if (strcmp(words->words[0], kind) == 0 && strcmp(words->words[1], which) == 0)
			return &journal->entries[i];
	}
	return nullptr;
}

static enum qe_error make_room(struct qe_journal *journal, size_t n)
{
	size_t capacity = journal->capacity;
	struct entry *grown;

	if (n > QE_JOURNAL_ENTRIES_MAX - journal->n)
		return QE_ERR_FULL;
	if (journal->n + n <= capacity)
		return QE_OK;
	capacity = 2 * (journal->n + n);
	grown = qe_array_grow(journal->entries, journal->n, capacity, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	journal->entries = grown;
	journal->capacity = capacity;
	return QE_OK;
}

/* Takes the line. */
static enum qe_error remember(struct qe_journal *journal, char *line)
{
	struct entry entry = {.text = line};
	enum qe_error error = QE_ERR_SYNTAX;

	if (take_apart(&entry.words, line) &&
		!find(journal, entry.words.words[0], entry.words.words[1]))
		error = make_room(journal, 1);
	if (error != QE_OK) {
		free(line);
		return error;
	}
	journal->entries[journal->n++] = entry;
	return QE_OK;
}

static void forget_from(struct qe_journal *journal, size_t from)
{
	while (journal->n > from)
		free(journal->entries[--journal->n].text);
}

/* ---- what stands in a file ---- */

static enum qe_error parse_line(struct qe_journal *journal, const char *line, size_t len)
{
	enum qe_error error = QE_ERR_SYNTAX;
	char *copy;

	if (len < QE_JOURNAL_LINE_MAX && !memchr(line, '\0', len)) {
		copy = strndup(line, len);
		error = copy ? remember(journal, copy) : -ENOMEM;
	}
	if (error != QE_ERR_SYNTAX)
		return error;
	journal->damaged++;
	return QE_OK;
}

/* An empty file is one whose first line was not written: nothing was changed either. */
enum qe_error qe_journal_parse(struct qe_journal *journal, const char *text, size_t len)
{
	const char *end = text + len, *newline;

	if (memchr(text, '\n', len) == nullptr)
		return len < sizeof(head) && memcmp(text, head, len) == 0 ? QE_OK : QE_ERR_SYNTAX;
	if (len < strlen(head) || memcmp(text, head, strlen(head)) != 0)
		return QE_ERR_SYNTAX;
	text += strlen(head);
	while (text < end && (newline = memchr(text, '\n', (size_t)(end - text)))) {
		QE_TRY(parse_line(journal, text, (size_t)(newline - text)));
		text = newline + 1;
	}
	return QE_OK;
}

static enum qe_error read_whole(int fd, char **ret_text, size_t *ret_len)
{
	struct stat status;
	char *text;
	ssize_t n;

	if (fstat(fd, &status) < 0)
		return qe_error_errno();
	if (status.st_size > (off_t)file_max)
		return QE_ERR_SYNTAX;
	text = malloc((size_t)status.st_size + 1);
	if (!text)
		return -ENOMEM;
	n = pread(fd, text, (size_t)status.st_size, 0);
	if (n != status.st_size) {
		free(text);
		return -EIO;
	}
	*ret_text = text;
	*ret_len = (size_t)n;
	return QE_OK;
}

/* ret_len: up to the last line that has an end. */
static enum qe_error read_entries(struct qe_journal *journal, size_t *ret_len)
{
	char *text = nullptr;
	enum qe_error error;
	size_t len = 0;

	QE_TRY(read_whole(journal->fd, &text, &len));
	error = qe_journal_parse(journal, text, len);
	while (len > 0 && text[len - 1] != '\n')
		len--;
	free(text);
	if (error == QE_OK)
		*ret_len = len;
	return error;
}

/* What comes next must not go on where a line was torn. */
static enum qe_error load(struct qe_journal *journal)
{
	size_t len;

	QE_TRY(read_entries(journal, &len));
	return ftruncate(journal->fd, (off_t)len) < 0 ? qe_error_errno() : QE_OK;
}

/* ---- the file ---- */

/* Whoever else could have written it could have us undo what nobody has done. */
static bool is_ours(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
	       !(status.st_mode & (S_IWGRP | S_IWOTH)) && status.st_nlink <= 1;
}

static bool has_the_name(int folder, int fd)
{
	struct stat named, open;

	return fstatat(folder, QE_JOURNAL_NAME, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstat(fd, &open) == 0 && named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

static enum qe_error lock(int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return QE_OK;
	return errno == EWOULDBLOCK ? -EBUSY : qe_error_errno();
}

static enum qe_error open_named(struct qe_journal *journal, int flags)
{
	constexpr int always = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	enum qe_error error;

	journal->fd = openat(journal->folder, QE_JOURNAL_NAME, always | flags, 0600);
	if (journal->fd < 0)
		return errno == ELOOP ? -EPERM : qe_error_errno();
	error = is_ours(journal->fd) ? lock(journal->fd) : -EPERM;
	if (error == QE_OK && has_the_name(journal->folder, journal->fd))
		return QE_OK;
	close(journal->fd);
	journal->fd = -1;
	return error == QE_OK ? -EAGAIN : error;
}

/* -EAGAIN: it was replaced or removed between opening and locking. */
static enum qe_error open_file(struct qe_journal *journal, int flags)
{
	enum qe_error error = -EAGAIN;

	for (unsigned i = 0; i < lock_tries && error == -EAGAIN; i++)
		error = open_named(journal, flags);
	return error == -EAGAIN ? -EBUSY : error;
}

/* Whole lines, or none: a disk may fill up in the middle of one. */
static enum qe_error append(int fd, const char *text, size_t len)
{
	off_t before = lseek(fd, 0, SEEK_END);
	ssize_t n = write(fd, text, len);
	enum qe_error error = n < 0 ? qe_error_errno() : -ENOSPC;

	if (n == (ssize_t)len)
		return QE_OK;
	if (before >= 0)
		(void)!ftruncate(fd, before);
	return error;
}

static enum qe_error write_entries(int fd, const struct entry *entries, size_t n, bool with_head)
{
	char *text = nullptr;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	enum qe_error error = -ENOMEM;
	bool bad;

	if (!to)
		return -ENOMEM;
	if (with_head)
		fputs(head, to);
	for (size_t i = 0; i < n; i++)
		write_line(to, &entries[i].words);
	bad = ferror(to);
	if (fclose(to) == 0 && !bad)
		error = append(fd, text, len);
	free(text);
	return error;
}

static bool is_empty(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && status.st_size == 0;
}

/* There was none when the journal was opened: what another one has left behind since is not to be
 * mixed with what is ours. */
static enum qe_error make_file(struct qe_journal *journal)
{
	QE_TRY(open_file(journal, O_CREAT));
	if (is_empty(journal->fd))
		return QE_OK;
	close(journal->fd);
	journal->fd = -1;
	return -EBUSY;
}

/* Entries from that one on are new. */
static enum qe_error save_from(struct qe_journal *journal, size_t from)
{
	if (journal->folder < 0)
		return QE_OK;
	if (journal->fd < 0)
		QE_TRY(make_file(journal));
	return write_entries(
		journal->fd, &journal->entries[from], journal->n - from, is_empty(journal->fd));
}

static enum qe_error replace(struct qe_journal *journal)
{
	enum qe_error error;
	int fd;

	unlinkat(journal->folder, new_name, 0);
	fd = openat(journal->folder, new_name,
		O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return qe_error_errno();
	error = lock(fd);
	if (error == QE_OK)
		error = write_entries(fd, journal->entries, journal->n, true);
	if (error == QE_OK &&
		renameat(journal->folder, new_name, journal->folder, QE_JOURNAL_NAME) < 0)
		error = qe_error_errno();
	if (error != QE_OK) {
		unlinkat(journal->folder, new_name, 0);
		close(fd);
		return error;
	}
	close(journal->fd);
	journal->fd = fd;
	return QE_OK;
}

/* ---- opening ---- */

enum qe_error qe_journal_find_folder(int *ret_folder, const char *socket_path)
{
	char *copy = strdup(socket_path);
	int folder = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	enum qe_error error = folder < 0 ? qe_error_errno() : QE_OK;

	free(copy);
	if (error == QE_OK)
		*ret_folder = folder;
	return error;
}

enum qe_error qe_journal_open_folder(int *ret_folder, const char *socket_path)
{
	char *copy = strdup(socket_path);
	bool made = copy && mkdir(dirname(copy), 0700) == 0;
	int folder;

	free(copy);
	QE_TRY(qe_journal_find_folder(&folder, socket_path));
	if (made && fchmod(folder, 0711) < 0) {
		enum qe_error error = qe_error_errno();

		close(folder);
		return error;
	}
	*ret_folder = folder;
	return QE_OK;
}

void qe_journal_close_folder(int folder)
{
	close(folder);
}

static enum qe_error make(struct qe_journal **ret_journal, int folder)
{
	struct qe_journal *journal = malloc(sizeof(*journal));

	if (!journal)
		return -ENOMEM;
	*journal = (struct qe_journal){.folder = folder, .fd = -1};
	*ret_journal = journal;
	return QE_OK;
}

/* After an error the file stays. */
static void give_up(struct qe_journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	forget_from(journal, 0);
	free(journal->entries);
	free(journal);
}

enum qe_error qe_journal_open(struct qe_journal **ret_journal, int folder)
{
	struct qe_journal *journal;
	enum qe_error error = QE_OK;

	QE_TRY(make(&journal, folder));
	if (folder >= 0)
		error = open_file(journal, 0);
	if (error == QE_OK && folder >= 0)
		error = load(journal);
	if (error != QE_OK && error != -ENOENT) {
		give_up(journal);
		return error;
	}
	*ret_journal = journal;
	return QE_OK;
}

enum qe_error qe_journal_open_copy(struct qe_journal **ret_journal, int folder)
{
	struct qe_journal *journal;
	enum qe_error error;
	size_t len;

	QE_TRY(make(&journal, -1));
	journal->fd = openat(
		folder, QE_JOURNAL_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	error = journal->fd < 0 ? qe_error_errno() : is_ours(journal->fd) ? QE_OK : -EPERM;
	if (error == QE_OK)
		error = read_entries(journal, &len);
	if (error != QE_OK) {
		give_up(journal);
		return error;
	}
	close(journal->fd);
	journal->fd = -1;
	*ret_journal = journal;
	return QE_OK;
}

struct qe_journal *qe_journal_close(struct qe_journal *journal)
{
	if (!journal)
		return nullptr;
	if (journal->fd >= 0 && journal->n == 0)
		unlinkat(journal->folder, QE_JOURNAL_NAME, 0);
	if (journal->fd >= 0)
		close(journal->fd);
	forget_from(journal, 0);
	free(journal->entries);
	free(journal);
	return nullptr;
}

/* ---- changes ---- */

static enum qe_error remember_copy(struct qe_journal *journal, const struct qe_journal_entry *words)
{
	char *line = nullptr;
	size_t len = 0;
	FILE *to = open_memstream(&line, &len);

	if (!to)
		return -ENOMEM;
	write_line(to, words);
	if (fclose(to) != 0)
		return -ENOMEM;
	if (len > QE_JOURNAL_LINE_MAX) {
		free(line);
		return QE_ERR_TOO_BIG;
	}
	line[len - 1] = '\0';
	return remember(journal, line);
}

enum qe_error qe_journal_add(
	struct qe_journal *journal, const struct qe_journal_entry *entries, size_t n)
{
	size_t before = journal->n;
	enum qe_error error = QE_OK;

	for (size_t i = 0; i < n && error == QE_OK; i++) {
		if (!find(journal, entries[i].words[0], entries[i].words[1]))
			error = remember_copy(journal, &entries[i]);
	}
	if (error == QE_OK && journal->n > before)
		error = save_from(journal, before);
	if (error != QE_OK)
		forget_from(journal, before);
	return error;
}

void qe_journal_drop(struct qe_journal *journal, size_t i)
{
	free(journal->entries[i].text);
	memmove(&journal->entries[i], &journal->entries[i + 1],
		(journal->n - i - 1) * sizeof(journal->entries[0]));
	journal->n--;
}

/* Where that fails, what is undone is undone again one day, which finds nothing to do. */
void qe_journal_save(struct qe_journal *journal)
{
	if (journal->fd < 0)
		return;
	if (journal->n == 0)
		(void)!ftruncate(journal->fd, strlen(head));
	else
		(void)!replace(journal);
}

size_t qe_journal_count(const struct qe_journal *journal)
{
	return journal->n;
}

struct qe_journal_entry qe_journal_at(const struct qe_journal *journal, size_t i)
{
	return journal->entries[i].words;
}

bool qe_journal_has(const struct qe_journal *journal, const char *kind, const char *which)
{
	return find(journal, kind, which);
}

size_t qe_journal_damaged(const struct qe_journal *journal)
{
	return journal->damaged;
}
