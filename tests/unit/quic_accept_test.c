/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Packets that belong to no link. First packets are built byte by byte here, as RFC 9000 section
 * 17.2 draws them; only what a caller who knows the NodeId sends gets an answer.
 */
#include <string.h>

#include "base/time.h"
#include "net/addr.h"
#include "quic/accept.h"
#include "random.h"

#define ROUNDS 20000
#define NOW (1000 * QE_SECOND)
#define TOKEN_LIFE (10 * QE_SECOND)
#define INITIAL_MIN 1200
#define PACKET_MAX 1500

static struct qe_link_context context, stranger;
static struct qe_node_id own_id;
static struct qe_path path4, path6;

/* What went out since the last look. */
static struct {
	size_t n, len;
	uint8_t bytes[2048];
	struct qe_path path;
} answer;

static struct qe_batch batch;

static void on_send(void *, const struct qe_path *path, uint8_t, const uint8_t *data, size_t len,
	size_t segment_size)
{
	assert_int_equal(len, segment_size);
	assert_in_range(len, 1, sizeof(answer.bytes));
	answer.n++;
	answer.len = len;
	answer.path = *path;
	memcpy(answer.bytes, data, len);
}

static size_t answers(void)
{
	answer.n = 0;
	qe_batch_flush(&batch);
	return answer.n;
}

/* ---- a caller's first packet ---- */

struct initial {
	uint8_t type; /* the first byte */
	uint32_t version;
	uint8_t dcid[20], scid[20];
	uint8_t dcid_len, scid_len;
	const uint8_t *token;
	size_t token_len;
	size_t len; /* of the datagram */
};

static struct initial random_initial(void)
{
	struct initial initial = {
		.type = 0xc0,
		.version = 1,
		.dcid_len = QE_KNOCK_SIZE,
		.scid_len = (uint8_t)random_below(21),
		.len = INITIAL_MIN + random_below(253),
	};

	initial.type |= (uint8_t)random_below(16);
	assert_int_equal(qe_knock_make(initial.dcid, 0, &own_id), QE_OK);
	random_fill(initial.scid, sizeof(initial.scid));
	return initial;
}

static struct qe_bytes build(uint8_t to[static 2048], const struct initial *initial)
{
	struct qe_writer writer = qe_writer_init(to, initial->len);

	random_fill(to, initial->len);
	qe_write_u8(&writer, initial->type);
	qe_write_u32(&writer, initial->version);
	qe_write_u8(&writer, initial->dcid_len);
	qe_write_bytes(&writer, (struct qe_bytes){initial->dcid, initial->dcid_len});
	qe_write_u8(&writer, initial->scid_len);
	qe_write_bytes(&writer, (struct qe_bytes){initial->scid, initial->scid_len});
	/* Variable-length integers of two bytes. */
	qe_write_u16(&writer, (uint16_t)(0x4000 | initial->token_len));
	qe_write_bytes(&writer, (struct qe_bytes){initial->token, initial->token_len});
	qe_write_u16(&writer, (uint16_t)(0x4000 | (initial->len - qe_writer_len(&writer) - 2)));
	assert_int_equal(writer.error, QE_OK);
	return (struct qe_bytes){to, initial->len};
}

static enum qe_first_verdict check(struct qe_first_packet *first, const struct qe_path *path,
	struct qe_bytes packet, bool want_retry, qe_time now)
{
	enum qe_first_verdict verdict = qe_first_packet_check(
		first, &context, path, packet, want_retry, now);

	if (verdict == QE_FIRST_RETRY)
		assert_true(qe_retry(&context, &batch, first, path, now));
	return verdict;
}

static enum qe_first_verdict verdict_on(const struct initial *initial, bool want_retry)
{
	struct qe_first_packet first;
	uint8_t bytes[2048];

	return check(&first, &path4, build(bytes, initial), want_retry, NOW);
}

/* ---- classification ---- */

