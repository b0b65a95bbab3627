/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A lock that each network namespace has one of: held by the helper that has changes in it to give
 * back, so that nobody takes these for the host's own state, or for something left behind. */
#pragma once

/* -1: somebody else has it. */
int qe_namespace_lock(void);
void qe_namespace_unlock(int lock); /* -1: nothing */
