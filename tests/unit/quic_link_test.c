/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Two links against one another: what they carry, what they refuse, and how they end. */
#include "quic_link_ends.h"

static void fill(uint8_t *to, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

/* ---- beginning ---- */

static void check_status(const struct end *end, bool dialled, const char *cipher)
{
	struct qe_link_status status;

	qe_link_get_status(end->link, &status);
	assert_int_equal(status.dialled, dialled);
	assert_string_equal(status.cipher, cipher);
	assert_string_equal(status.key_exchange, "X25519MLKEM768");
	assert_in_range(status.handshake, 2 * DELAY, 10 * DELAY);
	assert_in_range(status.rtt_min, 2 * DELAY, 3 * DELAY);
	assert_in_range(status.path_mtu, 1400, 1472);
	assert_true(qe_endpoint_equal(&status.path.remote, &end->path.remote));
	assert_true(qe_node_id_equal(qe_link_peer(end->link), qe_key_get_id(end->other->key)));
	assert_true(qe_link_is_ready(end->link, pair.now));
	assert_int_equal(qe_link_unanswered_since(end->link), QE_TIME_NEVER);
}

static void links(void **)
{
	static const struct {
		enum qe_key_type type;
		enum qe_cipher cipher;
		const char *name;
		bool want_retry;
	} cases[] = {
		{QE_KEY_ED25519, QE_CIPHER_AES_128_GCM, "AES-128-GCM"},
		{QE_KEY_ED25519, QE_CIPHER_CHACHA20_POLY1305, "ChaCha20-Poly1305", true},
		{QE_KEY_ML_DSA_65, QE_CIPHER_AES_256_GCM, "AES-256-GCM"},
		{QE_KEY_ML_DSA_65, QE_CIPHER_AES_256_GCM, "AES-256-GCM", true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pair_init(cases[i].type, cases[i].cipher);
		pair.want_retry = cases[i].want_retry;
		dial();
		run(2 * QE_SECOND);
		assert_true(both_established());
		check_status(&pair.client, true, cases[i].name);
		check_status(&pair.server, false, cases[i].name);
		pair_done();
	}
}

/* Dials, and holds what the server answers first. */
static void half_a_handshake(void)
{
	pair_init(QE_KEY_ED25519, QE_CIPHER_AUTO);
	dial();
	write_link(&pair.client);
	while (pair.client.n_out > 0)
		give_first(&pair.client);
	assert_non_null(pair.server.link);
	write_link(&pair.server);
	assert_true(pair.server.n_out > 0);
	assert_int_equal(pair.server.n_authorize, 0);
}

static void assert_nothing_came_of_it(void)
{
	assert_int_equal(pair.client.n_established + pair.server.n_established, 0);
	assert_int_equal(pair.client.n_datagrams + pair.server.n_datagrams, 0);
	assert_int_not_equal(pair.client.error, QE_OK);
	assert_int_not_equal(pair.server.error, QE_OK);
	pair_done();
}

static void a_server_may_refuse(void **)
{
	pair_init(QE_KEY_ED25519, QE_CIPHER_AUTO);
	pair.server.refuses = true;
	dial();
	run(20 * QE_SECOND);
	assert_int_equal(pair.server.error, QE_ERR_CRYPTO);
	assert_string_equal(qe_link_reason(pair.server.link),
		"the peer's key is not known here, or it has too many links");
	assert_int_equal(pair.client.error, QE_ERR_CLOSED);
	assert_nothing_came_of_it();
}

static void a_client_may_refuse(void **)
{
	pair_init(QE_KEY_ED25519, QE_CIPHER_AUTO);
	pair.client.refuses = true;
	dial();
	run(20 * QE_SECOND);
	assert_int_equal(pair.client.error, QE_ERR_CRYPTO);
	assert_int_equal(pair.server.error, QE_ERR_CLOSED);
	assert_int_equal(pair.server.n_authorize, 0);
	assert_nothing_came_of_it();
}

/* The one who answers has heard the knock, but holds another key. */
static void a_client_knows_whom_it_calls(void **)
{
	pair_init(QE_KEY_ED25519, QE_CIPHER_AUTO);
	dial();
	pair.client.link->peer.bytes[0] ^= 1;
	run(20 * QE_SECOND);
	assert_int_equal(pair.client.error, QE_ERR_CRYPTO);
	assert_string_equal(qe_link_reason(pair.client.link),
		"the peer at this address has another key than expected");
	assert_int_equal(pair.client.n_authorize, 0);
	assert_nothing_came_of_it();
}

/* ---- control messages ---- */

static enum qe_error say(struct end *end, size_t len, unsigned seed)
{
	uint8_t bytes[QE_LINK_CONTROL_MAX + 1];

	fill(bytes, len, seed);
	return qe_link_control(end->link, (struct qe_bytes){bytes, len});
}

static void say_all_sizes(struct end *end)
{
	for (size_t len = 1; len <= QE_LINK_CONTROL_MAX; len++) {
		while (say(end, len, (unsigned)len) == QE_ERR_FULL)
			run(DELAY);
	}
	run(QE_SECOND);
}

static void check_all_sizes(const struct end *end)
{
	size_t at = 0;

	assert_int_equal(end->n_messages, QE_LINK_CONTROL_MAX);
	for (size_t i = 0; i < end->n_messages; i++) {
		uint8_t expected[QE_LINK_CONTROL_MAX];

		fill(expected, i + 1, (unsigned)(i + 1));
		assert_int_equal(end->message_ends[i] - at, i + 1);
		assert_memory_equal(end->messages + at, expected, i + 1);
		at = end->message_ends[i];
	}
}

static void control_messages_go_both_ways(void **)
{
	pair_link();
	/* The side that dialled opens the stream, with its first message. */
	assert_int_equal(say(&pair.server, 1, 0), QE_ERR_BLOCKED);
	say_all_sizes(&pair.client);
	say_all_sizes(&pair.server);
	check_all_sizes(&pair.client);
	check_all_sizes(&pair.server);
	assert_int_equal(pair.client.link->control.out_bytes, 0);
	assert_int_equal(pair.server.link->control.out_bytes, 0);
	assert_both_live();
	pair_done();
}

static void control_messages_have_a_size(void **)
{
	half_a_handshake();
	assert_int_equal(say(&pair.client, 1, 0), QE_ERR_BLOCKED);
	assert_int_equal(say(&pair.server, 1, 0), QE_ERR_BLOCKED);
	run(QE_SECOND);
	assert_int_equal(say(&pair.client, 0, 0), QE_ERR_RANGE);
	assert_int_equal(say(&pair.client, QE_LINK_CONTROL_MAX + 1, 0), QE_ERR_RANGE);
	assert_int_equal(say(&pair.client, QE_LINK_CONTROL_MAX, 0), QE_OK);
	pair_done();
}

static size_t say_until_full(struct end *end)
{
	size_t n = 0;

	while (say(end, 100, 0) == QE_OK)
		n++;
	assert_int_equal(say(end, 100, 0), QE_ERR_FULL);
	assert_in_range(end->link->control.out_bytes, CONTROL_QUEUE_MAX - 102, CONTROL_QUEUE_MAX);
	return n;
}

static void what_waits_for_the_peer_is_bounded(void **)
{
	pair_link();
	pair.cut = true;
	size_t n = say_until_full(&pair.client);

	/* Sent is not received: it counts until it is acknowledged. */
	run(QE_SECOND);
	assert_int_equal(say(&pair.client, 100, 0), QE_ERR_FULL);
	assert_int_equal(pair.server.n_messages, 0);
	pair.cut = false;
	run(5 * QE_SECOND);
	assert_int_equal(pair.server.n_messages, n);
	assert_int_equal(say_until_full(&pair.client), n);
	run(QE_SECOND);
	assert_int_equal(pair.server.n_messages, 2 * n);
	assert_both_live();
	pair_done();
}

/* ---- datagrams ---- */

static void transmit(struct end *end, uint8_t context_byte, enum qe_ecn ecn, size_t len)
{
	uint8_t bytes[2048];

	fill(bytes, len, (unsigned)len);
	while (qe_link_send(end->link, &end->batch, context_byte, ecn,
		       (struct qe_bytes){bytes, len}, pair.now) == QE_ERR_BLOCKED)
		run(DELAY);
	write_link(end);
}

static void check_datagram(const struct end *end, uint8_t context_byte, size_t len)
{
	uint8_t expected[2048] = {context_byte};

	fill(expected + 1, len, (unsigned)len);
	assert_int_equal(end->datagram_len, len + 1);
	assert_memory_equal(end->datagram, expected, len + 1);
}

static void datagrams_of_all_sizes(void **)
{
	unsigned sent = 0, marked = 0;

	pair_link();
	for (size_t len = 1; len <= qe_link_path_mtu(pair.client.link); len++) {
		struct end *from = len % 2 ? &pair.client : &pair.server;
		unsigned before = from->other->n_datagrams;

		enum qe_ecn ecn = (enum qe_ecn)(len / 2 % 4);

		transmit(from, len % 3 == 0, ecn, len);
		run(2 * DELAY);
		assert_int_equal(from->other->ecn, ecn);
		marked += ecn != QE_ECN_NOT_ECT;
		assert_int_equal(from->other->n_datagrams, before + 1);
		check_datagram(from->other, len % 3 == 0, len);
		sent++;
	}
	assert_true(sent >= 1400);
	/* Nothing else is marked: handshake, acknowledgements, probes. */
	assert_int_equal(pair.client.n_marked + pair.server.n_marked, marked);
	assert_both_live();
	pair_done();
}

static enum qe_error try(struct end *end, size_t len)
{
	static const uint8_t bytes[4096];
	enum qe_error error = qe_link_send(end->link, &end->batch, QE_CONTEXT_IP, QE_ECN_NOT_ECT,
		(struct qe_bytes){bytes, len}, pair.now);

	qe_batch_flush(&end->batch);
	return error;
}

static void finds_what_fits_the_path(void **)
{
	static const size_t mtus[] = {1472, 1452, 1433, 1400, 1280, 1252, 1200};

	for (size_t i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++) {
		pair_init(QE_KEY_ED25519, QE_CIPHER_AUTO);
		pair.mtu = mtus[i];
		dial();
		while (!both_established())
			run(DELAY);
		/* Until it is known, what may come to fit waits. */
		if (mtus[i] < 1433)
			assert_int_equal(try(&pair.client, 1400), QE_ERR_BLOCKED);
		run(20 * QE_SECOND);
		assert_true(both_established());
		size_t fits = qe_link_path_mtu(pair.client.link);

		assert_in_range(
			fits + QE_LINK_OVERHEAD, mtus[i] < 1433 ? mtus[i] - 40 : 1433, mtus[i]);
		assert_int_equal(try(&pair.client, fits + 1), QE_ERR_TOO_BIG);
		assert_int_equal(try(&pair.client, 4096), QE_ERR_TOO_BIG);
		assert_int_equal(try(&pair.client, fits), QE_OK);
		run(QE_SECOND);
		assert_int_equal(pair.server.n_datagrams, 1);
		assert_both_live();
		pair_done();
	}
}

/* Packets of one size make UDP datagrams of one size, acknowledgements in them or not, so that one
 * UDP_SEGMENT send carries them. */
static void check_equal_sizes(size_t len)
{
	const size_t *sizes = pair.client.sizes;

	pair.client.n_sizes = 0;
	for (unsigned i = 0; i < 40; i++) {
		while (try(&pair.client, len) == QE_ERR_BLOCKED)
			run(DELAY);
		if (i % 7 == 3) { /* something to acknowledge, and another packet number */
			transmit(&pair.server, QE_CONTEXT_IP, QE_ECN_NOT_ECT, 50);
			run(2 * DELAY);
		}
	}
	size_t n = 0;

	for (size_t i = 0; i < pair.client.n_sizes; i++)
		n += sizes[i] == len + QE_LINK_OVERHEAD;
	assert_int_equal(n, 40);
}

static void padding_makes_sizes_equal(void **)
{
	pair_link();
	run(QE_SECOND);
	check_equal_sizes(1200);
	check_equal_sizes(1240);
	check_equal_sizes(1400);
	assert_both_live();
	pair_done();
}

/* Small and large in any order, into a window that is full now and then. */
static void small_ones_travel_together(void **)
{
	uint64_t expected = 0;
	unsigned sent = 0;

	pair_link();
	run(QE_SECOND);
	size_t mtu = qe_link_path_mtu(pair.client.link), out = pair.client.n_sizes;

	for (unsigned batch = 0; batch < 300; batch++) {
		for (size_t n = random_below(80); n > 0; n--) {
			size_t len = 1 + random_below(random_below(4) ? 200 : mtu);
			uint8_t bytes[2048] = {(uint8_t)random_below(2)};

			fill(bytes + 1, len, sent++);
			expected = digest(expected, (struct qe_bytes){bytes, len + 1});
			while (qe_link_send(pair.client.link, &pair.client.batch, bytes[0],
				       QE_ECN_NOT_ECT, (struct qe_bytes){bytes + 1, len},
				       pair.now) == QE_ERR_BLOCKED)
				run(DELAY);
		}
		write_link(&pair.client);
		run(random_below(3) * DELAY);
	}
	run(QE_SECOND);
	assert_int_equal(pair.server.n_datagrams, sent);
	assert_int_equal(pair.server.digest, expected);
	assert_in_range(pair.client.n_sizes - out, 1, sent / 2);
	assert_both_live();
	pair_done();
}

static void widen(void)
{
	for (unsigned i = 0; i < 60; i++) {
		for (unsigned n = 0; n < 20 && try(&pair.client, 1000) == QE_OK; n++)
			;
		run(DELAY / 4);
	}
	run(QE_SECOND);
}

/* Sends until the window is full; returns how long that takes of a round trip, in percent. */
static unsigned fill_window(void)
{
	struct qe_link_status status;
	size_t sent = 0, at_once = 0;
	qe_time start = pair.now, last = pair.now;

	qe_link_get_status(pair.client.link, &status);
	assert_true(status.cwnd > 60000);
	while (pair.now < start + status.rtt) {
		size_t before = sent;

		while (try(&pair.client, 1000) == QE_OK)
			sent += 1000 + QE_LINK_OVERHEAD;
		at_once = sent - before > at_once ? sent - before : at_once;
		if (sent > before)
			last = pair.now;
		write_link(&pair.client);
		pair.now = qe_link_deadline(pair.client.link);
	}
	assert_in_range(sent, status.cwnd * 95 / 100, status.cwnd * 105 / 100);
	assert_in_range(at_once, 14720, status.cwnd / 3);
	return (unsigned)((last - start) * 100 / status.rtt);
}

/* Not all at once, so that no queue has to hold a window; not much slower than the window allows,
 * so that BBR measures the path and not the pace. */
static void a_window_is_spread_over_a_round_trip(void **)
{
	for (unsigned settled = 0; settled < 2; settled++) {
		pair_link();
		run(QE_SECOND);
		widen();
		pair.client.link->pace.widest *= 1 + settled;
		write_link(&pair.client);
		unsigned percent = fill_window();

		if (settled)
			assert_in_range(percent, 50, 80);
		else
			assert_in_range(percent, 15, 36);
		pair_done();
	}
}

/* ---- keys ---- */

static void keys_are_updated(void **)
{
	static const enum qe_cipher ciphers[] = {
		QE_CIPHER_AES_128_GCM, QE_CIPHER_AES_256_GCM, QE_CIPHER_CHACHA20_POLY1305};

	for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
		pair_init(QE_KEY_ED25519, ciphers[i]);
		dial();
		run(2 * QE_SECOND);
		for (unsigned generation = 0; generation < 8; generation++) {
			struct end *from = generation % 3 ? &pair.client : &pair.server;

			/* ngtcp2 makes the next keys when it writes, a while after the last update.
			 */
			transmit(from, QE_CONTEXT_IP, QE_ECN_NOT_ECT, 50);
			run(QE_SECOND);
			assert_int_equal(
				ngtcp2_conn_initiate_key_update(from->link->conn, pair.now), 0);
			transmit(from, QE_CONTEXT_IP, QE_ECN_NOT_ECT, 100 + generation);
			transmit(from->other, QE_CONTEXT_IP, QE_ECN_NOT_ECT, 200 + generation);
			run(5 * QE_SECOND);
			check_datagram(from->other, QE_CONTEXT_IP, 100 + generation);
			check_datagram(from, QE_CONTEXT_IP, 200 + generation);
		}
		assert_both_live();
		pair_done();
	}
}

/* ---- ends ---- */

static void closes_with_a_code(void **)
{
	static const enum qe_close_code codes[] = {
		QE_CLOSE_NONE, QE_CLOSE_CONTROL, QE_CLOSE_INTERNAL};

	for (unsigned i = 0; i < 6; i++) {
		pair_link();
		struct end *end = i % 2 ? &pair.client : &pair.server;

		qe_link_close(end->link, &end->batch, codes[i / 2], pair.now);
		qe_batch_flush(&end->batch);
		end->link = qe_link_free(end->link);
		assert_int_equal(end->n_cids + end->n_resets, 0);
		assert_int_equal(end->n_out, 1);
		give_first(end);
		assert_int_equal(end->other->error, QE_ERR_CLOSED);
		assert_string_equal(qe_link_reason(end->other->link), "closed by the peer");
		const ngtcp2_ccerr *said = ngtcp2_conn_get_ccerr(end->other->link->conn);

		assert_int_equal(said->type, NGTCP2_CCERR_TYPE_APPLICATION);
		assert_int_equal(said->error_code, codes[i / 2]);
		pair_done();
	}
}

static void nobody_answers(void **)
{
	pair_init(QE_KEY_ED25519, QE_CIPHER_AUTO);
	pair.cut = true;
	dial();
	run(7 * QE_SECOND);
	assert_int_equal(pair.client.error, QE_OK);
	assert_true(pair.client.n_sent > 2);
	assert_true(pair.now - qe_link_unanswered_since(pair.client.link) >= 6 * QE_SECOND);
	run(2 * QE_SECOND);
	assert_int_equal(pair.client.error, QE_ERR_CLOSED);
	assert_string_equal(qe_link_reason(pair.client.link), "no answer");
	pair_done();
}

static void a_link_lives_on_while_nothing_is_said(void **)
{
	pair_link();
	pair.client.n_sent = pair.server.n_sent = 0;
	run(600 * QE_SECOND);
	assert_both_live();
	assert_in_range(pair.client.n_sent, 600 / 20, 3 * 600 / 20);
	assert_true(pair.now - qe_link_last_input(pair.client.link) < 25 * QE_SECOND);
	pair.cut = true;
	run(90 * QE_SECOND);
	assert_int_equal(pair.client.error, QE_ERR_CLOSED);
	assert_int_equal(pair.server.error, QE_ERR_CLOSED);
	assert_string_equal(qe_link_reason(pair.client.link), "the peer has fallen silent");
	pair_done();
}

static void a_probe_tells_whether_the_path_is_alive(void **)
{
	pair_link();
	qe_time before = qe_link_last_input(pair.client.link);

	qe_link_probe(pair.client.link);
	write_link(&pair.client);
	assert_int_equal(qe_link_unanswered_since(pair.client.link), pair.now);
	run(4 * DELAY);
	assert_int_equal(qe_link_unanswered_since(pair.client.link), QE_TIME_NEVER);
	assert_true(qe_link_last_input(pair.client.link) > before);

	pair.cut = true;
	qe_link_probe(pair.client.link);
	write_link(&pair.client);
	qe_time since = pair.now;

	run(5 * QE_SECOND);
	assert_int_equal(qe_link_unanswered_since(pair.client.link), since);
	pair.cut = false;
	run(5 * QE_SECOND);
	assert_int_equal(qe_link_unanswered_since(pair.client.link), QE_TIME_NEVER);
	pair_done();
}

/* The server has forgotten everything, and answers with what its connection ID gives. */
static void a_stateless_reset_ends_it(void **)
{
	struct qe_bytes reset = {pair.server.batch.data, 0};

	pair_link();
	pair.server.link = qe_link_free(pair.server.link);
	assert_true(try(&pair.client, 1000) == QE_OK);
	assert_int_equal(pair.client.n_out, 1);
	struct wire_datagram *datagram = &pair.client.out[0];

	assert_true(qe_stateless_reset(&pair.server.context, &pair.server.batch, &pair.server.path,
		(struct qe_bytes){datagram->bytes, datagram->len}));
	reset = (struct qe_bytes){pair.server.batch.data, pair.server.batch.len};
	assert_memory_equal(reset.data + reset.len - QE_RESET_TOKEN_SIZE, pair.client.reset,
		QE_RESET_TOKEN_SIZE);
	qe_batch_flush(&pair.server.batch);
	give_first(&pair.server);
	assert_int_equal(pair.client.error, QE_ERR_CLOSED);
	pair_done();
}

static void take_short_datagrams(struct end *end)
{
	const ngtcp2_transport_params *params = ngtcp2_conn_get_local_transport_params(
		end->link->conn);

	((ngtcp2_transport_params *)params)->max_datagram_frame_size = 300;
}

/* There is no use in a link whose other end takes no frames as long as ours, and no sense in
 * finding that out with a packet. */
static void a_peer_takes_datagrams_of_all_sizes(void **)
{
	for (unsigned liar = 0; liar < 2; liar++) {
		pair_init(QE_KEY_ED25519, QE_CIPHER_AUTO);
		dial();
		if (liar == 0)
			take_short_datagrams(&pair.client);
		write_link(&pair.client);
		accept_first(&pair.server,
			(struct qe_bytes){pair.client.out[0].bytes, pair.client.out[0].len});
		if (liar == 1)
			take_short_datagrams(&pair.server);
		run(QE_SECOND);
		struct end *honest = liar == 0 ? &pair.server : &pair.client;

		assert_int_equal(honest->n_established, 0);
		assert_int_equal(honest->error, QE_ERR_PROTOCOL);
		assert_string_equal(
			qe_link_reason(honest->link), "the peer takes no datagrams of this length");
		assert_int_equal(honest->other->error, QE_ERR_CLOSED);
		pair_done();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links),
		cmocka_unit_test(a_server_may_refuse),
		cmocka_unit_test(a_client_may_refuse),
		cmocka_unit_test(a_client_knows_whom_it_calls),
		cmocka_unit_test(control_messages_go_both_ways),
		cmocka_unit_test(control_messages_have_a_size),
		cmocka_unit_test(what_waits_for_the_peer_is_bounded),
		cmocka_unit_test(datagrams_of_all_sizes),
		cmocka_unit_test(finds_what_fits_the_path),
		cmocka_unit_test(padding_makes_sizes_equal),
		cmocka_unit_test(small_ones_travel_together),
		cmocka_unit_test(a_window_is_spread_over_a_round_trip),
		cmocka_unit_test(keys_are_updated),
		cmocka_unit_test(closes_with_a_code),
		cmocka_unit_test(nobody_answers),
		cmocka_unit_test(a_link_lives_on_while_nothing_is_said),
		cmocka_unit_test(a_probe_tells_whether_the_path_is_alive),
		cmocka_unit_test(a_stateless_reset_ends_it),
		cmocka_unit_test(a_peer_takes_datagrams_of_all_sizes),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