/* Of unknown versions anything may be said but a wrong connection ID. */
static void check_kind(struct qe_bytes packet)
{
	struct qe_bytes dcid = {};
	enum qe_packet_kind kind = qe_packet_classify(packet, &dcid);
	const uint8_t *at = packet.data;

	if (kind == QE_PACKET_MALFORMED) {
		assert_null(dcid.data);
		if (packet.len > QE_CID_SIZE)
			assert_true(at[0] & 0x80);
		return;
	}
	if (kind == QE_PACKET_SHORT) {
		assert_true(packet.len > QE_CID_SIZE && !(at[0] & 0x80));
		assert_ptr_equal(dcid.data, at + 1);
		assert_int_equal(dcid.len, QE_CID_SIZE);
		return;
	}
	assert_true(packet.len >= 7 && at[0] & 0x80);
	assert_ptr_equal(dcid.data, at + 6);
	assert_int_equal(dcid.len, at[5]);
	assert_in_range(dcid.len, 0, 20);
	assert_true(6 + dcid.len + 1 + at[6 + dcid.len] <= packet.len);
}

static void classifies_noise(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t len = random_below(random_below(2) ? 40 : 1500);
		uint8_t *bytes = malloc(len + 1);

		random_fill(bytes, len + 1);
		if (len > 6 && random_below(2)) {
			bytes[1] |= 0x80;
			memcpy(bytes + 2, "\0\0\0\1", 4);
			bytes[6] = (uint8_t)random_below(24);
		}
		check_kind((struct qe_bytes){bytes + 1, len});
		free(bytes);
	}
}

static void finds_the_connection_id(void **)
{
	uint8_t bytes[2048];
	struct qe_bytes dcid;

	for (unsigned round = 0; round < ROUNDS / 20; round++) {
		struct initial initial = random_initial();

		initial.dcid_len = (uint8_t)random_below(21);
		struct qe_bytes packet = build(bytes, &initial);

		assert_int_equal(qe_packet_classify(packet, &dcid), QE_PACKET_LONG);
		assert_int_equal(dcid.len, initial.dcid_len);
		assert_memory_equal(dcid.data, initial.dcid, dcid.len);
		/* A link's own packets, as far as it needs to be looked at. */
		packet.len = 7 + initial.dcid_len + initial.scid_len;
		assert_int_equal(qe_packet_classify(packet, &dcid), QE_PACKET_LONG);
		packet.len--;
		assert_int_equal(qe_packet_classify(packet, &dcid), QE_PACKET_MALFORMED);
	}
	bytes[0] = 0x40;
	for (size_t len = 0; len < 40; len++)
		assert_int_equal(qe_packet_classify((struct qe_bytes){bytes, len}, &dcid),
			len > QE_CID_SIZE ? QE_PACKET_SHORT : QE_PACKET_MALFORMED);
}

/* ---- first packets ---- */

static void accepts_a_knock(void **)
{
	for (unsigned round = 0; round < ROUNDS / 20; round++) {
		struct initial initial = random_initial();
		struct qe_first_packet first = {};
		uint8_t bytes[2048];

		assert_int_equal(
			check(&first, &path4, build(bytes, &initial), false, NOW), QE_FIRST_ACCEPT);
		assert_int_equal(first.version, 1);
		assert_int_equal(first.dcid.len, QE_KNOCK_SIZE);
		assert_memory_equal(first.dcid.data, initial.dcid, QE_KNOCK_SIZE);
		assert_int_equal(first.scid.len, initial.scid_len);
		assert_memory_equal(first.scid.data, initial.scid, initial.scid_len);
		assert_false(first.validated);
		assert_int_equal(answers(), 0);
	}
}

static void is_silent_without_a_knock(void **)
{
	for (unsigned round = 0; round < ROUNDS / 20; round++) {
		struct initial initial = random_initial();
		bool want_retry = random_below(2);

		if (random_below(2))
			initial.dcid_len = (uint8_t)(8 + random_below(12));
		else
			initial.dcid[random_below(QE_KNOCK_SIZE)] ^= (uint8_t)(1u
									       << random_below(8));
		assert_int_equal(verdict_on(&initial, want_retry), QE_FIRST_NO_KNOCK);
		assert_int_equal(answers(), 0);
	}
}

