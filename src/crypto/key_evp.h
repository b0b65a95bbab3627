/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The one thing about a key that only this folder may see. */
#pragma once

#include <openssl/types.h>

#include "crypto/key.h"

EVP_PKEY *qe_key_get_evp(const struct qe_key *key); /* the key's */
