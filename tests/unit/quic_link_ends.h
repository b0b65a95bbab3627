/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Two links in memory and the wires between them: one dials, the other is accepted when the first
 * packet has come. A packet takes DELAY; the clock jumps from one thing to the next. What an end is
 * told through qe_link_ops it records, and checks that it may be told so then.
 */
#pragma once

#include <string.h>

#include "base/time.h"
#include "crypto/key.h"
#include "net/addr.h"
#include "quic/accept.h"
#include "quic/link_internal.h"
#include "random.h"

#define DELAY (5 * QE_MILLISECOND)
#define DATAGRAMS_MAX 4096
#define CIDS_KNOWN_MAX 64
#define MESSAGES_MAX 2048

struct wire_datagram {
	qe_time due;
	enum qe_ecn ecn;
	size_t len;
	uint8_t *bytes;
};

struct end {
	struct qe_key *key;
	struct qe_link_context context;
	struct qe_batch batch;
	struct qe_link *link;
	struct end *other;
	struct qe_path path; /* from here to the other */

	/* What has been sent and not yet come; what is held back on purpose stays in front. */
	struct wire_datagram out[DATAGRAMS_MAX];
	size_t n_out, n_sent, n_marked;
	size_t sizes[DATAGRAMS_MAX]; /* of what was sent, from the start or the last look */
	size_t n_sizes;

	struct link_cid cids[CIDS_KNOWN_MAX];
	size_t n_cids, n_resets;
	uint8_t reset[QE_RESET_TOKEN_SIZE]; /* the last one told */
	unsigned n_authorize, n_established, n_datagrams, n_moved;
	uint64_t digest; /* of all datagrams, in their order */
	bool refuses, refuses_control;
	uint8_t datagram[65536];
	size_t datagram_len;
	enum qe_ecn ecn; /* of the last datagram */
	/* All control messages in a row, and where in it they end. */
	uint8_t messages[MESSAGES_MAX * QE_LINK_CONTROL_MAX / 2];
	size_t message_ends[MESSAGES_MAX], n_messages;
	enum qe_error error; /* what ended the link */
};

struct pair {
	struct end client, server;
	qe_time now;
	size_t mtu; /* of the path: the largest UDP payload that passes */
	bool want_retry, cut;
};

static struct pair pair;

/* ---- what a link reports ---- */

static inline struct end *end_of(void *ctx, const struct qe_link *link)
{
	struct end *end = ctx;

	assert_true(end->link == nullptr || end->link == link);
	return end;
}

static inline bool on_authorize(void *ctx, struct qe_link *link, const struct qe_node_id *id)
{
	struct end *end = end_of(ctx, link);

	assert_int_equal(end->n_established, 0);
	assert_true(qe_node_id_equal(id, qe_key_get_id(end->other->key)));
	end->n_authorize++;
	return !end->refuses;
}

static inline size_t find_cid(const struct end *end, struct qe_bytes cid)
{
	for (size_t i = 0; i < end->n_cids; i++)
		if (end->cids[i].len == cid.len &&
			memcmp(end->cids[i].bytes, cid.data, cid.len) == 0)
			return i;
	return SIZE_MAX;
}

static inline bool on_add_cid(void *ctx, struct qe_link *link, struct qe_bytes cid)
{
	struct end *end = end_of(ctx, link);

	assert_int_equal(find_cid(end, cid), SIZE_MAX);
	assert_in_range(end->n_cids, 0, CIDS_KNOWN_MAX - 1);
	end->cids[end->n_cids].len = (uint8_t)cid.len;
	memcpy(end->cids[end->n_cids++].bytes, cid.data, cid.len);
	return true;
}

static inline void on_remove_cid(void *ctx, struct qe_link *link, struct qe_bytes cid)
{
	struct end *end = end_of(ctx, link);
	size_t at = find_cid(end, cid);

	assert_int_not_equal(at, SIZE_MAX);
	end->cids[at] = end->cids[--end->n_cids];
}

static inline void on_add_reset(void *ctx, struct qe_link *link, struct qe_bytes token)
{
	struct end *end = end_of(ctx, link);

	assert_int_equal(token.len, QE_RESET_TOKEN_SIZE);
	memcpy(end->reset, token.data, token.len);
	end->n_resets++;
}

static inline void on_remove_reset(void *ctx, struct qe_link *link, struct qe_bytes)
{
	struct end *end = end_of(ctx, link);

	assert_in_range(end->n_resets, 1, LINK_TOKENS_MAX);
	end->n_resets--;
}

