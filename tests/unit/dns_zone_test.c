/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Who is asked and what is answered here, against plain text. */
#include <stdio.h>
#include <string.h>

#include "dns/zone.h"
#include "random.h"

static struct qe_dns_question question(const char *name, uint16_t type)
{
	struct qe_dns_question question = {.type = type};

	assert_int_equal(qe_dns_name_parse(&question.name, name), QE_OK);
	return question;
}

static struct qe_dns_zone *make(const struct qe_dns_settings *settings)
{
	struct qe_dns_zone *zone = nullptr;

	assert_int_equal(qe_dns_zone_new(&zone, settings), QE_OK);
	return zone;
}

static struct qe_addr addr(const char *text)
{
	struct qe_addr addr;

	assert_int_equal(qe_addr_parse(&addr, text), QE_OK);
	return addr;
}

enum { ASKED = -1 }; /* a server is */

static int rcode(const struct qe_dns_zone *zone, const char *name, uint16_t type, bool member)
{
	struct qe_dns_question asked = question(name, type);
	struct qe_dns_own own;

	return qe_dns_zone_answer(zone, &asked, member, &own) ? (int)own.rcode : ASKED;
}

static void test_names(void **)
{
	static const struct {
		const char *name;
		uint16_t type;
		int host, member;
	} rows[] = {
		{"laptop.acme.internal", QE_DNS_A, 0, 0},
		{"Dot.Ted.ACME.internal", QE_DNS_AAAA, 0, 0},
		{"laptop.acme.internal", 16, 0, 0},
		{"acme.internal", QE_DNS_A, 0, 0},
		{"x.laptop.acme.internal", QE_DNS_A, 3, 3},
		{"nobody.acme.internal", QE_DNS_A, 3, 3},
		{"laptop.other.internal", QE_DNS_A, ASKED, ASKED},
		{"acme.internal.example", QE_DNS_A, ASKED, ASKED},
		{"internal", QE_DNS_A, 3, 3},
		{"exit-address.quicether.internal", QE_DNS_A, 3, 0},
		{"x.exit-address.quicether.internal", QE_DNS_A, 3, 0},
		{"quicether.internal", QE_DNS_A, ASKED, ASKED},
		{"1.0.64.100.in-addr.arpa", QE_DNS_PTR, 0, 0},
		{"9.0.64.100.in-addr.arpa", QE_DNS_PTR, 3, 3},
		{"0.64.100.in-addr.arpa", 6, 3, 3},
		{"b._dns-sd._udp.0.0.64.100.in-addr.arpa", QE_DNS_PTR, 3, 3},
		{"100.in-addr.arpa", 2, ASKED, ASKED},
		{"9.0.128.100.in-addr.arpa", QE_DNS_PTR, ASKED, ASKED},
		/* An address of a node outside of the overlay's own. */
		{"7.2.0.192.in-addr.arpa", QE_DNS_PTR, 0, 0},
		{"8.2.0.192.in-addr.arpa", QE_DNS_PTR, ASKED, ASKED},
		{"x.7.2.0.192.in-addr.arpa", QE_DNS_PTR, 3, 3},
		{"localhost", QE_DNS_A, 0, 0},
		{"a.localhost", QE_DNS_AAAA, 0, 0},
		{"a.invalid", QE_DNS_A, 3, 3},
		{"a.onion", QE_DNS_A, 3, 3},
		{"printer", QE_DNS_A, 3, 3},
		{"com", 2, ASKED, ASKED},
		{"corp", QE_DNS_A, ASKED, ASKED},
		{".", 2, ASKED, ASKED},
		{"www.example", QE_DNS_A, ASKED, ASKED},
	};
	const struct qe_addr laptop[] = {addr("100.64.0.1"), addr("fd64::1")};
	const struct qe_addr dotted[] = {addr("192.0.2.7")}, twin[] = {addr("100.64.0.66")};
	const struct qe_dns_node nodes[] = {{"laptop", laptop, 2}, {"dot.ted", dotted, 1},
		{"LAPTOP", twin, 1}, {"a b", twin, 1}};
	struct qe_prefix overlay = {{QE_FAMILY_IPV4, {100, 64}}, 10};
	const struct qe_dns_domain domains[] = {{"corp", {.addr = {QE_FAMILY_IPV4, {10}}}}};
	const struct qe_dns_settings settings = {.network = "ACME",
		.nodes = nodes,
		.n_nodes = 4,
		.overlay = &overlay,
		.n_overlay = 1,
		.domains = domains,
		.n_domains = 1,
		.exit_addrs = {dotted[0]},
		.n_exit_addrs = 1};
	struct qe_dns_zone *zone = make(&settings);
	struct qe_dns_question asked = question("laptop.acme.internal", QE_DNS_A);
	struct qe_dns_name expected = question("laptop.acme.internal", 0).name;
	struct qe_dns_own own;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rcode(zone, rows[i].name, rows[i].type, false) != rows[i].host ||
			rcode(zone, rows[i].name, rows[i].type, true) != rows[i].member)
			fail_msg("%s", rows[i].name);
	}
	assert_true(qe_dns_zone_answer(zone, &asked, false, &own));
	assert_int_equal(own.n_addrs, 2);
	assert_true(qe_addr_equal(&own.addrs[1], &laptop[1]));
	asked = question("1.0.64.100.in-addr.arpa", QE_DNS_PTR);
	assert_true(qe_dns_zone_answer(zone, &asked, false, &own));
	assert_true(own.target && qe_dns_name_equal(own.target, &expected));
	/* The second one of that name has no name at all. */
	asked = question("66.0.64.100.in-addr.arpa", QE_DNS_PTR);
	assert_true(qe_dns_zone_answer(zone, &asked, false, &own));
	assert_int_equal(own.rcode, QE_DNS_NXDOMAIN);
	qe_dns_zone_free(zone);
}

