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

static unsigned count_lines(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned n = 0;

	assert_non_null(file);
	for (int c; (c = fgetc(file)) != EOF;)
		n += c == '\n';
	fclose(file);
	return n;
}

/* One peer that announces without end leaves room for the other one, and for the disk. */
static void test_a_flood_of_one_peer_is_cut(void **)
{
	static const char toml[] =
		"[[peers]]\nname = \"anna\"\nid = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n"
		"[[peers]]\nname = \"bert\"\nid = \"baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n";
	static struct qe_diagnostics diagnostics;
	const struct qe_bytes bytes = {(const uint8_t *)toml, strlen(toml)};
	struct qe_route_refusal route = {.peer = 0, .reason = "not granted"};
	struct qe_event event = {.type = QE_EVENT_PEER_UP, .peer = 0};
	char path[] = "/tmp/qe-audit-XXXXXX";
	struct qe_directory *directory;
	struct qe_config *config;
	struct qe_audit *audit;
	int made = mkstemp(path);

	assert_true(made >= 0);
	close(made);
	assert_int_equal(qe_config_parse(&config, &(struct qe_config_inputs){}, "c.toml", bytes,
				 &diagnostics),
		QE_OK);
	assert_int_equal(qe_directory_new(&directory, config), QE_OK);
	assert_int_equal(qe_audit_new(&audit, path), QE_OK);
	route.prefix = (struct qe_prefix){.addr = {.family = QE_FAMILY_IPV4}, .length = 8};
	for (unsigned i = 0; i < 3500; i++)
		qe_audit_route(audit, directory, &route);
	for (unsigned i = 0; i < 200; i++)
		qe_audit_event(audit, directory, &event);
	/* A second or two may have passed meanwhile. */
	assert_in_range(qe_audit_lost(audit), 3500 - 2660 + 200 - 74, 3500 - 2560 + 200 - 64);
	route.peer = event.peer = 1;
	qe_audit_route(audit, directory, &route);
	qe_audit_event(audit, directory, &event);
	assert_int_equal(qe_audit_start(audit), QE_OK);
	qe_audit_free(audit);
	assert_in_range(count_lines(path), 2560 + 64 + 2 + 1, 2660 + 74 + 2 + 1);
	unlink(path);
	qe_directory_free(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_writes_an_object_a_line),
		cmocka_unit_test(test_counts_what_could_not_be_made),
		cmocka_unit_test(test_a_flood_of_one_peer_is_cut),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
