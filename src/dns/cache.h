/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Answers of servers, whole, each under the question it answers and under no other: what else an
 * answer says is believed of nothing else. Bounded; the one that was not used for longest goes.
 */
#pragma once

#include "base/time.h"
#include "dns/message.h"

#define QE_DNS_CACHE_ANSWERS 1024
#define QE_DNS_CACHED_MAX 2048 /* bytes of an answer; longer ones are not kept */

struct qe_dns_cache;

/* seed: so that nobody can choose questions that meet. */
enum qe_error qe_dns_cache_new(struct qe_dns_cache **ret_cache, uint64_t seed);
struct qe_dns_cache *qe_dns_cache_free(struct qe_dns_cache *cache); /* NULL-safe */
void qe_dns_cache_clear(struct qe_dns_cache *cache);

/* For ttl seconds, if there is memory. */
void qe_dns_cache_put(struct qe_dns_cache *cache, const struct qe_dns_question *question,
	struct qe_bytes message, uint32_t ttl, qe_time now);
/* The bytes are the cache's, until it is next called. *ret_age in seconds. */
bool qe_dns_cache_get(struct qe_dns_cache *cache, const struct qe_dns_question *question,
	qe_time now, struct qe_bytes *ret_message, uint32_t *ret_age);
