/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "policy/source.h"

#include <stdlib.h>

#include "policy/zone.h"

static void free_terms(struct qe_policy_term *terms, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(terms[i].name);
	free(terms);
}

static void free_schedule(struct qe_policy_schedule *schedule)
{
	if (schedule == nullptr)
		return;
	free(schedule->zone_name);
	qe_zone_free(schedule->zone);
	free(schedule);
}

static void free_rules(struct qe_policy_rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(rules[i].id);
		free_terms(rules[i].subjects, rules[i].n_subjects);
		free_terms(rules[i].objects, rules[i].n_objects);
		free(rules[i].protocols);
		free(rules[i].ports);
		free_schedule(rules[i].schedule);
	}
	free(rules);
}

void qe_policy_source_done(struct qe_policy_source *source)
{
	for (size_t i = 0; i < source->n_groups; i++) {
		free(source->groups[i].name);
		free_terms(source->groups[i].members, source->groups[i].n_members);
	}
	free(source->groups);
	free_rules(source->rules, source->n_rules);
	for (size_t i = 0; i < source->n_tests; i++) {
		free(source->tests[i].from.name);
		free(source->tests[i].to.name);
	}
	free(source->tests);
	*source = (struct qe_policy_source){};
}
