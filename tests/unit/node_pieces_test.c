/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Halves of packets, cut here and put together again, in every order that a network may bring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/time.h"
#include "net_packets.h"
#include "node/pieces.h"

constexpr size_t LEN_MIN = 60;
constexpr unsigned ROUNDS = 20000;

static struct halves halves;

struct made {
	size_t len;
	uint8_t bytes[HALVES_PACKET_MAX];
	struct half_made {
		uint8_t context;
		size_t len;
		uint8_t bytes[QE_MTU_MAX];
	} halves[2];
};

/* An IPv6 packet, cut in two. */
static void make(struct made *made, size_t len, uint16_t id)
{
	static const uint8_t payload[HALVES_PACKET_MAX];
	struct spec spec = random_spec(6, 17);
	struct pieces pieces;

	spec.payload = payload;
	spec.payload_len = len - 48;
	made->len = build(made->bytes, &spec);
	assert_int_equal(made->len, len);
	struct qe_bytes bytes = {made->bytes, len};

	assert_true(pieces_begin(&pieces, bytes, false, 1167, id));
	for (; pieces.index < 2; pieces.index++) {
		struct half_made *half = &made->halves[pieces.index];

		half->len = pieces_write(&pieces, half->bytes, bytes);
		half->context = pieces.context;
		assert_in_range(half->len, 3, 1167);
	}
	assert_int_equal(pieces_write(&pieces, made->halves[0].bytes, bytes), 0);
}

static enum halves_result take(
	const struct half_made *half, enum qe_ecn ecn, qe_time now, struct qe_bytes *whole)
{
	enum qe_ecn seen = QE_ECN_NOT_ECT;
	enum halves_result result = halves_take(&halves, half->context,
		(struct qe_bytes){half->bytes, half->len}, ecn, now, whole, &seen);

	if (result == HALVES_WHOLE)
		assert_int_equal(seen, ecn);
	return result;
}

static void check_whole(const struct made *made, struct qe_bytes whole)
{
	assert_int_equal(whole.len, made->len);
	assert_memory_equal(whole.data, made->bytes, made->len);
}

static void joins_every_size_in_either_order(void **)
{
	static struct made made;
	struct qe_bytes whole;

	for (size_t len = LEN_MIN; len <= HALVES_PACKET_MAX; len++) {
		for (unsigned first = 0; first < 2; first++) {
			make(&made, len, (uint16_t)(2 * len + first));
			assert_int_equal(
				take(&made.halves[first], QE_ECN_ECT0, 1, &whole), HALVES_WAITING);
			assert_int_equal(
				take(&made.halves[!first], QE_ECN_ECT0, 2, &whole), HALVES_WHOLE);
			check_whole(&made, whole);
		}
	}
}

/* Packets under way at a time, whose halves come in any order, twice, or never: a packet is given
 * at most once per pair of halves, and always as it was. */
static void joins_whatever_the_order_and_the_loss(void **)
{
	static struct made window[2 * HALVES_SLOTS];
	constexpr size_t n = sizeof(window) / sizeof(window[0]);
	unsigned whole_ones = 0, replaced = 0;
	uint16_t id = (uint16_t)random_u64();

	memset(&halves, 0, sizeof(halves));
	for (size_t i = 0; i < n; i++)
		make(&window[i], LEN_MIN + random_below(HALVES_PACKET_MAX - LEN_MIN + 1), id++);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct made *made = &window[random_below(n)];
		struct qe_bytes whole;

		switch (take(&made->halves[random_below(2)], QE_ECN_NOT_ECT, round, &whole)) {
		case HALVES_WHOLE:
			check_whole(made, whole);
			whole_ones++;
			break;
		case HALVES_REPLACED:
			replaced++;
			break;
		case HALVES_WAITING:
			break;
		case HALVES_MALFORMED:
			fail();
		}
		if (random_below(4) == 0)
			make(made, LEN_MIN + random_below(HALVES_PACKET_MAX - LEN_MIN + 1), id++);
	}
	assert_true(whole_ones > ROUNDS / 20 && replaced > ROUNDS / 20);
}

