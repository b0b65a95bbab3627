/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Two ends and the wires between them, one queue of handshake bytes each way. An end is either a
 * session of ours or a stranger (crypto_tls_stranger_test.c).
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "crypto/random.h"
#include "crypto/tls.h"

#define CHUNKS_MAX 64
#define NO_ALERT (-1)

struct chunk {
	enum qe_tls_level level;
	size_t len;
	uint8_t *bytes;
};

struct wire {
	struct chunk chunks[CHUNKS_MAX];
	size_t first, last;
	size_t total;
};

struct secret {
	enum qe_suite suite;
	size_t len;
	uint8_t bytes[48];
};

struct end {
	struct qe_tls *tls;
	/* In place of tls: a stranger, and what takes it a step further with what is lent to it. */
	SSL *stranger;
	void (*step)(struct end *end);
	struct qe_bytes lent;
	enum qe_tls_level level;
	struct wire out;
	struct secret secrets[3][2];
	struct qe_bytes params;
	const struct qe_node_id *expects; /* NULL: nobody */
	const struct end *other;
	unsigned n_peer_calls;
	int alert;
	bool refuses_secret, refuses_params, got_params;
	enum qe_error error;
};

static struct qe_key *keys[3]; /* two Ed25519, one ML-DSA-65 */
static uint64_t seed, state;

