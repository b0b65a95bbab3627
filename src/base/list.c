/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "base/list.h"

#include <assert.h>

void qe_list_init(struct qe_list *node)
{
	node->prev = node->next = node;
}

bool qe_list_empty(const struct qe_list *head)
{
	return head->next == head;
}

static void insert_between(struct qe_list *prev, struct qe_list *node, struct qe_list *next)
{
	assert(qe_list_empty(node));
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}

void qe_list_append(struct qe_list *head, struct qe_list *node)
{
	insert_between(head->prev, node, head);
}

void qe_list_prepend(struct qe_list *head, struct qe_list *node)
{
	insert_between(head, node, head->next);
}

void qe_list_remove(struct qe_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	qe_list_init(node);
}
