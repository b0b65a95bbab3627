/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "policy/names.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/node_id.h"

static int compare_numbers(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_names(const void *a, const void *b)
{
	const char *const *left = a, *const *right = b;

	return strcmp(*left, *right);
}

static int compare_ids(const void *a, const void *b)
{
	return qe_node_id_compare(a, b);
}

static int compare_arcs(const void *a, const void *b)
{
	const struct arc *left = a, *right = b;
	int order = compare_numbers(left->from, right->from);

	return order != 0 ? order : compare_numbers(left->to, right->to);
}

/* ---- lookups ---- */

/* The first of the names that is not before text. */
static size_t lower_bound(const char *const *names, size_t n, const char *text)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(names[middle], text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const char *const *names, size_t n, size_t at, const char *text)
{
	return at < n && strcmp(names[at], text) == 0;
}

static enum qe_error find_group(const struct names *names, const char *text, uint32_t *ret_index)
{
	size_t at = lower_bound(names->groups, names->n_groups, text);

	if (!is_at(names->groups, names->n_groups, at, text))
		return QE_ERR_NOT_FOUND;
	*ret_index = (uint32_t)at;
	return QE_OK;
}

static enum qe_error find_stranger(
	const struct names *names, const struct qe_node_id *id, uint32_t *ret_index)
{
	const struct qe_node_id *found = bsearch(
		id, names->strangers, names->n_strangers, sizeof(*id), compare_ids);

	if (found == nullptr)
		return QE_ERR_NOT_FOUND;
	*ret_index = (uint32_t)(names->n_members + (size_t)(found - names->strangers));
	return QE_OK;
}

static enum qe_error find_node(
	const struct names *names, const struct qe_policy_term *term, uint32_t *ret_index)
{
	const struct qe_policy_member *member;
	enum qe_error error = qe_policy_nodes_find(&names->known, term, &member);

	if (error == QE_ERR_NOT_FOUND && term->kind == QE_POLICY_NODE_ID)
		return find_stranger(names, &term->id, ret_index);
	if (error == QE_OK)
		*ret_index = (uint32_t)(member - names->members);
	return error;
}

static enum qe_error find_term(
	const struct names *names, const struct qe_policy_term *term, uint32_t *ret_index)
{
	switch (term->kind) {
	case QE_POLICY_NODE:
	case QE_POLICY_NODE_ID:
		return find_node(names, term, ret_index);
	case QE_POLICY_GROUP:
		return find_group(names, term->name, ret_index);
	case QE_POLICY_ANY:
	case QE_POLICY_PREFIX:
		*ret_index = 0;
		return QE_OK;
	}
	return QE_ERR_NOT_FOUND;
}

uint32_t names_index(const struct names *names, const struct qe_policy_term *term)
{
	uint32_t index = 0;
	enum qe_error error = find_term(names, term, &index);

	assert(error == QE_OK);
	return index;
}

/* ---- all terms of a source ---- */

typedef enum qe_error visit_term(struct names *names, const struct qe_policy_term *term);

static enum qe_error visit_list(struct names *names, const struct qe_policy_term *terms, size_t n,
	visit_term *visit, const struct qe_policy_term **ret_term)
{
	for (size_t i = 0; i < n; i++) {
		enum qe_error error = visit(names, &terms[i]);

		if (error != QE_OK) {
			*ret_term = &terms[i];
			return error;
		}
	}
	return QE_OK;
}

static enum qe_error visit_all(struct names *names, const struct qe_policy_source *source,
	visit_term *visit, struct qe_policy_fault *ret_fault)
{
	struct qe_policy_fault fault = {QE_POLICY_NO_RULE, QE_POLICY_NO_RULE, nullptr};
	enum qe_error error = QE_OK;

	for (size_t i = 0; error == QE_OK && i < source->n_groups; i++) {
		const struct qe_policy_group *group = &source->groups[i];

		fault.group = (uint32_t)i;
		error = visit_list(names, group->members, group->n_members, visit, &fault.term);
	}
	if (error == QE_OK)
		fault.group = QE_POLICY_NO_RULE;
	for (size_t i = 0; error == QE_OK && i < source->n_rules; i++) {
		const struct qe_policy_rule *rule = &source->rules[i];

		fault.rule = (uint32_t)i;
		error = visit_list(names, rule->subjects, rule->n_subjects, visit, &fault.term);
		if (error == QE_OK)
			error = visit_list(
				names, rule->objects, rule->n_objects, visit, &fault.term);
	}
	if (error != QE_OK && ret_fault)
		*ret_fault = fault;
	return error;
}

/* ---- what is known ---- */

static void *new_array(size_t n, size_t size)
{
	return calloc(n + 1, size); /* never of size zero: NULL is a failure */
}

static enum qe_error count_id(struct names *names, const struct qe_policy_term *term)
{
	names->n_strangers += term->kind == QE_POLICY_NODE_ID;
	return QE_OK;
}

static enum qe_error add_stranger(struct names *names, const struct qe_policy_term *term)
{
	const struct qe_policy_member *member;

	if (term->kind == QE_POLICY_NODE_ID &&
		qe_policy_nodes_find(&names->known, term, &member) == QE_ERR_NOT_FOUND)
		names->strangers[names->n_strangers++] = term->id;
	return QE_OK;
}

/* NodeIds that no member has, once each. */
static enum qe_error list_strangers(struct names *names, const struct qe_policy_source *source)
{
	QE_TRY(visit_all(names, source, count_id, nullptr));
	names->strangers = new_array(names->n_strangers, sizeof(*names->strangers));
	if (names->strangers == nullptr)
		return -ENOMEM;
	names->n_strangers = 0;
	QE_TRY(visit_all(names, source, add_stranger, nullptr));
	qsort(names->strangers, names->n_strangers, sizeof(*names->strangers), compare_ids);

	size_t n = names->n_strangers;
	names->n_strangers = 0;
	for (size_t i = 0; i < n; i++)
		if (i == 0 || compare_ids(&names->strangers[i],
				      &names->strangers[names->n_strangers - 1]) != 0)
			names->strangers[names->n_strangers++] = names->strangers[i];
	return QE_OK;
}

static enum qe_error list_groups(struct names *names, const struct qe_policy_source *source)
{
	size_t n = source->n_groups;

	for (size_t i = 0; i < names->n_members; i++)
		n += names->members[i].n_groups;
	names->groups = new_array(n, sizeof(*names->groups));
	if (names->groups == nullptr)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < source->n_groups; i++)
		names->groups[n++] = source->groups[i].name;
	for (size_t i = 0; i < names->n_members; i++)
		for (size_t k = 0; k < names->members[i].n_groups; k++)
			names->groups[n++] = names->members[i].groups[k];
	qsort(names->groups, n, sizeof(*names->groups), compare_names);
	for (size_t i = 0; i < n; i++) {
		const char *text = names->groups[i];

		if (names->n_groups > 0 &&
			is_at(names->groups, names->n_groups, names->n_groups - 1, text))
			continue;
		names->groups[names->n_groups++] = text;
	}
	return names->n_groups > QE_POLICY_GROUPS_MAX ? QE_ERR_FULL : QE_OK;
}

