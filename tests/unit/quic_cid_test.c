/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Connection IDs, knocks and reset tokens. The MAC in a connection ID has 24 bits, so that one
 * forgery in 16 million is taken for ours: where a test forges many, two are forgiven.
 */
#include <string.h>

#include "quic/cid.h"
#include "random.h"

#define ROUNDS 300
#define FORGIVEN 2

static struct qe_node_id random_id(void)
{
	struct qe_node_id id;

	random_fill(id.bytes, sizeof(id.bytes));
	return id;
}

static struct qe_cid_keys keys_of_node(const struct qe_node_id *id)
{
	static const uint8_t secret[32];
	struct qe_cid_keys keys;

	assert_int_equal(qe_cid_keys_init(&keys, 0, secret, id), QE_OK);
	return keys;
}

static struct qe_cid_keys keys_of(const uint8_t *secret, uint8_t worker)
{
	struct qe_cid_keys keys;
	struct qe_node_id id = random_id();

	assert_int_equal(qe_cid_keys_init(&keys, worker, secret, &id), QE_OK);
	return keys;
}

static void flip(uint8_t *bytes, size_t bit)
{
	bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

/* ---- knocks ---- */

static void a_knock_opens_one_door(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct qe_node_id id = random_id(), other = id;
		uint8_t knock[QE_KNOCK_SIZE];
		struct qe_bytes bytes = {knock, sizeof(knock)};

		flip(other.bytes, random_below(8 * QE_NODE_ID_SIZE));
		struct qe_cid_keys keys = keys_of_node(&id), others = keys_of_node(&other);

		assert_int_equal(
			qe_knock_make(knock, (uint8_t)random_below(QE_WORKERS_MAX), &id), QE_OK);
		assert_true(qe_knock_is_valid(&keys, bytes));
		assert_false(qe_knock_is_valid(&others, bytes));
		for (size_t bit = 0; bit < 8 * QE_KNOCK_SIZE; bit++) {
			flip(knock, bit);
			assert_false(qe_knock_is_valid(&keys, bytes));
			flip(knock, bit);
		}
		assert_true(qe_knock_is_valid(&keys, bytes));
		qe_cid_keys_done(&keys);
		qe_cid_keys_done(&others);
	}
}

static void a_knock_has_one_length(void **)
{
	struct qe_node_id id = random_id();
	struct qe_cid_keys keys = keys_of_node(&id);
	uint8_t knock[2 * QE_KNOCK_SIZE] = {};

	assert_int_equal(qe_knock_make(knock, (uint8_t)random_below(QE_WORKERS_MAX), &id), QE_OK);
	for (size_t len = 0; len <= sizeof(knock); len++)
		assert_int_equal(qe_knock_is_valid(&keys, (struct qe_bytes){knock, len}),
			len == QE_KNOCK_SIZE);
	qe_cid_keys_done(&keys);
}

static void no_two_knocks_are_alike(void **)
{
	struct qe_node_id id = random_id();
	uint8_t a[QE_KNOCK_SIZE], b[QE_KNOCK_SIZE];

	assert_int_equal(qe_knock_make(a, 0, &id), QE_OK);
	assert_int_equal(qe_knock_make(b, 0, &id), QE_OK);
	assert_memory_not_equal(a + 1, b + 1, 7);
	assert_memory_not_equal(a + 8, b + 8, 12);
}

/* ---- connection IDs ---- */

static void a_connection_id_outlives_the_process(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint8_t secret[32], worker = (uint8_t)random_u64(), cid[QE_CID_SIZE];
		struct qe_bytes bytes = {cid, sizeof(cid)};

		random_fill(secret, sizeof(secret));
		struct qe_cid_keys keys = keys_of(secret, worker);

		assert_int_equal(qe_cid_make(&keys, cid), QE_OK);
		assert_int_equal(cid[0], worker);
		assert_true(qe_cid_is_ours(&keys, bytes));
		qe_cid_keys_done(&keys);

		/* Another worker of the same node, in another life. */
		keys = keys_of(secret, (uint8_t)(worker + 1));
		assert_true(qe_cid_is_ours(&keys, bytes));
		qe_cid_keys_done(&keys);
	}
}

static void strangers_connection_ids_are_not_ours(void **)
{
	unsigned taken = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint8_t secret[32], cid[QE_CID_SIZE];
		struct qe_bytes bytes = {cid, sizeof(cid)};

		random_fill(secret, sizeof(secret));
		struct qe_cid_keys keys = keys_of(secret, 0);

		assert_int_equal(qe_cid_make(&keys, cid), QE_OK);
		flip(secret, random_below(8 * sizeof(secret)));
		struct qe_cid_keys other = keys_of(secret, 0);

		taken += qe_cid_is_ours(&other, bytes);
		for (size_t bit = 0; bit < 8 * QE_CID_SIZE; bit++) {
			flip(cid, bit);
			taken += qe_cid_is_ours(&keys, bytes);
			flip(cid, bit);
		}
		for (unsigned i = 0; i < 100; i++) {
			random_fill(cid, sizeof(cid));
			taken += qe_cid_is_ours(&keys, bytes);
		}
		qe_cid_keys_done(&keys);
		qe_cid_keys_done(&other);
	}
	assert_in_range(taken, 0, FORGIVEN);
}

static void a_connection_id_has_one_length(void **)
{
	uint8_t secret[32] = {1}, cid[20] = {};
	struct qe_cid_keys keys = keys_of(secret, 7);

	assert_int_equal(qe_cid_make(&keys, cid), QE_OK);
	for (size_t len = 0; len <= sizeof(cid); len++)
		assert_int_equal(
			qe_cid_is_ours(&keys, (struct qe_bytes){cid, len}), len == QE_CID_SIZE);
	qe_cid_keys_done(&keys);
}

/* ---- reset tokens ---- */

static void a_reset_token_belongs_to_one_connection_id(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint8_t secret[32], cid[QE_CID_SIZE];
		uint8_t token[QE_RESET_TOKEN_SIZE], again[QE_RESET_TOKEN_SIZE];
		struct qe_bytes bytes = {cid, sizeof(cid)};

		random_fill(secret, sizeof(secret));
		struct qe_cid_keys keys = keys_of(secret, 0), later = keys_of(secret, 3);

		assert_int_equal(qe_cid_make(&keys, cid), QE_OK);
		assert_int_equal(qe_cid_reset_token(&keys, token, bytes), QE_OK);
		assert_int_equal(qe_cid_reset_token(&later, again, bytes), QE_OK);
		assert_memory_equal(token, again, sizeof(token));

		flip(cid, random_below(8 * sizeof(cid)));
		assert_int_equal(qe_cid_reset_token(&keys, again, bytes), QE_OK);
		assert_memory_not_equal(token, again, sizeof(token));
		flip(secret, random_below(8 * sizeof(secret)));
		qe_cid_keys_done(&later);
		later = keys_of(secret, 0);
		assert_int_equal(qe_cid_reset_token(&later, again, bytes), QE_OK);
		assert_memory_not_equal(token, again, sizeof(token));
		qe_cid_keys_done(&keys);
		qe_cid_keys_done(&later);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_knock_opens_one_door),
		cmocka_unit_test(a_knock_has_one_length),
		cmocka_unit_test(no_two_knocks_are_alike),
		cmocka_unit_test(a_connection_id_outlives_the_process),
		cmocka_unit_test(strangers_connection_ids_are_not_ours),
		cmocka_unit_test(a_connection_id_has_one_length),
		cmocka_unit_test(a_reset_token_belongs_to_one_connection_id),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
