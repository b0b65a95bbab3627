/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What is read and written, against messages made and read byte by byte. */
#include <string.h>
#include <strings.h>

#include "dns/message.h"
#include "plain_dns.h"
#include "random.h"

static struct qe_bytes bytes(const struct plain_message *message)
{
	return (struct qe_bytes){message->data, message->len};
}

static struct qe_dns_query read_query(const struct plain_message *message)
{
	struct qe_dns_query query;
	enum qe_dns_rcode rcode;

	assert_int_equal(qe_dns_query_parse(&query, bytes(message), &rcode), QE_OK);
	return query;
}

static struct qe_dns_query question(const char *name, unsigned type, bool edns, unsigned size)
{
	struct plain_message message;

	plain_begin(&message, 0x1234, 0x0100, name, type);
	if (edns)
		plain_edns(&message, size, 0, false);
	return read_query(&message);
}

/* ---- questions ---- */

static void test_query(void **)
{
	struct plain_message message;
	struct qe_dns_query query;
	struct qe_dns_name name;

	plain_begin(&message, 0xabcd, 0x0110, "Www.Example", 65);
	plain_edns(&message, 4096, 0, true);
	query = read_query(&message);
	assert_int_equal(query.id, 0xabcd);
	assert_int_equal(qe_dns_name_parse(&name, "www.example"), QE_OK);
	assert_true(qe_dns_name_equal(&query.question.name, &name));
	assert_memory_equal(query.spelling, "\3Www\7Example", 13);
	assert_int_equal(query.question.type, 65);
	assert_true(query.question.checking_disabled && query.question.dnssec_ok);
	assert_true(query.recursion_desired && query.authentic && query.edns);
	assert_int_equal(query.udp_size, QE_DNS_UDP_MAX);

	plain_begin(&message, 1, 0, ".", 2);
	query = read_query(&message);
	assert_int_equal(query.question.name.len, 1);
	assert_false(query.recursion_desired || query.edns || query.authentic);
	assert_int_equal(query.udp_size, 512);
}

static enum qe_error refused(const struct plain_message *message, enum qe_dns_rcode *ret_rcode)
{
	struct plain_message answer;
	struct plain_answer read;
	struct qe_dns_query query;
	enum qe_error error = qe_dns_query_parse(&query, bytes(message), ret_rcode);

	assert_int_not_equal(error, QE_OK);
	if (error == QE_ERR_PROTOCOL)
		return error;
	answer.len = qe_dns_write_refusal(
		answer.data, sizeof(answer.data), bytes(message), *ret_rcode);
	assert_true(plain_read(&read, answer.data, answer.len));
	assert_int_equal(read.id, plain_get_u16(message->data));
	assert_int_equal(read.rcode, *ret_rcode);
	assert_true(read.flags & 0x8000);
	return error;
}

static void test_refused(void **)
{
	struct plain_message message;
	enum qe_dns_rcode rcode;

	plain_begin(&message, 1, 0x8100, "a.test", 1); /* an answer */
	assert_int_equal(refused(&message, &rcode), QE_ERR_PROTOCOL);
	plain_begin(&message, 1, 0x0100, "a.test", 1);
	message.len = 11;
	assert_int_equal(refused(&message, &rcode), QE_ERR_PROTOCOL);
	plain_begin(&message, 1, 0x2900, "a.test", 1); /* an update */
	assert_int_not_equal(refused(&message, &rcode), QE_OK);
	assert_int_equal(rcode, QE_DNS_NOTIMP);
	for (unsigned section = 0; section < 3; section++) {
		plain_begin(&message, 1, 0x0100, "a.test", 1);
		if (section > 0)
			plain_record(&message, section, "a.test", 1, 1, "abcd", 4);
		else
			plain_count(&message, 0);
		assert_int_not_equal(refused(&message, &rcode), QE_OK);
		assert_int_equal(rcode, QE_DNS_FORMERR);
	}
	plain_begin(&message, 1, 0x0100, "a.test", 252); /* a transfer */
	assert_int_not_equal(refused(&message, &rcode), QE_OK);
	assert_int_equal(rcode, QE_DNS_NOTIMP);
	plain_begin(&message, 1, 0x0100, "version.bind", 16);
	message.data[message.len - 1] = 3; /* class CHAOS */
	assert_int_not_equal(refused(&message, &rcode), QE_OK);
	assert_int_equal(rcode, QE_DNS_REFUSED);
	plain_begin(&message, 1, 0x0100, "a.test", 1);
	plain_edns(&message, 1232, 1, false);
	assert_int_not_equal(refused(&message, &rcode), QE_OK);
	assert_int_equal(rcode, QE_DNS_BADVERS);
}

