/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The table of flows. All workers share it, as the two directions of a flow may come to different
 * ones, and none of them ever waits.
 *
 * It has buckets of eight places, and a key may stand in either of two. Each place has a tag: the
 * upper half is a part of the key's hash, 0 where the place is free; the lower one a version that
 * counts up with each change of owner and is odd while somebody writes. To write, a thread makes
 * the version odd with a compare-and-swap, which hides the place; stores what it wants, and then
 * the new tag. To read, it loads the tag, the rest, and the tag again: if that has changed, what it
 * read is void (a seqlock). All loads of the rest acquire and all stores release, so that one who
 * sees anything new also sees the new tag.
 *
 * What changes while a flow lives is in two words that carry a part of the version, so that a
 * compare-and-swap by somebody who has slept meanwhile fails: "life" (state, last packet) and
 * "judged" (generation of the policy). Whoever loses such a race acts as if the flow were not
 * there, and the rules decide. Only totals are added without a look: what two threads do in the
 * same nanoseconds may then be booked to the next flow in that place.
 *
 * Memory is taken from the system as places are used, since nothing is written before.
 */
#include "policy/flows.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdckdint.h>
#include <stdlib.h>

constexpr size_t WAYS = 8;
constexpr size_t FLOWS_MAX = 1u << 24;
constexpr unsigned INSERT_TRIES = 4;
constexpr size_t CACHE_LINE = 64;

typedef _Atomic(uint64_t) word;

struct flow_entry {
	word key[5];
	word life;   /* version 16, extra 8, state 8, last packet 32 */
	word judged; /* version 32, generation 32 */
	word data;
};

struct flow_bucket {
	alignas(CACHE_LINE) word tags[WAYS];
	struct flow_entry entries[WAYS];
};

struct flow_account {
	word started, packets[2], bytes[2];
	_Atomic(uint32_t) to;
	_Atomic(bool) told;
};

/* ---- places ---- */

static uint64_t fingerprint(uint64_t hash)
{
	return (hash | 1) & 0xffffffff;
}

static bool is_free(uint64_t tag)
{
	return tag >> 32 == 0;
}

static bool is_claimed(uint64_t tag)
{
	return tag & 1;
}

/* The two buckets in which a key may stand; never the same one twice. */
static size_t first_bucket(const struct flows *flows, uint64_t hash)
{
	return (size_t)(hash >> 32) & (flows->n_buckets - 1);
}

static size_t second_bucket(const struct flows *flows, uint64_t hash)
{
	size_t step = (size_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> 32) | 1;

	return (first_bucket(flows, hash) ^ step) & (flows->n_buckets - 1);
}

static struct flow_bucket *bucket_at(const struct flows *flows, size_t position)
{
	return &flows->buckets[position / WAYS];
}

static word *tag_at(const struct flows *flows, size_t position)
{
	return &bucket_at(flows, position)->tags[position % WAYS];
}

static struct flow_entry *entry_at(const struct flows *flows, size_t position)
{
	return &bucket_at(flows, position)->entries[position % WAYS];
}

static uint64_t load(const word *from)
{
	return atomic_load_explicit(from, memory_order_acquire);
}

static void store(word *to, uint64_t value)
{
	atomic_store_explicit(to, value, memory_order_release);
}

static bool swap(word *at, uint64_t before, uint64_t after)
{
	return atomic_compare_exchange_strong_explicit(
		at, &before, after, memory_order_acq_rel, memory_order_relaxed);
}

