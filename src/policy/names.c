/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "policy/names.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/node_id.h"

constexpr uint32_t STRANGER = UINT32_MAX; /* a NodeId that no member has, until it is numbered */

static int compare_numbers(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_names(const void *a, const void *b)
{
	const struct name *left = a, *right = b;
	int order = strcmp(left->text, right->text);

	return order != 0 ? order : compare_numbers(left->index, right->index);
}

static int compare_ids(const void *a, const void *b)
{
	const struct known_id *left = a, *right = b;
	int order = qe_node_id_compare(&left->id, &right->id);

	return order != 0 ? order : compare_numbers(left->node, right->node);
}

static int compare_arcs(const void *a, const void *b)
{
	const struct arc *left = a, *right = b;
	int order = compare_numbers(left->from, right->from);

	return order != 0 ? order : compare_numbers(left->to, right->to);
}

/* ---- lookups ---- */

/* The first of the names that is not before text. */
static size_t lower_bound(const struct name *names, size_t n, const char *text)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(names[middle].text, text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct name *names, size_t n, size_t at, const char *text)
{
	return at < n && strcmp(names[at].text, text) == 0;
}

static enum qe_error find_name(
	const struct name *names, size_t n, const char *text, uint32_t *ret_index)
{
	size_t at = lower_bound(names, n, text);

	if (!is_at(names, n, at, text))
		return QE_ERR_NOT_FOUND;
	if (is_at(names, n, at + 1, text))
		return QE_ERR_AMBIGUOUS;
	*ret_index = names[at].index;
	return QE_OK;
}

static int compare_id(const void *a, const void *b)
{
	const struct known_id *known = b;

	return qe_node_id_compare(a, &known->id);
}

static enum qe_error find_term(
	const struct names *names, const struct qe_policy_term *term, uint32_t *ret_index)
{
	const struct known_id *known;

	switch (term->kind) {
	case QE_POLICY_NODE:
		return find_name(names->nodes, names->n_named, term->name, ret_index);
	case QE_POLICY_GROUP:
		return find_name(names->groups, names->n_groups, term->name, ret_index);
	case QE_POLICY_NODE_ID:
		known = bsearch(&term->id, names->ids, names->n_nodes, sizeof(*known), compare_id);
		*ret_index = known->node;
		return QE_OK;
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

static enum qe_error list_nodes(struct names *names)
{
	names->nodes = new_array(names->n_members, sizeof(*names->nodes));
	if (names->nodes == nullptr)
		return -ENOMEM;
	for (size_t i = 0; i < names->n_members; i++)
		if (names->members[i].name)
			names->nodes[names->n_named++] = (struct name){
				names->members[i].name, (uint32_t)i};
	qsort(names->nodes, names->n_named, sizeof(*names->nodes), compare_names);
	return QE_OK;
}

static enum qe_error count_id(struct names *names, const struct qe_policy_term *term)
{
	names->n_nodes += term->kind == QE_POLICY_NODE_ID;
	return QE_OK;
}

static enum qe_error add_id(struct names *names, const struct qe_policy_term *term)
{
	if (term->kind == QE_POLICY_NODE_ID)
		names->ids[names->n_nodes++] = (struct known_id){term->id, STRANGER};
	return QE_OK;
}

/* One entry for each id, and numbers for strangers. */
static void number_ids(struct names *names)
{
	size_t n = names->n_nodes;
	uint32_t next = (uint32_t)names->n_members;

	qsort(names->ids, n, sizeof(*names->ids), compare_ids);
	names->n_nodes = 0;
	for (size_t i = 0; i < n; i++) {
		struct known_id known = names->ids[i];

		if (known.node == STRANGER && names->n_nodes > 0 &&
			qe_node_id_compare(&names->ids[names->n_nodes - 1].id, &known.id) == 0)
			continue;
		if (known.node == STRANGER)
			known.node = next++;
		names->ids[names->n_nodes++] = known;
	}
}

static enum qe_error list_ids(struct names *names, const struct qe_policy_source *source)
{
	names->n_nodes = names->n_members;
	QE_TRY(visit_all(names, source, count_id, nullptr));
	names->ids = new_array(names->n_nodes, sizeof(*names->ids));
	if (names->ids == nullptr)
		return -ENOMEM;
	names->n_nodes = names->n_members;
	for (size_t i = 0; i < names->n_members; i++)
		names->ids[i] = (struct known_id){names->members[i].id, (uint32_t)i};
	QE_TRY(visit_all(names, source, add_id, nullptr));
	number_ids(names);
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
		names->groups[n++].text = source->groups[i].name;
	for (size_t i = 0; i < names->n_members; i++)
		for (size_t k = 0; k < names->members[i].n_groups; k++)
			names->groups[n++].text = names->members[i].groups[k];
	qsort(names->groups, n, sizeof(*names->groups), compare_names);
	for (size_t i = 0; i < n; i++) {
		const char *text = names->groups[i].text;

		if (names->n_groups > 0 &&
			is_at(names->groups, names->n_groups, names->n_groups - 1, text))
			continue;
		names->groups[names->n_groups] = (struct name){text, (uint32_t)names->n_groups};
		names->n_groups++;
	}
	return names->n_groups > QE_POLICY_GROUPS_MAX ? QE_ERR_FULL : QE_OK;
}

static enum qe_error check_term(struct names *names, const struct qe_policy_term *term)
{
	uint32_t index;

	return find_term(names, term, &index);
}

/* ---- who is in which group ---- */

static uint32_t group_index(const struct names *names, const char *text)
{
	return (uint32_t)lower_bound(names->groups, names->n_groups, text);
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
	QE_TRY(list_nodes(names));
	QE_TRY(list_ids(names, source));
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
	free(names->nodes);
	free(names->ids);
	free(names->groups);
	free(names->arcs);
	free(names->first_arc);
	free(names->found);
	free(names->seen);
	*names = (struct names){};
}
