/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Giving the host back where the daemon and its helper did not: from the journal alone, and from
 * what is known to be ours by its name or number. For the commands; takes root. */
#pragma once

#include "os/undo.h"

/* What a daemon that is gone has left behind. undo: its netlink socket is made here. -EPERM: not
 * root; -EBUSY: it is not gone, or still undoes it. QE_ERR_INTERNAL: some of it failed, which was
 * said. */
enum qe_error qe_repair(const char *socket_path, struct qe_undo *undo);

/* The kill switch and the rest of VPN mode, whether or not a daemon lives. */
enum qe_error qe_panic_off(const char *socket_path, struct qe_undo *undo);

/* Whether VPN mode's table stands; where that cannot be told, true. */
bool qe_repair_is_blocked(void);
