/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Where packets go round in circles: once many hop limits have ended here within a second of
 * packets from one peer to one destination, only a few a second of those go on, until none has
 * ended for a while. So a circle carries a flow only for as long as the first packet takes to end.
 * In a table of fixed size; who shares a place with another takes it over.
 */
#pragma once

#include "base/time.h"

constexpr size_t LOOPS_PLACES = 64;
constexpr unsigned LOOPS_MAX = 8; /* ends in a second, and then packets; traceroute needs three */

struct loops {
	uint64_t seed;
	struct loop {
		size_t slot;
		struct qe_addr destination;
		unsigned ends, passed; /* since then */
		qe_time since, suspected_until;
	} places[LOOPS_PLACES];
};

void loops_init(struct loops *loops, uint64_t seed);
/* A hop limit has ended. */
void loops_note(struct loops *loops, size_t slot, const struct qe_addr *destination, qe_time now);
/* Whether another packet may go on. */
bool loops_allow(struct loops *loops, size_t slot, const struct qe_addr *destination, qe_time now);
