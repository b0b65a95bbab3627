/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* An intrusive, circular, doubly linked list. The head is a node without an element; an element out
 * of any list points to itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct qe_list {
	struct qe_list *prev, *next;
};

void qe_list_init(struct qe_list *node);
bool qe_list_empty(const struct qe_list *head);
void qe_list_append(struct qe_list *head, struct qe_list *node); /* node must be out of any list */
void qe_list_prepend(struct qe_list *head, struct qe_list *node);
void qe_list_remove(
	struct qe_list *node); /* does nothing if it is in none; leaves it initialised */

#define QE_CONTAINER_OF(pointer, type, member) \
	((type *)((char *)(pointer) - offsetof(type, member)))

/* Safe against removal of the current node. */
#define QE_LIST_FOR_EACH(node, head) \
	for (struct qe_list *node = (head)->next, *node##_next = node->next; node != (head); \
		node = node##_next, node##_next = node->next)
