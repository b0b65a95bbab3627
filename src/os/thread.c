/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/thread.h"

struct qe_thread {
	pthread_t id;
	char name[16];
	void (*run)(void *ctx);
	void *ctx;
};

/* A thread names itself: to name another one takes a file in /proc, which the sandbox does not
 * allow, and the other one may have ended. */
static void *run_joinable(void *argument)
{
	const struct qe_thread *thread = argument;

	pthread_setname_np(pthread_self(), thread->name);
	thread->run(thread->ctx);
	return nullptr;
}

static void *run_detached(void *argument)
{
	const struct qe_thread thread = *(struct qe_thread *)argument;

	free(argument);
	pthread_setname_np(pthread_self(), thread.name);
	thread.run(thread.ctx);
	return nullptr;
}

static struct qe_thread *new_thread(const char *name, void (*run)(void *ctx), void *ctx)
{
	struct qe_thread *thread = calloc(1, sizeof(*thread));

	if (!thread)
		return nullptr;
	*thread = (struct qe_thread){.run = run, .ctx = ctx};
	snprintf(thread->name, sizeof(thread->name), "%s", name);
	return thread;
}

enum qe_error qe_thread_new(
	struct qe_thread **ret_thread, const char *name, void (*run)(void *ctx), void *ctx)
{
	struct qe_thread *thread = new_thread(name, run, ctx);
	int result;

	if (!thread)
		return -ENOMEM;
	result = pthread_create(&thread->id, nullptr, run_joinable, thread);
	if (result != 0) {
		free(thread);
		return -result;
	}
	*ret_thread = thread;
	return QE_OK;
}

static cpu_set_t usable_cpus(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		CPU_ZERO(&cpus);
	return cpus;
}

enum qe_error qe_thread_pin(unsigned cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	return sched_setaffinity(0, sizeof(cpus), &cpus) < 0 ? qe_error_errno() : QE_OK;
}

bool qe_thread_may_pin(unsigned cpu)
{
	cpu_set_t cpus = usable_cpus();

	return CPU_ISSET(cpu, &cpus);
}

unsigned qe_thread_cpus(void)
{
	cpu_set_t cpus = usable_cpus();
	int n = CPU_COUNT(&cpus);

	return n > 0 ? (unsigned)n : 1;
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
	struct qe_thread *thread = new_thread(name, run, ctx);
	pthread_t id;
	int result;

	if (!thread)
		return -ENOMEM;
	result = pthread_create(&id, nullptr, run_detached, thread);
	if (result != 0) {
		free(thread);
		return -result;
	}
	pthread_detach(id);
	return QE_OK;
}
