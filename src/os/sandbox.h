/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Giving up what is not needed any more, in stages, each of which says what can no longer be done.
 */
#pragma once

#include "base/error.h"

/* All stages, for the calling thread and those it makes from then on: call it while there is no
 * other, after everything that takes privileges has been done. removable_in: an open folder, the
 * only one in which files can be removed afterwards. *ret_confined is false where the kernel has no
 * Landlock: then files are what the process's user may use. */
enum qe_error qe_sandbox_enter(int removable_in, bool *ret_confined);