static void count(word *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t life_make(uint32_t version, uint8_t extra, enum track_state state, uint32_t seen)
{
	return (uint64_t)(uint16_t)(version >> 1) << 48 | (uint64_t)extra << 40 |
	       (uint64_t)state << 32 | seen;
}

static bool has_expired(uint64_t life, uint32_t now)
{
	return flow_idle(flow_seen(life), now) > track_timeouts[flow_state(life) % TRACK_STATES];
}

static struct flow_key load_key(const struct flow_entry *entry)
{
	return (struct flow_key){
		.source = {load(&entry->key[0]), load(&entry->key[1])},
		.destination = {load(&entry->key[2]), load(&entry->key[3])},
		.rest = load(&entry->key[4]),
	};
}

static void store_key(struct flow_entry *entry, const struct flow_key *key)
{
	store(&entry->key[0], key->source[0]);
	store(&entry->key[1], key->source[1]);
	store(&entry->key[2], key->destination[0]);
	store(&entry->key[3], key->destination[1]);
	store(&entry->key[4], key->rest);
}

/* ---- to find ---- */

bool flows_look(const struct flows *flows, struct flow_ref ref, bool reply, uint32_t now,
	struct flow_view *ret_view)
{
	const struct flow_entry *entry = entry_at(flows, ref.position);
	const word *tag = tag_at(flows, ref.position);
	uint64_t before = load(tag), life = load(&entry->life), judged = load(&entry->judged);
	struct flow_view view = {
		.ref = ref,
		.reply = reply,
		.life = life,
		.data = load(&entry->data),
		.generation = (uint32_t)judged,
	};

	if ((uint32_t)before != ref.version || is_free(before) || is_claimed(before) ||
		atomic_load_explicit(tag, memory_order_relaxed) != before || has_expired(life, now))
		return false;
	*ret_view = view;
	return true;
}

static bool find_in_bucket(const struct flows *flows, size_t bucket, uint64_t mark,
	const struct flow_key keys[static 2], uint32_t now, struct flow_view *ret_view)
{
	for (size_t way = 0; way < WAYS; way++) {
		uint64_t tag = load(&flows->buckets[bucket].tags[way]);
		struct flow_ref ref = {(uint32_t)(bucket * WAYS + way), (uint32_t)tag};
		struct flow_key key;
		bool reply;

		if (tag >> 32 != mark || is_claimed(tag))
			continue;
		key = load_key(entry_at(flows, ref.position));
		reply = !flow_key_equal(&key, &keys[0]);
		if ((!reply || flow_key_equal(&key, &keys[1])) &&
			flows_look(flows, ref, reply, now, ret_view))
			return true;
	}
	return false;
}

bool flows_find(const struct flows *flows, const struct flow_key *key, uint32_t now,
	struct flow_view *ret_view)
{
	uint64_t hash = flow_key_hash(key, flows->settings.seed), mark = fingerprint(hash);
	const struct flow_key keys[2] = {*key, flow_key_reverse(key)};

	return find_in_bucket(flows, first_bucket(flows, hash), mark, keys, now, ret_view) ||
	       find_in_bucket(flows, second_bucket(flows, hash), mark, keys, now, ret_view);
}

/* ---- to end ---- */

static struct flow_totals load_totals(const struct flow_account *account)
{
	return (struct flow_totals){
		.started = load(&account->started),
		.packets = {load(&account->packets[0]), load(&account->packets[1])},
		.bytes = {load(&account->bytes[0]), load(&account->bytes[1])},
		.to = atomic_load_explicit(&account->to, memory_order_relaxed),
	};
}

static bool claim(struct flows *flows, size_t position, uint64_t tag)
{
	return swap(tag_at(flows, position), tag, (tag + 1) & 0xffffffff);
}

static struct flow_record record_of(const struct flows *flows, size_t position, enum flow_end end)
{
	const struct flow_entry *entry = entry_at(flows, position);
	uint64_t life = load(&entry->life);

	return (struct flow_record){
		.key = load_key(entry),
		.data = load(&entry->data),
		.generation = (uint32_t)load(&entry->judged),
		.state = flow_state(life),
		.end = end,
		.seen = flow_seen(life),
		.totals = load_totals(&flows->accounts[position]),
	};
}

/* Of a place that is claimed. */
static void tell_end(struct flows *flows, size_t position, enum flow_end end)
{
	struct flow_record record;

	if (flows->accounts == nullptr)
		return;
	record = record_of(flows, position, end);
	flows->settings.tell(flows->settings.ctx, &record);
}

static bool end_flow(struct flows *flows, size_t position, uint64_t tag, enum flow_end end)
{
	if (!claim(flows, position, tag))
		return false;
	tell_end(flows, position, end);
	store(tag_at(flows, position), (uint32_t)tag + 2);
	atomic_fetch_sub_explicit(&flows->n_flows, 1, memory_order_relaxed);
	return true;
}

void flows_remove(struct flows *flows, struct flow_ref ref, enum flow_end end)
{
	uint64_t tag = load(tag_at(flows, ref.position));

	if ((uint32_t)tag == ref.version && !is_free(tag))
		end_flow(flows, ref.position, tag, end);
}

static enum flow_end natural_end(uint64_t life)
{
	return track_is_closed(flow_state(life)) ? FLOW_CLOSED : FLOW_EXPIRED;
}

/* Of a flow that goes on. */
static void tell_life(struct flows *flows, size_t position, uint64_t tag)
{
	struct flow_account *account = &flows->accounts[position];
	struct flow_record record;

	if (atomic_load_explicit(&account->told, memory_order_relaxed))
		return;
	record = record_of(flows, position, FLOW_LIVES);
	if (atomic_load_explicit(tag_at(flows, position), memory_order_relaxed) != tag)
		return;
	atomic_store_explicit(&account->told, true, memory_order_relaxed);
	flows->settings.tell(flows->settings.ctx, &record);
}

static void sweep_place(struct flows *flows, size_t position, uint32_t now, bool stop)
{
	uint64_t tag = load(tag_at(flows, position)), life;

	if (is_free(tag) || is_claimed(tag))
		return;
	life = load(&entry_at(flows, position)->life);
	if (has_expired(life, now))
		end_flow(flows, position, tag, natural_end(life));
	else if (stop)
		end_flow(flows, position, tag, FLOW_STOPPED);
	else if (flows->accounts != nullptr)
		tell_life(flows, position, tag);
}

void flows_sweep(struct flows *flows, size_t n_buckets, uint32_t now, bool stop)
{
	size_t n = n_buckets < flows->n_buckets ? n_buckets : flows->n_buckets;

	for (; n > 0; n--, flows->swept = (flows->swept + 1) % flows->n_buckets)
		for (size_t way = 0; way < WAYS; way++)
			sweep_place(flows, flows->swept * WAYS + way, now, stop);
}

/* ---- to insert ---- */

struct candidate {
	size_t position;
	uint64_t tag, life, rank; /* 0: none */
};

static size_t count_free(const struct flow_bucket *bucket)
{
	size_t n = 0;

	for (size_t way = 0; way < WAYS; way++)
		n += is_free(load(&bucket->tags[way]));
	return n;
}

static void consider_free(const struct flows *flows, size_t bucket, struct candidate *best)
{
	size_t n_free = count_free(&flows->buckets[bucket]);

	for (size_t way = 0; way < WAYS && n_free > best->rank; way++) {
		uint64_t tag = load(&flows->buckets[bucket].tags[way]);

		if (is_free(tag) && !is_claimed(tag))
			*best = (struct candidate){bucket * WAYS + way, tag, 0, n_free};
	}
}

/* The higher, the sooner it gives way. */
static uint64_t rank_of(uint64_t life, uint32_t now)
{
	if (has_expired(life, now))
		return UINT64_C(3) << 32;
	if (!track_is_replied(flow_state(life)))
		return (UINT64_C(2) << 32) + flow_idle(flow_seen(life), now);
	return (UINT64_C(1) << 32) + flow_idle(flow_seen(life), now);
}

static uint32_t owner_at(const struct flows *flows, const struct flow_entry *entry)
{
	return flows->settings.of_fragments ? flow_key_subject(load(&entry->key[4]))
					    : (uint32_t)(load(&entry->data) >> 32);
}

static uint32_t owner_of(const struct flows *flows, const struct flow *flow)
{
	return flows->settings.of_fragments ? flow_key_subject(flow->key.rest)
					    : (uint32_t)(flow->data >> 32);
}

static size_t count_owned(const struct flows *flows, size_t bucket, uint32_t owner)
{
	size_t n = 0;

	for (size_t way = 0; way < WAYS; way++)
		n += owner_at(flows, &flows->buckets[bucket].entries[way]) == owner;
	return n;
}

/* own: NULL, or whose alone. */
static void consider_taken(const struct flows *flows, size_t bucket, const uint32_t *own,
	uint32_t now, struct candidate *best)
{
	const struct flow_bucket *at = &flows->buckets[bucket];

	for (size_t way = 0; way < WAYS; way++) {
		uint64_t tag = load(&at->tags[way]), life = load(&at->entries[way].life);
		uint64_t rank = rank_of(life, now);

		if (is_claimed(tag) || rank <= best->rank ||
			(own && !has_expired(life, now) &&
				owner_at(flows, &at->entries[way]) != *own))
			continue;
		*best = (struct candidate){bucket * WAYS + way, tag, life, rank};
	}
}

static struct candidate choose(
	const struct flows *flows, uint64_t hash, uint32_t owner, uint32_t now)
{
	size_t first = first_bucket(flows, hash), second = second_bucket(flows, hash), n_own;
	struct candidate best = {};

	consider_free(flows, first, &best);
	consider_free(flows, second, &best);
	if (best.rank > 0)
		return best;
	n_own = count_owned(flows, first, owner) + count_owned(flows, second, owner);
	consider_taken(flows, first, n_own >= WAYS ? &owner : nullptr, now, &best);
	consider_taken(flows, second, n_own >= WAYS ? &owner : nullptr, now, &best);
	return best;
}

/* Into a place that is claimed. */
static void write_flow(struct flows *flows, const struct candidate *at, const struct flow *flow,
	uint64_t mark, uint32_t now)
{
	struct flow_entry *entry = entry_at(flows, at->position);
	uint32_t version = (uint32_t)at->tag + 2;

	store_key(entry, &flow->key);
	store(&entry->data, flow->data);
	store(&entry->life, life_make(version, flow->extra, flow->state, now));
	store(&entry->judged, (uint64_t)version << 32 | flow->generation);
	if (flows->accounts != nullptr) {
		struct flow_account *account = &flows->accounts[at->position];

		store(&account->started, flow->started);
		atomic_store_explicit(&account->to, flow->to, memory_order_relaxed);
		atomic_store_explicit(&account->told, false, memory_order_relaxed);
		for (unsigned i = 0; i < 2; i++) {
			store(&account->packets[i], 0);
			store(&account->bytes[i], 0);
		}
	}
	store(tag_at(flows, at->position), mark << 32 | version);
}

/* Makes room: the place is claimed, and its flow has ended. */
static bool take_place(struct flows *flows, const struct candidate *at, uint32_t now)
{
	bool expired;

	if (at->rank == 0 || !claim(flows, at->position, at->tag))
		return false;
	if (is_free(at->tag)) {
		count(&flows->n_flows, 1);
		return true;
	}
	expired = has_expired(at->life, now);
	if (!expired)
		count(&flows->evicted, 1);
	tell_end(flows, at->position, expired ? natural_end(at->life) : FLOW_EVICTED);
	return true;
}

bool flows_insert(
	struct flows *flows, const struct flow *flow, uint32_t now, struct flow_ref *ret_ref)
{
	uint64_t hash = flow_key_hash(&flow->key, flows->settings.seed);

	for (unsigned i = 0; i < INSERT_TRIES; i++) {
		struct candidate at = choose(flows, hash, owner_of(flows, flow), now);

		if (!take_place(flows, &at, now))
			continue;
		write_flow(flows, &at, flow, fingerprint(hash), now);
		count(&flows->created, 1);
		*ret_ref = (struct flow_ref){(uint32_t)at.position, (uint32_t)at.tag + 2};
		return true;
	}
	return false;
}

/* ---- to change ---- */

bool flows_touch(struct flows *flows, struct flow_ref ref, bool reply, uint32_t generation,
	uint32_t now, uint64_t *ret_data)
{
	struct flow_entry *entry = entry_at(flows, ref.position);
	const word *tag = tag_at(flows, ref.position);
	uint64_t before = load(tag), life = load(&entry->life), data = load(&entry->data);
	uint32_t judged = (uint32_t)load(&entry->judged);

	if ((uint32_t)before != ref.version || is_free(before) || judged != generation ||
		atomic_load_explicit(tag, memory_order_relaxed) != before ||
		!track_is_steady(flow_state(life), reply))
		return false;
	if (flow_seen(life) != now &&
		(has_expired(life, now) ||
			!swap(&entry->life, life, (life & ~(uint64_t)UINT32_MAX) | now)))
		return false;
	*ret_data = data;
	return true;
}

bool flows_update(
	struct flows *flows, const struct flow_view *view, enum track_state state, uint32_t now)
{
	uint64_t life = life_make(view->ref.version, flow_extra(view->life), state, now);

	return life == view->life ||
	       swap(&entry_at(flows, view->ref.position)->life, view->life, life);
}

void flows_set_judged(
	struct flows *flows, const struct flow_view *view, uint32_t generation, uint64_t data)
{
	struct flow_entry *entry = entry_at(flows, view->ref.position);
	uint64_t version = (uint64_t)view->ref.version << 32;

	if (swap(&entry->judged, version | view->generation, version | generation) &&
		data != view->data)
		swap(&entry->data, view->data, data);
}

void flows_add(
	struct flows *flows, struct flow_ref ref, bool reply, uint64_t packets, uint64_t bytes)
{
	if (flows->accounts == nullptr)
		return;
	count(&flows->accounts[ref.position].packets[reply], packets);
	count(&flows->accounts[ref.position].bytes[reply], bytes);
}

/* ---- the table ---- */

static size_t round_up(size_t max)
{
	size_t n = 2;

	while (n * WAYS < max)
		n *= 2;
	return n;
}

enum qe_error flows_init(struct flows *flows, const struct flows_settings *settings)
{
	struct flows made = {.settings = *settings};

	if (settings->max > FLOWS_MAX)
		return QE_ERR_RANGE;
	made.n_buckets = round_up(settings->max);
	/* calloc, as it leaves untouched what the system gives as zeros; it knows no alignment. */
	made.memory = calloc(made.n_buckets + 1, sizeof(struct flow_bucket));
	if (made.memory == nullptr)
		return (enum qe_error) - ENOMEM;
	made.buckets = (struct flow_bucket *)(((uintptr_t)made.memory + CACHE_LINE - 1) &
					      ~(uintptr_t)(CACHE_LINE - 1));
	if (settings->tell != nullptr) {
		made.accounts = calloc(made.n_buckets * WAYS, sizeof(struct flow_account));
		if (made.accounts == nullptr) {
			free(made.memory);
			return (enum qe_error) - ENOMEM;
		}
	}
	*flows = made;
	return QE_OK;
}

void flows_done(struct flows *flows)
{
	free(flows->memory);
	free(flows->accounts);
	*flows = (struct flows){};
}
