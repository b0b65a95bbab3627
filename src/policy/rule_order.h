/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Which rule is which bit of a set. */
#pragma once

#include "policy/names.h"

/* The rule of each bit, and as many zeros as fill its last word. Freed by the caller. */
enum qe_error rule_order_new(
	uint16_t **ret_order, const struct qe_policy_source *source, const struct names *names);