/* Cut anywhere, a question is none, and nothing worse. */
static void test_cut(void **)
{
	struct plain_message message;
	enum qe_dns_rcode rcode;
	size_t len;

	plain_begin(&message, 1, 0x0100, "www.example.test", 1);
	plain_edns(&message, 1232, 0, true);
	len = message.len;
	for (message.len = 0; message.len < len; message.len++)
		assert_int_not_equal(refused(&message, &rcode), QE_OK);
}

static void test_write_question(void **)
{
	for (unsigned i = 0; i < 16; i++) {
		bool edns = i & 1;
		struct qe_dns_question asked = {
			.type = 28, .checking_disabled = i & 2, .dnssec_ok = i & 4};
		struct plain_answer read;
		uint8_t to[QE_DNS_QUERY_MAX];
		size_t len;

		assert_int_equal(qe_dns_name_parse(&asked.name, "A.Example"), QE_OK);
		len = qe_dns_write_question(to, sizeof(to), &asked, 0xbeef, edns);
		assert_true(plain_read(&read, to, len));
		assert_int_equal(read.id, 0xbeef);
		assert_int_equal(read.flags & ~0x0010u, 0x0120);
		assert_int_equal(!!(read.flags & 0x0010), asked.checking_disabled);
		assert_string_equal(read.question, "a.example.");
		assert_int_equal(read.type, 28);
		assert_int_equal(read.has_edns, edns);
		assert_int_equal(read.dnssec, edns && asked.dnssec_ok);
		assert_int_equal(qe_dns_write_question(to, len - 1, &asked, 1, edns), 0);
	}
}

/* ---- our own answers ---- */

static void test_own(void **)
{
	struct qe_addr addrs[60];
	struct qe_dns_name zone, target;
	struct qe_dns_own own = {.ttl = 60, .addrs = addrs, .n_addrs = 60, .authoritative = true};
	struct plain_answer read;
	uint8_t to[QE_DNS_ANSWER_MAX];

	assert_int_equal(qe_dns_name_parse(&zone, "net.internal"), QE_OK);
	assert_int_equal(qe_dns_name_parse(&target, "a.net.internal"), QE_OK);
	own.zone = &zone;
	for (size_t i = 0; i < 60; i++) {
		addrs[i] = (struct qe_addr){.family = i % 3 ? QE_FAMILY_IPV6 : QE_FAMILY_IPV4};
		random_fill(addrs[i].bytes, i % 3 ? 16 : 4);
	}
	for (unsigned i = 0; i < 8; i++) {
		struct qe_dns_query query = question(
			"A.net.Internal", i & 1 ? 28 : 1, i & 2, i & 4 ? 600 : 4096);
		size_t n = 0, len = qe_dns_write_own(to, query.udp_size, &query, &own);
		bool cut = query.udp_size < (i & 1 ? 40 * 28 : 20 * 16) + 43;

		assert_true(plain_read(&read, to, len));
		assert_true(len <= query.udp_size);
		assert_string_equal(read.question, "A.net.Internal.");
		assert_int_equal(read.has_edns, query.edns);
		assert_int_equal(!!(read.flags & 0x0200), cut);
		for (size_t j = 0; j < 60 && !cut; j++) {
			if ((addrs[j].family == QE_FAMILY_IPV6) != (i & 1))
				continue;
			assert_memory_equal(read.rrs[n].data, addrs[j].bytes, i & 1 ? 16 : 4);
			assert_string_equal(read.rrs[n].name, "A.net.Internal.");
			assert_int_equal(read.rrs[n++].ttl, 60);
		}
		assert_int_equal(read.n_rrs, n);
	}
	/* Another type: nothing, and for how long that holds. */
	own.target = &target;
	struct qe_dns_query query = question("A.net.internal", 16, false, 0);
	assert_true(plain_read(&read, to, qe_dns_write_own(to, 512, &query, &own)));
	assert_int_equal(read.rcode, 0);
	assert_int_equal(read.n_rrs, 1);
	assert_int_equal(read.rrs[0].type, 6);
	assert_int_equal(read.rrs[0].section, 2);
	assert_string_equal(read.rrs[0].name, "net.internal.");
	query = question("1.0.64.100.in-addr.arpa", 12, false, 0);
	assert_true(plain_read(&read, to, qe_dns_write_own(to, 512, &query, &own)));
	assert_int_equal(read.n_rrs, 1);
	assert_memory_equal(read.rrs[0].data, target.wire, target.len);
}

