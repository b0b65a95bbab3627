/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The thread. Commands come in a ring, in order; of the zones only the latest counts, so it lies
 * where the next one replaces it. Counts go out as atomics, answers of look-ups in a ring. All else
 * is the thread's alone, and a side is there only as long as it has sockets to listen on.
 */
#include "daemon/dns.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/ring.h"
#include "daemon/dns_lookups.h"
#include "daemon/dns_side.h"
#include "os/clock.h"
#include "os/socket.h"
#include "os/thread.h"

constexpr size_t COMMANDS = 512;
constexpr size_t N_COUNTS = sizeof(struct qe_dns_counts) / sizeof(uint64_t);

struct command {
	enum { LISTEN, UNLISTEN, LOOK_UP } kind;
	bool members;
	int udp, tcp;
	struct qe_dns_asked *asked;
};

struct qe_dns {
	struct qe_loop *loop;
	struct qe_thread *thread;
	atomic_bool stopping;
	struct qe_ring *commands, *resolved;
	_Atomic(struct qe_dns_zone *) next_zone;
	void (*wake)(void *ctx);
	void *ctx;
	size_t outstanding; /* look-ups; the control thread's */
	_Atomic uint64_t counts[2][N_COUNTS];

	/* The thread's. */
	struct qe_dns_zone *zone;
	struct qe_dns_side *sides[2]; /* of this host, of members; NULL: no sockets */
	struct qe_dns_lookups *lookups;
};

/* ---- the thread ---- */

static void take_zone(struct qe_dns *dns, qe_time now)
{
	struct qe_dns_zone *zone = atomic_exchange(&dns->next_zone, nullptr);

	if (!zone)
		return;
	for (size_t i = 0; i < 2; i++) {
		if (dns->sides[i])
			qe_dns_side_set_zone(dns->sides[i], zone, now);
	}
	qe_dns_zone_free(dns->zone);
	dns->zone = zone;
}

static void close_both(int udp, int tcp)
{
	if (udp >= 0)
		qe_socket_close(udp);
	if (tcp >= 0)
		qe_socket_close(tcp);
}

/* Without memory there is no side: its clients get no answers, and ask elsewhere or again. */
static void begin_to_listen(struct qe_dns *dns, const struct command *command, qe_time now)
{
	struct qe_dns_side **side = &dns->sides[command->members];

	if (!*side && qe_dns_side_new(side, dns->loop, command->members) == QE_OK && dns->zone)
		qe_dns_side_set_zone(*side, dns->zone, now);
	if (*side)
		(void)!qe_dns_side_listen(*side, command->udp, command->tcp);
	else
		close_both(command->udp, command->tcp);
}

static void obey(struct qe_dns *dns, const struct command *command, qe_time now)
{
	switch (command->kind) {
	case LISTEN:
		begin_to_listen(dns, command, now);
		break;
	case UNLISTEN:
		dns->sides[command->members] = qe_dns_side_free(dns->sides[command->members]);
		break;
	case LOOK_UP:
		qe_dns_lookups_begin(dns->lookups, command->asked);
		break;
	}
}

/* The fields are the same, in the same order. */
static void publish_counts(struct qe_dns *dns)
{
	static_assert(sizeof(struct qe_dns_counts) == sizeof(struct qe_dns_forwarder_counts));

	for (size_t i = 0; i < 2; i++) {
		uint64_t counts[N_COUNTS];

		if (!dns->sides[i])
			continue;
		memcpy(counts, qe_dns_side_counts(dns->sides[i]), sizeof(counts));
		for (size_t j = 0; j < N_COUNTS; j++)
			atomic_store_explicit(&dns->counts[i][j], counts[j], memory_order_relaxed);
	}
}

static qe_time run_sides(struct qe_dns *dns, qe_time now)
{
	qe_time next = QE_TIME_NEVER;

	for (size_t i = 0; i < 2; i++) {
		if (!dns->sides[i])
			continue;
		qe_dns_side_run(dns->sides[i], now);
		next = qe_time_min(next, qe_dns_side_deadline(dns->sides[i]));
	}
	return next;
}

static void run(void *ctx)
{
	struct qe_dns *dns = ctx;
	struct command command;

	while (!atomic_load(&dns->stopping)) {
		qe_time now = qe_clock_now();

		take_zone(dns, now);
		while (qe_ring_pop(dns->commands, &command))
			obey(dns, &command, now);
		publish_counts(dns);
		qe_loop_turn(dns->loop, run_sides(dns, now));
	}
}

/* There is always room: a look-up counts until its answer is taken. */
static void resolved(void *ctx, const struct qe_resolved *answer)
{
	struct qe_dns *dns = ctx;

	qe_ring_push(dns->resolved, answer);
	dns->wake(dns->ctx);
}

/* ---- the control thread ---- */

static enum qe_error make(struct qe_dns *dns)
{
	QE_TRY(qe_loop_new(&dns->loop));
	QE_TRY(qe_ring_new(&dns->commands, COMMANDS, sizeof(struct command)));
	QE_TRY(qe_ring_new(&dns->resolved, QE_RESOLVER_QUEUE, sizeof(struct qe_resolved)));
	return qe_dns_lookups_new(&dns->lookups, dns->loop, resolved, dns);
}

enum qe_error qe_dns_new(struct qe_dns **ret_dns, void (*wake)(void *ctx), void *ctx)
{
	struct qe_dns *dns = calloc(1, sizeof(*dns));
	enum qe_error error;