static void is_silent_to_other_versions(void **)
{
	static const uint32_t versions[] = {
		0, 2, 0x6b3343cf, 0x0a0a0a0a, 0xff00001d, 0x00000100, 0x01000000};

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		struct initial initial = random_initial();

		initial.version = versions[i];
		assert_int_equal(verdict_on(&initial, i % 2), QE_FIRST_MALFORMED);
		assert_int_equal(answers(), 0);
	}
}

static void is_silent_to_what_begins_nothing(void **)
{
	struct initial initial = random_initial();

	for (unsigned type = 0xd0; type <= 0xf0; type += 0x10) { /* 0-RTT, Handshake, Retry */
		initial.type = (uint8_t)type;
		assert_int_equal(verdict_on(&initial, true), QE_FIRST_MALFORMED);
	}
	initial = random_initial();
	initial.len = INITIAL_MIN - 1; /* a client pads its first datagram */
	assert_int_equal(verdict_on(&initial, true), QE_FIRST_MALFORMED);
	assert_int_equal(answers(), 0);
}

static void bears_damage(void **)
{
	unsigned seen[4] = {};

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct initial initial = random_initial();
		struct qe_first_packet first = {};
		uint8_t bytes[2048];
		struct qe_bytes packet = build(bytes, &initial);

		for (size_t n = 1 + random_below(3); n > 0; n--)
			bytes[random_below(60)] = (uint8_t)random_u64();
		if (random_below(8) == 0)
			packet.len = random_below(packet.len);
		enum qe_first_verdict verdict = check(&first, &path6, packet, random_below(2), NOW);

		seen[verdict]++;
		assert_int_equal(answers(), verdict == QE_FIRST_RETRY);
		if (verdict == QE_FIRST_ACCEPT || verdict == QE_FIRST_RETRY)
			assert_true(qe_knock_is_valid(&context.cids, first.dcid));
		else
			assert_null(first.dcid.data);
	}
	for (size_t i = 0; i < 4; i++)
		assert_true(seen[i] > ROUNDS / 100);
}

/* ---- Retry ---- */

/* A Retry packet: RFC 9000 section 17.2.5. */
struct retry {
	uint8_t cid[20], token[512];
	size_t cid_len, token_len;
};

/* The second Initial of a client that was sent a Retry. */
static struct initial second_initial(const struct initial *initial, struct retry *retry)
{
	struct initial second = *initial;
	struct qe_reader reader = qe_reader_init((struct qe_bytes){answer.bytes, answer.len});

	assert_int_equal(qe_read_u8(&reader) & 0xf0, 0xf0);
	assert_int_equal(qe_read_u32(&reader), 1);
	assert_int_equal(qe_read_u8(&reader), initial->scid_len);
	assert_memory_equal(
		qe_read_bytes(&reader, initial->scid_len).data, initial->scid, initial->scid_len);
	retry->cid_len = qe_read_u8(&reader);
	assert_int_equal(retry->cid_len, QE_CID_SIZE);
	qe_read_copy(&reader, retry->cid, retry->cid_len);
	retry->token_len = qe_reader_left(&reader) - 16;
	assert_in_range(retry->token_len, 1, sizeof(retry->token));
	qe_read_copy(&reader, retry->token, retry->token_len);

	second.dcid_len = QE_CID_SIZE;
	memcpy(second.dcid, retry->cid, QE_CID_SIZE);
	second.token = retry->token;
	second.token_len = retry->token_len;
	return second;
}

static struct initial ask_twice(
	const struct qe_path *path, struct initial *initial, struct retry *retry)
{
	struct qe_first_packet first;
	uint8_t bytes[2048];

	*initial = random_initial();
	assert_int_equal(check(&first, path, build(bytes, initial), true, NOW), QE_FIRST_RETRY);
	assert_int_equal(answers(), 1);
	assert_true(qe_endpoint_equal(&answer.path.remote, &path->remote));
	assert_in_range(answer.len, 1, initial->len);
	return second_initial(initial, retry);
}

static enum qe_first_verdict verdict_at(
	const struct initial *initial, const struct qe_path *path, qe_time now)
{
	struct qe_first_packet first;
	uint8_t bytes[2048];

	return check(&first, path, build(bytes, initial), true, now);
}

