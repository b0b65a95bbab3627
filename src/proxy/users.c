/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "proxy/users.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/text_file.h"
#include "crypto/random.h"

constexpr size_t hash_size = 32;
constexpr size_t word_max = 255; /* RFC 1929 */
constexpr size_t file_max = 128 * 1024;

/* Hashes under a key of this run: all of one length, and of no use to who finds them. */
struct user {
	uint8_t name[hash_size], password[hash_size];
};

struct qe_users {
	uint8_t key[hash_size];
	struct user list[QE_USERS_MAX];
	size_t n;
};

static enum qe_error hash(const struct qe_users *users, uint8_t *to, const char *word)
{
	return qe_hmac(to, hash_size, (struct qe_bytes){users->key, hash_size},
		(struct qe_bytes){(const uint8_t *)word, strlen(word)});
}

/* The password may hold colons. */
static enum qe_error add_user(struct qe_users *users, char *line)
{
	char *colon = strchr(line, ':');
	struct user *user = &users->list[users->n];

	if (users->n == QE_USERS_MAX)
		return QE_ERR_FULL;
	if (!colon || colon == line || !colon[1] || (size_t)(colon - line) > word_max ||
		strlen(colon + 1) > word_max)
		return QE_ERR_SYNTAX;
	*colon = '\0';
	QE_TRY(hash(users, user->name, line));
	QE_TRY(hash(users, user->password, colon + 1));
	users->n++;
	return QE_OK;
}

static enum qe_error add_lines(
	struct qe_users *users, const char *text, size_t len, unsigned *ret_line)
{
	char line[2 * (word_max + 2)];
	enum qe_error error = QE_OK;

	for (size_t at = 0; error == QE_OK && at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		const size_t n = end ? (size_t)(end - text) - at : len - at;

		++*ret_line;
		if (n >= sizeof(line) || memchr(text + at, 0, n)) {
			error = QE_ERR_SYNTAX;
			break;
		}
		memcpy(line, text + at, n);
		line[n] = '\0';
		line[strcspn(line, "\r")] = '\0';
		at += n + 1;
		if (line[0] && line[0] != '#')
			error = add_user(users, line);
	}
	qe_wipe(line, sizeof(line));
	QE_TRY(error);
	return users->n > 0 ? QE_OK : QE_ERR_NOT_FOUND;
}

static enum qe_error read_file(char **ret_text, size_t *ret_len, const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return qe_error_errno();
	if (status.st_mode & (S_IRWXG | S_IRWXO))
		return QE_ERR_KEY_EXPOSED;
	return qe_text_file_read(ret_text, ret_len, path, file_max);
}

static void explain(struct qe_text *why, const char *path, unsigned line, enum qe_error error)
{
	if (error == QE_ERR_SYNTAX)
		qe_text_addf(why, "%s:%u: expected NAME:PASSWORD, each of 1 to %zu bytes", path,
			line, word_max);
	else if (error == QE_ERR_FULL)
		qe_text_addf(why, "%s:%u: more than %d users", path, line, QE_USERS_MAX);
	else if (error == QE_ERR_NOT_FOUND)
		qe_text_addf(why, "%s: there is nobody in it", path);
	else if (error == QE_ERR_KEY_EXPOSED)
		qe_text_addf(why, "%s can be read or written by others: chmod 600 %s", path, path);
	else
		qe_text_addf(why, "%s: %s", path, qe_error_text(error));
}

enum qe_error qe_users_load(struct qe_users **ret_users, const char *path, struct qe_text *why)
{
	struct qe_users *users = calloc(1, sizeof(*users));
	enum qe_error error = users ? QE_OK : -ENOMEM;
	char *text = nullptr;
	size_t len = 0;
	unsigned line = 0;

	if (error == QE_OK) {
		qe_random(users->key, sizeof(users->key));
		error = read_file(&text, &len, path);
	}
	if (error == QE_OK)
		error = add_lines(users, text, len, &line);
	if (text)
		qe_wipe(text, len);
	free(text);
	if (error != QE_OK) {
		explain(why, path, line, error);
		qe_users_free(users);
		return error;
	}
	*ret_users = users;
	return QE_OK;
}

struct qe_users *qe_users_free(struct qe_users *users)
{
	if (users)
		qe_wipe(users, sizeof(*users));
	free(users);
	return nullptr;
}

static bool is_equal(const uint8_t *a, const uint8_t *b)
{
	return qe_bytes_equal_secret(
		(struct qe_bytes){a, hash_size}, (struct qe_bytes){b, hash_size});
}

/* Goes through all of them, whoever it is. */
bool qe_users_know(const struct qe_users *users, const char *name, const char *password)
{
	struct user asked;
	const bool can_tell = hash(users, asked.name, name) == QE_OK &&
			      hash(users, asked.password, password) == QE_OK;
	bool known = false;

	for (size_t i = 0; can_tell && i < users->n; i++) {
		const bool is_name = is_equal(asked.name, users->list[i].name);
		const bool is_password = is_equal(asked.password, users->list[i].password);

		known |= is_name & is_password;
	}
	qe_wipe(&asked, sizeof(asked));
	return known;
}
