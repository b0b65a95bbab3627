/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The nftables table of VPN mode, inet quicether_vpn: what may leave the host beside the tunnel,
 * and what may come in beside it. One for a network namespace. */
#pragma once

#include <stdio.h>

#include "os/vpn_plan.h"

/* The nft script that makes the table anew, as one transaction. Of names only those for which
 * qe_nft_is_plain. Pure. */
void qe_kill_switch_write(FILE *to, const char *tun, const struct qe_vpn_plan *plan);

/* Makes or replaces the table; there is no moment without it. QE_ERR_RANGE: an interface of such a
 * name cannot stand in rules. On an error what was before holds, and *why says what is wrong. */
enum qe_error qe_kill_switch_set(
	const char *tun, const struct qe_vpn_plan *plan, struct qe_text *why);
/* One that is not there is no error. */
enum qe_error qe_kill_switch_remove(struct qe_text *why);
/* Whether there is a table of that name, whoever made it. */
enum qe_error qe_kill_switch_exists(bool *ret_exists, struct qe_text *why);
