/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Messages that are built byte by byte, whole, cut short at each place, and with a byte changed. */
#include "proxy/socks.h"
#include "random.h"

#define ROUNDS 20000

static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";

/* A name of one to four labels; returns its length. */
static size_t random_name(char *to)
{
	size_t n = 0;

	for (size_t labels = 1 + random_below(4); labels > 0; labels--) {
		for (size_t len = 1 + random_below(20); len > 0; len--)
			to[n] = letters[random_below(n == 0 ? 26 : sizeof(letters) - 1)], n++;
		to[n++] = '.';
	}
	to[--n] = '\0';
	return n;
}

struct sample {
	uint8_t bytes[300];
	size_t len;
	struct qe_target target;
	uint8_t command, type;
};

static struct sample random_request(void)
{
	static const uint8_t types[] = {1, 3, 4};
	struct sample sample = {.type = types[random_below(3)],
		.command = random_below(4) ? 1 : (uint8_t)random_below(256)};
	struct qe_writer writer = qe_writer_init(sample.bytes, sizeof(sample.bytes));
	uint8_t addr[16];

	random_fill(addr, sizeof(addr));
	sample.target.port = (uint16_t)random_u64();
	qe_write_u8(&writer, 5);
	qe_write_u8(&writer, sample.command);
	qe_write_u8(&writer, (uint8_t)random_u64());
	qe_write_u8(&writer, sample.type);
	if (sample.type == 3) {
		size_t len = random_name(sample.target.name);

		qe_write_u8(&writer, (uint8_t)len);
		qe_write_bytes(
			&writer, (struct qe_bytes){(const uint8_t *)sample.target.name, len});
	} else {
		sample.target.addr = sample.type == 1 ? qe_addr_ipv4(addr) : qe_addr_ipv6(addr);
		qe_write_bytes(&writer, (struct qe_bytes){addr, sample.type == 1 ? 4 : 16});
	}
	qe_write_u16(&writer, sample.target.port);
	sample.len = qe_writer_len(&writer);
	return sample;
}

static void requests_are_read(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		const struct sample sample = random_request();
		const size_t more = random_below(sizeof(sample.bytes) - sample.len);
		struct qe_socks_request request;
		size_t used = 0;

		assert_int_equal(
			qe_socks_read_request((struct qe_bytes){sample.bytes, sample.len + more},
				&used, &request),
			QE_OK);
		assert_int_equal(used, sample.len);
		assert_int_equal(request.problem,
			sample.command == 1 ? QE_SOCKS_OK : QE_SOCKS_COMMAND_UNKNOWN);
		assert_string_equal(request.target.name, sample.target.name);
		assert_true(qe_addr_equal(&request.target.addr, &sample.target.addr));
		assert_int_equal(request.target.port, sample.target.port);
		for (size_t len = 0; len < sample.len; len++)
			assert_int_equal(qe_socks_read_request((struct qe_bytes){sample.bytes, len},
						 &used, &request),
				QE_ERR_TRUNCATED);
	}
}

/* A byte changed makes another request or none; what is read never begins to be believed in part.
 */
static void broken_requests_do_no_harm(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct sample sample = random_request();
		struct qe_socks_request request;
		size_t used = 0;

		sample.bytes[random_below(sample.len)] = (uint8_t)random_u64();
		if (qe_socks_read_request((struct qe_bytes){sample.bytes, sample.len}, &used,
			    &request) != QE_OK) {
			assert_int_equal(used, 0);
			continue;
		}
		assert_true(used <= sample.len);
		if (request.problem == QE_SOCKS_OK)
			assert_true((request.target.name[0] == '\0') == (sample.bytes[3] != 3) ||
				    request.target.addr.family != QE_FAMILY_NONE);
	}
}

static void other_versions_are_refused(void **)
{
	static const uint8_t four[] = {4, 1, 0, 80, 192, 0, 2, 1, 0};
	struct qe_socks_greeting greeting;
	struct qe_socks_request request;
	size_t used;

	assert_int_equal(
		qe_socks_read_greeting((struct qe_bytes){four, sizeof(four)}, &used, &greeting),
		QE_ERR_SYNTAX);
	assert_int_equal(
		qe_socks_read_request((struct qe_bytes){four, sizeof(four)}, &used, &request),
		QE_ERR_SYNTAX);
}

