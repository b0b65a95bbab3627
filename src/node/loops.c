/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "node/loops.h"

#include <string.h>

#include "net/addr.h"

constexpr qe_time WINDOW = QE_SECOND;
constexpr qe_time SUSPECTED_FOR = 4 * QE_SECOND; /* 60 ms a hop */

void loops_init(struct loops *loops, uint64_t seed)
{
	*loops = (struct loops){.seed = seed};
	for (size_t i = 0; i < LOOPS_PLACES; i++)
		loops->places[i].slot = SIZE_MAX;
}

/* splitmix64's finaliser, over both halves of the address. */
static size_t place_of(const struct loops *loops, size_t slot, const struct qe_addr *destination)
{
	uint64_t halves[2];

	memcpy(halves, destination->bytes, sizeof(halves));
	uint64_t x = (halves[0] ^ loops->seed) * 0xbf58476d1ce4e5b9u + halves[1] + slot;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return (x ^ x >> 31) % LOOPS_PLACES;
}

static bool is_of(const struct loop *loop, size_t slot, const struct qe_addr *destination)
{
	return loop->slot == slot && qe_addr_equal(&loop->destination, destination);
}

static void begin_window(struct loop *loop, qe_time now)
{
	if (qe_time_since(loop->since, now) < WINDOW)
		return;
	loop->since = now;
	loop->ends = loop->passed = 0;
}

void loops_note(struct loops *loops, size_t slot, const struct qe_addr *destination, qe_time now)
{
	struct loop *loop = &loops->places[place_of(loops, slot, destination)];

	if (!is_of(loop, slot, destination))
		*loop = (struct loop){.slot = slot, .destination = *destination, .since = now};
	begin_window(loop, now);
	if (++loop->ends > LOOPS_MAX || now < loop->suspected_until)
		loop->suspected_until = now + SUSPECTED_FOR;
}

bool loops_allow(struct loops *loops, size_t slot, const struct qe_addr *destination, qe_time now)
{
	struct loop *loop = &loops->places[place_of(loops, slot, destination)];

	if (now >= loop->suspected_until || !is_of(loop, slot, destination))
		return true;
	begin_window(loop, now);
	return loop->passed++ < LOOPS_MAX;
}
