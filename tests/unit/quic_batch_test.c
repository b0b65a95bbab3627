/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Random datagrams into a batch: each comes out once, in order, on its path with its mark, in runs
 * that one UDP_SEGMENT send may carry, which are as long as they can be. */
#include <string.h>

#include "net/addr.h"
#include "quic/batch.h"
#include "random.h"

#define SEQUENCES 200
#define DATAGRAMS_MAX 400
#define PAYLOAD_MAX 65487

struct datagram {
	size_t len, path;
	uint8_t ecn, lane, seed;
};

static struct qe_path paths[4];

struct model {
	struct datagram sent[DATAGRAMS_MAX];
	size_t n_sent, n_seen, n_runs;
};

static void fill(uint8_t *to, const struct datagram *datagram)
{
	for (size_t i = 0; i < datagram->len; i++)
		to[i] = (uint8_t)(datagram->seed + i * 7);
}

static void check_datagram(struct model *model, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len)
{
	static uint8_t expected[QE_BATCH_SIZE];

	assert_true(model->n_seen < model->n_sent);
	const struct datagram *datagram = &model->sent[model->n_seen++];

	fill(expected, datagram);
	assert_int_equal(len, datagram->len);
	assert_memory_equal(data, expected, len);
	assert_int_equal(ecn, datagram->ecn);
	assert_true(qe_endpoint_equal(&path->remote, &paths[datagram->path].remote));
	assert_true(qe_endpoint_equal(&path->local, &paths[datagram->path].local));
}

static void on_send(void *ctx, const struct qe_path *path, uint8_t ecn, const uint8_t *data,
	size_t len, size_t segment_size)
{
	struct model *model = ctx;
	const struct datagram *first = &model->sent[model->n_seen];

	model->n_runs++;
	assert_in_range(segment_size, 1, len);
	assert_in_range(len, 1, PAYLOAD_MAX);
	assert_in_range((len + segment_size - 1) / segment_size, 1, QE_BATCH_SEGMENTS);
	for (size_t at = 0; at < len; at += segment_size)
		check_datagram(model, path, ecn, data + at,
			len - at < segment_size ? len - at : segment_size);
	for (; first < &model->sent[model->n_seen]; first++)
		assert_int_equal(first->lane, model->sent[model->n_seen - 1].lane);
}

static void add(
	struct qe_batch *batch, struct model *model, const struct datagram *datagram, size_t room)
{
	uint8_t *to = qe_batch_room(batch, room);

	/* All of the room is there to be written to, whatever of it is used. */
	memset(to, 0xee, room);
	fill(to, datagram);
	model->sent[model->n_sent++] = *datagram;
	qe_batch_add(batch, datagram->len, &paths[datagram->path], datagram->ecn, datagram->lane);
}

/* Mostly like the one before, as packets of a flow are. */
static struct datagram random_datagram(const struct datagram *before, size_t max)
{
	struct datagram datagram = *before;

	datagram.seed = (uint8_t)random_u64();
	if (random_below(8) == 0)
		datagram.len = 1 + random_below(max);
	if (random_below(24) == 0)
		datagram.path = random_below(4);
	if (random_below(24) == 0)
		datagram.ecn = (uint8_t)random_below(4);
	if (random_below(24) == 0)
		datagram.lane = (uint8_t)random_below(3);
	return datagram;
}

static void random_sequences(void **)
{
	static const size_t sizes[] = {16, 1452, 1452, 9033, PAYLOAD_MAX};
	static struct model model;
	struct qe_batch batch;

	for (unsigned round = 0; round < SEQUENCES; round++) {
		size_t max = sizes[random_below(5)];
		size_t n = 1 + random_below(max == PAYLOAD_MAX ? 10 : DATAGRAMS_MAX);
		struct datagram datagram = {.len = max};

		model = (struct model){};
		assert_int_equal(qe_batch_init(&batch, on_send, &model), QE_OK);
		for (size_t i = 0; i < n; i++) {
			datagram = random_datagram(&datagram, max);
			add(&batch, &model, &datagram,
				datagram.len + random_below(max - datagram.len + 1));
			if (random_below(100) == 0)
				qe_batch_flush(&batch);
		}
		qe_batch_flush(&batch);
		assert_int_equal(model.n_seen, n);
		assert_int_equal(batch.datagrams, n);
		qe_batch_done(&batch);
	}
}

static size_t runs_of(size_t n, size_t len)
{
	static struct model model;
	struct qe_batch batch;

	model = (struct model){};
	assert_int_equal(qe_batch_init(&batch, on_send, &model), QE_OK);
	for (size_t i = 0; i < n; i++)
		add(&batch, &model, &(struct datagram){.len = len, .seed = (uint8_t)i}, len);
	qe_batch_flush(&batch);
	assert_int_equal(model.n_seen, n);
	qe_batch_done(&batch);
	return model.n_runs;
}

static void runs_are_as_long_as_they_can_be(void **)
{
	assert_int_equal(runs_of(1, 1), 1);
	assert_int_equal(runs_of(64, 100), 1);
	assert_int_equal(runs_of(65, 100), 2);
	assert_int_equal(runs_of(45, 1452), 1);
	assert_int_equal(runs_of(46, 1452), 2);
	assert_int_equal(runs_of(1, PAYLOAD_MAX), 1);
	assert_int_equal(runs_of(2, PAYLOAD_MAX), 2);
}

static void a_shorter_one_ends_its_run(void **)
{
	static struct model model;
	struct qe_batch batch;

	model = (struct model){};
	assert_int_equal(qe_batch_init(&batch, on_send, &model), QE_OK);
	add(&batch, &model, &(struct datagram){.len = 100}, 200);
	add(&batch, &model, &(struct datagram){.len = 99}, 200);
	assert_int_equal(model.n_seen, 2);
	assert_int_equal(model.n_runs, 1);
	add(&batch, &model, &(struct datagram){.len = 99}, 200);
	add(&batch, &model, &(struct datagram){.len = 100}, 200);
	assert_int_equal(model.n_seen, 3);
	qe_batch_flush(&batch);
	qe_batch_flush(&batch);
	assert_int_equal(model.n_seen, 4);
	assert_int_equal(model.n_runs, 3);
	qe_batch_done(&batch);
}

static int setup(void **state)
{
	static const uint8_t v4[4] = {192, 0, 2, 1}, v6[16] = {0xfe, 0x80};

	/* One differs from the first in its port alone, one in its local side alone. */
	paths[0].remote = (struct qe_endpoint){.addr = qe_addr_ipv4(v4), .port = 7844};
	paths[1].remote = (struct qe_endpoint){.addr = qe_addr_ipv4(v4), .port = 7845};
	paths[2] = paths[0];
	paths[2].local = (struct qe_endpoint){.addr = qe_addr_ipv4(v4), .port = 1};
	paths[3].remote = (struct qe_endpoint){.addr = qe_addr_ipv6(v6), .port = 7844, .scope = 2};
	return random_setup(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_sequences),
		cmocka_unit_test(runs_are_as_long_as_they_can_be),
		cmocka_unit_test(a_shorter_one_ends_its_run),
	};

	return cmocka_run_group_tests(tests, setup, nullptr);
}
