/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Names are sorted once and then found by halving, and every group is walked once, so that a file
 * of 10,000 rules is checked in no time.
 */
#include "config/policy_names.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/node_id.h"
#include "policy/nodes.h"

enum state : uint8_t { NEW, OPEN, DONE };

struct group {
	const char *name;
	const struct qe_policy_group *source; /* NULL: only members say that they are in it */
	bool has_members;
	enum state state;
};

struct names {
	const struct qe_policy_source *source;
	const char *file;
	struct qe_diagnostics *errors, *warnings;
	struct qe_policy_nodes nodes;
	struct group *groups; /* sorted */
	size_t n_groups;
};

/* ---- the tables ---- */

/* Of one name, what the file says comes first. */
static int compare_groups(const void *a, const void *b)
{
	const struct group *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : !x->source - !y->source;
}

static void collect_groups(
	struct names *names, const struct qe_policy_member *members, size_t n_members)
{
	struct group *groups = names->groups;
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < names->source->n_groups; i++)
		groups[n++] = (struct group){
			names->source->groups[i].name, &names->source->groups[i]};
	for (size_t i = 0; i < n_members; i++)
		for (size_t k = 0; k < members[i].n_groups; k++)
			groups[n++] = (struct group){members[i].groups[k], .has_members = true};
	qsort(groups, n, sizeof *groups, compare_groups);
	for (size_t i = 0; i < n; i++) {
		if (kept && strcmp(groups[kept - 1].name, groups[i].name) == 0)
			groups[kept - 1].has_members |= groups[i].has_members;
		else
			groups[kept++] = groups[i];
	}
	names->n_groups = kept;
}

static enum qe_error collect(
	struct names *names, const struct qe_policy_member *members, size_t n_members)
{
	size_t n_groups = names->source->n_groups;

	for (size_t i = 0; i < n_members; i++)
		n_groups += members[i].n_groups;
	names->groups = calloc(n_groups + 1, sizeof *names->groups);
	if (!names->groups)
		return -ENOMEM;
	collect_groups(names, members, n_members);
	return qe_policy_nodes_init(&names->nodes, members, n_members);
}

static struct group *find_group(const struct names *names, const char *name)
{
	struct group *found = nullptr;
	size_t from = 0, until = names->n_groups;

	while (from < until && !found) {
		size_t middle = from + (until - from) / 2;
		int order = strcmp(names->groups[middle].name, name);
		if (order == 0)
			found = &names->groups[middle];
		else if (order < 0)
			from = middle + 1;
		else
			until = middle;
	}
	return found;
}

/* ---- terms ---- */

[[gnu::format(printf, 4, 5)]] static void report(const struct names *names,
	const struct qe_policy_term *term, const char *key, const char *format, ...)
{
	char text[sizeof names->errors->items[0].text];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	qe_diagnostics_add(
		names->errors, names->file, term->place.line, term->place.column, key, "%s", text);
}

/* NULL if none is near. To look for it takes long if there are many: not for what is only counted.
 */
static const char *nearest_node(const struct names *names, const char *name)
{
	const struct qe_policy_nodes *nodes = &names->nodes;
	const char **words = calloc(nodes->n_named + 1, sizeof *words), *nearest = nullptr;

	for (size_t i = 0; words && i < nodes->n_named; i++)
		words[i] = nodes->by_name[i]->name;
	if (words && names->errors->n < QE_DIAGNOSTICS_MAX)
		nearest = qe_text_nearest(name, words, nodes->n_named);
	free(words);
	return nearest;
}

static const char *nearest_group(const struct names *names, const char *name)
{
	const char **words = calloc(names->n_groups + 1, sizeof *words), *nearest = nullptr;

	for (size_t i = 0; words && i < names->n_groups; i++)
		words[i] = names->groups[i].name;
	if (words && names->errors->n < QE_DIAGNOSTICS_MAX)
		nearest = qe_text_nearest(name, words, names->n_groups);
	free(words);
	return nearest;
}

