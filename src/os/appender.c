/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "os/appender.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "os/thread.h"

constexpr time_t goodbye_secs = 1;

struct line {
	struct qe_list place;
	size_t len;
	char text[]; /* with its end */
};

struct qe_appender {
	int folder;
	char *name; /* of the file in it */
	void (*format_lost)(char *to, size_t size, uint64_t n);

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	struct qe_list queue; /* struct line, oldest first */
	size_t n, bytes;
	uint64_t lost;
	bool reopen, stopping, running;

	/* The writer's. */
	int file;
	bool half_line; /* the last line was written in part */
};

/* ---- the file ---- */

static int open_file(const struct qe_appender *appender)
{
	return openat(appender->folder, appender->name,
		O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
}

static void reopen_file(struct qe_appender *appender)
{
	int file = open_file(appender);

	if (file < 0)
		return;
	close(appender->file);
	appender->file = file;
	appender->half_line = false;
}

/* A line whose end is missing is ended before the next, so that this one can be read. */
static bool write_line(struct qe_appender *appender, const char *line, size_t len)
{
	if (appender->half_line && write(appender->file, "\n", 1) != 1)
		return false;
	appender->half_line = false;
	while (len > 0) {
		ssize_t written = write(appender->file, line, len);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		line += written;
		len -= (size_t)written;
		appender->half_line = len > 0;
	}
	return true;
}

static bool write_lost(struct qe_appender *appender, uint64_t lost)
{
	char line[256];
	size_t len;

	appender->format_lost(line, sizeof(line) - 1, lost);
	len = strlen(line);
	line[len++] = '\n';
	return write_line(appender, line, len);
}

/* ---- the writer ---- */

/* What has been left for it, taken out under the lock. */
struct batch {
	struct qe_list lines;
	uint64_t lost; /* before, and not told yet */
	bool reopen;
};

static void take_batch(struct qe_appender *appender, struct batch *batch)
{
	*batch = (struct batch){.lost = appender->lost, .reopen = appender->reopen};
	qe_list_init(&batch->lines);
	QE_LIST_FOR_EACH (place, &appender->queue) {
		qe_list_remove(place);
		qe_list_append(&batch->lines, place);
	}
	appender->n = appender->bytes = 0;
	appender->reopen = false;
}

/* Returns how many are lost and not told afterwards, of those before and of this batch. */
static uint64_t write_batch(struct qe_appender *appender, struct batch *batch)
{
	uint64_t lost = batch->lost;

	if (batch->reopen)
		reopen_file(appender);
	QE_LIST_FOR_EACH (place, &batch->lines) {
		struct line *line = QE_CONTAINER_OF(place, struct line, place);

		if (lost > 0 && write_lost(appender, lost))
			lost = 0;
		if (lost > 0 || !write_line(appender, line->text, line->len))
			lost++;
		free(line);
	}
	return lost;
}

static bool has_work(const struct qe_appender *appender)
{
	return appender->n > 0 || appender->reopen || appender->stopping;
}

static void run(void *ctx)
{
	struct qe_appender *appender = ctx;
	struct batch batch;
	bool stopping;

	pthread_mutex_lock(&appender->lock);
	do {
		while (!has_work(appender))
			pthread_cond_wait(&appender->changed, &appender->lock);
		stopping = appender->stopping;
		take_batch(appender, &batch);
		pthread_mutex_unlock(&appender->lock);
		uint64_t lost = write_batch(appender, &batch);

		pthread_mutex_lock(&appender->lock);
		appender->lost += lost - batch.lost;
	} while (!stopping);
	appender->running = false;
	pthread_cond_broadcast(&appender->changed);
	pthread_mutex_unlock(&appender->lock);
}

/* ---- life ---- */

static enum qe_error open_folder(struct qe_appender *appender, const char *path)
{
	char *for_folder = strdup(path), *for_name = strdup(path);
	enum qe_error error = -ENOMEM;

	if (for_folder && for_name) {
		appender->folder = open(dirname(for_folder), O_PATH | O_DIRECTORY | O_CLOEXEC);
		error = appender->folder < 0 ? qe_error_errno() : QE_OK;
		appender->name = strdup(basename(for_name));
	}
	free(for_folder);
	free(for_name);
	return error == QE_OK && !appender->name ? -ENOMEM : error;
}

static enum qe_error make_lock(struct qe_appender *appender)
{
	pthread_condattr_t attributes;
	int error = pthread_mutex_init(&appender->lock, nullptr);

	if (error != 0)
		return (enum qe_error) - error;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	error = pthread_cond_init(&appender->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return (enum qe_error) - error;
}

static void discard(struct qe_appender *appender)
{
	QE_LIST_FOR_EACH (place, &appender->queue)
		free(QE_CONTAINER_OF(place, struct line, place));
	if (appender->file >= 0)
		close(appender->file);
	if (appender->folder >= 0)
		close(appender->folder);
	pthread_cond_destroy(&appender->changed);
	pthread_mutex_destroy(&appender->lock);
	free(appender->name);
	free(appender);
}

enum qe_error qe_appender_new(struct qe_appender **ret_appender, const char *path,
	void (*format_lost)(char *to, size_t size, uint64_t n))
{
	struct qe_appender *appender = calloc(1, sizeof(*appender));
	enum qe_error error;

	if (!appender)
		return -ENOMEM;
	appender->folder = appender->file = -1;
	appender->format_lost = format_lost;
	qe_list_init(&appender->queue);
	error = make_lock(appender);
	if (error != QE_OK) {
		free(appender);
		return error;
	}
	error = open_folder(appender, path);
	if (error == QE_OK) {
		appender->file = open_file(appender);
		error = appender->file < 0 ? qe_error_errno() : QE_OK;
	}
	if (error != QE_OK) {
		discard(appender);
		return error;
	}
	*ret_appender = appender;
	return QE_OK;
}

enum qe_error qe_appender_start(struct qe_appender *appender)
{
	appender->running = true;
	enum qe_error error = qe_thread_detached("qe-append", run, appender);

	if (error != QE_OK)
		appender->running = false;
	return error;
}

/* A writer that hangs in the kernel keeps what it works with; the process is about to end. */
struct qe_appender *qe_appender_free(struct qe_appender *appender)
{
	struct timespec end;
	bool hangs;

	if (!appender)
		return nullptr;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += goodbye_secs;
	pthread_mutex_lock(&appender->lock);
	appender->stopping = true;
	pthread_cond_broadcast(&appender->changed);
	while (appender->running &&
		pthread_cond_timedwait(&appender->changed, &appender->lock, &end) != ETIMEDOUT)
		;
	hangs = appender->running;
	pthread_mutex_unlock(&appender->lock);
	if (!hangs)
		discard(appender);
	return nullptr;
}

int qe_appender_folder(const struct qe_appender *appender)
{
	return appender->folder;
}

void qe_appender_reopen(struct qe_appender *appender)
{
	pthread_mutex_lock(&appender->lock);
	appender->reopen = true;
	pthread_cond_broadcast(&appender->changed);
	pthread_mutex_unlock(&appender->lock);
}

uint64_t qe_appender_lost(struct qe_appender *appender)
{
	pthread_mutex_lock(&appender->lock);
	uint64_t lost = appender->lost;
	pthread_mutex_unlock(&appender->lock);
	return lost;
}

/* ---- lines ---- */

static bool has_room(const struct qe_appender *appender, size_t len)
{
	return appender->n < QE_APPENDER_LINES_MAX &&
	       appender->bytes + len <= QE_APPENDER_BYTES_MAX;
}

static struct line *new_line(const char *text, size_t len)
{
	struct line *line = malloc(sizeof(*line) + len + 1);

	if (!line)
		return nullptr;
	qe_list_init(&line->place);
	line->len = len + 1;
	memcpy(line->text, text, len);
	line->text[len] = '\n';
	return line;
}

void qe_appender_add(struct qe_appender *appender, const char *text, size_t len)
{
	struct line *line = new_line(text, len);

	pthread_mutex_lock(&appender->lock);
	if (line && has_room(appender, line->len)) {
		qe_list_append(&appender->queue, &line->place);
		appender->n++;
		appender->bytes += line->len;
		line = nullptr;
	} else {
		appender->lost++;
	}
	pthread_cond_broadcast(&appender->changed);
	pthread_mutex_unlock(&appender->lock);
	free(line);
}

void qe_appender_add_lost(struct qe_appender *appender)
{
	pthread_mutex_lock(&appender->lock);
	appender->lost++;
	pthread_mutex_unlock(&appender->lock);
}
