/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Undoing what a daemon that is gone has left behind. */
#pragma once

#include "cli/output.h"

struct qe_rpc_error;

/* For `stop` where no daemon listens, which why says: that is the answer where nothing is left. */
enum qe_exit qe_stop_what_is_left(const struct qe_args *args, const struct qe_rpc_error *why);
/* For `stop` where one has ended: usually nothing, and then nothing is said. */
enum qe_exit qe_finish_stop(const struct qe_args *args);