static void greetings_are_read(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint8_t bytes[2 + 255] = {5, (uint8_t)random_below(8)};
		struct qe_socks_greeting greeting;
		bool no_login = false, login = false;
		size_t used = 0, n = bytes[1];

		for (size_t i = 0; i < n; i++) {
			bytes[2 + i] = (uint8_t)random_below(6);
			no_login |= bytes[2 + i] == 0;
			login |= bytes[2 + i] == 2;
		}
		assert_int_equal(
			qe_socks_read_greeting((struct qe_bytes){bytes, 2 + n}, &used, &greeting),
			QE_OK);
		assert_int_equal(used, 2 + n);
		assert_int_equal(greeting.no_login, no_login);
		assert_int_equal(greeting.login, login);
		for (size_t len = 0; len < 2 + n; len++)
			assert_int_equal(qe_socks_read_greeting(
						 (struct qe_bytes){bytes, len}, &used, &greeting),
				QE_ERR_TRUNCATED);
	}
}

static void logins_are_read(void **)
{
	static const uint8_t good[] = "\1\4user\6secret", zero[] = "\1\4us\0r\6secret";
	struct qe_socks_login login;
	size_t used = 0;

	assert_int_equal(
		qe_socks_read_login((struct qe_bytes){good, sizeof(good) - 1}, &used, &login),
		QE_OK);
	assert_int_equal(used, sizeof(good) - 1);
	assert_string_equal(login.name, "user");
	assert_string_equal(login.password, "secret");
	for (size_t len = 0; len < sizeof(good) - 1; len++)
		assert_int_equal(qe_socks_read_login((struct qe_bytes){good, len}, &used, &login),
			QE_ERR_TRUNCATED);
	assert_int_equal(
		qe_socks_read_login((struct qe_bytes){zero, sizeof(zero) - 1}, &used, &login),
		QE_ERR_SYNTAX);
}

static void hosts_are_names_or_addresses(void **)
{
	static const struct {
		const char *host, *name; /* NULL: refused; "": an address */
	} rows[] = {
		{"example.org", "example.org"},
		{"Example.ORG.", "example.org"},
		{"_sip.example-1.org", "_sip.example-1.org"},
		{"192.0.2.1", ""},
		{"2001:db8::1", ""},
		{"", nullptr},
		{".", nullptr},
		{"a..b", nullptr},
		{".a", nullptr},
		{"a b", nullptr},
		{"a\nb", nullptr},
		{"a@b", nullptr},
		{"fe80::1%eth0", nullptr},
		{"\xc3\xa4.example", nullptr},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b", nullptr},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct qe_bytes host = {(const uint8_t *)rows[i].host, strlen(rows[i].host)};
		struct qe_target target = {};
		enum qe_error error = qe_target_set_host(&target, host);

		assert_int_equal(error == QE_OK, rows[i].name != nullptr);
		if (error == QE_OK)
			assert_string_equal(target.name, rows[i].name);
		assert_int_equal(
			target.addr.family != QE_FAMILY_NONE, rows[i].name && !rows[i].name[0]);
	}
}

static void replies_are_written(void **)
{
	static const uint8_t refused[] = {5, 5, 0, 1, 0, 0, 0, 0, 0, 0};
	static const struct qe_endpoint bound = {{QE_FAMILY_IPV6, {0xfd, [15] = 1}}, 0x1234, 0};
	uint8_t to[QE_SOCKS_REPLY_MAX];

	assert_int_equal(qe_socks_write_reply(to, QE_SOCKS_REFUSED, nullptr), sizeof(refused));
	assert_memory_equal(to, refused, sizeof(refused));
	assert_int_equal(qe_socks_write_reply(to, QE_SOCKS_OK, &bound), 22);
	assert_memory_equal(to, "\5\0\0\4\xfd", 5);
	assert_memory_equal(to + 19, "\1\x12\x34", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_read),
		cmocka_unit_test(broken_requests_do_no_harm),
		cmocka_unit_test(other_versions_are_refused),
		cmocka_unit_test(greetings_are_read),
		cmocka_unit_test(logins_are_read),
		cmocka_unit_test(hosts_are_names_or_addresses),
		cmocka_unit_test(replies_are_written),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
