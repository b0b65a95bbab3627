/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What a gateway needs of the nft program: address translation, and what its peers get at. */
#pragma once

#include "net/addr.h"

#define QE_NFT_LIST_MAX 2048
#define QE_NFT_NETWORKS_MAX 256

/* Plain data. */
struct qe_nft_gateway {
	/* Everything that is not private is reached through it, with its address. What is private
	 * (os/nft.c), one of its networks or an address of its own, apart from the tunnel's, only
	 * if it is named; and nobody gets in from there, unless it is named. */
	bool exit;
	uint16_t n_masquerade, n_named, n_networks;
	struct qe_prefix masquerade[QE_NFT_LIST_MAX / 2]; /* destinations for its own address */
	struct qe_prefix named[QE_NFT_LIST_MAX];          /* no default routes */
	struct qe_prefix networks[QE_NFT_NETWORKS_MAX];   /* that it has an address in */
};

/* All of it is closed to the peers of any exit that does not name it. */
bool qe_nft_is_private(const struct qe_prefix *prefix);
/* Whether there can be a table for that interface: QE_ERR_RANGE, and *why says it, if not. */
enum qe_error qe_nft_check_gateway(const char *interface, struct qe_text *why);
/* The table inet quicether_INTERFACE, whole and in one transaction, for what comes out of the
 * interface and goes on, or the other way. Neither exit nor masquerade, or NULL: no table. Nothing
 * else is touched. On an error what was before holds, and *why has what nft said. */
enum qe_error qe_nft_set_gateway(
	const char *interface, const struct qe_nft_gateway *gateway, struct qe_text *why);
