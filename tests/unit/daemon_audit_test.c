/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/audit.h"
#include "random.h"

static void test_writes_an_object_a_line(void **)
{
	char path[] = "/tmp/qe-audit-XXXXXX", line[512];
	int made = mkstemp(path);
	struct qe_audit *audit;
	unsigned year, month, day, hour, minute, second, ms;
	char zone;

	assert_true(made >= 0);
	close(made);
	assert_int_equal(qe_audit_new(&audit, path), QE_OK);
	assert_int_equal(qe_audit_start(audit), QE_OK);
	qe_audit_add(audit, "peer_connected",
		json_pack("{s:s, s:s}", "node", "a \"name\"\n", "id", "abc"));
	qe_audit_free(audit);

	FILE *file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	assert_null(fgets(&line[strlen(line) + 1], 8, file));
	fclose(file);
	unlink(path);
	assert_int_equal(strncmp(line, "{\"time\":\"", 9), 0);
	assert_int_equal(sscanf(line + 9, "%4u-%2u-%2uT%2u:%2u:%2u.%3u%c", &year, &month, &day,
				 &hour, &minute, &second, &ms, &zone),
		8);
	assert_true(year >= 2024 && month <= 12 && zone == 'Z');

	json_t *record = json_loads(line, 0, nullptr);
	assert_string_equal(json_string_value(json_object_get(record, "event")), "peer_connected");
	assert_string_equal(json_string_value(json_object_get(record, "node")), "a \"name\"\n");
	assert_int_equal(json_object_size(record), 4);
	json_decref(record);
}

static void test_counts_what_could_not_be_made(void **)
{
	struct qe_audit *audit;

	assert_int_equal(qe_audit_new(&audit, "/dev/full"), QE_OK);
	qe_audit_add(audit, "flow", nullptr);
	assert_int_equal(qe_audit_lost(audit), 1);
	qe_audit_free(audit);
	qe_audit_add(nullptr, "flow", json_object());
	assert_int_equal(qe_audit_lost(nullptr), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_writes_an_object_a_line),
		cmocka_unit_test(test_counts_what_could_not_be_made),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
