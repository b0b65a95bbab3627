/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Any bytes as a client's question and as what servers answer, to that question and to one of our
 * own. Input: a byte of choices, a byte that says how long the question is, the question, the
 * answer. Beyond memory errors: whoever asks gets one answer at most, of the size that he takes,
 * with his id.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dns/forwarder.h"
#include "dns/lookup.h"

enum { BY_TCP = 1, RIGHT_ID = 2, ONE_SERVER_AWAY = 4, SAME_QUESTION = 8 };

static struct {
	uint8_t choices;
	bool asked, replied;
	int exchange; /* -1: none is open */
	uint8_t id[2];
	uint8_t question[QE_DNS_QUERY_MAX]; /* as put to the server */
	size_t question_len;
} world = {.exchange = -1};

static enum qe_error open_socket(
	void *, unsigned exchange, const struct qe_endpoint *server, bool, struct qe_bytes message)
{
	if ((world.choices & ONE_SERVER_AWAY) && server->port == 1)
		return QE_ERR_CLOSED;
	assert(message.len > 12 && message.len <= QE_DNS_QUERY_MAX);
	world.exchange = (int)exchange;
	memcpy(world.question, message.data, message.len);
	world.question_len = message.len;
	return QE_OK;
}

static void close_socket(void *, unsigned exchange)
{
	assert(world.exchange == (int)exchange);
	world.exchange = -1;
}

static void reply(void *, const struct qe_dns_client *client, struct qe_bytes message)
{
	assert(world.asked && !world.replied);
	world.replied = true;
	assert(message.len >= 12 &&
		message.len <= (client->stream ? QE_DNS_ANSWER_MAX : QE_DNS_UDP_MAX));
	assert(memcmp(message.data, world.id, 2) == 0 && message.data[2] & 0x80);
}

static void drop(void *, const struct qe_dns_client *)
{
	assert(world.asked && !world.replied);
	world.replied = true;
}

static uint64_t random_id(void *)
{
	return 0x1234;
}

static const struct qe_dns_ops ops = {open_socket, close_socket, reply, drop, random_id};

static struct qe_dns_zone *make_zone(void)
{
	static const struct qe_addr addrs[] = {
		{QE_FAMILY_IPV4, {100, 64, 0, 1}}, {QE_FAMILY_IPV6, {0xfd, [15] = 1}}};
	static const struct qe_dns_node nodes[] = {{"laptop", addrs, 2}};
	static const struct qe_prefix overlay = {{QE_FAMILY_IPV4, {100, 64}}, 10};
	static const struct qe_dns_domain domains[] = {{"corp", {.port = 3}}};
	static const struct qe_dns_settings settings = {.network = "quicether",
		.nodes = nodes,
		.n_nodes = 1,
		.overlay = &overlay,
		.n_overlay = 1,
		.domains = domains,
		.n_domains = 1,
		.upstream = {{.port = 1}, {.port = 2}},
		.n_upstream = 2,
		.members_upstream = {{.port = 2}},
		.n_members_upstream = 1};
	struct qe_dns_zone *zone;

	if (qe_dns_zone_new(&zone, &settings) != QE_OK)
		abort();
	return zone;
}

/* The answer, made to fit what was asked as far as the choices say. */
static size_t make_answer(uint8_t to[QE_DNS_ANSWER_MAX], struct qe_bytes answer)
{
	size_t len = answer.len < QE_DNS_ANSWER_MAX ? answer.len : QE_DNS_ANSWER_MAX;
	/* All but EDNS, which is last if it is there. */
	size_t head = world.question_len - (world.question[11] ? 11 : 0);

	memcpy(to, answer.data, len);
	if (world.choices & RIGHT_ID && len >= 3) {
		memcpy(to, world.question, 2);
		to[2] |= 0x80;
	}
	if (world.choices & SAME_QUESTION && len > head) {
		to[4] = 0;
		to[5] = 1;
		memcpy(to + 12, world.question + 12, head - 12);
	}
	return len;
}

static void ask(struct qe_dns_forwarder *forwarder, struct qe_bytes question,
	struct qe_bytes answer, qe_time now)
{
	const struct qe_dns_client client = {.stream = world.choices & BY_TCP};
	uint8_t message[QE_DNS_ANSWER_MAX];

	world.asked = true;
	world.replied = false;
	memcpy(world.id, question.data, question.len < 2 ? 0 : 2);
	qe_dns_forwarder_ask(forwarder, &client, question, now);
	for (int i = 0; i < 4 && world.exchange >= 0; i++) {
		size_t len = make_answer(message, answer);

		qe_dns_forwarder_answer(
			forwarder, (unsigned)world.exchange, (struct qe_bytes){message, len}, now);
	}
	for (int i = 0; i < 10; i++)
		qe_dns_forwarder_run(forwarder, now + (qe_time)i * QE_SECOND);
	assert(world.exchange < 0 && qe_dns_forwarder_deadline(forwarder) == QE_TIME_NEVER);
}

static void look_up(struct qe_bytes answer)
{
	struct qe_dns_lookup lookup;
	enum qe_dns_progress progress = QE_DNS_ASK;
	uint8_t message[QE_DNS_ANSWER_MAX];
	unsigned asks = 0;

	if (qe_dns_lookup_init(&lookup, "peer.example", 1) != QE_OK)
		abort();
	while (progress != QE_DNS_DONE) {
		size_t len;

		if (progress == QE_DNS_ASK) {
			assert(++asks <= 16);
			for (unsigned half = 0; half < 2; half++)
				world.question_len = qe_dns_lookup_question(
					&lookup, half, half, world.question, QE_DNS_QUERY_MAX);
			qe_dns_lookup_sent(&lookup, 1);
		}
		len = make_answer(message, answer);
		progress = qe_dns_lookup_answer(&lookup, (struct qe_bytes){message, len});
		if (progress == QE_DNS_WAIT)
			progress = qe_dns_lookup_failed(&lookup);
	}
	assert(lookup.n <= QE_DNS_LOOKUP_ADDRS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct qe_dns_forwarder *forwarders[2];
	static struct qe_dns_zone *zone;
	struct qe_reader reader = qe_reader_init((struct qe_bytes){data, len});
	struct qe_bytes question, answer;

	for (size_t i = 0; i < 2 && !forwarders[i]; i++) {
		const struct qe_dns_limits limits = {.members = i, .waiting_max = 8};

		zone = zone ? zone : make_zone();
		if (qe_dns_forwarder_new(&forwarders[i], &limits, &ops, nullptr) != QE_OK)
			abort();
	}
	world.choices = qe_read_u8(&reader);
	question = qe_read_bytes(&reader, qe_read_u8(&reader));
	answer = qe_read_bytes(&reader, qe_reader_left(&reader));
	if (reader.error != QE_OK)
		return 0;
	for (size_t i = 0; i < 2; i++) {
		qe_dns_forwarder_set_zone(forwarders[i], zone, 1);
		ask(forwarders[i], question, answer, 1);
		ask(forwarders[i], question, answer, 2);
	}
	look_up(answer);
	return 0;
}
