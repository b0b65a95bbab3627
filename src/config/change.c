/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "config/change.h"

#include <string.h>

#define VALUE_TEXT_SIZE 4224 /* the longest is a path */

static void *value_of(const void *base, const struct qe_schema_key *key)
{
	return (char *)base + key->offset;
}

static bool same_item(const struct qe_schema_key *key, const void *a, const void *b)
{
	char text_a[VALUE_TEXT_SIZE], text_b[VALUE_TEXT_SIZE];
	struct qe_text to_a = qe_text_init(text_a, sizeof text_a);
	struct qe_text to_b = qe_text_init(text_b, sizeof text_b);

	if (key->type->text && (!*(char *const *)a || !*(char *const *)b))
		return *(char *const *)a == *(char *const *)b;
	key->type->format(&to_a, a, key);
	key->type->format(&to_b, b, key);
	return strcmp(text_a, text_b) == 0;
}

static bool same_list(const struct qe_schema_key *key, const struct qe_config_list *a,
	const struct qe_config_list *b)
{
	bool same = a->n == b->n && a->word == b->word;

	for (size_t i = 0; same && i < a->n; i++)
		same = same_item(key, (const char *)a->items + i * key->type->size,
			(const char *)b->items + i * key->type->size);
	return same;
}

static bool same_value(const struct qe_schema_key *key, const void *a, const void *b)
{
	return key->list_max ? same_list(key, value_of(a, key), value_of(b, key))
			     : same_item(key, value_of(a, key), value_of(b, key));
}

struct qe_config_change qe_config_compare(const struct qe_config *now, const struct qe_config *next)
{
	struct qe_config_change change = {};

	for (size_t i = 0; i < QE_CONFIG_KEYS; i++) {
		const struct qe_schema_key *key = &qe_schema[i];

		if (same_value(key, now, next))
			continue;
		if (key->restart)
			change.restart[change.n_restart++] = key;
		else
			change.keys[change.n_keys++] = key;
	}
	return change;
}

static void exchange(void *a, void *b, size_t size)
{
	alignas(max_align_t) char kept[sizeof(struct qe_endpoint) + sizeof(struct qe_config_list)];

	memcpy(kept, a, size);
	memcpy(a, b, size);
	memcpy(b, kept, size);
}

void qe_config_keep(struct qe_config *now, struct qe_config *next)
{
	for (size_t i = 0; i < QE_CONFIG_KEYS; i++) {
		const struct qe_schema_key *key = &qe_schema[i];
		size_t size = key->list_max ? sizeof(struct qe_config_list) : key->type->size;

		if (!key->restart)
			continue;
		exchange(value_of(now, key), value_of(next, key), size);
		exchange(&now->origins[i], &next->origins[i], sizeof now->origins[i]);
	}
}

bool qe_config_same_peer(const struct qe_config_peer *a, const struct qe_config_peer *b)
{
	bool same = true;

	for (size_t i = QE_CONFIG_KEYS; i < QE_SCHEMA_KEYS && same; i++)
		same = same_value(&qe_schema[i], a, b);
	return same;
}