static inline uint64_t next(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* ---- an end of ours ---- */

static inline void put(struct wire *wire, enum qe_tls_level level, struct qe_bytes bytes)
{
	assert_in_range(wire->last, 0, CHUNKS_MAX - 1);
	struct chunk *chunk = &wire->chunks[wire->last++];
	*chunk = (struct chunk){level, bytes.len, malloc(bytes.len)};
	memcpy(chunk->bytes, bytes.data, bytes.len);
	wire->total += bytes.len;
}

static inline bool on_send(void *owner, enum qe_tls_level level, struct qe_bytes bytes)
{
	put(&((struct end *)owner)->out, level, bytes);
	return true;
}

static inline bool on_secret(void *owner, enum qe_tls_level level, bool transmit,
	enum qe_suite suite, struct qe_bytes bytes)
{
	struct end *end = owner;
	struct secret *secret = &end->secrets[level][transmit];
	assert_int_equal(secret->len, 0);
	assert_int_equal(bytes.len, qe_suite_hash_size(suite));
	secret->suite = suite;
	secret->len = bytes.len;
	memcpy(secret->bytes, bytes.data, bytes.len);
	return !end->refuses_secret;
}

static inline bool on_params(void *owner, struct qe_bytes params)
{
	struct end *end = owner;
	if (end->other->tls)
		end->got_params = qe_bytes_equal(params, end->other->params);
	return !end->refuses_params;
}

static inline bool on_peer(void *owner, const struct qe_node_id *id)
{
	struct end *end = owner;
	end->n_peer_calls++;
	return end->expects && qe_node_id_equal(end->expects, id);
}

static inline void on_alert(void *owner, uint8_t description)
{
	struct end *end = owner;
	assert_int_equal(end->alert, NO_ALERT);
	end->alert = description;
}

static const struct qe_tls_ops ops = {on_send, on_secret, on_params, on_peer, on_alert};

static inline struct qe_tls_context *context_of(size_t key, enum qe_pq pq, enum qe_cipher cipher)
{
	struct qe_tls_context *context;
	assert_int_equal(qe_tls_context_new(&context, keys[key], pq, cipher), QE_OK);
	return context;
}

static inline void end_init(
	struct end *end, struct end *other, struct qe_tls_context *context, bool server)
{
	end->other = other;
	end->alert = NO_ALERT;
	end->params = server ? (struct qe_bytes){(const uint8_t *)"server's", 8}
			     : (struct qe_bytes){(const uint8_t *)"client's!", 9};
	assert_int_equal(qe_tls_new(&end->tls, context, server, &ops, end), QE_OK);
	assert_int_equal(qe_tls_set_transport_params(end->tls, end->params), QE_OK);
	assert_null(qe_tls_key_exchange(end->tls));
	qe_tls_context_free(context); /* a session keeps what it needs */
}

/* ---- the wires ---- */

static inline void end_done(struct end *end)
{
	qe_tls_free(end->tls);
	SSL_free(end->stranger);
	for (size_t i = 0; i < end->out.last; i++)
		free(end->out.chunks[i].bytes);
}

static inline void start(struct end *end)
{
	if (end->tls)
		end->error = qe_tls_start(end->tls);
	else
		end->step(end);
}

/* The bytes live on the heap at their exact size and die at once: nothing may keep them. */
static inline enum qe_error give(
	struct end *end, enum qe_tls_level level, const uint8_t *from, size_t len)
{
	uint8_t *copy = malloc(len);
	enum qe_error error = QE_OK;
	memcpy(copy, from, len);
	if (end->tls) {
		error = qe_tls_input(end->tls, level, (struct qe_bytes){copy, len});
	} else {
		end->lent = (struct qe_bytes){copy, len};
		end->step(end);
	}
	free(copy);
	return error;
}

/* In pieces of random size. */
static inline void deliver(struct end *end, const struct chunk *chunk)
{
	size_t at = 0;
	while (at < chunk->len && end->error == QE_OK) {
		size_t len = next() % 3 ? chunk->len - at : 1 + next() % (chunk->len - at);
		end->error = give(end, chunk->level, chunk->bytes + at, len);
		at += len;
	}
}

static inline void pump(struct end *a, struct end *b)
{
	start(a);
	start(b);
	for (bool moved = true; moved && a->error == QE_OK && b->error == QE_OK;) {
		struct end *ends[] = {a, b};
		moved = false;
		for (size_t i = 0; i < 2; i++) {
			struct wire *wire = &ends[i]->out;
			while (wire->first < wire->last && ends[!i]->error == QE_OK) {
				deliver(ends[!i], &wire->chunks[wire->first++]);
				moved = true;
			}
		}
	}
}

static inline bool same_secrets(const struct end *a, const struct end *b)
{
	for (size_t level = QE_TLS_HANDSHAKE; level <= QE_TLS_APPLICATION; level++) {
		for (size_t transmit = 0; transmit < 2; transmit++) {
			const struct secret *x = &a->secrets[level][transmit];
			const struct secret *y = &b->secrets[level][!transmit];
			if (x->len == 0 || x->len != y->len || x->suite != y->suite ||
				memcmp(x->bytes, y->bytes, x->len) != 0)
				return false;
		}
	}
	return true;
}

static inline void assert_established(const struct end *client, const struct end *server)
{
	assert_int_equal(client->error, QE_OK);
	assert_int_equal(server->error, QE_OK);
	assert_true(qe_tls_complete(client->tls));
	assert_true(qe_tls_complete(server->tls));
	assert_true(same_secrets(client, server));
	assert_true(client->got_params && server->got_params);
	assert_int_equal(client->n_peer_calls, 1);
	assert_int_equal(server->n_peer_calls, 1);
	assert_int_equal(client->alert, NO_ALERT);
	assert_int_equal(server->alert, NO_ALERT);
}

struct pair {
	struct end client, server;
};

/* Each knows the other. */
static inline void pair_init(struct pair *pair, size_t client_key, size_t server_key)
{
	*pair = (struct pair){};
	end_init(&pair->client, &pair->server,
		context_of(client_key, QE_PQ_REQUIRED, QE_CIPHER_AUTO), false);
	end_init(&pair->server, &pair->client,
		context_of(server_key, QE_PQ_REQUIRED, QE_CIPHER_AUTO), true);
	pair->client.expects = qe_key_get_id(keys[server_key]);
	pair->server.expects = qe_key_get_id(keys[client_key]);
}

static inline void pair_done(struct pair *pair)
{
	end_done(&pair->client);
	end_done(&pair->server);
}

static inline int setup(void **test)
{
	(void)test;
	seed = state = qe_random_u64();
	print_message("seed %#llx\n", (unsigned long long)seed);
	for (size_t i = 0; i < 3; i++) {
		enum qe_key_type type = i < 2 ? QE_KEY_ED25519 : QE_KEY_ML_DSA_65;
		if (qe_key_generate(&keys[i], type) != QE_OK)
			return -1;
	}
	return 0;
}

static inline int teardown(void **test)
{
	(void)test;
	for (size_t i = 0; i < 3; i++)
		qe_key_free(keys[i]);
	return 0;
}
