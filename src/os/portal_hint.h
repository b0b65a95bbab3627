/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the networks of this host say of a captive portal (RFC 8910): by DHCP or in a router
 * advertisement, as systemd-networkd has heard it. Other programs keep that to themselves. */
#pragma once

#include "base/text.h"

#define QE_PORTAL_HINT_FOLDER "/run/systemd/netif/links"

/* Adds the URI that the first network gives which has any: of a portal's interface (RFC 8908).
 * False if none does, or says that there is no portal. folder: files by interface index. */
bool qe_portal_hint(struct qe_text *to, const char *folder);
