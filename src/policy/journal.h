/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What the workers leave for the control thread to read: queues of records, counts of denials, and
 * which flows have been told of. All of it is bounded, and nobody waits: what finds no room is lost
 * and counted.
 */
#pragma once

#include "policy/gate.h"

/* From any number of threads to one: Vyukov's bounded queue, with turns that start from zeroed
 * memory. */
struct queue {
	uint8_t *cells;
	size_t capacity, message_size, stride;
	_Atomic(uint64_t) tail, lost;
	uint64_t head; /* the consumer's */
};

enum qe_error queue_init(struct queue *queue, size_t capacity, size_t message_size);
void queue_done(struct queue *queue);
void queue_push(struct queue *queue, const void *message);
bool queue_pop(struct queue *queue, void *ret_message);

constexpr size_t DENIALS_PLACES = 1024;
constexpr size_t DENIALS_SEEN = 4096;
constexpr size_t DENIALS_PEERS = 256;

struct denials {
	/* Packets by policy, rule and peer; the key's number is in denials_key(). */
	struct {
		_Atomic(uint64_t) key, packets;
	} counts[DENIALS_PLACES];
	_Atomic(uint64_t) uncounted; /* for which there was no place */
	/* Flows told of: a part of the hash, and the tick. */
	_Atomic(uint64_t) seen[DENIALS_SEEN];
	/* How many were told of a peer, or one that shares its place, since the last sweep. */
	_Atomic(uint32_t) told[DENIALS_PEERS];
};

void denials_count(struct denials *denials, uint32_t generation, uint32_t rule, uint32_t peer,
	uint64_t packets);
/* Whether a verdict about the flow with that hash is to be told: not if it was within a minute. */
bool denials_is_news(struct denials *denials, uint64_t hash, uint32_t now);
/* Whether the peer has something left of what may be told of it before the next sweep. */
bool denials_may_tell(struct denials *denials, uint32_t peer);
void denials_drain(struct denials *denials, const struct qe_gate_sink *sink);