static enum qe_error check_term(struct names *names, const struct qe_policy_term *term)
{
	uint32_t index;

	return find_term(names, term, &index);
}

/* ---- who is in which group ---- */

static uint32_t group_index(const struct names *names, const char *known)
{
	return (uint32_t)lower_bound(names->groups, names->n_groups, known);
}

static void add_member_arcs(struct names *names, uint32_t member)
{
	for (size_t i = 0; i < names->members[member].n_groups; i++)
		names->arcs[names->n_arcs++] = (struct arc){
			member, group_index(names, names->members[member].groups[i])};
}

static void add_group_arcs(struct names *names, const struct qe_policy_group *group)
{
	uint32_t to = group_index(names, group->name);

	for (size_t i = 0; i < group->n_members; i++) {
		const struct qe_policy_term *term = &group->members[i];
		uint32_t from = names_index(names, term);

		assert(term->kind != QE_POLICY_ANY && term->kind != QE_POLICY_PREFIX);
		if (term->kind == QE_POLICY_GROUP)
			from += (uint32_t)names->n_nodes;
		names->arcs[names->n_arcs++] = (struct arc){from, to};
	}
}

static enum qe_error link_groups(struct names *names, const struct qe_policy_source *source)
{
	size_t n = 0, ends = names->n_nodes + names->n_groups, arc = 0;

