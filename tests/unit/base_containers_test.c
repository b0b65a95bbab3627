/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* List, map, heap and pool, each against an array that is searched from end to end. */
#include <string.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/pool.h"
#include "random.h"

#define STEPS 30000

struct item {
	struct qe_list node;
	unsigned number;
	bool listed;
};

static void list_keeps_order(void **state)
{
	enum { N = 24 };
	struct item items[N] = {}, *model[N];
	struct qe_list head;
	size_t used = 0;

	(void)state;
	qe_list_init(&head);
	for (unsigned i = 0; i < N; i++) {
		qe_list_init(&items[i].node);
		items[i].number = i;
	}
	for (unsigned step = 0; step < STEPS; step++) {
		struct item *item = &items[random_below(N)];
		size_t at = 0;

		if (item->listed) {
			qe_list_remove(&item->node);
			while (model[at] != item)
				at++;
			memmove(model + at, model + at + 1, (--used - at) * sizeof(*model));
		} else if (random_below(2)) {
			qe_list_append(&head, &item->node);
			model[used++] = item;
		} else {
			qe_list_prepend(&head, &item->node);
			memmove(model + 1, model, used++ * sizeof(*model));
			model[0] = item;
		}
		item->listed = !item->listed;
		assert_int_equal(qe_list_empty(&head), used == 0);
		at = 0;
		QE_LIST_FOR_EACH (node, &head)
			assert_ptr_equal(QE_CONTAINER_OF(node, struct item, node), model[at++]);
		assert_int_equal(at, used);
	}
	QE_LIST_FOR_EACH (node, &head)
		qe_list_remove(node);
	assert_true(qe_list_empty(&head));
	qe_list_remove(&head);
}

static void map_agrees_with_array(void **state)
{
	enum { KEYS = 300, MAX = 200 };
	static int values[KEYS];
	uint64_t keys[KEYS], seed = random_u64();
	bool there[KEYS] = {};
	size_t used = 0;
	struct qe_map map;

	(void)state;
	qe_map_init(&map, MAX, seed);
	assert_null(qe_map_get(&map, 1));
	assert_null(qe_map_remove(&map, 1));
	for (size_t i = 0; i < KEYS; i++)
		keys[i] = i % 2 ? i : i << 40;
	for (unsigned step = 0; step < STEPS; step++) {
		/* Growing and shrinking phases. */
		bool put = random_below(4) < (step / 1000 % 2 ? 1u : 3u);
		size_t i = random_below(KEYS);

		if (put) {
			enum qe_error error = qe_map_put(&map, keys[i], &values[i]);

			assert_int_equal(error, there[i]      ? QE_ERR_CONFLICT
						: used == MAX ? QE_ERR_FULL
							      : QE_OK);
			used += error == QE_OK;
			there[i] = there[i] || error == QE_OK;
		} else {
			assert_ptr_equal(
				qe_map_remove(&map, keys[i]), there[i] ? &values[i] : NULL);
			used -= there[i];
			there[i] = false;
		}
		assert_int_equal(qe_map_size(&map), used);
		for (size_t j = step % 16; j < KEYS; j += 16)
			assert_ptr_equal(qe_map_get(&map, keys[j]), there[j] ? &values[j] : NULL);
	}
	qe_map_done(&map);
}

static qe_time earliest(const struct qe_timer *timers, size_t n)
{
	qe_time least = QE_TIME_NEVER;

	for (size_t i = 0; i < n; i++)
		if (timers[i].place > 0)
			least = qe_time_min(least, timers[i].at);
	return least;
}

static void heap_agrees_with_array(void **state)
{
	enum { N = 100 };
	struct qe_timer timers[N] = {};
	struct qe_heap heap;

	(void)state;
	qe_heap_init(&heap);
	assert_int_equal(qe_heap_next(&heap), QE_TIME_NEVER);
	assert_int_equal(qe_heap_reserve(&heap, N / 2), QE_OK);
	for (unsigned step = 0; step < STEPS; step++) {
		struct qe_timer *timer = &timers[random_below(N)];
		qe_time least = earliest(timers, N), now = random_below(1000);

		assert_int_equal(qe_heap_next(&heap), least);
		switch (random_below(6)) {
		case 0:
			qe_heap_remove(&heap, timer);
			assert_int_equal(timer->place, 0);
			break;
		case 1:
			assert_int_equal(qe_heap_set(&heap, timer, QE_TIME_NEVER), QE_OK);
			assert_int_equal(timer->place, 0);
			break;
		case 2:
			timer = qe_heap_pop(&heap, now);
			assert_int_equal(timer != NULL, least <= now && least != QE_TIME_NEVER);
			assert_true(!timer || timer->place == 0);
			break;
		default:
			assert_int_equal(qe_heap_set(&heap, timer, now), QE_OK);
			assert_int_equal(timer->at, now);
		}
		for (size_t i = 0; i < N; i++)
			assert_true(timers[i].place == 0 ||
				    heap.timers[timers[i].place - 1] == &timers[i]);
	}
	for (qe_time last = 0, next; (next = qe_heap_next(&heap)) != QE_TIME_NEVER; last = next) {
		assert_true(next >= last);
		assert_null(qe_heap_pop(&heap, next - 1));
		assert_non_null(qe_heap_pop(&heap, next));
	}
	qe_heap_done(&heap);
}

static void pool_hands_out_each_once(void **state)
{
	enum { N = 17, SIZE = 100 };
	uint8_t *out[N];
	size_t used = 0;
	struct qe_pool *pool = nullptr;

	(void)state;
	assert_int_equal(qe_pool_new(&pool, N, SIZE), QE_OK);
	for (unsigned step = 0; step < STEPS; step++) {
		assert_int_equal(qe_pool_available(pool), N - used);
		if (random_below(2)) {
			uint8_t *buffer = qe_pool_take(pool);

			assert_int_equal(buffer == NULL, used == N);
			if (!buffer)
				continue;
			assert_int_equal((uintptr_t)buffer % 64, 0);
			memset(buffer, (int)used, SIZE);
			out[used++] = buffer;
		} else if (used > 0) {
			uint8_t *buffer = out[--used];

			/* Nobody else has written to it. */
			for (size_t i = 0; i < SIZE; i++)
				assert_int_equal(buffer[i], used);
			qe_pool_give(pool, buffer);
			assert_ptr_equal(qe_pool_take(pool), buffer);
			qe_pool_give(pool, buffer);
		}
	}
	assert_null(qe_pool_free(pool));
	assert_null(qe_pool_free(nullptr));
	assert_true(qe_pool_new(&pool, SIZE_MAX / 2, SIZE) != QE_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_keeps_order),
		cmocka_unit_test(map_agrees_with_array),
		cmocka_unit_test(heap_agrees_with_array),
		cmocka_unit_test(pool_hands_out_each_once),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
