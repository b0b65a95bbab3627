/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "policy/nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/node_id.h"

typedef int compare_fn(const void *a, const void *b);

static int compare_names(const void *a, const void *b)
{
	const struct qe_policy_member *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static int compare_ids(const void *a, const void *b)
{
	const struct qe_policy_member *const *x = a, *const *y = b;

	return qe_node_id_compare(&(*x)->id, &(*y)->id);
}

enum qe_error qe_policy_nodes_init(
	struct qe_policy_nodes *nodes, const struct qe_policy_member *members, size_t n_members)
{
	*nodes = (struct qe_policy_nodes){
		.by_name = calloc(n_members + 1, sizeof(*nodes->by_name)),
		.by_id = calloc(n_members + 1, sizeof(*nodes->by_id)),
		.n = n_members,
	};
	if (!nodes->by_name || !nodes->by_id) {
		qe_policy_nodes_done(nodes);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n_members; i++) {
		nodes->by_id[i] = &members[i];
		if (members[i].name)
			nodes->by_name[nodes->n_named++] = &members[i];
	}
	qsort(nodes->by_name, nodes->n_named, sizeof(*nodes->by_name), compare_names);
	qsort(nodes->by_id, nodes->n, sizeof(*nodes->by_id), compare_ids);
	return QE_OK;
}

void qe_policy_nodes_done(struct qe_policy_nodes *nodes)
{
	free(nodes->by_name);
	free(nodes->by_id);
	*nodes = (struct qe_policy_nodes){};
}

enum qe_error qe_policy_nodes_find(const struct qe_policy_nodes *nodes,
	const struct qe_policy_term *term, const struct qe_policy_member **ret_member)
{
	bool by_id = term->kind == QE_POLICY_NODE_ID;
	const struct qe_policy_member wanted = {.name = term->name, .id = term->id};
	const struct qe_policy_member *key = &wanted, **all = by_id ? nodes->by_id : nodes->by_name;
	size_t n = by_id ? nodes->n : nodes->n_named;
	compare_fn *compare = by_id ? compare_ids : compare_names;
	const struct qe_policy_member **found = bsearch(&key, all, n, sizeof(*all), compare);

	if (!found)
		return QE_ERR_NOT_FOUND;
	if ((found > all && compare(found - 1, &key) == 0) ||
		(found + 1 < all + n && compare(found + 1, &key) == 0))
		return QE_ERR_AMBIGUOUS;
	*ret_member = *found;
	return QE_OK;
}
