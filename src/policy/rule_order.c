/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A verdict looks at those words of 64 rules in which every question has a rule that matches, and
 * most of these words have none that matches all. So rules that are alike are neighbours: those for
 * one object stand together, and among them those for one subject. What a packet meets is then a
 * few words, wherever the rules stand in the file. Within a word they keep the order of the file:
 * its first match is the one that counts.
 */
#include "policy/rule_order.h"

#include <errno.h>
#include <stdlib.h>

struct term_key {
	enum qe_policy_term_kind kind;
	uint32_t number;
	struct qe_prefix prefix;
};

struct entry {
	struct term_key object, subject;
	uint16_t port, rule;
};

static int compare_numbers(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_terms(const struct term_key *a, const struct term_key *b)
{
	if (a->kind != b->kind)
		return compare_numbers(a->kind, b->kind);
	if (a->number != b->number)
		return compare_numbers(a->number, b->number);
	return qe_prefix_compare(&a->prefix, &b->prefix);
}

static int compare_rules(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	return compare_numbers(left->rule, right->rule);
}

static int compare_likeness(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;
	int order = compare_terms(&left->object, &right->object);

	if (order == 0)
		order = compare_terms(&left->subject, &right->subject);
	if (order == 0)
		order = compare_numbers(left->port, right->port);
	return order != 0 ? order : compare_rules(a, b);
}

/* Of a list the first term counts: lists are short, and it is only a matter of speed. */
static struct term_key key_of(
	const struct names *names, const struct qe_policy_term *terms, size_t n)
{
	struct term_key key = {};

	if (n == 0)
		return key;
	key.kind = terms->kind;
	switch (terms->kind) {
	case QE_POLICY_ANY:
		break;
	case QE_POLICY_NODE_ID:
		key.kind = QE_POLICY_NODE;
		[[fallthrough]];
	case QE_POLICY_NODE:
	case QE_POLICY_GROUP:
		key.number = names_index(names, terms);
		break;
	case QE_POLICY_PREFIX:
		key.prefix = terms->prefix;
		break;
	}
	return key;
}

enum qe_error rule_order_new(
	uint16_t **ret_order, const struct qe_policy_source *source, const struct names *names)
{
	size_t n = source->n_rules;
	struct entry *entries = calloc(n + 1, sizeof(*entries));
	uint16_t *order = calloc((n / 64 + 1) * 64, sizeof(*order));

	if (!entries || !order) {
		free(entries);
		free(order);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		const struct qe_policy_rule *rule = &source->rules[i];

		entries[i].object = key_of(names, rule->objects, rule->n_objects);
		entries[i].subject = key_of(names, rule->subjects, rule->n_subjects);
		entries[i].port = rule->n_ports > 0 ? rule->ports[0].first : 0;
		entries[i].rule = (uint16_t)i;
	}
	qsort(entries, n, sizeof(*entries), compare_likeness);
	for (size_t i = 0; i < n; i += 64)
		qsort(entries + i, n - i < 64 ? n - i : 64, sizeof(*entries), compare_rules);
	for (size_t i = 0; i < n; i++)
		order[i] = entries[i].rule;
	free(entries);
	*ret_order = order;
	return QE_OK;
}
