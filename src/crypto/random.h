/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Randomness, keyed hashes and the end of secrets. */
#pragma once

#include "base/bytes.h"

void qe_random(void *to, size_t len); /* from OpenSSL's DRBG; ends the process if there is none:
					 nothing safe can follow */
uint64_t qe_random_u64(void);
/* HMAC-SHA256; truncated to len (at most 32) bytes. */
enum qe_error qe_hmac(void *to, size_t len, struct qe_bytes key, struct qe_bytes message);
void qe_wipe(void *secret, size_t len);
