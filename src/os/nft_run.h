/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Runs the nft program: rules go to it in its own language (nft(8)), as one transaction. */
#pragma once

#include <stdio.h>

#include "net/addr.h"

/* Where the program is, or NULL. */
const char *qe_nft_find(void);

/* A name may hold anything but spaces and slashes: what nft does not take literally would make
 * another rule of ours than is meant. */
bool qe_nft_is_plain(const char *interface);

/* What is written to *ret_script is given to the program by qe_nft_commit, and to nobody without
 * it. -ENOENT: there is no nft, which *why says. -ENOMEM. */
enum qe_error qe_nft_begin(FILE **ret_script, struct qe_text *why);
/* The sets NAME4 and NAME6 of a table, with those of the prefixes that are of the family. */
void qe_nft_put_sets(FILE *script, const char *name, const struct qe_prefix *prefixes, size_t n);
/* Frees the script. answer, if not NULL, gets what nft says, cut off where it does not fit. -EIO:
 * nft refused, and *why has its first words; -ETIMEDOUT. */
enum qe_error qe_nft_commit(FILE *script, char *answer, size_t size, struct qe_text *why);
