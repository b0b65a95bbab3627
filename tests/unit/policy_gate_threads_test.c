/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Several threads ask one gate at once, each of them now under this policy, now under that, with a
 * table so small that each place changes hands all the time. Whatever they do to each other, a
 * reply must not pass unless the policy in force allows what it is a reply to.
 */
#include <pthread.h>

#include "policy_gate.h"

#define THREADS 4
#define ROUNDS 60000
#define UDP 17
#define PORTS 12

static bool odd_ports(const struct qe_policy_packet *packet)
{
	return packet->subject == SELF && packet->destination_port % 2 == 1;
}

static bool low_ports(const struct qe_policy_packet *packet)
{
	return packet->subject == SELF && packet->destination_port <= PORTS / 2;
}

/* Generation i is of policies[i % 2]. */
static const struct qe_policy policies[2] = {{.allows = odd_ports}, {.allows = low_ports}};

struct worker {
	uint64_t random;
	struct qe_gate_cache caches[2];
	unsigned wrong, passed;
};

static uint64_t next_random(struct worker *worker)
{
	worker->random ^= worker->random << 13;
	worker->random ^= worker->random >> 7;
	worker->random ^= worker->random << 17;
	return worker->random;
}

static bool worker_asks(struct worker *worker, bool back, unsigned port, unsigned other,
	uint64_t under, unsigned step)
{
	struct spec spec = back ? spec_of(4, UDP, 2, port, 1, other)
				: spec_of(4, UDP, 1, other, 2, port);
	struct qe_policy_result verdict;
	struct qe_packet packet;
	uint8_t bytes[100];
	struct qe_gate_packet asked = {
		&packet, {bytes, build(bytes, &spec)}, back ? PEER : SELF, back ? SELF : PEER, 1};

	if (qe_packet_parse(&packet, asked.bytes) != QE_OK)
		return false;
	return qe_gate_check(gate, step % 3 ? &worker->caches[back] : nullptr, &policies[under % 2],
		       under, &asked, now + step * 4 * QE_MILLISECOND, &verdict) == QE_ACTION_ALLOW;
}

static void *work(void *argument)
{
	struct worker *worker = argument;

	for (unsigned step = 0; step < ROUNDS; step++) {
		uint64_t random = next_random(worker);
		unsigned port = (unsigned)(random % PORTS) + 1;
		bool back = random >> 20 & 1;
		uint64_t under = step / 1000 + (random >> 24 & 1);
		struct qe_policy_packet original = {
			.subject = SELF, .destination_port = (uint16_t)port};
		bool passed = worker_asks(
			worker, back, port, 1000 + (unsigned)(random >> 32) % 40, under, step);

		worker->passed += passed && back;
		worker->wrong += passed && !policies[under % 2].allows(&original);
	}
	return nullptr;
}

static void *sweep(void *argument)
{
	struct qe_gate_sink sink = {};

	(void)argument;
	for (unsigned i = 0; i < 2000; i++)
		qe_gate_sweep(gate, now, &sink);
	return nullptr;
}

static void nobody_gets_more_than_the_rules_give(void **state)
{
	static struct worker workers[THREADS];
	pthread_t threads[THREADS + 1];
	unsigned passed = 0;

	(void)state;
	now = 1000 * QE_SECOND;
	assert_int_equal(
		qe_gate_new(&gate, &(struct qe_gate_settings){16, true, random_u64()}), QE_OK);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].random = random_u64() | 1;
		assert_int_equal(pthread_create(&threads[i], nullptr, work, &workers[i]), 0);
	}
	assert_int_equal(pthread_create(&threads[THREADS], nullptr, sweep, nullptr), 0);
	for (unsigned i = 0; i <= THREADS; i++)
		assert_int_equal(pthread_join(threads[i], nullptr), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(workers[i].wrong, 0);
		passed += workers[i].passed;
	}
	assert_true(passed > 0);
	assert_true(counters().evicted > 0);
	assert_in_range(counters().flows, 1, 16);
	gate_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_gets_more_than_the_rules_give),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
