/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The forwarder among simulated servers that answer late, wrong, short or not at all. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dns/forwarder.h"
#include "plain_dns.h"
#include "random.h"

enum temper {
	GOOD,
	LATE,     /* within two seconds */
	SILENT,   /* takes questions and says nothing */
	AWAY,     /* cannot be reached */
	RESETS,   /* the socket breaks a little later */
	FAILING,  /* SERVFAIL */
	SHORT,    /* by UDP only that there is more */
	OLD,      /* FORMERR to EDNS */
	CONFUSED, /* answers to other questions, and with other ids; then the right one */
	TEMPERS
};

constexpr size_t SERVERS = 4;
constexpr size_t CLIENTS = 3000;
constexpr size_t EVENTS = 65536;

struct event {
	qe_time at;
	bool used, broken;
	unsigned exchange;
	uint64_t socket; /* which one of the exchange */
	struct plain_message *message;
};

struct world {
	qe_time now;
	struct qe_dns_forwarder *forwarder;
	enum temper tempers[SERVERS];
	struct event events[EVENTS];
	size_t n_events;
	uint64_t sockets[QE_DNS_EXCHANGES]; /* open: which one; 0: none */
	char questions[QE_DNS_EXCHANGES][300];
	uint64_t n_sockets, opened;
	struct {
		bool asked, answered;
		qe_time at;
		char name[80];
		unsigned type;
	} clients[CLIENTS];
	size_t n_right, n_failed;
};

static struct world world;

/* An address made of the name. */
static void digest(uint8_t to[16], const char *name)
{
	for (size_t i = 0; i < 16; i++)
		to[i] = (uint8_t)tolower(name[i]);
}

/* What every server that is in its right mind says: a name that begins with "n" is none. */
static void true_answer(struct plain_message *to, unsigned id, const char *name, unsigned type)
{
	uint8_t addr[16];

	digest(addr, name);
	plain_begin(to, id, addr[0] == 'n' ? 0x8183 : 0x8180, name, type);
	if (addr[0] == 'n')
		plain_soa(to, "test", 30, 30);
	else
		plain_record(to, 1, name, type, addr[1] % 5, addr, type == 1 ? 4 : 16);
}

static void schedule(unsigned exchange, qe_time delay, const struct plain_message *message)
{
	assert_true(world.n_events < EVENTS);
	world.events[world.n_events] = (struct event){
		world.now + delay, false, !message, exchange, world.sockets[exchange], nullptr};
	if (message) {
		world.events[world.n_events].message = malloc(sizeof(*message));
		memcpy(world.events[world.n_events].message, message, sizeof(*message));
	}
	world.n_events++;
}

static void confuse(unsigned exchange, const struct plain_answer *asked)
{
	struct plain_message message;

	true_answer(&message, asked->id ^ 0x100, asked->question, asked->type);
	schedule(exchange, 1, &message);
	true_answer(&message, asked->id, "evil.more-than-sixteen.test", asked->type);
	schedule(exchange, 2, &message);
	message.len = random_below(message.len);
	schedule(exchange, 3, &message);
	true_answer(&message, asked->id, asked->question, asked->type == 1 ? 28 : 1);
	schedule(exchange, 4, &message);
}

static void serve(
	unsigned exchange, enum temper temper, bool stream, const struct plain_answer *asked)
{
	qe_time delay = random_below(50 * QE_MILLISECOND);
	struct plain_message message;

	if (temper == SILENT)
		return;
	if (temper == RESETS) {
		schedule(exchange, delay, nullptr);
		return;
	}
	if (temper == LATE)
		delay = random_below(2 * QE_SECOND);
	if (temper == CONFUSED)
		confuse(exchange, asked);
	true_answer(&message, asked->id, asked->question, asked->type);
	if (temper == FAILING)
		plain_begin(&message, asked->id, 0x8182, asked->question, asked->type);
	if (temper == SHORT && !stream)
		plain_begin(&message, asked->id, 0x8380, asked->question, asked->type);
	if (temper == OLD && asked->has_edns) {
		plain_begin(&message, asked->id, 0x8181, asked->question, asked->type);
		message.len = 12;
		message.data[5] = 0;
	}
	schedule(exchange, delay + 5, &message);
}

