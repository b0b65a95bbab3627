/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Where packets go round in circles: a destination for which many hop limits have ended here within
 * a second, of packets from one peer, gets no more from that peer for a second. In a table of fixed
 * size; who shares a place with another takes it over.
 */
#pragma once

#include "base/time.h"

constexpr size_t LOOPS_PLACES = 64;
constexpr unsigned LOOPS_ENDS_MAX = 8; /* in a second; traceroute needs three */

struct loops {
	uint64_t seed;
	struct loop {
		size_t slot;
		struct qe_addr destination;
		unsigned ends;
		qe_time since, until;
	} places[LOOPS_PLACES];
};

void loops_init(struct loops *loops, uint64_t seed);
/* A hop limit has ended. */
void loops_note(struct loops *loops, size_t slot, const struct qe_addr *destination, qe_time now);
bool loops_contain(
	const struct loops *loops, size_t slot, const struct qe_addr *destination, qe_time now);
