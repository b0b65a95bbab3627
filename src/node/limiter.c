/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "node/limiter.h"

#include <string.h>

constexpr uint32_t BURST = 8;
constexpr qe_time REFILL = 100 * QE_MILLISECOND; /* a token each: 10 a second */

void limiter_init(struct limiter *limiter, uint64_t seed, unsigned of)
{
	*limiter = (struct limiter){
		.seed = seed, .burst = (BURST + of - 1) / of, .refill = of * REFILL};
	for (size_t i = 0; i < LIMITER_PLACES; i++)
		limiter->buckets[i].tokens = limiter->burst;
}

/* splitmix64's finaliser over the seeded network. */
static size_t place_of(const struct limiter *limiter, const struct qe_addr *source)
{
	uint64_t x = 0;

	memcpy(&x, source->bytes, source->family == QE_FAMILY_IPV4 ? 4 : 8);
	x ^= limiter->seed + source->family;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return (x ^ x >> 31) % LIMITER_PLACES;
}

static void refill(const struct limiter *limiter, struct limiter_bucket *bucket, qe_time now)
{
	uint64_t earned = qe_time_since(bucket->filled, now) / limiter->refill;

	if (earned == 0)
		return;
	bucket->tokens = earned >= limiter->burst - bucket->tokens
				 ? limiter->burst
				 : bucket->tokens + (uint32_t)earned;
	bucket->filled = bucket->tokens == limiter->burst
				 ? now
				 : bucket->filled + earned * limiter->refill;
}

bool limiter_take(struct limiter *limiter, const struct qe_addr *source, qe_time now)
{
	struct limiter_bucket *bucket = &limiter->buckets[place_of(limiter, source)];

	refill(limiter, bucket, now);
	if (bucket->tokens == 0)
		return false;
	bucket->tokens--;
	return true;
}
