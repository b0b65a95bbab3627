/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What compiling makes and evaluating reads. */
#pragma once

#include "policy/policy.h"
#include "policy/ranges.h"
#include "policy/rule_set.h"

enum question { QUESTION_SUBJECT, QUESTION_OBJECT, QUESTION_PROTOCOL, QUESTION_PORT, QUESTIONS };

struct verdict {
	enum qe_action action;
	bool log;
};

struct qe_policy {
	struct verdict *verdicts; /* by rule */
	uint16_t *order;          /* the rule of each bit in the sets */
	size_t n_rules;
	struct dimension dimensions[QUESTIONS];
	/* The classes of what packets may answer. Class 0 is that of what no rule names. */
	uint32_t *subjects; /* by slot */
	size_t n_subjects;
	uint32_t self;
	struct ranges objects[2];   /* IPv4, IPv6 */
	uint16_t protocols[2][256]; /* IPv4, IPv6 */
	uint16_t *ports;            /* 65,536 */
};

static inline size_t family_index(const struct qe_addr *addr)
{
	return addr->family == QE_FAMILY_IPV4 ? 0 : 1;
}