static enum qe_error open_socket(void *, unsigned exchange, const struct qe_endpoint *server,
	bool stream, struct qe_bytes message)
{
	enum temper temper = world.tempers[server->addr.bytes[3]];
	struct plain_answer asked;

	assert_int_equal(world.sockets[exchange], 0);
	if (temper == AWAY)
		return -ENETUNREACH;
	assert_true(plain_read(&asked, message.data, message.len));
	snprintf(world.questions[exchange], sizeof(world.questions[exchange]), "%s%u",
		asked.question, asked.type);
	for (unsigned i = 0; i < QE_DNS_EXCHANGES; i++) {
		if (i != exchange && world.sockets[i] != 0)
			assert_string_not_equal(world.questions[i], world.questions[exchange]);
	}
	world.sockets[exchange] = ++world.n_sockets;
	world.opened++;
	serve(exchange, temper, stream, &asked);
	return QE_OK;
}

static void close_socket(void *, unsigned exchange)
{
	assert_int_not_equal(world.sockets[exchange], 0);
	world.sockets[exchange] = 0;
}

static void reply(void *, const struct qe_dns_client *client, struct qe_bytes message)
{
	auto asked = &world.clients[client->cookie];
	struct plain_answer answer;
	struct plain_message expected;
	uint8_t addr[16];

	assert_true(asked->asked && !asked->answered);
	asked->answered = true;
	assert_true(world.now - asked->at <= 5 * QE_SECOND);
	assert_true(plain_read(&answer, message.data, message.len));
	assert_int_equal(answer.id, client->cookie);
	assert_string_equal(answer.question, asked->name);
	assert_int_equal(answer.type, asked->type);
	if (answer.rcode == 2) {
		world.n_failed++;
		return;
	}
	world.n_right++;
	true_answer(&expected, 0, asked->name, asked->type);
	assert_int_equal(answer.rcode, expected.data[3] & 15);
	assert_int_equal(answer.n_rrs, 1);
	digest(addr, asked->name);
	if (answer.rcode == 0)
		assert_memory_equal(answer.rrs[0].data, addr, answer.rrs[0].len);
}

static void drop(void *, const struct qe_dns_client *)
{
	fail_msg("nobody is dropped here");
}

static uint64_t random_id(void *)
{
	return random_u64();
}

static const struct qe_dns_ops ops = {open_socket, close_socket, reply, drop, random_id};

static void ask_for(size_t number, const char *name, unsigned type, uint8_t source)
{
	const struct qe_dns_client client = {.from = {.addr = {QE_FAMILY_IPV4, {10, 0, 0, source}}},
		.cookie = number,
		.stream = number % 2};
	auto asked = &world.clients[number];
	struct plain_message message;

	snprintf(asked->name, sizeof(asked->name), "%s", name);
	asked->type = type;
	asked->at = world.now;
	asked->asked = true;
	plain_begin(&message, (unsigned)number, 0x0100, asked->name, asked->type);
	qe_dns_forwarder_ask(
		world.forwarder, &client, (struct qe_bytes){message.data, message.len}, world.now);
}

static void ask(size_t number)
{
	char name[80];

	snprintf(name, sizeof(name), "%c%c%zu.more-than-sixteen-bytes.test.",
		"anx"[random_below(3)], "ABCDEFGHIJ"[random_below(10)], random_below(20));
	ask_for(number, name, random_below(2) ? 1 : 28, 0);
}

static qe_time next_event(void)
{
	qe_time next = qe_dns_forwarder_deadline(world.forwarder);

	for (size_t i = 0; i < world.n_events; i++) {
		if (!world.events[i].used)
			next = qe_time_min(next, world.events[i].at);
	}
	return next;
}

static void handle(struct event *event)
{
	event->used = true;
	if (world.sockets[event->exchange] == event->socket) {
		if (event->broken)
			qe_dns_forwarder_broken(world.forwarder, event->exchange, world.now);
		else
			qe_dns_forwarder_answer(world.forwarder, event->exchange,
				(struct qe_bytes){event->message->data, event->message->len},
				world.now);
	}
	free(event->message);
}

