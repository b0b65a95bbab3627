/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * How many handshakes one source may start, once there are many under way: a token bucket for each
 * IPv4 address or IPv6 /64, in a table of fixed size. Sources that share a place share a bucket,
 * which the seed keeps a stranger from arranging.
 */
#pragma once

#include "base/time.h"

constexpr size_t LIMITER_PLACES = 1024;

struct limiter {
	uint64_t seed;
	uint32_t burst;
	qe_time refill;
	struct limiter_bucket {
		uint32_t tokens;
		qe_time filled;
	} buckets[LIMITER_PLACES];
};

/* of: how many limiters there are, each of which sees a part of every source's handshakes. Together
 * they give what one would. */
void limiter_init(struct limiter *limiter, uint64_t seed, unsigned of);
/* Takes a token; false if none is left. */
bool limiter_take(struct limiter *limiter, const struct qe_addr *source, qe_time now);
