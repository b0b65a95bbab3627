/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/output.h"
#include "cli/vpn.h"

static void bytes_have_units([[maybe_unused]] void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {1536, "1.5 KiB"},
		{1024 * 1024 - 1, "1.0 MiB"}, {UINT64_C(256) << 20, "256.0 MiB"},
		{UINT64_C(3) << 40, "3.0 TiB"}, {UINT64_MAX, "16.0 EiB"}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[64];
		struct qe_text to = qe_text_init(text, sizeof text);
		qe_add_bytes(&to, cases[i].bytes);
		assert_string_equal(text, cases[i].text);
	}
}

static void durations_have_two_units([[maybe_unused]] void **state)
{
	static const struct {
		uint64_t seconds;
		const char *text;
	} cases[] = {{0, "0 s"}, {59, "59 s"}, {60, "1 min 0 s"}, {192, "3 min 12 s"},
		{3600, "1 h 0 min"}, {86399, "23 h 59 min"}, {86400, "1 d 0 h"},
		{400 * 86400 + 3600, "400 d 1 h"}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[64];
		struct qe_text to = qe_text_init(text, sizeof text);
		qe_add_duration(&to, cases[i].seconds);
		assert_string_equal(text, cases[i].text);
	}
}

static void times_have_three_digits([[maybe_unused]] void **state)
{
	static const struct {
		double ms;
		const char *text;
	} cases[] = {{0.061, "0.06 ms"}, {1.234, "1.23 ms"}, {9.999, "10.0 ms"}, {20.44, "20.4 ms"},
		{99.99, "100 ms"}, {999.4, "999 ms"}, {999.9, "1.0 s"}, {4321, "4.3 s"}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[64];
		struct qe_text to = qe_text_init(text, sizeof text);
		qe_add_ms(&to, cases[i].ms);
		assert_string_equal(text, cases[i].text);
	}
}

static void columns_are_as_wide_as_their_cells([[maybe_unused]] void **state)
{
	static const char *const head[] = {"A", "NAME", "LAST"};
	struct qe_table table;
	char *text = nullptr;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	qe_table_init(&table, head, 3);
	for (unsigned i = 0; i < 2; i++) {
		qe_table_add(&table, "%u", 100 * i);
		qe_table_add(&table, "%s", i ? "longer" : "x");
		qe_table_add(&table, "end");
	}
	qe_table_print(to, &table);
	qe_table_done(&table);
	assert_int_equal(fclose(to), 0);
	assert_string_equal(text, "A    NAME    LAST\n"
				  "0    x       end\n"
				  "100  longer  end\n");
	free(text);
}

static void answers_may_lack_members([[maybe_unused]] void **state)
{
	json_t *json = json_loads("{\"a\": {\"b\": \"x\", \"n\": 5, \"r\": 1.5, \"minus\": -1},"
				  " \"none\": null, \"empty\": \"\"}",
		0, nullptr);

	assert_non_null(json);
	assert_string_equal(qe_get_text(json, "a.b"), "x");
	assert_int_equal(qe_get_uint(json, "a.n"), 5);
	assert_int_equal(qe_get_uint(json, "a.minus"), 0);
	assert_true(qe_get_real(json, "a.r") == 1.5 && qe_get_real(json, "a.n") == 5);
	assert_string_equal(qe_get_text(json, "empty"), "-");
	assert_string_equal(qe_get_text(json, "none.at.all"), "-");
	assert_int_equal(qe_get_uint(json, "a.b"), 0);
	json_decref(json);
}

static void addresses_are_short([[maybe_unused]] void **state)
{
	static const struct {
		const char *json, *text;
	} cases[] = {{"[]", "-"}, {"[\"fd51:e7df::1/128\"]", "fd51:e7df::1"},
		{"[\"10.0.0.1/32\", \"fd51:e7df::1/128\", \"fd00::1/128\", \"10.1.0.0/16\"]",
			"10.0.0.1, fd00::1, 10.1.0.0/16"}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		json_t *json = json_loads(cases[i].json, 0, nullptr);
		char text[64];
		struct qe_text to = qe_text_init(text, sizeof text);
		qe_add_addresses(&to, json);
		assert_string_equal(text, cases[i].text);
		json_decref(json);
	}
}

/* All of it in one line, and no more than there is. */
static void vpn_mode_is_one_line([[maybe_unused]] void **state)
{
	static const struct {
		const char *json, *text;
	} cases[] = {
		{"{}", "-; tunnels -; kill switch -"},
		{"{\"state\": \"off\", \"via\": {\"name\": \"gate\"}, \"kill_switch\": \"off\"}",
			"off"},
		{"{\"state\": \"blocked\", \"reason\": \"captive portal\", \"via\": {\"name\": "
		 "null, "
		 "\"id\": \"oz2m\"}, \"since\": \"2999-01-01T00:00:00.000Z\", \"tunnelled\": "
		 "\"everything\", \"excluded\": [], \"lan\": [], \"kill_switch\": \"holds\"}",
			"blocked through oz2m for 0 s: captive portal; tunnels everything; kill "
			"switch "
			"holds"},
		{"{\"state\": \"connected\", \"reason\": null, \"via\": {\"name\": \"gate\"}, "
		 "\"tunnelled\": [\"10.0.0.0/8\", \"fd00::/8\"], \"excluded\": [\"10.1.0.0/16\"], "
		 "\"lan\": [{\"prefix\": \"192.168.1.0/24\", \"interface\": \"eth0\"}], \"dns\": "
		 "{\"method\": \"systemd-resolved\", \"servers\": [\"10.0.0.53\"], \"state\": "
		 "\"ok\"}, "
		 "\"exit_address\": {\"ipv4\": \"203.0.113.7\", \"ipv6\": null}, \"kill_switch\": "
		 "\"holds\"}",
			"connected through gate; tunnels 10.0.0.0/8, fd00::/8 but not "
			"10.1.0.0/16, LAN "
			"192.168.1.0/24; seen as 203.0.113.7; names by 10.0.0.53 "
			"(systemd-resolved); kill switch holds"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		json_t *json = json_loads(cases[i].json, 0, nullptr);
		char text[512];
		struct qe_text to = qe_text_init(text, sizeof text);
		assert_non_null(json);
		qe_add_vpn(&to, json);
		assert_string_equal(text, cases[i].text);
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_have_units),
		cmocka_unit_test(durations_have_two_units),
		cmocka_unit_test(times_have_three_digits),
		cmocka_unit_test(columns_are_as_wide_as_their_cells),
		cmocka_unit_test(answers_may_lack_members),
		cmocka_unit_test(addresses_are_short),
		cmocka_unit_test(vpn_mode_is_one_line),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