	for (size_t i = 0; i < names->n_members; i++)
		n += names->members[i].n_groups;
	for (size_t i = 0; i < source->n_groups; i++)
		n += source->groups[i].n_members;
	names->arcs = new_array(n, sizeof(*names->arcs));
	names->first_arc = new_array(ends, sizeof(*names->first_arc));
	names->found = new_array(names->n_groups, sizeof(*names->found));
	names->seen = new_array(names->n_groups, sizeof(*names->seen));
	if (!names->arcs || !names->first_arc || !names->found || !names->seen)
		return -ENOMEM;
	for (size_t i = 0; i < names->n_members; i++)
		add_member_arcs(names, (uint32_t)i);
	for (size_t i = 0; i < source->n_groups; i++)
		add_group_arcs(names, &source->groups[i]);
	qsort(names->arcs, names->n_arcs, sizeof(*names->arcs), compare_arcs);
	for (size_t from = 0; from <= ends; from++) {
		while (arc < names->n_arcs && names->arcs[arc].from < from)
			arc++;
		names->first_arc[from] = (uint32_t)arc;
	}
	return QE_OK;
}

/* Adds the groups at the ends of the arcs from there that have not been seen. */
static size_t follow(struct names *names, size_t from, size_t n)
{
	for (uint32_t i = names->first_arc[from]; i < names->first_arc[from + 1]; i++) {
		uint32_t group = names->arcs[i].to;

		if (names->seen[group] == names->seen_mark)
			continue;
		names->seen[group] = names->seen_mark;
		names->found[n++] = group;
	}
	return n;
}

static size_t groups_around(struct names *names, size_t from)
{
	names->seen_mark++;
	size_t n = follow(names, from, 0);

	for (size_t i = 0; i < n; i++)
		n = follow(names, names->n_nodes + names->found[i], n);
	return n;
}

size_t names_groups(struct names *names, uint32_t node)
{
	return groups_around(names, node);
}

/* Whether a group of the policy is around itself by way of one that it names. */
static enum qe_error check_cycles(struct names *names, const struct qe_policy_source *source,
	struct qe_policy_fault *ret_fault)
{
	for (size_t i = 0; i < source->n_groups; i++) {
		const struct qe_policy_group *group = &source->groups[i];

		groups_around(names, names->n_nodes + group_index(names, group->name));
		for (size_t k = 0; k < group->n_members; k++) {
			const struct qe_policy_term *term = &group->members[k];

			if (term->kind != QE_POLICY_GROUP ||
				names->seen[names_index(names, term)] != names->seen_mark)
				continue;
			if (ret_fault)
				*ret_fault = (struct qe_policy_fault){
					(uint32_t)i, QE_POLICY_NO_RULE, term};
			return QE_ERR_CONFLICT;
		}
	}
	return QE_OK;
}

static enum qe_error fill(struct names *names, const struct qe_policy_source *source,
	struct qe_policy_fault *ret_fault)
{
	QE_TRY(qe_policy_nodes_init(&names->known, names->members, names->n_members));
	QE_TRY(list_strangers(names, source));
	names->n_nodes = names->n_members + names->n_strangers;
	QE_TRY(list_groups(names, source));
	QE_TRY(visit_all(names, source, check_term, ret_fault));
	QE_TRY(link_groups(names, source));
	return check_cycles(names, source, ret_fault);
}

enum qe_error names_init(struct names *names, const struct qe_policy_source *source,
	const struct qe_policy_member *members, size_t n_members, struct qe_policy_fault *ret_fault)
{
	*names = (struct names){.members = members, .n_members = n_members};
	enum qe_error error = fill(names, source, ret_fault);

	if (error != QE_OK)
		names_done(names);
	return error;
}

void names_done(struct names *names)
{
	qe_policy_nodes_done(&names->known);
	free(names->strangers);
	free(names->groups);
	free(names->arcs);
	free(names->first_arc);
	free(names->found);
	free(names->seen);
	*names = (struct names){};
}
