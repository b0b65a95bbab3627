/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "os/resolver.h"
#include "os/sockaddr.h"
#include "os/thread.h"

struct question {
	uint64_t cookie;
	char host[QE_HOST_SIZE];
	uint16_t port;
};

/* Two own it, the caller and the thread; the last one frees it. Everything is under the lock. A
 * question holds its place until its answer is taken, so that answers always find room. */
struct qe_resolver {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopping;
	unsigned owners;
	void (*wake)(void *ctx);
	void *ctx;
	size_t outstanding;
	struct question questions[QE_RESOLVER_QUEUE];
	size_t first_question, n_questions;
	struct qe_resolved answers[QE_RESOLVER_QUEUE];
	size_t first_answer, n_answers;
};

/* Called with the lock held, which is given back. */
static void disown(struct qe_resolver *resolver)
{
	bool last = --resolver->owners == 0;

	pthread_mutex_unlock(&resolver->lock);
	if (!last)
		return;
	pthread_cond_destroy(&resolver->changed);
	pthread_mutex_destroy(&resolver->lock);
	free(resolver);
}

static bool is_known(const struct qe_resolved *answer, const struct qe_endpoint *endpoint)
{
	for (size_t i = 0; i < answer->n; i++) {
		if (qe_endpoint_equal(&answer->endpoints[i], endpoint))
			return true;
	}
	return false;
}

static void take_addresses(struct qe_resolved *answer, const struct addrinfo *list)
{
	for (; list && answer->n < QE_RESOLVED_MAX; list = list->ai_next) {
		struct sockaddr_storage address = {};
		struct qe_endpoint endpoint;

		if (list->ai_addrlen > sizeof(address))
			continue;
		memcpy(&address, list->ai_addr, list->ai_addrlen);
		endpoint = qe_sockaddr_to_endpoint(&address);
		if (endpoint.addr.family != QE_FAMILY_NONE && !is_known(answer, &endpoint))
			answer->endpoints[answer->n++] = endpoint;
	}
}

static void resolve(struct qe_resolved *answer, const struct question *question)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = nullptr;
	char service[8];
	int result;

	*answer = (struct qe_resolved){.cookie = question->cookie};
	memcpy(answer->host, question->host, sizeof(answer->host));
	snprintf(service, sizeof(service), "%u", question->port);
	result = getaddrinfo(question->host, service, &hints, &list);
	if (result == 0)
		take_addresses(answer, list);
	if (answer->n == 0)
		snprintf(answer->error, sizeof(answer->error), "%s",
			result == 0 ? "it has no IP address" : gai_strerror(result));
	if (list)
		freeaddrinfo(list);
}

static void answer_next(struct qe_resolver *resolver)
{
	struct question question = resolver->questions[resolver->first_question];
	struct qe_resolved answer;

	resolver->first_question = (resolver->first_question + 1) % QE_RESOLVER_QUEUE;
	resolver->n_questions--;
	pthread_mutex_unlock(&resolver->lock);
	resolve(&answer, &question);
	pthread_mutex_lock(&resolver->lock);
	if (resolver->stopping)
		return;
	resolver->answers[(resolver->first_answer + resolver->n_answers++) % QE_RESOLVER_QUEUE] =
		answer;
	resolver->wake(resolver->ctx);
}

static void run(void *ctx)
{
	struct qe_resolver *resolver = ctx;

	pthread_mutex_lock(&resolver->lock);
	while (!resolver->stopping) {
		if (resolver->n_questions > 0)
			answer_next(resolver);
		else
			pthread_cond_wait(&resolver->changed, &resolver->lock);
	}
	disown(resolver);
}

enum qe_error qe_resolver_new(struct qe_resolver **ret_resolver, void (*wake)(void *ctx), void *ctx)
{
	struct qe_resolver *resolver = calloc(1, sizeof(*resolver));
	enum qe_error error;

	if (!resolver)
		return -ENOMEM;
	pthread_mutex_init(&resolver->lock, nullptr);
	pthread_cond_init(&resolver->changed, nullptr);
	resolver->wake = wake;
	resolver->ctx = ctx;
	resolver->owners = 2;
	error = qe_thread_detached("qe-resolver", run, resolver);
	if (error != QE_OK) {
		resolver->owners = 1;
		qe_resolver_free(resolver);
		return error;
	}
	*ret_resolver = resolver;
	return QE_OK;
}

struct qe_resolver *qe_resolver_free(struct qe_resolver *resolver)
{
	if (!resolver)
		return nullptr;
	pthread_mutex_lock(&resolver->lock);
	resolver->stopping = true;
	pthread_cond_signal(&resolver->changed);
	disown(resolver);
	return nullptr;
}

enum qe_error qe_resolver_ask(
	struct qe_resolver *resolver, uint64_t cookie, const char *host, uint16_t port)
{
	struct question question = {.cookie = cookie, .port = port};
	size_t place;

	if (strlen(host) >= sizeof(question.host))
		return QE_ERR_RANGE;
	strcpy(question.host, host);
	pthread_mutex_lock(&resolver->lock);
	if (resolver->outstanding == QE_RESOLVER_QUEUE) {
		pthread_mutex_unlock(&resolver->lock);
		return QE_ERR_FULL;
	}
	place = (resolver->first_question + resolver->n_questions++) % QE_RESOLVER_QUEUE;
	resolver->questions[place] = question;
	resolver->outstanding++;
	pthread_cond_signal(&resolver->changed);
	pthread_mutex_unlock(&resolver->lock);
	return QE_OK;
}

bool qe_resolver_take(struct qe_resolver *resolver, struct qe_resolved *ret_resolved)
{
	bool any;

	pthread_mutex_lock(&resolver->lock);
	any = resolver->n_answers > 0;
	if (any) {
		*ret_resolved = resolver->answers[resolver->first_answer];
		resolver->first_answer = (resolver->first_answer + 1) % QE_RESOLVER_QUEUE;
		resolver->n_answers--;
		resolver->outstanding--;
	}
	pthread_mutex_unlock(&resolver->lock);
	return any;
}
