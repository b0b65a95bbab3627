/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What a node says of a prefix: that it owns it, or that it forwards for it. */
#pragma once

#include "base/error.h"

struct qe_announcement {
	struct qe_prefix prefix;
	bool gateway;    /* not its own: it forwards */
	uint16_t metric; /* less is better */
};
