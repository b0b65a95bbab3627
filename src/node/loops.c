/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "node/loops.h"

#include <string.h>

#include "net/addr.h"

constexpr qe_time WINDOW = QE_SECOND;

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

void loops_note(struct loops *loops, size_t slot, const struct qe_addr *destination, qe_time now)
{
	struct loop *loop = &loops->places[place_of(loops, slot, destination)];

	if (!is_of(loop, slot, destination) || qe_time_since(loop->since, now) >= WINDOW)
		*loop = (struct loop){.slot = slot, .destination = *destination, .since = now};
	if (++loop->ends > LOOPS_ENDS_MAX)
		loop->until = now + WINDOW;
}

bool loops_contain(
	const struct loops *loops, size_t slot, const struct qe_addr *destination, qe_time now)
{
	const struct loop *loop = &loops->places[place_of(loops, slot, destination)];

	return now < loop->until && is_of(loop, slot, destination);
}