/* ---- answers of servers ---- */

static enum qe_error parse_answer(
	struct qe_dns_answer *to, const struct plain_message *message, const char *name)
{
	struct qe_dns_question asked = {.type = 1};

	assert_int_equal(qe_dns_name_parse(&asked.name, name), QE_OK);
	return qe_dns_answer_parse(to, bytes(message), &asked, 7);
}

static void test_answer(void **)
{
	struct plain_message message;
	struct qe_dns_answer answer;

	plain_begin(&message, 7, 0x8180, "A.Test", 1);
	plain_record(&message, 1, "a.test", 1, 300, "abcd", 4);
	plain_record(&message, 1, "a.test", 1, 200, "abce", 4);
	plain_edns(&message, 1232, 0, false);
	assert_int_equal(parse_answer(&answer, &message, "a.test"), QE_OK);
	assert_int_equal(answer.rcode, 0);
	assert_int_equal(answer.ttl, 200);
	assert_false(answer.truncated);
	/* To another question, with another id, no answer at all. */
	assert_int_equal(parse_answer(&answer, &message, "b.test"), QE_ERR_PROTOCOL);
	message.data[1] = 8;
	assert_int_equal(parse_answer(&answer, &message, "a.test"), QE_ERR_PROTOCOL);
	message.data[1] = 7;
	message.data[2] = 1;
	assert_int_equal(parse_answer(&answer, &message, "a.test"), QE_ERR_PROTOCOL);
	message.data[2] = 0x83;
	assert_int_equal(parse_answer(&answer, &message, "a.test"), QE_OK);
	assert_true(answer.truncated);
	/* Of another type. */
	plain_begin(&message, 7, 0x8180, "a.test", 28);
	assert_int_equal(parse_answer(&answer, &message, "a.test"), QE_ERR_PROTOCOL);
	/* Without its question: only where it was not understood. */
	plain_begin(&message, 7, 0x8181, "a.test", 1);
	message.len = 12;
	message.data[5] = 0;
	assert_int_equal(parse_answer(&answer, &message, "a.test"), QE_OK);
	assert_int_equal(answer.rcode, QE_DNS_FORMERR);
	message.data[3] = 0x83;
	assert_int_equal(parse_answer(&answer, &message, "a.test"), QE_ERR_PROTOCOL);
}

