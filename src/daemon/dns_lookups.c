/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/dns_lookups.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/random.h"
#include "os/clock.h"
#include "os/socket.h"

struct lookup {
	struct qe_list in;
	struct qe_dns_lookups *owner;
	struct qe_dns_asked *asked;
	struct qe_watch watch; /* the socket to the server that is asked; fd -1: none */
	struct qe_alarm alarm;
};

struct qe_dns_lookups {
	struct qe_loop *loop;
	void (*done)(void *ctx, const struct qe_resolved *resolved);
	void *ctx;
	struct qe_list under_way;
};

struct qe_dns_asked *qe_dns_asked_free(struct qe_dns_asked *asked)
{
	if (!asked)
		return nullptr;
	for (size_t i = 0; i < asked->n; i++) {
		if (asked->sockets[i] >= 0)
			qe_socket_close(asked->sockets[i]);
	}
	free(asked);
	return nullptr;
}

static void stop_watching(struct lookup *lookup)
{
	if (lookup->watch.fd >= 0)
		qe_loop_remove(lookup->owner->loop, &lookup->watch);
	lookup->watch.fd = -1;
}

static void free_lookup(struct lookup *lookup)
{
	stop_watching(lookup);
	(void)!qe_loop_set_alarm(lookup->owner->loop, &lookup->alarm, QE_TIME_NEVER);
	qe_list_remove(&lookup->in);
	qe_dns_asked_free(lookup->asked);
	free(lookup);
}

/* ---- the end of one ---- */

static void tell(struct qe_dns_lookups *lookups, const struct qe_dns_asked *asked)
{
	const struct qe_dns_lookup *lookup = &asked->lookup;
	struct qe_resolved resolved = {.cookie = asked->cookie};

	static_assert(QE_RESOLVED_MAX >= QE_DNS_LOOKUP_ADDRS_MAX);
	memcpy(resolved.host, asked->host, sizeof(resolved.host));
	for (size_t i = 0; i < lookup->n; i++)
		resolved.endpoints[resolved.n++] = (struct qe_endpoint){
			.addr = lookup->addrs[i], .port = asked->port};
	if (resolved.n == 0)
		snprintf(resolved.error, sizeof(resolved.error), "%s",
			!lookup->halves[0].done || !lookup->halves[1].done
				? "no name server answers"
			: lookup->no_such_name ? "there is no such name"
					       : "it has no IP address");
	lookups->done(lookups->ctx, &resolved);
}

/* ---- one try ---- */

static enum qe_error send_question(struct lookup *lookup, unsigned half)
{
	struct qe_dns_asked *asked = lookup->asked;
	uint8_t message[QE_DNS_QUERY_MAX];
	size_t sent, len = qe_dns_lookup_question(
			     &asked->lookup, half, qe_random_u64(), message, sizeof(message));

	if (len == 0)
		return -ENOMEM;
	return qe_socket_send(lookup->watch.fd, (struct qe_bytes){message, len}, &sent);
}

static enum qe_error ask(struct lookup *lookup)
{
	struct qe_dns_asked *asked = lookup->asked;
	size_t server = qe_dns_lookup_server(&asked->lookup);

	stop_watching(lookup);
	QE_TRY(qe_socket_connect(asked->sockets[server], &asked->servers[server]));
	lookup->watch.fd = asked->sockets[server];
	for (unsigned half = 0; half < 2; half++)
		QE_TRY(send_question(lookup, half));
	qe_dns_lookup_sent(&asked->lookup, qe_clock_now());
	QE_TRY(qe_loop_add(lookup->owner->loop, &lookup->watch, QE_READABLE));
	return qe_loop_set_alarm(lookup->owner->loop, &lookup->alarm, asked->lookup.until);
}

static void go_on(struct lookup *lookup, enum qe_dns_progress progress)
{
	while (progress == QE_DNS_ASK) {
		if (ask(lookup) == QE_OK)
			return;
		progress = qe_dns_lookup_failed(&lookup->asked->lookup);
	}
	if (progress == QE_DNS_WAIT)
		return;
	tell(lookup->owner, lookup->asked);
	free_lookup(lookup);
}

static void answer_ready(struct qe_watch *watch, unsigned)
{
	struct lookup *lookup = QE_CONTAINER_OF(watch, struct lookup, watch);
	struct qe_dns_lookup *machine = &lookup->asked->lookup;
	uint8_t message[4096];
	size_t len;
	enum qe_error error = qe_socket_receive(watch->fd, message, sizeof(message), &len);

	if (error == QE_OK)
		go_on(lookup, qe_dns_lookup_answer(machine, (struct qe_bytes){message, len}));
	else if (error != -EAGAIN && error != QE_ERR_CLOSED)
		go_on(lookup, qe_dns_lookup_failed(machine));
}

static void too_late(struct qe_alarm *alarm, qe_time)
{
	struct lookup *lookup = QE_CONTAINER_OF(alarm, struct lookup, alarm);

	go_on(lookup, qe_dns_lookup_failed(&lookup->asked->lookup));
}

/* ---- all ---- */

void qe_dns_lookups_begin(struct qe_dns_lookups *lookups, struct qe_dns_asked *asked)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup) {
		tell(lookups, asked);
		qe_dns_asked_free(asked);
		return;
	}
	lookup->owner = lookups;
	lookup->asked = asked;
	lookup->watch = (struct qe_watch){-1, answer_ready};
	lookup->alarm.ring = too_late;
	qe_list_init(&lookup->in);
	qe_list_append(&lookups->under_way, &lookup->in);
	go_on(lookup, QE_DNS_ASK);
}

enum qe_error qe_dns_lookups_new(struct qe_dns_lookups **ret_lookups, struct qe_loop *loop,
	void (*done)(void *ctx, const struct qe_resolved *resolved), void *ctx)
{
	struct qe_dns_lookups *lookups = malloc(sizeof(*lookups));

	if (!lookups)
		return -ENOMEM;
	*lookups = (struct qe_dns_lookups){.loop = loop, .done = done, .ctx = ctx};
	qe_list_init(&lookups->under_way);
	*ret_lookups = lookups;
	return QE_OK;
}

struct qe_dns_lookups *qe_dns_lookups_free(struct qe_dns_lookups *lookups)
{
	if (!lookups)
		return nullptr;
	QE_LIST_FOR_EACH (node, &lookups->under_way)
		free_lookup(QE_CONTAINER_OF(node, struct lookup, in));
	free(lookups);
	return nullptr;
}
