/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#define _GNU_SOURCE
#include "crypto/key.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/aead.h"
#include "crypto/key_evp.h"
#include "crypto/random.h"

#define FILE_MAX (64 * 1024)
#define PRIVATE_MAX 8192 /* ML-DSA-65: 4032 */

struct qe_key {
	EVP_PKEY *pkey;
	enum qe_key_type type;
	struct qe_node_id id;
	uint8_t *spki;
	size_t spki_len;
};

/* OpenSSL's names, in the order of enum qe_key_type. */
static const char *const type_names[] = {
	[QE_KEY_ED25519] = "ED25519",
	[QE_KEY_ML_DSA_65] = "ML-DSA-65",
};

static enum qe_error type_of(enum qe_key_type *ret_type, const EVP_PKEY *pkey)
{
	for (size_t i = 0; i < sizeof(type_names) / sizeof(*type_names); i++) {
		if (EVP_PKEY_is_a(pkey, type_names[i])) {
			*ret_type = (enum qe_key_type)i;
			return QE_OK;
		}
	}
	return QE_ERR_KEY_TYPE;
}

static enum qe_error describe(struct qe_key *key)
{
	QE_TRY(type_of(&key->type, key->pkey));
	int len = i2d_PUBKEY(key->pkey, &key->spki);
	if (len <= 0)
		return QE_ERR_CRYPTO;
	key->spki_len = (size_t)len;
	return qe_node_id_from_spki(&key->id, qe_key_get_spki(key));
}

/* Takes pkey, also when it fails. */
static enum qe_error new_key(struct qe_key **ret_key, EVP_PKEY *pkey)
{
	struct qe_key *key = calloc(1, sizeof(*key));
	if (!key) {
		EVP_PKEY_free(pkey);
		return -ENOMEM;
	}
	key->pkey = pkey;
	enum qe_error error = describe(key);
	if (error != QE_OK) {
		qe_key_free(key);
		return error;
	}
	*ret_key = key;
	return QE_OK;
}

/* Only the plain "PRIVATE KEY" form: the general reader would ask for a passphrase on the
 * terminal. */
static enum qe_error parse(struct qe_key **ret_key, struct qe_bytes pem)
{
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
	PKCS8_PRIV_KEY_INFO *info = bio ? PEM_read_bio_PKCS8_PRIV_KEY_INFO(bio, NULL, NULL, NULL)
					: NULL;
	EVP_PKEY *pkey = info ? EVP_PKCS82PKEY(info) : NULL;
	enum qe_error error = info ? QE_ERR_KEY_TYPE : QE_ERR_SYNTAX;
	PKCS8_PRIV_KEY_INFO_free(info);
	BIO_free(bio);
	ERR_clear_error();
	return pkey ? new_key(ret_key, pkey) : error;
}

static enum qe_error check_file(int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return qe_error_errno();
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return QE_ERR_KEY_EXPOSED;
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return QE_ERR_KEY_EXPOSED;
	return QE_OK;
}

static enum qe_error read_all(int fd, uint8_t *to, size_t capacity, size_t *ret_len)
{
	size_t len = 0;
	while (len < capacity) {
		ssize_t n = read(fd, to + len, capacity - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return qe_error_errno();
		if (n == 0) {
			*ret_len = len;
			return QE_OK;
		}
		len += (size_t)n;
	}
	return QE_ERR_SYNTAX;
}

static enum qe_error load_fd(struct qe_key **ret_key, int fd)
{
	QE_TRY(check_file(fd));
	uint8_t *pem = malloc(FILE_MAX + 1);
	if (!pem)
		return -ENOMEM;
	size_t len = 0;
	enum qe_error error = read_all(fd, pem, FILE_MAX + 1, &len);
	if (error == QE_OK)
		error = parse(ret_key, (struct qe_bytes){pem, len});
	qe_wipe(pem, FILE_MAX + 1);
	free(pem);
	return error;
}

static enum qe_error write_all(int fd, struct qe_bytes bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.data, bytes.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return qe_error_errno();
		bytes.data += n;
		bytes.len -= (size_t)n;
	}
	return QE_OK;
}

