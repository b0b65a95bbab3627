/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/hosts_file.h"
#include "random.h"

static char path[] = "/tmp/qe-hosts-XXXXXX";

static int set_up(void **state)
{
	int fd = mkstemp(path);

	close(fd);
	return fd < 0 ? -1 : random_setup(state);
}

static int tear_down(void **)
{
	return unlink(path);
}

static void put(const char *text, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static void expect(const char *name, const char *addrs)
{
	char found[200] = "", text[QE_ADDR_TEXT_SIZE];
	struct qe_addr to[4];
	size_t n = qe_hosts_file_find(to, 4, path, name);

	for (size_t i = 0; i < n; i++) {
		qe_addr_format(text, &to[i]);
		strcat(strcat(found, i > 0 ? " " : ""), text);
	}
	assert_string_equal(found, addrs);
}

static void test_names(void **)
{
	static const char text[] =
		"127.0.0.1\tlocalhost\n"
		"192.0.2.1 gate.example gate # gone\n"
		"#192.0.2.9 gate\n"
		"fe80::1%eth0 scoped\n"
		"  2001:db8::1   Gate.Example.\r\n"
		"nonsense gate\n"
		"192.0.2.2\n"
		"192.0.2.3 many\n192.0.2.4 many\n192.0.2.5 many\n192.0.2.6 many\n"
		"192.0.2.7 many\n192.0.2.8 last";

	put(text, strlen(text));
	expect("gate.example", "192.0.2.1 2001:db8::1");
	expect("GATE.example.", "192.0.2.1 2001:db8::1");
	expect("gate", "192.0.2.1");
	expect("last", "192.0.2.8");
	expect("many", "192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6");
	expect("scoped", "");
	expect("gone", "");
	expect("192.0.2.2", "");
	expect("", "");
	expect(".", "");
}

static void test_anything(void **)
{
	static const char *const words[] = {"192.0.2.1", "2001:db8::1", "name", "name.", "#", " ",
		"\t", "\n", "\n", ".", "NAME"};
	char text[1024];
	struct qe_addr to[4];

	for (unsigned i = 0; i < 500; i++) {
		size_t len = 0, n = random_below(60);

		for (size_t j = 0; j < n; j++) {
			const char *word = words[random_below(sizeof(words) / sizeof(words[0]))];

			memcpy(text + len, word, strlen(word));
			len += strlen(word);
			if (random_below(20) == 0)
				text[len++] = (char)random_below(256);
		}
		put(text, len);
		assert_true(qe_hosts_file_find(to, 4, path, "name") <= 4);
	}
}

static void test_missing(void **)
{
	struct qe_addr to[1];

	assert_int_equal(qe_hosts_file_find(to, 1, "/nowhere/hosts", "name"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_anything),
		cmocka_unit_test(test_missing),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
