/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A table of flows that any number of threads read and write without locks; the essay is in
 * flows.c. A flow has one key, in the direction of its first packet; it is found by that and by its
 * reverse.
 */
#pragma once

#include "policy/flow_key.h"
#include "policy/track.h"

/* Where a flow stands, for as long as it does. */
struct flow_ref {
	uint32_t position, version;
};

#define FLOW_NOWHERE ((struct flow_ref){UINT32_MAX, 0})

/* What has been read of a flow, all at one moment. */
struct flow_view {
	struct flow_ref ref;
	bool reply; /* found by the reverse of its key */
	uint64_t life, data;
	uint32_t generation;
};

struct flow_totals {
	qe_time started;
	uint64_t packets[2], bytes[2]; /* of the first packet's direction, of the other */
	uint32_t to;
};

enum flow_end : uint8_t {
	FLOW_LIVES,
	FLOW_EXPIRED,
	FLOW_CLOSED,
	FLOW_DENIED,
	FLOW_EVICTED,
	FLOW_REPLACED,
	FLOW_STOPPED
};

/* What is told of a flow. */
struct flow_record {
	struct flow_key key;
	uint64_t data;
	uint32_t generation;
	enum track_state state;
	enum flow_end end;
	uint32_t seen; /* the tick of its last packet */
	struct flow_totals totals;
};

struct flows_settings {
	size_t max;        /* rounded up to a power of two */
	bool of_fragments; /* a flow's owner is in its key, else in the upper half of data */
	uint64_t seed;
	/* Also keep totals, and tell them once of a flow that a sweep finds alive, and when it
	 * ends; from the thread that does it. NULL: nothing is kept. */
	void (*tell)(void *ctx, const struct flow_record *record);
	void *ctx;
};

struct flows {
	struct flows_settings settings;
	void *memory;
	struct flow_bucket *buckets;
	struct flow_account *accounts; /* NULL: none are kept */
	size_t n_buckets;              /* a power of two */
	size_t swept;                  /* the control thread's: the next bucket */
	_Atomic(uint64_t) n_flows, created, evicted;
};

enum qe_error flows_init(struct flows *flows, const struct flows_settings *settings);
void flows_done(struct flows *flows);

/* A new flow, as it is to stand in the table. */
struct flow {
	struct flow_key key;
	uint64_t data; /* the owner's */
	uint8_t extra; /* the owner's */
	uint32_t generation;
	enum track_state state;
	qe_time started;
	uint32_t to;
};

/* False: it is not there, has expired, or is being changed at this very moment. */
bool flows_find(const struct flows *flows, const struct flow_key *key, uint32_t now,
	struct flow_view *ret_view);
/* The flow that stood there, found in the direction told, if it still does. */
bool flows_look(const struct flows *flows, struct flow_ref ref, bool reply, uint32_t now,
	struct flow_view *ret_view);
/* For the packets of which there are most: plain ones that change no state, of a flow that this
 * generation of the policy has judged. False: look closer. */
bool flows_touch(struct flows *flows, struct flow_ref ref, bool reply, uint32_t generation,
	uint32_t now, uint64_t *ret_data);
/* If need be in the place of another flow: one that has expired; else one that nobody has answered;
 * else the one that has been silent longest. An owner that has half of the
 * places in question gives one of its own. False: others were faster, several times. */
bool flows_insert(
	struct flows *flows, const struct flow *flow, uint32_t now, struct flow_ref *ret_ref);
void flows_remove(struct flows *flows, struct flow_ref ref, enum flow_end end);
/* False: somebody else has changed its state, or it has ended. */
bool flows_update(
	struct flows *flows, const struct flow_view *view, enum track_state state, uint32_t now);
/* It has been judged anew. */
void flows_set_judged(
	struct flows *flows, const struct flow_view *view, uint32_t generation, uint64_t data);
void flows_add(
	struct flows *flows, struct flow_ref ref, bool reply, uint64_t packets, uint64_t bytes);
/* Frees what has expired, and tells of what is new, in at most n_buckets buckets. stop: of all
 * flows, which end. Control thread.
 */
void flows_sweep(struct flows *flows, size_t n_buckets, uint32_t now, bool stop);

/* The fields of a flow's life. */
static inline enum track_state flow_state(uint64_t life)
{
	return (enum track_state)(uint8_t)(life >> 32);
}

static inline uint8_t flow_extra(uint64_t life)
{
	return (uint8_t)(life >> 40);
}

static inline uint32_t flow_seen(uint64_t life)
{
	return (uint32_t)life;
}

/* How many ticks ago that was. Other threads may be ahead of this one. */
static inline uint32_t flow_idle(uint32_t seen, uint32_t now)
{
	uint32_t idle = now - seen;

	return idle > UINT32_MAX / 2 ? 0 : idle;
}
