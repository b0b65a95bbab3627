/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Makes the host a router, and gives it back as it was: the kernel's settings, which are many, as
 * the one that is meant changes others with it. */
#pragma once

#include "net/addr.h"
#include "os/undo.h"

/* Nothing is changed where the family is forwarded already. -EACCES, -EROFS, -ENOMEM; -ENOENT:
 * the host does not have the family. */
enum qe_error qe_forwarding_enable(struct qe_journal *journal, enum qe_family family);
/* What was changed for the family alone. */
enum qe_error qe_forwarding_restore(
	struct qe_undo *undo, struct qe_journal *journal, enum qe_family family);