static void a_retry_validates_the_address(void **)
{
	for (unsigned round = 0; round < 100; round++) {
		const struct qe_path *path = round % 2 ? &path4 : &path6;
		struct initial initial, second;
		struct qe_first_packet first = {};
		struct retry retry;
		uint8_t bytes[2048];

		second = ask_twice(path, &initial, &retry);
		assert_true(
			qe_cid_is_ours(&context.cids, (struct qe_bytes){retry.cid, retry.cid_len}));
		assert_int_equal(
			check(&first, path, build(bytes, &second), round % 3, NOW + QE_SECOND),
			QE_FIRST_ACCEPT);
		assert_true(first.validated);
		assert_memory_equal(first.original_dcid, initial.dcid, QE_KNOCK_SIZE);
		assert_int_equal(first.dcid.len, QE_CID_SIZE);
		assert_memory_equal(first.dcid.data, retry.cid, QE_CID_SIZE);
		assert_int_equal(first.token.len, retry.token_len);
		assert_int_equal(answers(), 0);
	}
}

static void a_token_is_for_one_address(void **)
{
	struct initial initial, second;
	struct retry retry;

	for (unsigned i = 0; i < 2; i++) {
		const struct qe_path *path = i ? &path4 : &path6;
		struct qe_path moved = *path, other = *path;

		second = ask_twice(path, &initial, &retry);
		moved.remote.port++;
		other.remote.addr.bytes[i ? 3 : 15]++;
		assert_int_equal(verdict_at(&second, &moved, NOW), QE_FIRST_NO_KNOCK);
		assert_int_equal(verdict_at(&second, &other, NOW), QE_FIRST_NO_KNOCK);
		assert_int_equal(answers(), 0);
		assert_int_equal(verdict_at(&second, path, NOW), QE_FIRST_ACCEPT);
	}
}

static void a_token_lives_for_a_while(void **)
{
	struct initial initial, second;
	struct retry retry;

	second = ask_twice(&path4, &initial, &retry);
	assert_int_equal(verdict_at(&second, &path4, NOW + TOKEN_LIFE - 1), QE_FIRST_ACCEPT);
	assert_int_equal(verdict_at(&second, &path4, NOW + TOKEN_LIFE), QE_FIRST_NO_KNOCK);
	assert_int_equal(answers(), 0);
}

