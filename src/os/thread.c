/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "os/thread.h"

struct qe_thread {
	pthread_t id;
	void (*run)(void *ctx);
	void *ctx;
};

static void *run_joinable(void *argument)
{
	const struct qe_thread *thread = argument;

	thread->run(thread->ctx);
	return nullptr;
}

static void *run_detached(void *argument)
{
	const struct qe_thread thread = *(struct qe_thread *)argument;

	free(argument);
	thread.run(thread.ctx);
	return nullptr;
}

static struct qe_thread *new_thread(void (*run)(void *ctx), void *ctx)
{
	struct qe_thread *thread = calloc(1, sizeof(*thread));

	if (thread)
		*thread = (struct qe_thread){.run = run, .ctx = ctx};
	return thread;
}

enum qe_error qe_thread_new(
	struct qe_thread **ret_thread, const char *name, void (*run)(void *ctx), void *ctx)
{
	struct qe_thread *thread = new_thread(run, ctx);
	int result;

	if (!thread)
		return -ENOMEM;
	result = pthread_create(&thread->id, nullptr, run_joinable, thread);
	if (result != 0) {
		free(thread);
		return -result;
	}
	pthread_setname_np(thread->id, name);
	*ret_thread = thread;
	return QE_OK;
}

struct qe_thread *qe_thread_join(struct qe_thread *thread)
{
	if (thread)
		pthread_join(thread->id, nullptr);
	free(thread);
	return nullptr;
}

enum qe_error qe_thread_detached(const char *name, void (*run)(void *ctx), void *ctx)
{
	struct qe_thread *thread = new_thread(run, ctx);
	pthread_t id;
	int result;

	if (!thread)
		return -ENOMEM;
	result = pthread_create(&id, nullptr, run_detached, thread);
	if (result != 0) {
		free(thread);
		return -result;
	}
	pthread_setname_np(id, name);
	pthread_detach(id);
	return QE_OK;
}
