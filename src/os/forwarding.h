/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Makes the host a router, and gives it back as it was: the kernel's settings, which are many, as
 * the one that is meant changes others with it. */
#pragma once

#include "net/addr.h"

struct qe_forwarding {
	struct qe_setting *settings; /* as they were, in the order in which to put them back */
	size_t n;
};

/* Nothing is changed where the family is forwarded already. -EACCES, -EROFS, -ENOMEM; -ENOENT:
 * the host does not have the family. */
enum qe_error qe_forwarding_enable(struct qe_forwarding *forwarding, enum qe_family family);
void qe_forwarding_restore(struct qe_forwarding *forwarding);
