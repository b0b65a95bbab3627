/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/key.h"

struct fixture {
	char dir[64];
	char path[80];
};

/* RFC 8410, section 10.3, without the attributes. */
static const char ed25519_pem[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
	"-----END PRIVATE KEY-----\n";

/* A key of no supported type: X25519. */
static const char x25519_pem[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MC4CAQAwBQYDK2VuBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
	"-----END PRIVATE KEY-----\n";

static int setup(void **test)
{
	struct fixture *f = calloc(1, sizeof(*f));
	strcpy(f->dir, "/tmp/qe-key-test-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/key.pem", f->dir);
	*test = f;
	return 0;
}

static int teardown(void **test)
{
	struct fixture *f = *test;
	unlink(f->path);
	int result = rmdir(f->dir); /* fails if a temporary file was left */
	free(f);
	return result;
}

static void put(const struct fixture *f, const char *text, size_t len, mode_t mode)
{
	unlink(f->path);
	int fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL, mode);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static void save_and_load(const struct fixture *f, enum qe_key_type type, size_t spki_len)
{
	struct qe_key *key, *loaded;
	struct stat st;
	uint8_t a[32], b[32], c[32];
	mode_t mask = umask(0777);
	assert_int_equal(qe_key_generate(&key, type), QE_OK);
	assert_int_equal(qe_key_save(key, f->path), QE_OK);
	umask(mask);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);

	assert_int_equal(qe_key_load(&loaded, f->path), QE_OK);
	assert_int_equal(qe_key_get_type(loaded), type);
	assert_true(qe_node_id_equal(qe_key_get_id(key), qe_key_get_id(loaded)));
	assert_int_equal(qe_key_get_spki(loaded).len, spki_len);
	assert_true(qe_bytes_equal(qe_key_get_spki(key), qe_key_get_spki(loaded)));

	assert_int_equal(qe_key_derive(key, "one", a), QE_OK);
	assert_int_equal(qe_key_derive(loaded, "one", b), QE_OK);
	assert_int_equal(qe_key_derive(loaded, "two", c), QE_OK);
	assert_memory_equal(a, b, sizeof(a));
	assert_memory_not_equal(a, c, sizeof(a));
	qe_key_free(loaded);
	qe_key_free(key);
}

static void ed25519_comes_back(void **test)
{
	save_and_load(*test, QE_KEY_ED25519, 44);
}

static void ml_dsa_65_comes_back(void **test)
{
	save_and_load(*test, QE_KEY_ML_DSA_65, 1974);
}

static void two_keys_differ(void **test)
{
	struct qe_key *a, *b;
	uint8_t secret_a[32], secret_b[32];
	(void)test;
	assert_int_equal(qe_key_generate(&a, QE_KEY_ED25519), QE_OK);
	assert_int_equal(qe_key_generate(&b, QE_KEY_ED25519), QE_OK);
	assert_false(qe_node_id_equal(qe_key_get_id(a), qe_key_get_id(b)));
	assert_int_equal(qe_key_derive(a, "x", secret_a), QE_OK);
	assert_int_equal(qe_key_derive(b, "x", secret_b), QE_OK);
	assert_memory_not_equal(secret_a, secret_b, sizeof(secret_a));
	qe_key_free(a);
	qe_key_free(b);
}

static void known_file(void **test)
{
	static const char last[] = {0x31, 0x66, (char)0xe1};
	struct qe_key *key;
	put(*test, ed25519_pem, sizeof(ed25519_pem) - 1, 0400);
	assert_int_equal(qe_key_load(&key, ((struct fixture *)*test)->path), QE_OK);
	assert_memory_equal(qe_key_get_spki(key).data + 41, last, sizeof(last));
	qe_key_free(key);
}

static void an_existing_file_stays(void **test)
{
	struct fixture *f = *test;
	struct qe_key *key, *loaded;
	put(f, ed25519_pem, sizeof(ed25519_pem) - 1, 0600);
	assert_int_equal(qe_key_generate(&key, QE_KEY_ED25519), QE_OK);
	assert_int_equal(qe_key_save(key, f->path), -EEXIST);
	assert_int_equal(qe_key_load(&loaded, f->path), QE_OK);
	assert_false(qe_node_id_equal(qe_key_get_id(key), qe_key_get_id(loaded)));
	qe_key_free(loaded);
	qe_key_free(key);
}

static void nowhere_to_save(void **test)
{
	struct qe_key *key;
	(void)test;
	assert_int_equal(qe_key_generate(&key, QE_KEY_ED25519), QE_OK);
	assert_int_equal(qe_key_save(key, "/nonexistent/key.pem"), -ENOENT);
	qe_key_free(key);
}

static void exposed_files_are_refused(void **test)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610, 0601, 0644, 0666};
	struct fixture *f = *test;
	struct qe_key *key;
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		put(f, ed25519_pem, sizeof(ed25519_pem) - 1, modes[i]);
		assert_int_equal(qe_key_load(&key, f->path), QE_ERR_KEY_EXPOSED);
	}
	if (geteuid() != 0)
		return;
	put(f, ed25519_pem, sizeof(ed25519_pem) - 1, 0600);
	assert_int_equal(chown(f->path, 12345, 0), 0);
	assert_int_equal(qe_key_load(&key, f->path), QE_ERR_KEY_EXPOSED);
}

