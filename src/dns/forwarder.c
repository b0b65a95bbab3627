/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "dns/forwarder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/list.h"
#include "dns/cache.h"
#include "dns/shunned.h"

constexpr qe_time FIRST_TRY = 800 * QE_MILLISECOND; /* then longer, by half of it each */
constexpr qe_time IN_ALL = 5 * QE_SECOND;           /* after that most clients have given up */
constexpr uint32_t FAILURE_TTL = 1;                 /* RFC 9520, section 3.2: at least */
constexpr unsigned TRIES_MAX = 8;
constexpr size_t SOURCES = 1024; /* or members; those that share a place share its bounds */

struct source {
	qe_time full_at;
	unsigned waiting;
};

/* A client that waits for an exchange. */
struct waiter {
	struct qe_list in; /* the exchange's, or the free ones */
	struct qe_dns_client client;
	struct qe_dns_query query;
	struct source *source, *owner;
};

struct exchange {
	struct qe_timer timer;
	struct qe_list waiters; /* empty: the place is free */
	struct qe_list in_use;
	struct qe_dns_question question;
	struct qe_endpoint servers[QE_DNS_SERVERS_MAX];
	size_t n_servers;
	qe_time ends;
	unsigned tries; /* begun */
	uint16_t id;
	bool open, stream, plain; /* plain: without EDNS */
};

struct qe_dns_forwarder {
	struct qe_dns_limits limits;
	const struct qe_dns_ops *ops;
	void *ctx;
	const struct qe_dns_zone *zone;
	struct qe_dns_cache *cache;
	uint64_t seed;
	struct qe_heap timers;
	struct qe_list in_use, free_exchanges, free_waiters;
	struct exchange exchanges[QE_DNS_EXCHANGES];
	struct waiter waiters[QE_DNS_WAITING];
	struct source sources[SOURCES], owners[SOURCES];
	struct qe_dns_shunned shunned;
	struct qe_dns_forwarder_counts counts;
	uint8_t message[QE_DNS_ANSWER_MAX];
};

/* ---- clients ---- */

static size_t limit_of(const struct qe_dns_client *client, const struct qe_dns_query *query)
{
	return client->stream ? QE_DNS_ANSWER_MAX : query->udp_size;
}

static void reply(
	struct qe_dns_forwarder *forwarder, const struct qe_dns_client *client, size_t len)
{
	if (len > 0)
		forwarder->ops->reply(
			forwarder->ctx, client, (struct qe_bytes){forwarder->message, len});
	else if (client->stream)
		forwarder->ops->drop(forwarder->ctx, client);
}

static void reply_rcode(struct qe_dns_forwarder *forwarder, const struct qe_dns_client *client,
	const struct qe_dns_query *query, enum qe_dns_rcode rcode)
{
	const struct qe_dns_own own = {.rcode = rcode};

	reply(forwarder, client,
		qe_dns_write_own(forwarder->message, limit_of(client, query), query, &own));
}

static void give_up(struct qe_dns_forwarder *forwarder, const struct qe_dns_client *client,
	const struct qe_dns_query *query)
{
	forwarder->counts.failed++;
	reply_rcode(forwarder, client, query, QE_DNS_SERVFAIL);
}

static void relay(struct qe_dns_forwarder *forwarder, const struct qe_dns_client *client,
	const struct qe_dns_query *query, struct qe_bytes message, uint32_t age)
{
	reply(forwarder, client,
		qe_dns_write_relayed(
			forwarder->message, limit_of(client, query), query, message, age));
}

static struct waiter *take_waiter(struct qe_dns_forwarder *forwarder, struct qe_list *from)
{
	struct waiter *waiter = QE_CONTAINER_OF(from->next, struct waiter, in);

	qe_list_remove(&waiter->in);
	qe_list_append(&forwarder->free_waiters, &waiter->in);
	waiter->source->waiting--;
	waiter->owner->waiting--;
	return waiter;
}

/* ---- an exchange ---- */

static unsigned number_of(const struct qe_dns_forwarder *forwarder, const struct exchange *exchange)
{
	return (unsigned)(exchange - forwarder->exchanges);
}

static const struct qe_endpoint *server_of(const struct exchange *exchange)
{
	return &exchange->servers[(exchange->tries - 1) % exchange->n_servers];
}