static void run_until(qe_time end)
{
	for (qe_time next; (next = next_event()) <= end;) {
		world.now = qe_time_max(world.now, next);
		for (size_t i = 0; i < world.n_events; i++) {
			if (!world.events[i].used && world.events[i].at <= world.now)
				handle(&world.events[i]);
		}
		qe_dns_forwarder_run(world.forwarder, world.now);
		while (world.n_events > 0 && world.events[world.n_events - 1].used)
			world.n_events--;
	}
	world.now = end;
}

static struct qe_dns_zone *make_zone(size_t n_servers)
{
	struct qe_dns_settings settings = {
		.n_upstream = n_servers, .n_members_upstream = n_servers};
	struct qe_dns_zone *zone = nullptr;

	for (uint8_t i = 0; i < n_servers; i++)
		settings.upstream[i] = settings.members_upstream[i] = (struct qe_endpoint){
			.addr = {QE_FAMILY_IPV4, {9, 9, 9, i}}};
	assert_int_equal(qe_dns_zone_new(&zone, &settings), QE_OK);
	return zone;
}

static void start(const struct qe_dns_limits *limits)
{
	memset(&world, 0, sizeof(world));
	world.now = QE_SECOND;
	assert_int_equal(qe_dns_forwarder_new(&world.forwarder, limits, &ops, nullptr), QE_OK);
}

/* Each question led to one of these. */
static void check_books(void)
{
	const struct qe_dns_forwarder_counts *counts = qe_dns_forwarder_get_counts(world.forwarder);

	assert_int_equal(counts->queries, counts->own + counts->cached + counts->refused +
						  counts->dropped + counts->relayed +
						  counts->failed);
}

static void stop(struct qe_dns_zone *zone)
{
	for (size_t i = 0; i < world.n_events; i++) {
		if (!world.events[i].used)
			free(world.events[i].message);
	}
	qe_dns_forwarder_free(world.forwarder);
	qe_dns_zone_free(zone);
}

static const struct qe_dns_limits unlimited = {
	.waiting_max = QE_DNS_WAITING, .owner_waiting_max = QE_DNS_WAITING};

static void run_world(bool with_good)
{
	struct qe_dns_zone *zone = make_zone(SERVERS), *next;

	start(&unlimited);
	qe_dns_forwarder_set_zone(world.forwarder, zone, world.now);
	for (size_t i = 0; i < CLIENTS; i++) {
		if (i % 500 == 0) {
			for (size_t j = 0; j < SERVERS; j++)
				world.tempers[j] = random_below(TEMPERS);
			if (with_good)
				world.tempers[random_below(SERVERS)] = GOOD;
		}
		if (i == CLIENTS / 2) {
			next = make_zone(SERVERS - 1);
			qe_dns_forwarder_set_zone(world.forwarder, next, world.now);
			qe_dns_zone_free(zone);
			zone = next;
		}
		ask(i);
		if (random_below(4) == 0)
			run_until(world.now + random_below(100 * QE_MILLISECOND));
	}
	run_until(world.now + 6 * QE_SECOND);
	assert_int_equal(qe_dns_forwarder_deadline(world.forwarder), QE_TIME_NEVER);
	for (size_t i = 0; i < CLIENTS; i++)
		assert_true(world.clients[i].answered);
	for (unsigned i = 0; i < QE_DNS_EXCHANGES; i++)
		assert_int_equal(world.sockets[i], 0);
	check_books();
	stop(zone);
}

/* Each is answered once, within five seconds, with the truth or with "cannot". */
static void test_random(void **)
{
	for (int round = 0; round < 6; round++)
		run_world(round % 2);
	assert_true(world.n_right > CLIENTS / 2);
}

static const struct qe_dns_forwarder_counts *counts(void)
{
	return qe_dns_forwarder_get_counts(world.forwarder);
}