/* mkostemp's file is 0600 already, whatever the umask takes away from it is given back here. */
static enum qe_error fill_file(int fd, struct qe_bytes pem)
{
	if (fchmod(fd, S_IRUSR | S_IWUSR) < 0)
		return qe_error_errno();
	QE_TRY(write_all(fd, pem));
	return fsync(fd) < 0 ? qe_error_errno() : QE_OK;
}

/* Makes the directory entry last. */
static enum qe_error sync_directory(const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) + 1 : 0;
	if (len >= sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(dir, path, len);
	dir[len] = '\0';
	int fd = open(len > 0 ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return qe_error_errno();
	enum qe_error error = fsync(fd) < 0 ? qe_error_errno() : QE_OK;
	close(fd);
	return error;
}

/* link(2), unlike rename(2), never replaces what is there. */
static enum qe_error write_file(const char *path, struct qe_bytes pem)
{
	static const char suffix[] = ".XXXXXX";
	char temporary[PATH_MAX];
	size_t len = strlen(path);
	if (len + sizeof(suffix) > sizeof(temporary))
		return -ENAMETOOLONG;
	memcpy(temporary, path, len);
	memcpy(temporary + len, suffix, sizeof(suffix));
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return qe_error_errno();
	enum qe_error error = fill_file(fd, pem);
	if (error == QE_OK && link(temporary, path) < 0)
		error = qe_error_errno();
	unlink(temporary);
	close(fd);
	return error == QE_OK ? sync_directory(path) : error;
}

enum qe_error qe_key_generate(struct qe_key **ret_key, enum qe_key_type type)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, type_names[type]);
	return pkey ? new_key(ret_key, pkey) : QE_ERR_CRYPTO;
}

enum qe_error qe_key_load(struct qe_key **ret_key, const char *path)
{
	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return qe_error_errno();
	enum qe_error error = load_fd(ret_key, fd);
	close(fd);
	return error;
}

enum qe_error qe_key_save(const struct qe_key *key, const char *path)
{
	/* Secure-memory BIOs wipe what they held. */
	BIO *bio = BIO_new(BIO_s_secmem());
	char *pem = NULL;
	enum qe_error error = QE_ERR_CRYPTO;
	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL) == 1) {
		long len = BIO_get_mem_data(bio, &pem);
		error = write_file(path, (struct qe_bytes){(const uint8_t *)pem, (size_t)len});
	}
	BIO_free(bio);
	return error;
}

struct qe_key *qe_key_free(struct qe_key *key)
{
	if (!key)
		return NULL;
	EVP_PKEY_free(key->pkey);
	OPENSSL_free(key->spki);
	free(key);
	return NULL;
}

enum qe_key_type qe_key_get_type(const struct qe_key *key)
{
	return key->type;
}

const struct qe_node_id *qe_key_get_id(const struct qe_key *key)
{
	return &key->id;
}

struct qe_bytes qe_key_get_spki(const struct qe_key *key)
{
	return (struct qe_bytes){key->spki, key->spki_len};
}

EVP_PKEY *qe_key_get_evp(const struct qe_key *key)
{
	return key->pkey;
}

/* The suite only names the hash. */
static enum qe_error expand(uint8_t to[static 32], struct qe_bytes private, const char *label)
{
	uint8_t secret[32];
	QE_TRY(qe_hkdf_extract(secret, (struct qe_bytes){}, private));
	enum qe_error error = qe_hkdf_expand_label(QE_SUITE_AES_128_GCM_SHA256, to, 32,
		(struct qe_bytes){secret, sizeof(secret)}, label);
	qe_wipe(secret, sizeof(secret));
	return error;
}

enum qe_error qe_key_derive(
	const struct qe_key *key, const char *label, uint8_t ret_secret[static 32])
{
	uint8_t private[PRIVATE_MAX];
	size_t len = sizeof(private);
	enum qe_error error = QE_ERR_CRYPTO;
	if (EVP_PKEY_get_raw_private_key(key->pkey, private, &len) == 1)
		error = expand(ret_secret, (struct qe_bytes){private, len}, label);
	qe_wipe(private, sizeof(private));
	return error;
}