static void close_socket(struct qe_dns_forwarder *forwarder, struct exchange *exchange)
{
	if (exchange->open)
		forwarder->ops->close(forwarder->ctx, number_of(forwarder, exchange));
	exchange->open = false;
}

static void release(struct qe_dns_forwarder *forwarder, struct exchange *exchange)
{
	close_socket(forwarder, exchange);
	qe_heap_remove(&forwarder->timers, &exchange->timer);
	qe_list_remove(&exchange->in_use);
	qe_list_append(&forwarder->free_exchanges, &exchange->in_use);
}

/* Room for all timers was reserved. */
static void set_timer(struct qe_dns_forwarder *forwarder, struct exchange *exchange, qe_time at)
{
	(void)!qe_heap_set(&forwarder->timers, &exchange->timer, qe_time_min(at, exchange->ends));
}

static void succeed(struct qe_dns_forwarder *forwarder, struct exchange *exchange,
	struct qe_bytes message, uint32_t ttl, qe_time now)
{
	qe_dns_cache_put(forwarder->cache, &exchange->question, message, ttl, now);
	while (!qe_list_empty(&exchange->waiters)) {
		const struct waiter *waiter = take_waiter(forwarder, &exchange->waiters);

		forwarder->counts.relayed++;
		relay(forwarder, &waiter->client, &waiter->query, message, 0);
	}
	release(forwarder, exchange);
}

/* Remembered for a moment, in the form of a server's answer, so that those who ask on and on do not
 * make us do so. */
static void fail(struct qe_dns_forwarder *forwarder, struct exchange *exchange, qe_time now)
{
	static const uint8_t nothing[12];
	uint8_t failure[sizeof(nothing)];
	size_t len = qe_dns_write_refusal(failure, sizeof(failure),
		(struct qe_bytes){nothing, sizeof(nothing)}, QE_DNS_SERVFAIL);

	qe_dns_cache_put(forwarder->cache, &exchange->question, (struct qe_bytes){failure, len},
		FAILURE_TTL, now);
	while (!qe_list_empty(&exchange->waiters)) {
		const struct waiter *waiter = take_waiter(forwarder, &exchange->waiters);

		give_up(forwarder, &waiter->client, &waiter->query);
	}
	release(forwarder, exchange);
}

static enum qe_error open_socket(struct qe_dns_forwarder *forwarder, struct exchange *exchange)
{
	uint8_t message[QE_DNS_QUERY_MAX];
	size_t len;

	close_socket(forwarder, exchange);
	exchange->id = (uint16_t)forwarder->ops->random(forwarder->ctx);
	len = qe_dns_write_question(
		message, sizeof(message), &exchange->question, exchange->id, !exchange->plain);
	if (len == 0)
		return -ENOMEM;
	QE_TRY(forwarder->ops->open(forwarder->ctx, number_of(forwarder, exchange),
		server_of(exchange), exchange->stream, (struct qe_bytes){message, len}));
	exchange->open = true;
	return QE_OK;
}

/* A name server that cannot be reached is passed over at once. */
static void try_next(struct qe_dns_forwarder *forwarder, struct exchange *exchange, qe_time now)
{
	exchange->stream = false;
	while (exchange->tries < TRIES_MAX && exchange->n_servers > 0 && now < exchange->ends) {
		exchange->tries++;
		if (open_socket(forwarder, exchange) == QE_OK) {
			set_timer(forwarder, exchange, now + FIRST_TRY * (exchange->tries + 1) / 2);
			return;
		}
		qe_dns_shun(&forwarder->shunned, server_of(exchange), now);
	}
	fail(forwarder, exchange, now);
}

static void begin(struct qe_dns_forwarder *forwarder, struct exchange *exchange, qe_time now)
{
	exchange->tries = 0;
	exchange->plain = false;
	qe_dns_order_servers(&forwarder->shunned, exchange->servers, exchange->n_servers, now);
	try_next(forwarder, exchange, now);
}

