/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <pthread.h>
#include <sched.h>

#include "base/ring.h"
#include "random.h"

#define MESSAGES 200000

struct message {
	uint64_t number, copies[2];
};

static void ring_agrees_with_counters(void **state)
{
	enum { CAPACITY = 8 };
	struct qe_ring *ring = nullptr;
	uint64_t pushed = 0, popped = 0;

	(void)state;
	assert_int_equal(qe_ring_new(&ring, CAPACITY, sizeof(pushed)), QE_OK);
	for (unsigned step = 0; step < 30000; step++) {
		size_t n = random_below(CAPACITY + 1);

		assert_int_equal(qe_ring_has_room(ring, n), pushed - popped + n <= CAPACITY);
		if (random_below(2)) {
			bool done = qe_ring_push(ring, &pushed);

			assert_int_equal(done, pushed - popped < CAPACITY);
			pushed += done;
		} else {
			uint64_t message = UINT64_MAX;
			bool done = qe_ring_pop(ring, &message);

			assert_int_equal(done, popped < pushed);
			assert_int_equal(message, done ? popped : UINT64_MAX);
			popped += done;
		}
	}
	assert_null(qe_ring_free(ring));
	assert_null(qe_ring_free(nullptr));
}

static void *produce(void *argument)
{
	for (uint64_t i = 0; i < MESSAGES; i++) {
		struct message message = {i, {i * 3, ~i}};

		while (!qe_ring_push(argument, &message))
			sched_yield();
	}
	return nullptr;
}

static void two_threads_lose_nothing(void **state)
{
	struct qe_ring *ring = nullptr;
	unsigned wrong = 0;
	pthread_t producer;

	(void)state;
	assert_int_equal(qe_ring_new(&ring, 64, sizeof(struct message)), QE_OK);
	assert_int_equal(pthread_create(&producer, nullptr, produce, ring), 0);
	for (uint64_t i = 0; i < MESSAGES; i++) {
		struct message message;

		while (!qe_ring_pop(ring, &message))
			sched_yield();
		wrong += message.number != i || message.copies[0] != i * 3 ||
			 message.copies[1] != ~i;
	}
	pthread_join(producer, nullptr);
	assert_int_equal(wrong, 0);
	qe_ring_free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ring_agrees_with_counters),
		cmocka_unit_test(two_threads_lose_nothing),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
