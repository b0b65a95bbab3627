/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Giving up what is not needed any more, in stages, each of which says what can no longer be done.
 */
#pragma once

#include "base/error.h"

/* All stages, for the calling thread and those it makes from then on: call it while there is no
 * other, after everything that takes privileges has been done. */
enum qe_error qe_sandbox_enter(void);
