/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A node's key pair, Ed25519 or ML-DSA-65, and its file: PKCS #8 PEM, mode 0600, written to a
 * temporary file in the same directory, synced and linked into place, so that there is a whole key
 * or none, and an existing one is never overwritten.
 */
#pragma once

#include <stdio.h>

#include "crypto/node_id.h"

enum qe_error qe_key_generate(struct qe_key **ret_key, enum qe_key_type type);
/* QE_ERR_KEY_EXPOSED when group or others may read or write the file or it is not the caller's (or
 * root's); QE_ERR_SYNTAX; QE_ERR_KEY_TYPE; -errno. Looks at the opened file (fstat), never follows
 * a symbolic link in the last component, reads 64 KiB at the most. */
enum qe_error qe_key_load(struct qe_key **ret_key, const char *path);
/* -EEXIST when there is a file already. */
enum qe_error qe_key_save(const struct qe_key *key, const char *path);
struct qe_key *qe_key_free(struct qe_key *key); /* wipes */

enum qe_key_type qe_key_get_type(const struct qe_key *key);
const struct qe_node_id *qe_key_get_id(const struct qe_key *key);
struct qe_bytes qe_key_get_spki(const struct qe_key *key); /* DER; the key's */

/* A secret of 32 bytes that only this key's owner can compute, the same at each start: HKDF-SHA256
 * over the private key with the label. */
enum qe_error qe_key_derive(
	const struct qe_key *key, const char *label, uint8_t ret_secret[static 32]);
