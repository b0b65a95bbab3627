/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Notices when somebody takes away what VPN mode has put on the host: its nftables table, as the
 * restart of a firewall does, or one of its routing rules, as network managers do that keep no
 * rules but their own. */
#pragma once

#include "base/error.h"

struct qe_vpn_guard;

/* Takes CAP_NET_ADMIN; the rest does not. */
enum qe_error qe_vpn_guard_new(struct qe_vpn_guard **ret_guard);
struct qe_vpn_guard *qe_vpn_guard_free(struct qe_vpn_guard *guard);
/* Readable when there may be something to drain. */
int qe_vpn_guard_fd(const struct qe_vpn_guard *guard);
/* Takes away what has come; whether anything of ours was removed since the last time, by us too. */
bool qe_vpn_guard_drain(struct qe_vpn_guard *guard);
