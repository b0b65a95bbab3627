/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/events.h"
#include "random.h"

static const char toml[] =
	"[[peers]]\nname = \"anna\"\nid = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n"
	"[[peers]]\nname = \"bert\"\nid = \"baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n";
static struct qe_directory *directory;
static struct qe_loop *loop;
static FILE *said; /* what is said on standard error while the tests run */
static int own_stderr;

static int set_up(void **)
{
	static struct qe_diagnostics diagnostics;
	const struct qe_bytes bytes = {(const uint8_t *)toml, strlen(toml)};
	struct qe_config *config;

	if (qe_config_parse(&config, &(struct qe_config_inputs){}, "c.toml", bytes, &diagnostics) !=
			QE_OK ||
		qe_directory_new(&directory, config) != QE_OK)
		return -1;
	own_stderr = dup(STDERR_FILENO);
	said = tmpfile();
	return said && dup2(fileno(said), STDERR_FILENO) >= 0 && qe_loop_new(&loop) == QE_OK ? 0
											     : -1;
}

static int tear_down(void **)
{
	loop = qe_loop_free(loop);
	directory = qe_directory_free(directory);
	dup2(own_stderr, STDERR_FILENO);
	close(own_stderr);
	return fclose(said);
}

/* How many lines of what was said since the last call have the text in them. */
static unsigned count_lines(const char *text)
{
	char line[1024];
	unsigned n = 0;

	rewind(said);
	while (fgets(line, sizeof(line), said))
		n += strstr(line, text) != nullptr;
	return n;
}

static void forget(void)
{
	assert_int_equal(ftruncate(fileno(said), 0), 0);
	rewind(said);
}

static struct qe_event_log *new_log(const struct qe_log *log)
{
	struct qe_event_log *event_log = nullptr;

	forget();
	assert_int_equal(qe_event_log_new(&event_log, log, directory, loop), QE_OK);
	return event_log;
}

static void add(struct qe_event_log *event_log, enum qe_event_type type, size_t peer, qe_time time)
{
	qe_event_log_add(event_log,
		&(struct qe_event){.type = type, .peer = peer, .time = time, .dialled = true});
}

static void test_a_flood_is_cut(void **)
{
	const struct qe_log log = {QE_LOG_INFO, QE_LOG_JSON};
	struct qe_event_log *event_log = new_log(&log);
	qe_time now = 1000 * QE_SECOND;

	for (unsigned i = 0; i < 100; i++)
		add(event_log, QE_EVENT_PEER_UP, 0, now + i * QE_MILLISECOND);
	assert_int_equal(count_lines("anna: connected"), QE_EVENT_LOG_BURST);
	/* Others have room of their own. */
	add(event_log, QE_EVENT_PEER_DOWN, 0, now);
	add(event_log, QE_EVENT_PEER_UP, 1, now);
	assert_int_equal(count_lines("anna: connection lost"), 1);
	assert_int_equal(count_lines("bert: connected"), 1);
	add(event_log, QE_EVENT_PEER_UP, 0, now + QE_EVENT_LOG_INTERVAL);
	assert_int_equal(count_lines("anna: connected"), QE_EVENT_LOG_BURST + 1);
	qe_event_log_free(event_log);
	assert_int_equal(count_lines("anna: connected: 92 more lines were left out"), 1);
	assert_int_equal(count_lines("left out"), 1);
}

static void test_the_count_is_told_in_time(void **)
{
	const struct qe_log log = {QE_LOG_INFO, QE_LOG_JSON};
	struct qe_event_log *event_log = new_log(&log);

	/* Long ago, so that the alarm is due. */
	for (unsigned i = 0; i < QE_EVENT_LOG_BURST + 1; i++)
		add(event_log, QE_EVENT_PEER_MOVED, 1, 0);
	assert_int_equal(count_lines("left out"), 0);
	while (count_lines("bert: peer has moved: 1 more line was left out") == 0)
		qe_loop_turn(loop, QE_TIME_NEVER);
	qe_event_log_free(event_log);
	assert_int_equal(count_lines("left out"), 1);
}

static void test_what_is_asked_for_is_whole(void **)
{
	const struct qe_log log = {QE_LOG_DEBUG, QE_LOG_HUMAN}, quiet = {QE_LOG_ERROR};
	struct qe_event_log *event_log = new_log(&log);

	for (unsigned i = 0; i < 50; i++)
		add(event_log, QE_EVENT_LINK_UP, 0, QE_SECOND);
	qe_event_log_free(event_log);
	assert_int_equal(count_lines("anna: new link"), 50);
	event_log = new_log(&quiet);
	for (unsigned i = 0; i < 50; i++)
		add(event_log, QE_EVENT_PEER_UP, 0, QE_SECOND);
	qe_event_log_free(event_log);
	assert_int_equal(count_lines(""), 0);
}

static void test_the_first_failed_dial_is_told(void **)
{
	const struct qe_log log = {QE_LOG_INFO, QE_LOG_JSON};
	struct qe_event_log *event_log = new_log(&log);

	for (unsigned i = 0; i < 3; i++)
		add(event_log, QE_EVENT_DIAL_FAILED, 0, QE_SECOND);
	assert_int_equal(count_lines("anna: dial failed"), 1);
	/* One that fails beside a link that is there is none of it. */
	add(event_log, QE_EVENT_PEER_UP, 0, QE_SECOND);
	add(event_log, QE_EVENT_DIAL_FAILED, 0, QE_SECOND);
	assert_int_equal(count_lines("anna: dial failed"), 1);
	add(event_log, QE_EVENT_PEER_DOWN, 0, QE_SECOND);
	add(event_log, QE_EVENT_DIAL_FAILED, 0, QE_SECOND);
	add(event_log, QE_EVENT_DIAL_FAILED, 1, QE_SECOND);
	assert_int_equal(count_lines("anna: dial failed"), 2);
	assert_int_equal(count_lines("bert: dial failed"), 1);
	qe_event_log_free(event_log);
}

/* Nobody writes lines of his own into the log, or to the terminal. */
static void test_one_line_is_one_line(void **)
{
	static const enum qe_log_form forms[] = {QE_LOG_HUMAN, QE_LOG_JSON};

	for (size_t i = 0; i < 2; i++) {
		const struct qe_log log = {QE_LOG_INFO, forms[i]};

		forget();
		qe_log(&log, QE_LOG_INFO, "test", nullptr, "%s", "a\nb\x1b[2J\xff");
		assert_int_equal(count_lines(""), 1);
		assert_int_equal(count_lines("x0ab"), 1);
		assert_int_equal(count_lines("\x1b"), 0);
		assert_int_equal(count_lines("\xff"), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_flood_is_cut),
		cmocka_unit_test(test_the_count_is_told_in_time),
		cmocka_unit_test(test_what_is_asked_for_is_whole),
		cmocka_unit_test(test_the_first_failed_dial_is_told),
		cmocka_unit_test(test_one_line_is_one_line),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