static void report_unknown(const struct names *names, const struct qe_policy_term *term,
	const char *key, const char *what, const char *nearest)
{
	report(names, term, key, "there is no %s \"%s\"%s%s%s", what, term->name,
		nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

static void check_node(
	const struct names *names, const struct qe_policy_term *term, const char *key)
{
	const struct qe_policy_member *member;
	enum qe_error error = qe_policy_nodes_find(&names->nodes, term, &member);

	if (error == QE_ERR_NOT_FOUND)
		report_unknown(names, term, key, "node", nearest_node(names, term->name));
	else if (error == QE_ERR_AMBIGUOUS)
		report(names, term, key, "two nodes have the name \"%s\"; expected a NodeId",
			term->name);
}

static void check_id(const struct names *names, const struct qe_policy_term *term, const char *key)
{
	const struct qe_policy_member *member;
	char id[QE_NODE_ID_TEXT_SIZE];

	if (qe_policy_nodes_find(&names->nodes, term, &member) == QE_OK)
		return;
	qe_node_id_format(id, &term->id);
	qe_diagnostics_add(names->warnings, names->file, term->place.line, term->place.column, key,
		"no node here has the NodeId %s", id);
}

/* Whether there can be anybody whom the term means. */
static bool check_term(
	const struct names *names, const struct qe_policy_term *term, const char *key)
{
	const struct group *group;

	switch (term->kind) {
	case QE_POLICY_NODE:
		check_node(names, term, key);
		return true;
	case QE_POLICY_NODE_ID:
		check_id(names, term, key);
		return true;
	case QE_POLICY_GROUP:
		group = find_group(names, term->name);
		if (!group)
			report_unknown(names, term, key, "group", nearest_group(names, term->name));
		return !group || group->has_members;
	case QE_POLICY_ANY:
	case QE_POLICY_PREFIX:
		return true;
	}
	return true;
}

/* ---- groups, depth first ---- */

/* No deeper than there are groups: QE_POLICY_GROUPS_MAX. */
static void visit(const struct names *names, struct group *group)
{
	static const char key[] = "groups.members";

	group->state = OPEN;
	for (size_t i = 0; group->source && i < group->source->n_members; i++) {
		const struct qe_policy_term *term = &group->source->members[i];
		struct group *inner = term->kind == QE_POLICY_GROUP ? find_group(names, term->name)
								    : nullptr;

		if (inner == group)
			report(names, term, key, "group \"%s\" contains itself", group->name);
		else if (inner && inner->state == OPEN)
			report(names, term, key, "group \"%s\" contains \"%s\" already",
				inner->name, group->name);
		else if (inner && inner->state == NEW)
			visit(names, inner);
		group->has_members |= check_term(names, term, key);
	}
	group->state = DONE;
}

/* ---- rules and tests ---- */

static void check_terms(const struct names *names, const struct qe_policy_rule *rule,
	const struct qe_policy_term *terms, size_t n, const char *key)
{
	bool has_members = false;

	for (size_t i = 0; i < n; i++)
		has_members |= check_term(names, &terms[i], key);
	if (!has_members)
		qe_diagnostics_add(names->warnings, names->file, terms[0].place.line,
			terms[0].place.column, key,
			"rule \"%s\" matches nothing, as nobody is in its groups", rule->id);
}

static void check_all(struct names *names)
{
	const struct qe_policy_source *source = names->source;

	for (size_t i = 0; i < names->n_groups; i++)
		if (names->groups[i].state == NEW)
			visit(names, &names->groups[i]);
	for (size_t i = 0; i < source->n_rules; i++) {
		const struct qe_policy_rule *rule = &source->rules[i];

		check_terms(names, rule, rule->subjects, rule->n_subjects, "rules.subject");
		check_terms(names, rule, rule->objects, rule->n_objects, "rules.object");
	}
	for (size_t i = 0; i < source->n_tests; i++) {
		check_term(names, &source->tests[i].from, "tests.from");
		check_term(names, &source->tests[i].to, "tests.to");
	}
}

enum qe_error qe_policy_check_names(const struct qe_policy_source *source, const char *file,
	const struct qe_policy_member *members, size_t n_members, struct qe_diagnostics *errors,
	struct qe_diagnostics *warnings)
{
	struct names names = {
		.source = source, .file = file, .errors = errors, .warnings = warnings};
	enum qe_error error = collect(&names, members, n_members);

	if (error == QE_OK)
		check_all(&names);
	free(names.groups);
	qe_policy_nodes_done(&names.nodes);
	return error;
}