/* One question many times is one exchange; then it is known, until its time is over. */
static void test_joined_and_kept(void **)
{
	struct qe_dns_zone *zone = make_zone(1);

	start(&unlimited);
	qe_dns_forwarder_set_zone(world.forwarder, zone, world.now);
	for (size_t i = 0; i < 20; i++)
		ask_for(i, i % 2 ? "aC.more-than-sixteen.test." : "AC.MORE-than-sixteen.test.", 28,
			0);
	run_until(world.now + QE_SECOND);
	assert_int_equal(counts()->relayed, 20);
	for (size_t i = 20; i < 30; i++)
		ask_for(i, "aC.more-than-sixteen.test.", 28, 0);
	assert_int_equal(counts()->cached, 10);
	run_until(world.now + 5 * QE_SECOND);
	ask_for(30, "aC.more-than-sixteen.test.", 28, 0);
	run_until(world.now + QE_SECOND);
	assert_int_equal(counts()->forwarded, 2);
	assert_int_equal(world.opened, 2);
	stop(zone);
}

/* What one source cannot get, another still does. */
static void test_limits(void **)
{
	static const struct qe_dns_limits limits = {.members = true,
		.burst = 50,
		.interval = 10 * QE_MILLISECOND,
		.waiting_max = 20,
		.owner_waiting_max = QE_DNS_WAITING};
	struct qe_dns_zone *zone = make_zone(1);
	char name[80];

	start(&limits);
	world.tempers[0] = SILENT;
	qe_dns_forwarder_set_zone(world.forwarder, zone, world.now);
	for (size_t i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "a%zu.more-than-sixteen-bytes.test.", i);
		ask_for(2 * i, name, 1, 1);
	}
	assert_int_equal(counts()->forwarded, 20);
	assert_int_equal(counts()->dropped, 980);
	ask_for(2001, "ab.more-than-sixteen-bytes.test.", 1, 2);
	assert_int_equal(counts()->forwarded, 21);
	/* A second later all wait no more, and so many questions are granted. */
	run_until(world.now + 6 * QE_SECOND);
	world.tempers[0] = GOOD;
	for (size_t i = 0; i < 100; i++) {
		ask_for(2100 + 2 * i, "ab.more-than-sixteen-bytes.test.", 1, 1);
		run_until(world.now + QE_MICROSECOND);
	}
	assert_int_equal(counts()->dropped, 980 + 80);
	assert_int_equal(world.n_failed, 21);
	stop(zone);
}

/* A member who has many addresses is one member: half of the places are for others. */
static void test_owner(void **)
{
	static const struct qe_dns_limits limits = {.members = true,
		.waiting_max = QE_DNS_WAITING,
		.owner_waiting_max = QE_DNS_EXCHANGES / 2};
	static const struct qe_dns_owner owners[] = {{{{QE_FAMILY_IPV4, {10, 0, 0, 0}}, 24}, 1},
		{{{QE_FAMILY_IPV4, {10, 0, 0, 7}}, 32}, 2}};
	const struct qe_dns_settings settings = {.owners = owners,
		.n_owners = 2,
		.members_upstream = {{.addr = {QE_FAMILY_IPV4, {9, 9, 9, 0}}}},
		.n_members_upstream = 1};
	struct qe_dns_zone *zone;
	char name[80];

	assert_int_equal(qe_dns_zone_new(&zone, &settings), QE_OK);
	start(&limits);
	world.tempers[0] = SILENT;
	qe_dns_forwarder_set_zone(world.forwarder, zone, world.now);
	for (size_t i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "a%zu.more-than-sixteen-bytes.test.", i);
		ask_for(i, name, 1, (uint8_t)(100 + i % 100));
	}
	assert_int_equal(counts()->forwarded, QE_DNS_EXCHANGES / 2);
	assert_int_equal(world.n_failed, 1000 - QE_DNS_EXCHANGES / 2);
	ask_for(1000, "ab.more-than-sixteen-bytes.test.", 1, 7);
	assert_int_equal(counts()->forwarded, QE_DNS_EXCHANGES / 2 + 1);
	run_until(world.now + 6 * QE_SECOND);
	ask_for(1001, "ac.more-than-sixteen-bytes.test.", 1, 100);
	assert_int_equal(counts()->forwarded, QE_DNS_EXCHANGES / 2 + 2);
	run_until(world.now + 6 * QE_SECOND);
	check_books();
	stop(zone);
}

