/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Literal addresses and impossible names: no name server is asked. */
#include <pthread.h>
#include <string.h>

#include "net/addr.h"
#include "os/resolver.h"
#include "random.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned woken;

static void wake(void *)
{
	pthread_mutex_lock(&lock);
	woken++;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

static void wait_for_answers(unsigned n)
{
	pthread_mutex_lock(&lock);
	while (woken < n)
		pthread_cond_wait(&changed, &lock);
	woken = 0;
	pthread_mutex_unlock(&lock);
}

static struct qe_resolver *new_resolver(void)
{
	struct qe_resolver *resolver = nullptr;

	assert_int_equal(qe_resolver_new(&resolver, wake, nullptr), QE_OK);
	return resolver;
}

static void test_literals(void **)
{
	static const char *const hosts[] = {"192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"};
	static const char *const expected[] = {"192.0.2.7", "2001:db8::7", "192.0.2.7"};
	struct qe_resolver *resolver = new_resolver();
	struct qe_resolved answer;
	char text[QE_ADDR_TEXT_SIZE];

	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(qe_resolver_ask(resolver, i, hosts[i], 7844), QE_OK);
	wait_for_answers(3);
	for (uint64_t i = 0; i < 3; i++) {
		assert_true(qe_resolver_take(resolver, &answer));
		assert_int_equal(answer.cookie, i);
		assert_string_equal(answer.host, hosts[i]);
		assert_int_equal(answer.n, 1);
		assert_int_equal(answer.endpoints[0].port, 7844);
		qe_addr_format(text, &answer.endpoints[0].addr);
		assert_string_equal(text, expected[i]);
	}
	assert_false(qe_resolver_take(resolver, &answer));
	qe_resolver_free(resolver);
}

static void test_no_name(void **)
{
	struct qe_resolver *resolver = new_resolver();
	struct qe_resolved answer;
	char too_long[QE_HOST_SIZE + 1];

	assert_int_equal(qe_resolver_ask(resolver, 5, "two..dots", 1), QE_OK);
	wait_for_answers(1);
	assert_true(qe_resolver_take(resolver, &answer));
	assert_int_equal(answer.n, 0);
	assert_true(strlen(answer.error) > 0);
	memset(too_long, 'a', sizeof(too_long));
	too_long[QE_HOST_SIZE] = '\0';
	assert_int_equal(qe_resolver_ask(resolver, 5, too_long, 1), QE_ERR_RANGE);
	qe_resolver_free(resolver);
}

/* A question holds its place until its answer is taken. */
static void test_full(void **)
{
	struct qe_resolver *resolver = new_resolver();
	struct qe_resolved answer;

	for (uint64_t i = 0; i < QE_RESOLVER_QUEUE; i++)
		assert_int_equal(qe_resolver_ask(resolver, i, "192.0.2.1", 1), QE_OK);
	assert_int_equal(qe_resolver_ask(resolver, 0, "192.0.2.1", 1), QE_ERR_FULL);
	wait_for_answers(QE_RESOLVER_QUEUE);
	assert_int_equal(qe_resolver_ask(resolver, 0, "192.0.2.1", 1), QE_ERR_FULL);
	assert_true(qe_resolver_take(resolver, &answer));
	assert_int_equal(qe_resolver_ask(resolver, 0, "192.0.2.1", 1), QE_OK);
	qe_resolver_free(resolver);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_literals),
		cmocka_unit_test(test_no_name),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
