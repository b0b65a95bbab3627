/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * To a compiled policy all packets are alike that fall into the same four classes
 * (policy_internal.h). So a rule is a box: the classes of each question that it matches, and
 * whether it is reached is found by cutting. Take a packet out of the box, and see which rule
 * decides: if it is the rule itself, it is reached. If it is an earlier one, cut out of the box all
 * that the earlier one matches; what is left falls apart into at most four boxes, and the search
 * goes on in each. When nothing is left, the rule is not reached. Most rules are reached by the
 * first packet.
 *
 * Not every four classes belong to a packet: protocols differ between the families of addresses,
 * and only TCP and UDP have ports. So each rule is looked at four times, within a realm each in
 * which they do.
 */
#include "policy/unreachable.h"

#include <errno.h>
#include <stdbit.h>
#include <stdlib.h>

#include "net/packet.h"
#include "policy/policy_internal.h"
#include "policy/tests.h"

/* What a search may look at, for one rule and for all; and how deep it may go. */
constexpr size_t effort_per_rule = 2'000'000;
constexpr size_t effort_max = 100'000'000;
constexpr unsigned depth_max = 1000;

constexpr size_t REALMS = 4; /* a family, with or without ports */

struct classes {
	uint32_t *at;
	size_t n;
};

struct box {
	struct classes questions[QUESTIONS];
};

struct search {
	const struct qe_policy *policy;
	uint16_t *bits;           /* by rule: its place in the sets */
	struct rule_bits lasting; /* rules without a schedule */
	struct box realms[REALMS];
	size_t effort;
	/* Of the rule that is looked for. */
	uint32_t rule, by;
	bool alone;
	size_t effort_until;
	unsigned depth;
};

/* ---- classes of a realm ---- */

