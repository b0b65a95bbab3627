/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The table of flows: its bound, who gives way when it is full, and threads that fight for its
 * places. */
#include <pthread.h>
#include <stdatomic.h>

#include "policy/flows.h"
#include "random.h"

#define PLACES 1024

static struct flows flows;
static atomic_uint_fast64_t n_ended;

static void on_flow(void *ctx, const struct flow_record *record)
{
	(void)ctx;
	n_ended += record->end != FLOW_LIVES;
}

static void open_table(size_t max)
{
	n_ended = 0;
	assert_int_equal(flows_init(&flows,
				 &(struct flows_settings){
					 .max = max, .seed = random_u64(), .tell = on_flow}),
		QE_OK);
}

static struct flow_key key_of(uint32_t number)
{
	struct qe_addr source = {QE_FAMILY_IPV4, {10, 0, 0, 1}},
		       destination = {QE_FAMILY_IPV4, {10, 1}};

	destination.bytes[2] = (uint8_t)(number >> 24);
	destination.bytes[3] = (uint8_t)(number >> 16);
	return flow_key_make(&source, &destination, 17, FLOW_EITHER, 1000, (uint16_t)number);
}

static void insert(uint32_t number, uint32_t owner, enum track_state state, uint32_t now)
{
	struct flow flow = {.key = key_of(number), .data = (uint64_t)owner << 32, .state = state};
	struct flow_ref ref;

	assert_true(flows_insert(&flows, &flow, now, &ref));
}

static bool is_there(uint32_t number, uint32_t now)
{
	struct flow_key key = key_of(number);
	struct flow_view view;

	return flows_find(&flows, &key, now, &view);
}

static void a_full_table_stays_full(void **state)
{
	size_t there = 0;

	(void)state;
	open_table(PLACES);
	for (uint32_t i = 0; i < 10 * PLACES; i++)
		insert(i, i, TRACK_UDP, i / 100);
	assert_true(flows.n_flows <= PLACES);
	assert_true(flows.n_flows > PLACES * 99 / 100);
	assert_int_equal(flows.created, 10 * PLACES);
	assert_int_equal(flows.evicted, 10 * PLACES - flows.n_flows);
	assert_int_equal(n_ended, flows.evicted);
	for (uint32_t i = 0; i < 10 * PLACES; i++)
		there += is_there(i, 100);
	assert_int_equal(there, flows.n_flows);
	flows_sweep(&flows, flows.n_buckets, 100000, false);
	assert_int_equal(flows.n_flows, 0);
	assert_int_equal(n_ended, 10 * PLACES);
	flows_done(&flows);
}

/* Hardly anything gives way at three quarters: two choices of eight places. */
static void a_table_fills_well(void **state)
{
	(void)state;
	open_table(65536);
	for (uint32_t i = 0; i < 65536 * 3 / 4; i++)
		insert(i, 1, TRACK_UDP, 0);
	assert_true(flows.evicted < 10);
	flows_done(&flows);
}

static size_t count_there(uint32_t first, uint32_t n, uint32_t now)
{
	size_t there = 0;

	for (uint32_t i = 0; i < n; i++)
		there += is_there(first + i, now);
	return there;
}

static void who_floods_gives_way(void **state)
{
	(void)state;
	/* Flows that nobody answers give way to others, and answered ones do not to them. */
	open_table(PLACES);
	for (uint32_t i = 0; i < 100; i++)
		insert(1000000 + i, 1, TRACK_ESTABLISHED, 0);
	for (uint32_t i = 0; i < 20 * PLACES; i++)
		insert(i, 2, TRACK_SYN_SENT, 10);
	assert_int_equal(count_there(1000000, 100, 10), 100);
	/* Answered ones of the same owner do. */
	for (uint32_t i = 0; i < 20 * PLACES; i++)
		insert(i, 2, TRACK_ESTABLISHED, 20);
	assert_int_equal(count_there(1000000, 100, 20), 100);
	flows_done(&flows);
}

static void the_silent_give_way_first(void **state)
{
	(void)state;
	open_table(16);
	for (uint32_t i = 0; i < 16; i++)
		insert(i, i, TRACK_UDP, 100 + i);
	assert_int_equal(flows.n_flows, 16);
	insert(100, 100, TRACK_UDP, 200);
	assert_false(is_there(0, 200));
	assert_int_equal(count_there(1, 15, 200), 15);
	/* And before them those that have expired. */
	insert(101, 101, TRACK_ECHO, 200);
	insert(102, 102, TRACK_UDP, 800);
	assert_false(is_there(101, 800));
	flows_done(&flows);
}

/* ---- threads ---- */

#define KEYS 64
#define ROUNDS 150000

struct worker {
	pthread_t thread;
	uint64_t random;
	unsigned wrong, found;
};

/* Everything about a flow follows from its number; if anything does not, a thread has seen one
 * flow's part of another, or changed another's. */
static enum track_state state_of(uint32_t number)
{
	return number % 2 ? TRACK_UDP : TRACK_OTHER;
}

static uint64_t data_of(uint32_t number)
{
	return (uint64_t)number << 32 | number * 3;
}

static bool is_right(const struct flow_view *view, uint32_t number)
{
	return view->data == data_of(number) && view->generation / 8 == number &&
	       flow_state(view->life) == state_of(number) && flow_extra(view->life) == number;
}

static void touch(struct worker *worker, uint32_t number, uint32_t now)
{
	struct flow_key key = key_of(number);
	struct flow_view view;
	struct flow flow = {.key = key,
		.data = data_of(number),
		.generation = number * 8,
		.extra = (uint8_t)number,
		.state = state_of(number)};
	struct flow_ref ref;

	if (!flows_find(&flows, &key, now, &view)) {
		flows_insert(&flows, &flow, now, &ref);
		return;
	}
	worker->found++;
	worker->wrong += !is_right(&view, number);
	flows_update(&flows, &view, flow_state(view.life), now);
	flows_set_judged(&flows, &view, number * 8 + now % 8, view.data);
	flows_add(&flows, view.ref, view.reply, 1, 1);
	if (now % 16 == 0)
		flows_remove(&flows, view.ref, FLOW_DENIED);
}

static void *work(void *argument)
{
	struct worker *worker = argument;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		worker->random = worker->random * UINT64_C(6364136223846793005) +
				 1442695040888963407;
		touch(worker, (uint32_t)(worker->random >> 33) % KEYS, i);
	}
	return nullptr;
}

static void threads_see_whole_flows(void **state)
{
	static struct worker workers[4];

	(void)state;
	open_table(16);
	for (unsigned i = 0; i < 4; i++) {
		workers[i] = (struct worker){.random = random_u64()};
		assert_int_equal(pthread_create(&workers[i].thread, nullptr, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(workers[i].thread, nullptr), 0);
		assert_int_equal(workers[i].wrong, 0);
		assert_true(workers[i].found > 0);
	}
	assert_int_equal(flows.created - n_ended, flows.n_flows);
	flows_done(&flows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_table_stays_full),
		cmocka_unit_test(a_table_fills_well),
		cmocka_unit_test(who_floods_gives_way),
		cmocka_unit_test(the_silent_give_way_first),
		cmocka_unit_test(threads_see_whole_flows),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