static void only_regular_files(void **test)
{
	struct fixture *f = *test;
	struct qe_key *key;
	assert_int_equal(qe_key_load(&key, f->path), -ENOENT);
	assert_int_equal(qe_key_load(&key, f->dir), -EISDIR);
	assert_int_equal(symlink("/dev/null", f->path), 0);
	assert_int_equal(qe_key_load(&key, f->path), -ELOOP);
	unlink(f->path);
	assert_int_equal(mkfifo(f->path, 0600), 0);
	assert_int_equal(qe_key_load(&key, f->path), -EINVAL);
}

static void bad_contents_are_refused(void **test)
{
	struct fixture *f = *test;
	struct qe_key *key;
	char text[sizeof(ed25519_pem)];
	put(f, x25519_pem, sizeof(x25519_pem) - 1, 0600);
	assert_int_equal(qe_key_load(&key, f->path), QE_ERR_KEY_TYPE);
	for (size_t len = 0; len < sizeof(ed25519_pem) - 3; len++) {
		put(f, ed25519_pem, len, 0600);
		assert_int_equal(qe_key_load(&key, f->path), QE_ERR_SYNTAX);
	}
	/* A changed byte is refused or makes another key, but never crashes. */
	for (size_t i = 0; i < sizeof(ed25519_pem) - 1; i++) {
		memcpy(text, ed25519_pem, sizeof(text));
		text[i] ^= 0x15;
		put(f, text, sizeof(text) - 1, 0600);
		if (qe_key_load(&key, f->path) == QE_OK)
			qe_key_free(key);
	}
}

/* Asking for a passphrase would block a daemon for ever. */
static void an_encrypted_key_is_refused_without_asking(void **test)
{
	static const char encrypted[] =
		"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
		"MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
		"-----END ENCRYPTED PRIVATE KEY-----\n";
	struct qe_key *key;
	put(*test, encrypted, sizeof(encrypted) - 1, 0600);
	assert_int_equal(qe_key_load(&key, ((struct fixture *)*test)->path), QE_ERR_SYNTAX);
}

static void a_huge_file_is_refused(void **test)
{
	struct fixture *f = *test;
	struct qe_key *key;
	put(f, ed25519_pem, sizeof(ed25519_pem) - 1, 0600);
	assert_int_equal(truncate(f->path, 64 * 1024), 0);
	assert_int_equal(qe_key_load(&key, f->path), QE_OK);
	qe_key_free(key);
	assert_int_equal(truncate(f->path, 64 * 1024 + 1), 0);
	assert_int_equal(qe_key_load(&key, f->path), QE_ERR_SYNTAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ed25519_comes_back),
		TEST(ml_dsa_65_comes_back),
		cmocka_unit_test(two_keys_differ),
		TEST(known_file),
		TEST(an_existing_file_stays),
		cmocka_unit_test(nowhere_to_save),
		TEST(exposed_files_are_refused),
		TEST(only_regular_files),
		TEST(bad_contents_are_refused),
		TEST(an_encrypted_key_is_refused_without_asking),
		TEST(a_huge_file_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