static void test_wrong(void **)
{
	const struct qe_dns_domain wrong = {.suffix = "a..b"};
	struct qe_dns_settings settings = {.network = "no good"};
	struct qe_dns_zone *zone;

	assert_int_equal(qe_dns_zone_new(&zone, &settings), QE_ERR_SYNTAX);
	settings = (struct qe_dns_settings){.domains = &wrong, .n_domains = 1};
	assert_int_equal(qe_dns_zone_new(&zone, &settings), QE_ERR_SYNTAX);
}

/* ---- split domains ---- */

constexpr size_t DOMAINS = 12;

static void random_name(char to[64])
{
	size_t n = 1 + random_below(4);

	to[0] = '\0';
	for (size_t i = 0; i < n; i++)
		strcat(to, (const char *const[]){"a.", "b.", "aa.", "ba."}[random_below(4)]);
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len >= n && strcmp(name + len - n, suffix) == 0 &&
	       (len == n || name[len - n - 1] == '.');
}

static void test_longest_suffix(void **)
{
	for (int round = 0; round < 500; round++) {
		struct qe_dns_domain domains[DOMAINS];
		char suffixes[DOMAINS][64];
		struct qe_dns_settings settings = {.domains = domains,
			.n_domains = DOMAINS,
			.upstream = {{.addr = {QE_FAMILY_IPV4, {200}}}},
			.n_upstream = 1,
			.members_upstream = {{.addr = {QE_FAMILY_IPV4, {201}}, .port = 5353}},
			.n_members_upstream = 1};
		struct qe_dns_zone *zone;

		for (size_t i = 0; i < DOMAINS; i++) {
			random_name(suffixes[i]);
			domains[i] = (struct qe_dns_domain){
				suffixes[i], {.addr = {QE_FAMILY_IPV4, {10, 0, 0, (uint8_t)i}}}};
		}
		zone = make(&settings);
		for (int i = 0; i < 50; i++) {
			struct qe_endpoint servers[QE_DNS_SERVERS_MAX];
			struct qe_dns_question asked;
			size_t best = 0, expected = 0, n;
			bool member = i & 1;
			int last = -1;
			char name[64];

			random_name(name);
			asked = question(name, 1);
			for (size_t j = 0; j < DOMAINS; j++) {
				if (ends_with(name, suffixes[j]) && strlen(suffixes[j]) > best)
					best = strlen(suffixes[j]);
			}
			for (size_t j = 0; j < DOMAINS; j++)
				expected += ends_with(name, suffixes[j]) &&
					    strlen(suffixes[j]) == best;
			n = qe_dns_zone_servers(zone, &asked.name, member, servers);
			if (best == 0) {
				assert_int_equal(n, 1);
				assert_int_equal(servers[0].addr.bytes[0], member ? 201 : 200);
				assert_int_equal(servers[0].port, member ? 5353 : 53);
				continue;
			}
			assert_int_equal(n, expected < 8 ? expected : 8);
			for (size_t j = 0; j < n; j++) {
				uint8_t which = servers[j].addr.bytes[3];

				assert_int_equal(servers[j].port, 53);
				assert_true(which > last);
				last = which;
				assert_true(ends_with(name, suffixes[which]) &&
					    strlen(suffixes[which]) == best);
			}
		}
		qe_dns_zone_free(zone);
	}
}

/* ---- many nodes ---- */

static void test_many(void **)
{
	constexpr size_t n = 3000;
	static char names[n][16];
	static struct qe_addr addrs[n][2];
	static struct qe_dns_node nodes[n];
	struct qe_dns_settings settings = {.network = "net", .nodes = nodes, .n_nodes = n};
	struct qe_dns_zone *zone;

	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "n%zu", (i * 7919) % n);
		addrs[i][0] = (struct qe_addr){
			QE_FAMILY_IPV4, {10, 1, (uint8_t)(i >> 8), (uint8_t)i}};
		addrs[i][1] = (struct qe_addr){
			QE_FAMILY_IPV6, {0xfd, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i}};
		nodes[i] = (struct qe_dns_node){names[i], addrs[i], i % 3};
	}
	zone = make(&settings);
	for (size_t i = 0; i < n; i++) {
		struct qe_dns_question asked = {.type = QE_DNS_A};
		struct qe_dns_own own;
		char name[64];

		snprintf(name, sizeof(name), "%s.net.internal", names[i]);
		asked = question(name, QE_DNS_A);
		assert_true(qe_dns_zone_answer(zone, &asked, true, &own));
		assert_int_equal(own.rcode, 0);
		assert_int_equal(own.n_addrs, i % 3);
		for (size_t j = 0; j < own.n_addrs; j++) {
			struct qe_dns_name own_name = asked.name;
			struct qe_dns_question back = {.type = QE_DNS_PTR};
			struct qe_dns_own reverse;

			assert_true(qe_addr_equal(&own.addrs[j], &addrs[i][j]));
			qe_dns_name_reverse(&back.name, &addrs[i][j]);
			assert_true(qe_dns_zone_answer(zone, &back, true, &reverse));
			assert_true(reverse.target && qe_dns_name_equal(reverse.target, &own_name));
		}
	}
	qe_dns_zone_free(zone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_longest_suffix),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