/* The same server again, the answer was cut short, or it does not know EDNS. */
static void try_again(struct qe_dns_forwarder *forwarder, struct exchange *exchange, bool stream,
	bool plain, qe_time now)
{
	exchange->stream = stream;
	exchange->plain = plain;
	if (open_socket(forwarder, exchange) == QE_OK)
		set_timer(forwarder, exchange, now + 2 * FIRST_TRY);
	else
		try_next(forwarder, exchange, now);
}

/* ---- what servers say ---- */

static bool is_excuse(enum qe_dns_rcode rcode)
{
	return rcode != QE_DNS_NOERROR && rcode != QE_DNS_NXDOMAIN;
}

static void take_answer(struct qe_dns_forwarder *forwarder, struct exchange *exchange,
	const struct qe_dns_answer *answer, struct qe_bytes message, qe_time now)
{
	bool unknown = answer->rcode == QE_DNS_FORMERR || answer->rcode == QE_DNS_NOTIMP;

	qe_dns_forgive(&forwarder->shunned, server_of(exchange));
	if (answer->truncated && !exchange->stream)
		try_again(forwarder, exchange, true, exchange->plain, now);
	else if (unknown && !exchange->plain)
		try_again(forwarder, exchange, exchange->stream, true, now);
	else if (is_excuse(answer->rcode) && exchange->tries < exchange->n_servers)
		try_next(forwarder, exchange, now);
	else
		succeed(forwarder, exchange, message,
			answer->truncated          ? 0
			: is_excuse(answer->rcode) ? FAILURE_TTL
						   : answer->ttl,
			now);
}

static struct exchange *find_open(struct qe_dns_forwarder *forwarder, unsigned number)
{
	struct exchange *exchange = number < QE_DNS_EXCHANGES ? &forwarder->exchanges[number]
							      : nullptr;

	return exchange && exchange->open ? exchange : nullptr;
}

void qe_dns_forwarder_answer(
	struct qe_dns_forwarder *forwarder, unsigned number, struct qe_bytes message, qe_time now)
{
	struct exchange *exchange = find_open(forwarder, number);
	struct qe_dns_answer answer;

	if (!exchange)
		return;
	if (qe_dns_answer_parse(&answer, message, &exchange->question, exchange->id) == QE_OK)
		take_answer(forwarder, exchange, &answer, message, now);
	else
		forwarder->counts.ignored++;
}

void qe_dns_forwarder_broken(struct qe_dns_forwarder *forwarder, unsigned number, qe_time now)
{
	struct exchange *exchange = find_open(forwarder, number);

	if (!exchange)
		return;
	qe_dns_shun(&forwarder->shunned, server_of(exchange), now);
	try_next(forwarder, exchange, now);
}

void qe_dns_forwarder_run(struct qe_dns_forwarder *forwarder, qe_time now)
{
	struct qe_timer *timer;

	while ((timer = qe_heap_pop(&forwarder->timers, now))) {
		struct exchange *exchange = QE_CONTAINER_OF(timer, struct exchange, timer);

		qe_dns_shun(&forwarder->shunned, server_of(exchange), now);
		try_next(forwarder, exchange, now);
	}
}

qe_time qe_dns_forwarder_deadline(const struct qe_dns_forwarder *forwarder)
{
	return qe_heap_next(&forwarder->timers);
}

/* ---- what clients ask ---- */

/* As with any /64 of IPv6: its addresses are the owner's to choose. */
static struct source *source_of(struct qe_dns_forwarder *forwarder, const struct qe_addr *addr)
{
	uint64_t x = 0;

	memcpy(&x, addr->bytes, addr->family == QE_FAMILY_IPV4 ? 4 : 8);
	x ^= forwarder->seed + addr->family;
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return &forwarder->sources[(x ^ x >> 31) % SOURCES];
}

/* All addresses that are nobody's are as one owner's. */
static struct source *owner_of(struct qe_dns_forwarder *forwarder, const struct qe_addr *addr)
{
	return &forwarder->owners[qe_dns_zone_owner(forwarder->zone, addr) % SOURCES];
}

static bool may_ask(struct qe_dns_forwarder *forwarder, struct source *source, qe_time now)
{
	const struct qe_dns_limits *limits = &forwarder->limits;

	return source->waiting < limits->waiting_max &&
	       (limits->interval == 0 ||
		       qe_time_take(&source->full_at, limits->burst, limits->interval, now));
}