static void test_ttl(void **)
{
	static const struct {
		unsigned rcode;
		bool answer, soa;
		uint32_t ttl, minimum, expected;
	} rows[] = {
		{0, true, false, 100, 0, 100},
		{0, true, false, 1000000, 0, 3600},
		{0, true, false, 0x80000000, 0, 0},
		{0, true, false, 0, 0, 0},
		{0, true, true, 100, 50, 100},
		{0, false, true, 100, 50, 50},
		{3, false, true, 40, 50, 40},
		{3, false, true, 4000, 5000, 300},
		{3, true, true, 40, 30, 30},
		{3, false, false, 0, 0, 0},
		{0, false, false, 0, 0, 0},
		{2, true, true, 100, 100, 0},
		{5, false, true, 100, 100, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct plain_message message;
		struct qe_dns_answer answer;

		plain_begin(&message, 7, 0x8180 | rows[i].rcode, "a.test", 1);
		if (rows[i].answer)
			plain_record(&message, 1, "a.test", 1, rows[i].ttl, "abcd", 4);
		if (rows[i].soa)
			plain_soa(&message, "test", rows[i].ttl, rows[i].minimum);
		assert_int_equal(parse_answer(&answer, &message, "a.test"), QE_OK);
		assert_int_equal(answer.ttl, rows[i].expected);
	}
}

/* Every record comes through as it was, types nobody knows as well, only older. */
static void test_relayed(void **)
{
	for (unsigned round = 0; round < 300; round++) {
		struct qe_dns_query query = question("Www.Test", 1, round & 1, 1232);
		uint32_t age = (uint32_t)random_below(100);
		struct plain_message message;
		struct plain_answer before, after;
		uint8_t to[QE_DNS_ANSWER_MAX];
		size_t n = random_below(20), len;

		plain_begin(&message, 7, 0x85b0, "www.test", 1);
		for (unsigned section = 1; section < 4; section++) {
			for (size_t i = 0; i < n; i++) {
				uint8_t data[40];
				size_t size = random_below(sizeof(data));

				random_fill(data, sizeof(data));
				plain_record(&message, section, "www.test", 1, 50, data, 4);
				plain_record(
					&message, section, "other.test", 65000, 500, data, size);
			}
		}
		plain_edns(&message, 4096, 0, true);
		len = qe_dns_write_relayed(to, sizeof(to), &query, bytes(&message), age);
		assert_true(plain_read(&after, to, len));
		assert_true(plain_read(&before, message.data, message.len));
		assert_int_equal(after.id, 0x1234);
		assert_string_equal(after.question, "Www.Test.");
		assert_int_equal(after.flags, 0x8180); /* nobody asked for the rest */
		assert_int_equal(after.has_edns, round & 1);
		assert_int_equal(after.n_rrs, before.n_rrs);
		for (unsigned i = 0; i < after.n_rrs; i++) {
			const struct plain_rr *a = &after.rrs[i], *b = &before.rrs[i];

			assert_int_equal(strcasecmp(a->name, b->name), 0);
			assert_int_equal(a->section, b->section);
			assert_int_equal(a->type, b->type);
			assert_int_equal(a->len, b->len);
			assert_memory_equal(a->data, b->data, a->len);
			assert_int_equal(a->ttl, b->ttl > age ? b->ttl - age : 0);
		}
		assert_true(plain_read(
			&after, to, qe_dns_write_relayed(to, 100, &query, bytes(&message), age)));
		assert_int_equal(!!(after.flags & 0x0200), len > 100);
	}
}

static void test_addrs(void **)
{
	struct qe_dns_question asked = {.type = 1};
	struct plain_message message;
	struct qe_addr addrs[4];
	struct qe_dns_name last, expected;

	assert_int_equal(qe_dns_name_parse(&asked.name, "a.test"), QE_OK);
	plain_begin(&message, 7, 0x8180, "a.test", 1);
	plain_record(&message, 1, "c.test", 1, 1, "abcd", 4);
	plain_alias(&message, "b.test", 1, "C.test");
	plain_alias(&message, "A.test", 1, "b.test");
	plain_record(&message, 1, "a.test", 1, 1, "evil", 4);
	for (int i = 0; i < 9; i++)
		plain_record(&message, 1, "c.test", 1, 1, "abce", 4);
	assert_int_equal(qe_dns_answer_addrs(addrs, 4, bytes(&message), &asked, &last), 4);
	assert_memory_equal(addrs[0].bytes, "abcd", 4);
	assert_memory_equal(addrs[3].bytes, "abce", 4);
	assert_int_equal(qe_dns_name_parse(&expected, "c.test"), QE_OK);
	assert_true(qe_dns_name_equal(&last, &expected));
	/* In a circle. */
	plain_begin(&message, 7, 0x8180, "a.test", 1);
	plain_alias(&message, "a.test", 1, "b.test");
	plain_alias(&message, "b.test", 1, "a.test");
	assert_int_equal(qe_dns_answer_addrs(addrs, 4, bytes(&message), &asked, &last), 0);
}

/* Bytes changed at random: whatever it is then, it is bounded and can be read. */
static void test_damaged(void **)
{
	struct plain_message sound;

	plain_begin(&sound, 7, 0x8180, "a.test", 1);
	plain_alias(&sound, "a.test", 60, "b.test");
	plain_record(&sound, 1, "b.test", 1, 60, "abcd", 4);
	plain_soa(&sound, "test", 60, 60);
	plain_edns(&sound, 1232, 0, true);
	for (int i = 0; i < 20000; i++) {
		struct plain_message message = sound;
		struct qe_dns_query query = question("a.test", 1, true, 1232);
		struct qe_dns_answer answer;
		struct plain_answer read;
		uint8_t to[QE_DNS_ANSWER_MAX];
		size_t len;

		for (size_t j = 1 + random_below(4); j > 0; j--)
			message.data[2 + random_below(message.len - 2)] = (uint8_t)random_u64();
		if (parse_answer(&answer, &message, "a.test") != QE_OK)
			continue;
		assert_true(answer.ttl <= 3600);
		len = qe_dns_write_relayed(to, 512, &query, bytes(&message), 1);
		assert_true(len > 0 && plain_read(&read, to, len));
		assert_int_equal(read.id, query.id);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_write_question),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_relayed),
		cmocka_unit_test(test_addrs),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
