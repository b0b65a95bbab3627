/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Errors: the one signed space of include/quicether.h, and the little that makes it pleasant to
 * use. */
#pragma once

#include "quicether.h"

/* The negated errno as a qe_error; QE_ERR_INTERNAL where errno is 0. */
enum qe_error qe_error_errno(void);

/* Evaluate an expression of type enum qe_error, and hand a failure to the caller. For functions
 * that own nothing yet, or whose locals clean up after themselves. */
#define QE_TRY(expression) \
	do { \
		enum qe_error qe_try_ = (expression); \
		if (qe_try_ != QE_OK) \
			return qe_try_; \
	} while (0)