/* Most are few: a walk over those under way. */
static struct exchange *find_exchange(
	struct qe_dns_forwarder *forwarder, const struct qe_dns_question *question)
{
	QE_LIST_FOR_EACH (node, &forwarder->in_use) {
		struct exchange *exchange = QE_CONTAINER_OF(node, struct exchange, in_use);

		if (qe_dns_question_equal(&exchange->question, question))
			return exchange;
	}
	return nullptr;
}

/* NULL: all places are taken. */
static struct exchange *take_exchange(
	struct qe_dns_forwarder *forwarder, const struct qe_dns_question *question)
{
	struct exchange *exchange;

	if (qe_list_empty(&forwarder->free_exchanges))
		return nullptr;
	exchange = QE_CONTAINER_OF(forwarder->free_exchanges.next, struct exchange, in_use);
	qe_list_remove(&exchange->in_use);
	qe_list_append(&forwarder->in_use, &exchange->in_use);
	exchange->question = *question;
	exchange->n_servers = qe_dns_zone_servers(
		forwarder->zone, &question->name, forwarder->limits.members, exchange->servers);
	return exchange;
}

static void wait_for(struct qe_dns_forwarder *forwarder, struct exchange *exchange,
	const struct qe_dns_client *client, const struct qe_dns_query *query, struct source *source,
	struct source *owner)
{
	struct waiter *waiter;

	waiter = QE_CONTAINER_OF(forwarder->free_waiters.next, struct waiter, in);
	qe_list_remove(&waiter->in);
	qe_list_append(&exchange->waiters, &waiter->in);
	waiter->client = *client;
	waiter->query = *query;
	waiter->source = source;
	waiter->owner = owner;
	source->waiting++;
	owner->waiting++;
}

static void forward(struct qe_dns_forwarder *forwarder, const struct qe_dns_client *client,
	const struct qe_dns_query *query, struct source *source, qe_time now)
{
	struct exchange *exchange = find_exchange(forwarder, &query->question);
	struct source *owner = owner_of(forwarder, &client->from.addr);
	bool is_new = !exchange;
	bool may = !qe_list_empty(&forwarder->free_waiters) &&
		   owner->waiting < forwarder->limits.owner_waiting_max;

	if (is_new && may)
		exchange = take_exchange(forwarder, &query->question);
	if (!exchange || !may) {
		give_up(forwarder, client, query);
		return;
	}
	wait_for(forwarder, exchange, client, query, source, owner);
	if (is_new) {
		forwarder->counts.forwarded++;
		exchange->ends = now + IN_ALL;
		begin(forwarder, exchange, now);
	}
}

/* A question that asks for no recursion only looks at what others have asked: it is told nothing.
 */
static void answer_query(struct qe_dns_forwarder *forwarder, const struct qe_dns_client *client,
	const struct qe_dns_query *query, struct source *source, qe_time now)
{
	struct qe_dns_own own;
	struct qe_bytes kept;
	uint32_t age;

	if (qe_dns_zone_answer(
		    forwarder->zone, &query->question, forwarder->limits.members, &own)) {
		forwarder->counts.own++;
		reply(forwarder, client,
			qe_dns_write_own(forwarder->message, limit_of(client, query), query, &own));
	} else if (!query->recursion_desired) {
		forwarder->counts.refused++;
		reply_rcode(forwarder, client, query, QE_DNS_REFUSED);
	} else if (qe_dns_cache_get(forwarder->cache, &query->question, now, &kept, &age)) {
		forwarder->counts.cached++;
		relay(forwarder, client, query, kept, age);
	} else {
		forward(forwarder, client, query, source, now);
	}
}

static void refuse(struct qe_dns_forwarder *forwarder, const struct qe_dns_client *client,
	struct qe_bytes message, enum qe_error error, enum qe_dns_rcode rcode)
{
	size_t len = 0;

	forwarder->counts.refused++;
	if (error != QE_ERR_PROTOCOL)
		len = qe_dns_write_refusal(
			forwarder->message, sizeof(forwarder->message), message, rcode);
	reply(forwarder, client, len);
}

void qe_dns_forwarder_ask(struct qe_dns_forwarder *forwarder, const struct qe_dns_client *client,
	struct qe_bytes message, qe_time now)
{
	struct source *source = source_of(forwarder, &client->from.addr);
	enum qe_dns_rcode rcode;
	struct qe_dns_query query;
	enum qe_error error;