static inline void on_established(void *ctx, struct qe_link *link)
{
	struct end *end = end_of(ctx, link);

	assert_int_equal(end->n_authorize, 1);
	assert_int_equal(end->n_established, 0);
	assert_true(qe_link_is_established(link));
	end->n_established++;
}

/* FNV-1a. */
static inline uint64_t digest(uint64_t hash, struct qe_bytes bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		hash = (hash ^ bytes.data[i]) * UINT64_C(0x100000001b3);
	return (hash ^ bytes.len) * UINT64_C(0x100000001b3);
}

static inline void on_datagram(
	void *ctx, struct qe_link *link, struct qe_bytes datagram, enum qe_ecn ecn)
{
	struct end *end = end_of(ctx, link);

	assert_int_equal(end->n_established, 1);
	end->n_datagrams++;
	end->ecn = ecn;
	end->digest = digest(end->digest, datagram);
	end->datagram_len = datagram.len;
	memcpy(end->datagram, datagram.data, datagram.len);
}

static inline bool on_control(void *ctx, struct qe_link *link, struct qe_bytes message)
{
	struct end *end = end_of(ctx, link);

	assert_int_equal(end->n_established, 1);
	assert_in_range(message.len, 1, QE_LINK_CONTROL_MAX);
	size_t at = end->n_messages > 0 ? end->message_ends[end->n_messages - 1] : 0;

	assert_true(end->n_messages < MESSAGES_MAX && at + message.len < sizeof(end->messages));
	memcpy(end->messages + at, message.data, message.len);
	end->message_ends[end->n_messages++] = at + message.len;
	return !end->refuses_control;
}

static inline void on_moved(void *ctx, struct qe_link *link)
{
	end_of(ctx, link)->n_moved++;
}

static const struct qe_link_ops ops = {
	.authorize = on_authorize,
	.add_cid = on_add_cid,
	.remove_cid = on_remove_cid,
	.add_reset = on_add_reset,
	.remove_reset = on_remove_reset,
	.established = on_established,
	.datagram = on_datagram,
	.control = on_control,
	.moved = on_moved,
};

/* ---- the wire ---- */

static inline void put_on_wire(void *ctx, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len, size_t segment_size)
{
	struct end *end = ctx;

	assert_true(qe_endpoint_equal(&path->remote, &end->path.remote));
	for (size_t at = 0; at < len; at += segment_size) {
		size_t part = len - at < segment_size ? len - at : segment_size;

		assert_true(end->n_out < DATAGRAMS_MAX && end->n_sizes < DATAGRAMS_MAX);
		end->sizes[end->n_sizes++] = part;
		end->n_sent++;
		end->n_marked += ecn != QE_ECN_NOT_ECT;
		if (pair.cut || part > pair.mtu)
			continue;
		struct wire_datagram *datagram = &end->out[end->n_out++];

		*datagram = (struct wire_datagram){.due = pair.now + DELAY,
			.ecn = (enum qe_ecn)ecn,
			.len = part,
			.bytes = malloc(part)};
		memcpy(datagram->bytes, data + at, part);
	}
}

static inline void take_off_wire(struct end *end, size_t at)
{
	free(end->out[at].bytes);
	end->n_out--;
	memmove(&end->out[at], &end->out[at + 1], (end->n_out - at) * sizeof(end->out[0]));
}

/* ---- life ---- */

static inline void note(struct end *end, enum qe_error error)
{
	if (error == QE_OK || end->error != QE_OK)
		return;
	end->error = error;
	if (error != QE_ERR_CLOSED)
		qe_link_close(end->link, &end->batch,
			error == QE_ERR_PROTOCOL ? QE_CLOSE_CONTROL : QE_CLOSE_INTERNAL, pair.now);
	qe_batch_flush(&end->batch);
}

static inline void accept_first(struct end *end, struct qe_bytes packet)
{
	struct qe_first_packet first;

	enum qe_first_verdict verdict = qe_first_packet_check(
		&first, &end->context, &end->path, packet, pair.want_retry, pair.now);

	if (verdict == QE_FIRST_ACCEPT)
		assert_int_equal(
			qe_link_accept(&end->link, &end->context, &first, &end->path, pair.now),
			QE_OK);
	else if (verdict == QE_FIRST_RETRY)
		assert_true(qe_retry(&end->context, &end->batch, &first, &end->path, pair.now));
	qe_batch_flush(&end->batch);
}

static inline void give(struct end *end, enum qe_ecn ecn, struct qe_bytes packet)
{
	if (end->link == nullptr)
		accept_first(end, packet);
	if (end->link != nullptr && end->error == QE_OK)
		note(end, qe_link_input(end->link, &end->path, ecn, packet, pair.now));
}

