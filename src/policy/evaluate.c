/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <stdbit.h>

#include "policy/policy_internal.h"

static uint32_t subject_class(const struct qe_policy *policy, uint32_t subject)
{
	if (subject == QE_POLICY_SELF)
		return policy->self;
	return subject < policy->n_subjects ? policy->subjects[subject] : 0;
}

static void find_sets(const struct qe_policy *policy, const struct qe_policy_packet *packet,
	const struct rule_set *sets[static QUESTIONS])
{
	size_t family = family_index(&packet->destination);
	const uint32_t classes[QUESTIONS] = {
		[QUESTION_SUBJECT] = subject_class(policy, packet->subject),
		[QUESTION_OBJECT] = ranges_find(
			&policy->objects[family], address_key_of(&packet->destination)),
		[QUESTION_PROTOCOL] = policy->protocols[family][packet->protocol],
		[QUESTION_PORT] = packet->has_ports ? policy->ports[packet->destination_port] : 0,
	};

	for (size_t i = 0; i < QUESTIONS; i++)
		sets[i] = &policy->dimensions[i].sets[classes[i]];
}

/* Words in which every question has rules that match; not the same ones, it may be. */
static uint64_t candidates(const struct qe_policy *policy,
	const struct rule_set *const sets[static QUESTIONS], size_t i)
{
	uint64_t words = UINT64_MAX;

	for (size_t k = 0; k < QUESTIONS; k++)
		words &= sets[k]->summary[i] | policy->dimensions[k].any.summary[i];
	return words;
}

static uint32_t first_match(
	const struct qe_policy *policy, const struct rule_set *const sets[static QUESTIONS])
{
	uint32_t first = QE_POLICY_NO_RULE;

	for (size_t i = 0; i * 64 * 64 < policy->n_rules; i++)
		for (uint64_t left = candidates(policy, sets, i); left != 0; left &= left - 1) {
			size_t word = i * 64 + stdc_trailing_zeros(left);
			const uint16_t *order = &policy->order[word * 64];
			uint64_t rules = UINT64_MAX;

			if (order[0] > first)
				continue;
			for (size_t k = 0; k < QUESTIONS; k++)
				rules &= dimension_word(&policy->dimensions[k], sets[k], word);
			if (rules != 0 && order[stdc_trailing_zeros(rules)] < first)
				first = order[stdc_trailing_zeros(rules)];
		}
	return first;
}

void qe_policy_evaluate(const struct qe_policy *policy, const struct qe_policy_packet *packet,
	struct qe_policy_result *ret_result)
{
	const struct rule_set *sets[QUESTIONS];
	struct qe_policy_result result = {.action = QE_ACTION_DENY};

	find_sets(policy, packet, sets);
	result.rule = first_match(policy, sets);
	if (result.rule != QE_POLICY_NO_RULE) {
		result.action = policy->verdicts[result.rule].action;
		result.log = policy->verdicts[result.rule].log;
	}
	*ret_result = result;
}