	if (!dns)
		return -ENOMEM;
	dns->wake = wake;
	dns->ctx = ctx;
	error = make(dns);
	if (error != QE_OK) {
		qe_dns_free(dns);
		return error;
	}
	*ret_dns = dns;
	return QE_OK;
}

enum qe_error qe_dns_start(struct qe_dns *dns)
{
	return qe_thread_new(&dns->thread, "qe-dns", run, dns);
}

static void forget(struct command *command)
{
	if (command->kind == LISTEN)
		close_both(command->udp, command->tcp);
	if (command->kind == LOOK_UP)
		qe_dns_asked_free(command->asked);
}

struct qe_dns *qe_dns_free(struct qe_dns *dns)
{
	struct command command;

	if (!dns)
		return nullptr;
	atomic_store(&dns->stopping, true);
	if (dns->thread)
		qe_loop_wake(dns->loop);
	qe_thread_join(dns->thread);
	while (dns->commands && qe_ring_pop(dns->commands, &command))
		forget(&command);
	qe_dns_side_free(dns->sides[0]);
	qe_dns_side_free(dns->sides[1]);
	qe_dns_lookups_free(dns->lookups);
	qe_dns_zone_free(dns->zone);
	qe_dns_zone_free(atomic_load(&dns->next_zone));
	qe_ring_free(dns->commands);
	qe_ring_free(dns->resolved);
	qe_loop_free(dns->loop);
	free(dns);
	return nullptr;
}

static enum qe_error command(struct qe_dns *dns, struct command command)
{
	if (!qe_ring_push(dns->commands, &command)) {
		forget(&command);
		return QE_ERR_FULL;
	}
	qe_loop_wake(dns->loop);
	return QE_OK;
}

enum qe_error qe_dns_listen(struct qe_dns *dns, int udp, int tcp, bool members)
{
	return command(dns, (struct command){LISTEN, members, udp, tcp});
}

enum qe_error qe_dns_unlisten(struct qe_dns *dns, bool members)
{
	return command(dns, (struct command){UNLISTEN, members, -1, -1});
}

enum qe_error qe_dns_configure(struct qe_dns *dns, const struct qe_dns_settings *settings)
{
	struct qe_dns_zone *zone;

	QE_TRY(qe_dns_zone_new(&zone, settings));
	qe_dns_zone_free(atomic_exchange(&dns->next_zone, zone));
	qe_loop_wake(dns->loop);
	return QE_OK;
}

void qe_dns_count(const struct qe_dns *dns, bool members, struct qe_dns_counts *ret_counts)
{
	uint64_t counts[N_COUNTS];

	for (size_t i = 0; i < N_COUNTS; i++)
		counts[i] = atomic_load_explicit(&dns->counts[members][i], memory_order_relaxed);
	memcpy(ret_counts, counts, sizeof(*ret_counts));
}

/* Where a.root-servers.net is says which way the Internet lies. */
size_t qe_dns_exit_addrs(struct qe_addr to[static 2])
{
	static const struct qe_addr internet[] = {{QE_FAMILY_IPV4, {198, 41, 0, 4}},
		{QE_FAMILY_IPV6, {0x20, 0x01, 0x05, 0x03, 0xba, 0x3e, [13] = 0x02, [15] = 0x30}}};
	size_t n = 0;

	for (size_t i = 0; i < 2; i++) {
		if (qe_socket_source(&to[n], &internet[i]) == QE_OK)
			n++;
	}
	return n;
}

/* ---- look-ups ---- */

static enum qe_error make_asked(struct qe_dns_asked *asked, uint64_t cookie, const char *host,
	uint16_t port, const struct qe_endpoint *servers)
{
	if (asked->n == 0 || strlen(host) >= sizeof(asked->host))
		return QE_ERR_RANGE;
	asked->cookie = cookie;
	strcpy(asked->host, host);
	asked->port = port;
	QE_TRY(qe_dns_lookup_init(&asked->lookup, host, asked->n));
	for (size_t i = 0; i < asked->n; i++) {
		asked->servers[i] = servers[i];
		asked->servers[i].port = servers[i].port ? servers[i].port : QE_DNS_PORT;
		/* A server that cannot be reached is passed over later. */
		if (asked->sockets[i] < 0)
			(void)!qe_socket_datagram(&asked->sockets[i], &asked->servers[i]);
	}
	return QE_OK;
}

enum qe_error qe_dns_lookup(struct qe_dns *dns, uint64_t cookie, const char *host, uint16_t port,
	const struct qe_endpoint *servers, const int *sockets, size_t n)
{
	struct qe_dns_asked *asked = calloc(1, sizeof(*asked));
	enum qe_error error;

	for (size_t i = 0; i < n; i++) {
		if (asked && i < QE_DNS_SERVERS_MAX)
			asked->sockets[asked->n++] = sockets ? sockets[i] : -1;
		else if (sockets)
			qe_socket_close(sockets[i]);
	}
	if (!asked)
		return -ENOMEM;
	error = dns->outstanding == QE_RESOLVER_QUEUE
			? QE_ERR_FULL
			: make_asked(asked, cookie, host, port, servers);
	if (error != QE_OK) {
		qe_dns_asked_free(asked);
		return error;
	}
	error = command(dns, (struct command){LOOK_UP, .asked = asked});
	if (error == QE_OK)
		dns->outstanding++;
	return error;
}

bool qe_dns_take_lookup(struct qe_dns *dns, struct qe_resolved *ret_resolved)
{
	if (!qe_ring_pop(dns->resolved, ret_resolved))
		return false;
	dns->outstanding--;
	return true;
}
