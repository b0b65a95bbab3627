/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "policy/journal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "policy/track.h"

constexpr size_t PROBES = 8;
constexpr uint32_t TOLD_MAX = 32;
constexpr uint32_t NEWS_TICKS = 60 * QE_SECOND >> TICK_SHIFT;

/* ---- the queue ---- */

struct cell {
	_Atomic(uint64_t) turn; /* 2 * lap: to be written; one more: to be read */
	uint8_t message[];
};

enum qe_error queue_init(struct queue *queue, size_t capacity, size_t message_size)
{
	size_t stride = (sizeof(struct cell) + message_size + 15) & ~(size_t)15;
	uint8_t *cells = calloc(capacity, stride);

	if (cells == nullptr)
		return (enum qe_error) - ENOMEM;
	*queue = (struct queue){
		.cells = cells,
		.capacity = capacity,
		.message_size = message_size,
		.stride = stride,
	};
	return QE_OK;
}

void queue_done(struct queue *queue)
{
	free(queue->cells);
	queue->cells = nullptr;
}

static struct cell *cell_of(const struct queue *queue, uint64_t ticket)
{
	return (struct cell *)(queue->cells + ticket % queue->capacity * queue->stride);
}

void queue_push(struct queue *queue, const void *message)
{
	uint64_t ticket = atomic_load_explicit(&queue->tail, memory_order_relaxed);

	for (;;) {
		struct cell *cell = cell_of(queue, ticket);
		uint64_t due = ticket / queue->capacity * 2;
		uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);

		if (turn < due) {
			atomic_fetch_add_explicit(&queue->lost, 1, memory_order_relaxed);
			return;
		}
		if (turn > due) {
			ticket = atomic_load_explicit(&queue->tail, memory_order_relaxed);
			continue;
		}
		if (!atomic_compare_exchange_weak_explicit(&queue->tail, &ticket, ticket + 1,
			    memory_order_relaxed, memory_order_relaxed))
			continue;
		memcpy(cell->message, message, queue->message_size);
		atomic_store_explicit(&cell->turn, due + 1, memory_order_release);
		return;
	}
}

bool queue_pop(struct queue *queue, void *ret_message)
{
	struct cell *cell = cell_of(queue, queue->head);
	uint64_t due = queue->head / queue->capacity * 2 + 1;

	if (atomic_load_explicit(&cell->turn, memory_order_acquire) != due)
		return false;
	memcpy(ret_message, cell->message, queue->message_size);
	atomic_store_explicit(&cell->turn, due + 1, memory_order_release);
	queue->head++;
	return true;
}

/* ---- denials ---- */

constexpr uint64_t KEY_USED = UINT64_C(1) << 63;
constexpr unsigned KEY_RULE = 46;
constexpr unsigned KEY_PEER = 29;
constexpr uint32_t KEY_MASK = (1 << 17) - 1; /* of a rule, of a peer */
constexpr uint32_t KEY_GENERATION_MASK = (1 << 29) - 1;

static_assert(QE_POLICY_RULES_MAX < KEY_MASK && QE_PEERS_MAX < KEY_MASK);

static uint64_t denials_key(uint32_t generation, uint32_t rule, uint32_t peer)
{
	return KEY_USED | (uint64_t)(rule & KEY_MASK) << KEY_RULE |
	       (uint64_t)(peer & KEY_MASK) << KEY_PEER | (generation & KEY_GENERATION_MASK);
}

/* Finds the key's place, or takes a free one for it. */
static bool has_place(_Atomic(uint64_t) *place, uint64_t key)
{
	uint64_t there = atomic_load_explicit(place, memory_order_relaxed);

	if (there == 0 && atomic_compare_exchange_strong_explicit(
				  place, &there, key, memory_order_relaxed, memory_order_relaxed))
		return true;
	return there == key;
}

void denials_count(struct denials *denials, uint32_t generation, uint32_t rule, uint32_t peer,
	uint64_t packets)
{
	uint64_t key = denials_key(generation, rule, peer);
	size_t first = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32);

	for (size_t i = 0; i < PROBES; i++) {
		size_t at = (first + i) % DENIALS_PLACES;

		if (!has_place(&denials->counts[at].key, key))
			continue;
		atomic_fetch_add_explicit(
			&denials->counts[at].packets, packets, memory_order_relaxed);
		return;
	}
	atomic_fetch_add_explicit(&denials->uncounted, packets, memory_order_relaxed);
}

bool denials_is_news(struct denials *denials, uint64_t hash, uint32_t now)
{
	_Atomic(uint64_t) *place = &denials->seen[hash % DENIALS_SEEN];
	uint64_t there = atomic_load_explicit(place, memory_order_relaxed);
	uint64_t mark = (hash | UINT64_C(1) << 32) & ~UINT64_C(0xffffffff);

	if (there >> 32 == mark >> 32 && now - (uint32_t)there < NEWS_TICKS)
		return false;
	atomic_store_explicit(place, mark | now, memory_order_relaxed);
	return true;
}

bool denials_may_tell(struct denials *denials, uint32_t peer)
{
	return atomic_fetch_add_explicit(
		       &denials->told[peer % DENIALS_PEERS], 1, memory_order_relaxed) < TOLD_MAX;
}

static void drain_count(struct denials *denials, size_t at, const struct qe_gate_sink *sink)
{
	uint64_t key = atomic_load_explicit(&denials->counts[at].key, memory_order_relaxed);
	uint64_t packets;
	uint32_t rule = (uint32_t)(key >> KEY_RULE) & KEY_MASK;

	if (key == 0)
		return;
	packets = atomic_exchange_explicit(&denials->counts[at].packets, 0, memory_order_relaxed);
	if (packets == 0) /* idle for as long as a sweep: for the next one that needs it */
		atomic_store_explicit(&denials->counts[at].key, 0, memory_order_relaxed);
	else if (sink->denied)
		sink->denied(sink->ctx, (uint32_t)key & KEY_GENERATION_MASK,
			rule == KEY_MASK ? QE_POLICY_NO_RULE : rule,
			(uint32_t)(key >> KEY_PEER) & KEY_MASK, packets);
}

void denials_drain(struct denials *denials, const struct qe_gate_sink *sink)
{
	uint64_t uncounted = atomic_exchange_explicit(&denials->uncounted, 0, memory_order_relaxed);

	for (size_t at = 0; at < DENIALS_PLACES; at++)
		drain_count(denials, at, sink);
	for (size_t i = 0; i < DENIALS_PEERS; i++)
		atomic_store_explicit(&denials->told[i], 0, memory_order_relaxed);
	if (uncounted > 0 && sink->denied)
		sink->denied(sink->ctx, 0, QE_POLICY_NO_RULE, QE_POLICY_SELF, uncounted);
}
