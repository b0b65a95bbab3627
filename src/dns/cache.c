/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "dns/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"

struct entry {
	struct qe_list by_use; /* the one that was used last is first */
	struct qe_dns_question question;
	uint64_t key;
	qe_time stored, until;
	size_t len;
	uint8_t message[];
};

struct qe_dns_cache {
	uint64_t seed;
	struct qe_map entries;
	struct qe_list by_use;
};

enum qe_error qe_dns_cache_new(struct qe_dns_cache **ret_cache, uint64_t seed)
{
	struct qe_dns_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	cache->seed = seed;
	qe_map_init(&cache->entries, QE_DNS_CACHE_ANSWERS, seed);
	qe_list_init(&cache->by_use);
	*ret_cache = cache;
	return QE_OK;
}

struct qe_dns_cache *qe_dns_cache_free(struct qe_dns_cache *cache)
{
	if (!cache)
		return nullptr;
	qe_dns_cache_clear(cache);
	qe_map_done(&cache->entries);
	free(cache);
	return nullptr;
}

static void drop(struct qe_dns_cache *cache, struct entry *entry)
{
	qe_map_remove(&cache->entries, entry->key);
	qe_list_remove(&entry->by_use);
	free(entry);
}

void qe_dns_cache_clear(struct qe_dns_cache *cache)
{
	QE_LIST_FOR_EACH (node, &cache->by_use)
		drop(cache, QE_CONTAINER_OF(node, struct entry, by_use));
}

/* FNV-1a over the question. Two that meet all the same cost each other their place. */
static uint64_t key_of(const struct qe_dns_cache *cache, const struct qe_dns_question *question)
{
	uint64_t key = cache->seed ^ UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < question->name.len; i++)
		key = (key ^ question->name.wire[i]) * UINT64_C(0x100000001b3);
	key = (key ^ question->type) * UINT64_C(0x100000001b3);
	key ^= (uint64_t)question->checking_disabled << 1 | question->dnssec_ok;
	return key * UINT64_C(0x100000001b3);
}

void qe_dns_cache_put(struct qe_dns_cache *cache, const struct qe_dns_question *question,
	struct qe_bytes message, uint32_t ttl, qe_time now)
{
	uint64_t key = key_of(cache, question);
	struct entry *before = qe_map_get(&cache->entries, key), *entry;

	if (before)
		drop(cache, before);
	if (ttl == 0 || message.len > QE_DNS_CACHED_MAX)
		return;
	if (qe_map_size(&cache->entries) == QE_DNS_CACHE_ANSWERS)
		drop(cache, QE_CONTAINER_OF(cache->by_use.prev, struct entry, by_use));
	entry = malloc(sizeof(*entry) + message.len);
	if (!entry)
		return;
	*entry = (struct entry){.question = *question,
		.key = key,
		.stored = now,
		.until = now + ttl * QE_SECOND,
		.len = message.len};
	memcpy(entry->message, message.data, message.len);
	if (qe_map_put(&cache->entries, key, entry) != QE_OK) {
		free(entry);
		return;
	}
	qe_list_init(&entry->by_use);
	qe_list_prepend(&cache->by_use, &entry->by_use);
}

bool qe_dns_cache_get(struct qe_dns_cache *cache, const struct qe_dns_question *question,
	qe_time now, struct qe_bytes *ret_message, uint32_t *ret_age)
{
	struct entry *entry = qe_map_get(&cache->entries, key_of(cache, question));

	if (!entry || !qe_dns_question_equal(&entry->question, question))
		return false;
	if (now >= entry->until) {
		drop(cache, entry);
		return false;
	}
	qe_list_remove(&entry->by_use);
	qe_list_prepend(&cache->by_use, &entry->by_use);
	*ret_message = (struct qe_bytes){entry->message, entry->len};
	*ret_age = (uint32_t)(qe_time_since(entry->stored, now) / QE_SECOND);
	return true;
}