static int compare_numbers(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Each once; the class of what no rule names comes first. */
static void sort_classes(struct classes *classes)
{
	size_t kept = 0;

	qsort(classes->at, classes->n, sizeof(*classes->at), compare_numbers);
	for (size_t i = 0; i < classes->n; i++)
		if (kept == 0 || classes->at[kept - 1] != classes->at[i])
			classes->at[kept++] = classes->at[i];
	classes->n = kept;
}

static bool init_classes(struct classes *classes, size_t n)
{
	classes->at = calloc(n + 1, sizeof(*classes->at));
	return classes->at != nullptr;
}

static bool list_subjects(struct classes *classes, const struct qe_policy *policy,
	const struct qe_policy_member *members, size_t n_members)
{
	if (!init_classes(classes, n_members))
		return false;
	for (size_t i = 0; i < n_members; i++)
		classes->at[classes->n++] = members[i].slot == QE_POLICY_SELF
						    ? policy->self
						    : policy->subjects[members[i].slot];
	sort_classes(classes);
	return true;
}

/* last: the family's last address, behind which the ranges may go on. */
static bool list_objects(struct classes *classes, const struct ranges *ranges, address_key last)
{
	if (!init_classes(classes, ranges->n))
		return false;
	for (size_t i = 0; i < ranges->n && ranges->begins[i] <= last; i++)
		classes->at[classes->n++] = ranges->classes[i];
	sort_classes(classes);
	return true;
}

static bool list_protocols(struct classes *classes, const uint16_t *protocols, bool ports)
{
	if (!init_classes(classes, 256))
		return false;
	for (size_t i = 0; i < 256; i++)
		if (!ports || i == QE_IP_TCP || i == QE_IP_UDP)
			classes->at[classes->n++] = protocols[i];
	sort_classes(classes);
	return true;
}

/* Without ports there is one class, that of what no rule names. */
static bool list_ports(struct classes *classes, const uint16_t *ports, bool any)
{
	size_t n = any ? UINT16_MAX + 1 : 1;

	if (!init_classes(classes, n))
		return false;
	for (size_t i = 0; i < n; i++)
		classes->at[classes->n++] = any ? ports[i] : 0;
	sort_classes(classes);
	return true;
}

static bool init_realms(
	struct search *search, const struct qe_policy_member *members, size_t n_members)
{
	static const address_key last[] = {UINT32_MAX, ~(address_key)0};
	const struct qe_policy *policy = search->policy;
	bool ok = true;

	for (size_t i = 0; i < REALMS; i++) {
		struct classes *lists = search->realms[i].questions;
		size_t family = i / 2;
		bool ports = i % 2;

		ok = ok && list_subjects(&lists[QUESTION_SUBJECT], policy, members, n_members) &&
		     list_objects(
			     &lists[QUESTION_OBJECT], &policy->objects[family], last[family]) &&
		     list_protocols(&lists[QUESTION_PROTOCOL], policy->protocols[family], ports) &&
		     list_ports(&lists[QUESTION_PORT], policy->ports, ports);
	}
	return ok;
}

/* ---- which rules match a class ---- */

static bool matches(const struct search *search, size_t question, uint32_t class, uint32_t rule)
{
	const struct dimension *dimension = &search->policy->dimensions[question];
	uint16_t bit = search->bits[rule];

	return dimension_word(dimension, &dimension->sets[class], bit / 64) >> bit % 64 & 1;
}

/* 64 rules that match four classes, those that last. */
static uint64_t lasting_rules(
	const struct search *search, const uint32_t classes[static QUESTIONS], size_t word)
{
	uint64_t rules = search->lasting.words[word];

	for (size_t i = 0; i < QUESTIONS && rules != 0; i++) {
		const struct dimension *dimension = &search->policy->dimensions[i];

		rules &= dimension_word(dimension, &dimension->sets[classes[i]], word);
	}
	return rules;
}

/* The first of them, if it is before the rule that is looked for; otherwise that one. The rules of
 * a word are in order, and the words in none. */
static uint32_t decide(const struct search *search, const uint32_t classes[static QUESTIONS])
{
	uint32_t first = search->rule;

	for (size_t word = 0; word * 64 < search->policy->n_rules; word++) {
		const uint16_t *order = &search->policy->order[word * 64];

		if (order[0] >= first)
			continue;
		uint64_t rules = lasting_rules(search, classes, word);
		if (rules != 0 && order[stdc_trailing_zeros(rules)] < first)
			first = order[stdc_trailing_zeros(rules)];
	}
	return first;
}

/* ---- the first packet ---- */

/* A class that the rule matches for each question, if a packet of the realm can. */
struct witness {
	uint32_t classes[QUESTIONS];
	uint8_t found; /* bits of questions */
};

constexpr uint8_t ALL_FOUND = (1 << QUESTIONS) - 1;

static void note(struct witness *witness, size_t question, uint32_t class)
{
	if (witness->found >> question & 1)
		return;
	witness->classes[question] = class;
	witness->found |= (uint8_t)(1 << question);
}

/* For all rules that name the class, but not for those that do not ask. */
static void note_class(
	const struct search *search, struct witness *witnesses, size_t question, uint32_t class)
{
	const struct dimension *dimension = &search->policy->dimensions[question];
	const struct rule_set *set = &dimension->sets[class];

	for (size_t word = 0; word * 64 < search->policy->n_rules; word++) {
		if (set->blocks[word / SET_BLOCK] == 0)
			continue;
		uint64_t rules = dimension_word(dimension, set, word) & ~dimension->any.words[word];
		for (; rules != 0; rules &= rules - 1) {
			size_t bit = word * 64 + stdc_trailing_zeros(rules);

			note(&witnesses[search->policy->order[bit]], question, class);
		}
	}
}

static void find_witnesses(
	const struct search *search, struct witness *witnesses, const struct box *realm)
{
	for (size_t i = 0; i < QUESTIONS; i++) {
		const struct classes *classes = &realm->questions[i];

		for (uint32_t rule = 0; classes->n > 0 && rule < search->policy->n_rules; rule++)
			if (matches(search, i, classes->at[0], rule))
				note(&witnesses[rule], i, classes->at[0]);
		for (size_t k = 0; k < classes->n; k++)
			note_class(search, witnesses, i, classes->at[k]);
	}
}

/* ---- cutting ---- */

/* Puts the classes that a rule matches in front; how many they are. */
static size_t split(
	struct search *search, const struct classes *classes, size_t question, uint32_t rule)
{
	size_t n = 0;

	search->effort += classes->n;
	for (size_t i = 0; i < classes->n; i++) {
		uint32_t class = classes->at[i];

		if (!matches(search, question, class, rule))
			continue;
		classes->at[i] = classes->at[n];
		classes->at[n++] = class;
	}
	return n;
}

static bool gives_up(const struct search *search)
{
	return search->effort > search->effort_until || search->depth > depth_max;
}

/* Whether the rule is reached within a box all of which it matches. */
static bool reaches(struct search *search, struct box box)
{
	uint32_t classes[QUESTIONS];

	for (size_t i = 0; i < QUESTIONS; i++)
		classes[i] = box.questions[i].at[0];
	uint32_t by = decide(search, classes);
	if (by == search->rule || gives_up(search))
		return true;
	search->alone = search->by == QE_POLICY_NO_RULE || (search->alone && search->by == by);
	search->by = by;
	search->depth++;
	for (size_t i = 0; i < QUESTIONS; i++) {
		struct box left = box;
		size_t n = split(search, &box.questions[i], i, by);

		box.questions[i].n = n;
		left.questions[i].at += n;
		left.questions[i].n -= n;
		if (left.questions[i].n > 0 && reaches(search, left))
			return true;
	}
	search->depth--;
	return false;
}

/* Within the part of a realm that the rule matches. */
static bool reaches_in(struct search *search, const struct box *realm)
{
	struct box box = *realm;

	for (size_t i = 0; i < QUESTIONS; i++) {
		box.questions[i].n = split(search, &box.questions[i], i, search->rule);
		if (box.questions[i].n == 0)
			return false;
	}
	return reaches(search, box);
}

/* ---- all rules ---- */

static bool is_reached(struct search *search, struct witness *const witnesses[static REALMS])
{
	bool matches_any = false;

	for (size_t i = 0; i < REALMS; i++) {
		const struct witness *witness = &witnesses[i][search->rule];

		if (witness->found != ALL_FOUND)
			continue;
		matches_any = true;
		if (decide(search, witness->classes) == search->rule)
			return true;
	}
	if (!matches_any)
		return true; /* by nobody, but that is not for an earlier rule */
	search->by = QE_POLICY_NO_RULE;
	search->depth = 0;
	search->effort_until = search->effort + effort_per_rule;
	for (size_t i = 0; i < REALMS; i++)
		if (reaches_in(search, &search->realms[i]))
			return true;
	return false;
}

static void look_for_all(struct search *search, struct witness *const witnesses[static REALMS],
	void (*found)(void *ctx, const struct qe_policy_shadow *shadow), void *ctx)
{
	for (size_t i = 0; i < REALMS; i++)
		find_witnesses(search, witnesses[i], &search->realms[i]);
	for (uint32_t rule = 0; rule < search->policy->n_rules; rule++) {
		search->rule = rule;
		if (search->effort > effort_max)
			return;
		if (!is_reached(search, witnesses))
			found(ctx, &(struct qe_policy_shadow){rule, search->by, search->alone});
	}
}

static void done(struct search *search, struct witness *witnesses[static REALMS])
{
	for (size_t i = 0; i < REALMS; i++) {
		for (size_t k = 0; k < QUESTIONS; k++)
			free(search->realms[i].questions[k].at);
		free(witnesses[i]);
	}
	free(search->bits);
}

static enum qe_error search_policy(const struct qe_policy *policy,
	const struct qe_policy_source *source, const struct qe_policy_member *members,
	size_t n_members, void (*found)(void *ctx, const struct qe_policy_shadow *shadow),
	void *ctx)
{
	struct search search = {.policy = policy};
	struct witness *witnesses[REALMS] = {};
	bool ok = init_realms(&search, members, n_members);

	for (size_t i = 0; i < REALMS; i++) {
		witnesses[i] = calloc(source->n_rules + 1, sizeof(*witnesses[i]));
		ok = ok && witnesses[i];
	}
	search.bits = calloc(source->n_rules + 1, sizeof(*search.bits));
	for (size_t i = 0; search.bits && i < source->n_rules; i++) {
		uint16_t rule = policy->order[i];

		search.bits[rule] = (uint16_t)i;
		if (!source->rules[rule].schedule)
			rule_bits_add(&search.lasting, i);
	}
	ok = ok && search.bits;
	if (ok)
		look_for_all(&search, witnesses, found, ctx);
	done(&search, witnesses);
	return ok ? QE_OK : -ENOMEM;
}

enum qe_error qe_policy_find_unreachable(const struct qe_policy_source *source,
	const struct qe_policy_member *members, size_t n_members,
	void (*found)(void *ctx, const struct qe_policy_shadow *shadow), void *ctx)
{
	struct qe_policy *policy;
	size_t *rules; /* all of them, each at its own place */

	QE_TRY(qe_policy_compile_for(
		&policy, &rules, source, members, n_members, QE_POLICY_ALL_TIMES));
	enum qe_error error = search_policy(policy, source, members, n_members, found, ctx);
	qe_policy_free(policy);
	free(rules);
	return error;
}