static void a_token_is_for_one_connection_id(void **)
{
	struct initial initial, second, first;
	struct retry retry;

	second = ask_twice(&path4, &initial, &retry);
	for (size_t bit = 0; bit < 8 * QE_CID_SIZE; bit++) {
		second.dcid[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(verdict_at(&second, &path4, NOW), QE_FIRST_NO_KNOCK);
		second.dcid[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(answers(), 0);

	/* With a knock in its place it is as if there were no token. */
	first = initial;
	first.token = retry.token;
	first.token_len = retry.token_len;
	assert_int_equal(verdict_at(&first, &path4, NOW), QE_FIRST_RETRY);
	assert_int_equal(answers(), 1);
}

static void a_token_cannot_be_changed(void **)
{
	struct initial initial, second;
	struct retry retry;

	second = ask_twice(&path4, &initial, &retry);
	for (size_t bit = 0; bit < 8 * retry.token_len; bit++) {
		retry.token[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(verdict_at(&second, &path4, NOW), QE_FIRST_NO_KNOCK);
		retry.token[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (second.token_len = 0; second.token_len < retry.token_len; second.token_len++)
		assert_int_equal(verdict_at(&second, &path4, NOW), QE_FIRST_NO_KNOCK);
	assert_int_equal(answers(), 0);
}

static void a_token_is_for_one_node(void **)
{
	struct initial initial, second;
	struct qe_first_packet first;
	struct retry retry;
	uint8_t bytes[2048];

	second = ask_twice(&path4, &initial, &retry);
	assert_int_equal(
		qe_first_packet_check(&first, &stranger, &path4, build(bytes, &second), true, NOW),
		QE_FIRST_NO_KNOCK);
	assert_int_equal(answers(), 0);
}

/* ---- stateless resets ---- */

static void check_reset(const struct qe_cid_keys *keys, size_t len)
{
	uint8_t *room = malloc(PACKET_MAX), *packet = room + PACKET_MAX - len;
	uint8_t cid[QE_CID_SIZE], token[QE_RESET_TOKEN_SIZE];
	struct qe_bytes bytes = {packet, len}, cid_bytes = {cid, sizeof(cid)};
	bool ours = qe_cid_make(keys, cid) == QE_OK && qe_cid_is_ours(&context.cids, cid_bytes);

	struct qe_writer writer = qe_writer_init(packet, len);

	random_fill(packet, len);
	qe_write_u8(&writer, 0x40);
	qe_write_bytes(&writer, cid_bytes);
	bool answered = qe_stateless_reset(&context, &batch, &path6, bytes);

	assert_int_equal(answered, ours && len > QE_RESET_MIN);
	assert_int_equal(answers(), answered);
	free(room);
	if (!answered)
		return;
	assert_in_range(answer.len, QE_RESET_MIN, len - 1);
	assert_int_equal(answer.bytes[0] & 0xc0, 0x40);
	assert_int_equal(qe_cid_reset_token(&context.cids, token, cid_bytes), QE_OK);
	assert_memory_equal(answer.bytes + answer.len - sizeof(token), token, sizeof(token));
}

static void resets_what_was_ours_with_less(void **)
{
	for (size_t len = 1; len <= PACKET_MAX; len++) {
		check_reset(&context.cids, len);
		check_reset(&stranger.cids, len);
	}
	assert_false(qe_stateless_reset(&context, &batch, &path4, (struct qe_bytes){}));
}

/* A reset is answered with a shorter one at the most, so that two nodes come to an end. */
static void resets_do_not_go_on_for_ever(void **)
{
	uint8_t packet[PACKET_MAX] = {0x40};
	struct qe_bytes bytes = {packet, sizeof(packet)};
	unsigned n = 0;

	for (;;) {
		assert_int_equal(qe_cid_make(&context.cids, packet + 1), QE_OK);
		if (!qe_stateless_reset(&context, &batch, &path4, bytes))
			break;
		assert_int_equal(answers(), 1);
		assert_true(answer.len < bytes.len);
		bytes.len = answer.len;
		n++;
	}
	assert_in_range(n, 1, 42);
}

static struct qe_link_context context_of(uint8_t worker, struct qe_node_id *ret_id)
{
	struct qe_link_context made = {.mtu = 1400};
	uint8_t secret[32];

	random_fill(ret_id->bytes, sizeof(ret_id->bytes));
	random_fill(secret, sizeof(secret));
	assert_int_equal(qe_cid_keys_init(&made.cids, worker, secret, ret_id), QE_OK);
	return made;
}

static int setup(void **state)
{
	static const uint8_t v4[4] = {192, 0, 2, 1}, v6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 1};

	random_setup(state);
	struct qe_node_id other;

	context = context_of(3, &own_id);
	stranger = context_of(3, &other);
	path4.remote = (struct qe_endpoint){.addr = qe_addr_ipv4(v4), .port = 7844};
	path6.remote = (struct qe_endpoint){.addr = qe_addr_ipv6(v6), .port = 7844};
	return qe_batch_init(&batch, on_send, nullptr) == QE_OK ? 0 : -1;
}

static int teardown(void **)
{
	qe_batch_done(&batch);
	qe_cid_keys_done(&context.cids);
	qe_cid_keys_done(&stranger.cids);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classifies_noise),
		cmocka_unit_test(finds_the_connection_id),
		cmocka_unit_test(accepts_a_knock),
		cmocka_unit_test(is_silent_without_a_knock),
		cmocka_unit_test(is_silent_to_other_versions),
		cmocka_unit_test(is_silent_to_what_begins_nothing),
		cmocka_unit_test(bears_damage),
		cmocka_unit_test(a_retry_validates_the_address),
		cmocka_unit_test(a_token_is_for_one_address),
		cmocka_unit_test(a_token_lives_for_a_while),
		cmocka_unit_test(a_token_is_for_one_connection_id),
		cmocka_unit_test(a_token_cannot_be_changed),
		cmocka_unit_test(a_token_is_for_one_node),
		cmocka_unit_test(resets_what_was_ours_with_less),
		cmocka_unit_test(resets_do_not_go_on_for_ever),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