static void joins_no_half_that_comes_too_late(void **)
{
	static struct made made;
	struct qe_bytes whole;

	memset(&halves, 0, sizeof(halves));
	make(&made, HALVES_PACKET_MAX, 7);
	assert_int_equal(take(&made.halves[0], QE_ECN_NOT_ECT, 1, &whole), HALVES_WAITING);
	assert_int_equal(
		take(&made.halves[1], QE_ECN_NOT_ECT, 2 + HALVES_WAIT, &whole), HALVES_REPLACED);
	assert_int_equal(
		take(&made.halves[0], QE_ECN_NOT_ECT, 3 + HALVES_WAIT, &whole), HALVES_WHOLE);
	check_whole(&made, whole);
}

static void one_mark_marks_the_packet(void **)
{
	static struct made made;

	for (unsigned marked = 0; marked < 2; marked++) {
		enum qe_ecn ecn = QE_ECN_NOT_ECT;
		struct qe_bytes whole;

		memset(&halves, 0, sizeof(halves));
		make(&made, 1200, 1);
		for (unsigned i = 0; i < 2; i++)
			(void)halves_take(&halves, made.halves[i].context,
				(struct qe_bytes){made.halves[i].bytes, made.halves[i].len},
				i == marked ? QE_ECN_CE : QE_ECN_ECT0, i, &whole, &ecn);
		assert_int_equal(ecn, QE_ECN_CE);
	}
}

static void refuses_what_is_no_half(void **)
{
	static const uint8_t bytes[2 * HALVES_PACKET_MAX];
	static const size_t lens[] = {0, 1, 2, HALVES_PACKET_MAX + 2, 2 * HALVES_PACKET_MAX};

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct half_made half = {.context = QE_CONTEXT_IP_HEAD, .len = lens[i]};
		struct qe_bytes whole;
		enum qe_ecn ecn;

		assert_int_equal(
			halves_take(&halves, half.context, (struct qe_bytes){bytes, half.len},
				QE_ECN_NOT_ECT, 1, &whole, &ecn),
			HALVES_MALFORMED);
	}
}

/* Two halves that are too long together are two that do not belong together. */
static void joins_nothing_too_long(void **)
{
	static const uint8_t bytes[1000] = {0, 1};
	struct qe_bytes half = {bytes, sizeof(bytes)}, whole;
	enum qe_ecn ecn;

	memset(&halves, 0, sizeof(halves));
	assert_int_equal(
		halves_take(&halves, QE_CONTEXT_IP_HEAD, half, QE_ECN_NOT_ECT, 1, &whole, &ecn),
		HALVES_WAITING);
	assert_int_equal(
		halves_take(&halves, QE_CONTEXT_IP_TAIL, half, QE_ECN_NOT_ECT, 1, &whole, &ecn),
		HALVES_REPLACED);
}

static void cuts_only_what_may_be_cut(void **)
{
	static uint8_t bytes[9000];
	static const uint8_t payload[9000];
	struct spec spec = random_spec(6, 17);
	struct pieces pieces;

	spec.payload = payload;
	spec.payload_len = HALVES_PACKET_MAX + 1 - 48;
	size_t len = build(bytes, &spec);

	assert_false(pieces_begin(&pieces, (struct qe_bytes){bytes, len}, false, 1167, 1));
	spec = random_spec(4, 17);
	spec.payload = payload;
	spec.payload_len = 1200;
	spec.dont_fragment = true;
	len = build(bytes, &spec);
	assert_false(pieces_begin(&pieces, (struct qe_bytes){bytes, len}, false, 1167, 1));
	spec.dont_fragment = false;
	len = build(bytes, &spec);
	assert_true(pieces_begin(&pieces, (struct qe_bytes){bytes, len}, false, 1167, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joins_every_size_in_either_order),
		cmocka_unit_test(joins_whatever_the_order_and_the_loss),
		cmocka_unit_test(joins_no_half_that_comes_too_late),
		cmocka_unit_test(one_mark_marks_the_packet),
		cmocka_unit_test(refuses_what_is_no_half),
		cmocka_unit_test(joins_nothing_too_long),
		cmocka_unit_test(cuts_only_what_may_be_cut),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