	forwarder->counts.queries++;
	if (!may_ask(forwarder, source, now)) {
		forwarder->counts.dropped++;
		reply(forwarder, client, 0);
		return;
	}
	error = qe_dns_query_parse(&query, message, &rcode);
	if (error != QE_OK)
		refuse(forwarder, client, message, error, rcode);
	else if (!forwarder->zone)
		give_up(forwarder, client, &query);
	else
		answer_query(forwarder, client, &query, source, now);
}

/* ---- life ---- */

/* What is under way is asked anew, within its time, or given up if it has become ours to answer. */
static void revise(struct qe_dns_forwarder *forwarder, struct exchange *exchange, qe_time now)
{
	struct qe_endpoint servers[QE_DNS_SERVERS_MAX];
	size_t n = qe_dns_zone_servers(
		forwarder->zone, &exchange->question.name, forwarder->limits.members, servers);
	struct qe_dns_own own;

	if (qe_dns_zone_answer(
		    forwarder->zone, &exchange->question, forwarder->limits.members, &own))
		n = 0;
	memcpy(exchange->servers, servers, n * sizeof(*servers));
	exchange->n_servers = n;
	begin(forwarder, exchange, now);
}

void qe_dns_forwarder_set_zone(
	struct qe_dns_forwarder *forwarder, const struct qe_dns_zone *zone, qe_time now)
{
	forwarder->zone = zone;
	forwarder->shunned = (struct qe_dns_shunned){};
	QE_LIST_FOR_EACH (node, &forwarder->in_use)
		revise(forwarder, QE_CONTAINER_OF(node, struct exchange, in_use), now);
	qe_dns_cache_clear(forwarder->cache);
}

static void init(struct qe_dns_forwarder *forwarder)
{
	qe_heap_init(&forwarder->timers);
	qe_list_init(&forwarder->in_use);
	qe_list_init(&forwarder->free_exchanges);
	qe_list_init(&forwarder->free_waiters);
	for (size_t i = 0; i < QE_DNS_EXCHANGES; i++) {
		qe_list_init(&forwarder->exchanges[i].waiters);
		qe_list_init(&forwarder->exchanges[i].in_use);
		qe_list_append(&forwarder->free_exchanges, &forwarder->exchanges[i].in_use);
	}
	for (size_t i = 0; i < QE_DNS_WAITING; i++) {
		qe_list_init(&forwarder->waiters[i].in);
		qe_list_append(&forwarder->free_waiters, &forwarder->waiters[i].in);
	}
}

enum qe_error qe_dns_forwarder_new(struct qe_dns_forwarder **ret_forwarder,
	const struct qe_dns_limits *limits, const struct qe_dns_ops *ops, void *ctx)
{
	struct qe_dns_forwarder *forwarder = calloc(1, sizeof(*forwarder));
	enum qe_error error;

	if (!forwarder)
		return -ENOMEM;
	forwarder->limits = *limits;
	forwarder->ops = ops;
	forwarder->ctx = ctx;
	forwarder->seed = ops->random(ctx);
	init(forwarder);
	error = qe_heap_reserve(&forwarder->timers, QE_DNS_EXCHANGES);
	if (error == QE_OK)
		error = qe_dns_cache_new(&forwarder->cache, forwarder->seed);
	if (error != QE_OK) {
		qe_dns_forwarder_free(forwarder);
		return error;
	}
	*ret_forwarder = forwarder;
	return QE_OK;
}

struct qe_dns_forwarder *qe_dns_forwarder_free(struct qe_dns_forwarder *forwarder)
{
	if (!forwarder)
		return nullptr;
	QE_LIST_FOR_EACH (node, &forwarder->in_use)
		close_socket(forwarder, QE_CONTAINER_OF(node, struct exchange, in_use));
	qe_heap_done(&forwarder->timers);
	qe_dns_cache_free(forwarder->cache);
	free(forwarder);
	return nullptr;
}

const struct qe_dns_forwarder_counts *qe_dns_forwarder_get_counts(
	const struct qe_dns_forwarder *forwarder)
{
	return &forwarder->counts;
}
