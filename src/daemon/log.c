/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>

#include "base/text.h"
#include "daemon/log.h"
#include "os/clock.h"
#include "os/process.h"

constexpr size_t message_size = 1024;

struct qe_log qe_log_init(enum qe_log_level level)
{
	tzset(); /* reads a file, which the sandbox may not allow later */
	return (struct qe_log){level, qe_process_has_terminal() ? QE_LOG_HUMAN : QE_LOG_JSON};
}

void qe_log_detach(struct qe_log *log)
{
	if (qe_process_detach())
		return;
	openlog("quicether", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	log->form = QE_LOG_SYSTEM;
}

static void write_human(enum qe_log_level level, int64_t wall_ms, const char *message)
{
	static const char *const marks[] = {"error: ", "warning: ", "", "debug: "};
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm local;
	char clock[16];

	localtime_r(&seconds, &local);
	strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	fprintf(stderr, "%s.%03d %s%s\n", clock, (int)(wall_ms % 1000), marks[level], message);
}

static void write_json(enum qe_log_level level, int64_t wall_ms, const char *event,
	const char *peer, const char *message)
{
	char time[QE_CLOCK_TEXT_SIZE];
	json_t *line;
	char *text;

	qe_clock_format(time, wall_ms);
	line = json_pack("{s:s, s:s, s:s, s:s*, s:s}", "time", time, "level",
		qe_log_level_name(level), "event", event, "peer", peer, "message", message);
	text = line ? json_dumps(line, JSON_COMPACT) : nullptr;
	if (text)
		fprintf(stderr, "%s\n", text);
	free(text);
	json_decref(line);
}

void qe_log(const struct qe_log *log, enum qe_log_level level, const char *event, const char *peer,
	const char *format, ...)
{
	static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
	char raw[message_size], message[message_size];
	struct qe_text text = qe_text_init(message, sizeof(message));
	va_list arguments;

	if (level > log->level)
		return;
	va_start(arguments, format);
	vsnprintf(raw, sizeof(raw), format, arguments);
	va_end(arguments);
	qe_text_add_printable(&text, raw);
	switch (log->form) {
	case QE_LOG_HUMAN:
		write_human(level, qe_clock_wall_ms(), message);
		break;
	case QE_LOG_JSON:
		write_json(level, qe_clock_wall_ms(), event, peer, message);
		break;
	case QE_LOG_SYSTEM:
		syslog(priorities[level], "%s", message);
		break;
	}
}