/* All places are taken: a plain no, at once. */
static void test_full(void **)
{
	struct qe_dns_zone *zone = make_zone(1);
	char name[80];

	start(&unlimited);
	world.tempers[0] = SILENT;
	qe_dns_forwarder_set_zone(world.forwarder, zone, world.now);
	for (size_t i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "a%zu.more-than-sixteen-bytes.test.", i);
		ask_for(i, name, 1, 0);
	}
	assert_int_equal(world.n_failed, 1000 - QE_DNS_EXCHANGES);
	stop(zone);
}

/* ---- resolvers that ask one another ---- */

struct ring {
	struct qe_dns_forwarder *forwarders[3];
	qe_time now;
	unsigned questions, answers;
	struct flight {
		bool is_answer;
		unsigned from, exchange;
		struct plain_message message;
	} flights[256];
	size_t n, done;
};

static struct ring ring;

struct seat {
	unsigned number;
};

static struct flight *new_flight(void)
{
	assert_true(ring.n < 256);
	return &ring.flights[ring.n++];
}

static enum qe_error ring_open(
	void *ctx, unsigned exchange, const struct qe_endpoint *, bool, struct qe_bytes message)
{
	struct flight *flight = new_flight();

	*flight = (struct flight){.from = ((struct seat *)ctx)->number, .exchange = exchange};
	memcpy(flight->message.data, message.data, message.len);
	flight->message.len = message.len;
	ring.questions++;
	return QE_OK;
}

static void ring_close(void *, unsigned)
{
}

/* The cookie says who has asked, and by which exchange. */
static void ring_reply(void *, const struct qe_dns_client *client, struct qe_bytes message)
{
	struct flight *flight;

	if (client->cookie == UINT64_MAX) {
		ring.answers++;
		return;
	}
	flight = new_flight();
	*flight = (struct flight){.is_answer = true,
		.from = (unsigned)(client->cookie >> 32),
		.exchange = (unsigned)client->cookie};
	memcpy(flight->message.data, message.data, message.len);
	flight->message.len = message.len;
}

static void deliver(const struct flight *flight)
{
	const struct qe_dns_client client = {
		.from = {.addr = {QE_FAMILY_IPV4, {10, 0, 0, (uint8_t)flight->from}}},
		.cookie = (uint64_t)flight->from << 32 | flight->exchange};
	struct qe_bytes bytes = {flight->message.data, flight->message.len};

	if (flight->is_answer)
		qe_dns_forwarder_answer(
			ring.forwarders[flight->from], flight->exchange, bytes, ring.now);
	else
		qe_dns_forwarder_ask(
			ring.forwarders[(flight->from + 1) % 3], &client, bytes, ring.now);
}

/* A asks B, B asks C, C asks A: it ends, after few messages, and whoever asked is told. */
static void test_circle(void **)
{
	static const struct qe_dns_ops ring_ops = {
		ring_open, ring_close, ring_reply, drop, random_id};
	static struct seat seats[3] = {{0}, {1}, {2}};
	struct qe_dns_zone *zone = make_zone(1);
	const struct qe_dns_client client = {.cookie = UINT64_MAX};
	struct plain_message message;

	memset(&ring, 0, sizeof(ring));
	ring.now = QE_SECOND;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(
			qe_dns_forwarder_new(&ring.forwarders[i], &unlimited, &ring_ops, &seats[i]),
			QE_OK);
		qe_dns_forwarder_set_zone(ring.forwarders[i], zone, ring.now);
	}
	plain_begin(&message, 1, 0x0100, "round.and.round.test", 1);
	qe_dns_forwarder_ask(ring.forwarders[0], &client,
		(struct qe_bytes){message.data, message.len}, ring.now);
	for (; ring.now < 10 * QE_SECOND; ring.now += QE_MILLISECOND) {
		while (ring.done < ring.n)
			deliver(&ring.flights[ring.done++]);
		for (unsigned i = 0; i < 3; i++)
			qe_dns_forwarder_run(ring.forwarders[i], ring.now);
	}
	assert_int_equal(ring.answers, 1);
	print_message("%u questions\n", ring.questions);
	assert_in_range(ring.questions, 3, 24);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(qe_dns_forwarder_deadline(ring.forwarders[i]), QE_TIME_NEVER);
		qe_dns_forwarder_free(ring.forwarders[i]);
	}
	qe_dns_zone_free(zone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_joined_and_kept),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_circle),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
