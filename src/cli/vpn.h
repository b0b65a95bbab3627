/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* How VPN mode stands, in words: of the daemon's "vpn.status". */
#pragma once

#include <jansson.h>

#include "base/text.h"

/* In one line: state, gateway, what is tunnelled and what is not, the public address, who resolves
 * names, and whether the kill switch holds. */
void qe_add_vpn(struct qe_text *to, json_t *vpn);
/* Line by line. */
void qe_show_vpn(FILE *to, json_t *vpn);