static inline void give_first(struct end *from)
{
	struct wire_datagram *datagram = &from->out[0];

	give(from->other, datagram->ecn, (struct qe_bytes){datagram->bytes, datagram->len});
	take_off_wire(from, 0);
}

static inline void write_link(struct end *end)
{
	if (end->link == nullptr || end->error != QE_OK)
		return;
	note(end, qe_link_write(end->link, &end->batch, pair.now));
	qe_batch_flush(&end->batch);
}

/* All that has come by now, then what follows from it. */
static inline void step_end(struct end *end)
{
	while (end->other->n_out > 0 && end->other->out[0].due <= pair.now)
		give_first(end->other);
	if (end->link == nullptr || end->error != QE_OK)
		return;
	if (qe_link_deadline(end->link) <= pair.now)
		note(end, qe_link_timer(end->link, pair.now));
	write_link(end);
}

static inline qe_time next_of(const struct end *end)
{
	qe_time at = end->n_out > 0 ? end->out[0].due : QE_TIME_NEVER;

	if (end->link != nullptr && end->error == QE_OK)
		at = qe_time_min(at, qe_link_deadline(end->link));
	return at;
}

static inline void run(qe_time duration)
{
	qe_time until = pair.now + duration;

	while (pair.now < until) {
		step_end(&pair.client);
		step_end(&pair.server);
		qe_time next = qe_time_min(next_of(&pair.client), next_of(&pair.server));

		/* Some deadlines that have passed wait for something else. */
		next = qe_time_max(next, pair.now + 50 * QE_MICROSECOND);
		pair.now = qe_time_min(next, until);
	}
}

static inline void end_init(struct end *end, struct end *other, enum qe_key_type type,
	enum qe_cipher cipher, uint8_t last)
{
	static const uint8_t addr[4] = {192, 0, 2, 1};
	uint8_t secret[32];

	end->other = other;
	end->path.remote = (struct qe_endpoint){.addr = qe_addr_ipv4(addr), .port = 7844};
	end->path.remote.addr.bytes[3] = last;
	end->context = (struct qe_link_context){.ops = &ops, .ops_ctx = end, .mtu = 1400};
	assert_int_equal(qe_key_generate(&end->key, type), QE_OK);
	assert_int_equal(qe_key_derive(end->key, "test", secret), QE_OK);
	assert_int_equal(
		qe_cid_keys_init(&end->context.cids, last, secret, qe_key_get_id(end->key)), QE_OK);
	assert_int_equal(qe_crypto_new(&end->context.crypto, QE_CRYPTO_BEST), QE_OK);
	assert_int_equal(
		qe_tls_context_new(&end->context.tls, end->key, QE_PQ_REQUIRED, cipher), QE_OK);
	assert_int_equal(qe_batch_init(&end->batch, put_on_wire, end), QE_OK);
}

static inline void end_done(struct end *end)
{
	end->link = qe_link_free(end->link);
	assert_int_equal(end->n_cids, 0);
	assert_int_equal(end->n_resets, 0);
	while (end->n_out > 0)
		take_off_wire(end, end->n_out - 1);
	qe_batch_done(&end->batch);
	qe_tls_context_free(end->context.tls);
	qe_crypto_free(end->context.crypto);
	qe_cid_keys_done(&end->context.cids);
	qe_key_free(end->key);
}

/* Two ends that know one another; nothing has been sent yet. */
static inline void pair_init(enum qe_key_type type, enum qe_cipher cipher)
{
	memset(&pair, 0, sizeof(pair));
	pair.now = 1000 * QE_SECOND;
	pair.mtu = 1472;
	end_init(&pair.client, &pair.server, type, cipher, 2);
	end_init(&pair.server, &pair.client, type, cipher, 1);
}

static inline void dial(void)
{
	assert_int_equal(qe_link_dial(&pair.client.link, &pair.client.context,
				 qe_key_get_id(pair.server.key), 0, &pair.client.path, pair.now),
		QE_OK);
}

static inline bool both_established(void)
{
	return pair.client.n_established == 1 && pair.server.n_established == 1;
}

/* The usual beginning: established, the path MTU known, everything acknowledged. */
static inline void pair_link(void)
{
	pair_init(QE_KEY_ED25519, QE_CIPHER_AUTO);
	dial();
	run(2 * QE_SECOND);
	assert_true(both_established());
}

static inline void pair_done(void)
{
	end_done(&pair.client);
	end_done(&pair.server);
}

static inline void assert_both_live(void)
{
	assert_int_equal(pair.client.error, QE_OK);
	assert_int_equal(pair.server.error, QE_OK);
}
