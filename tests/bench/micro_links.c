/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Two links in memory. What one writes is kept, at no cost to the figures, and then given to the
 * other, half a millisecond later on the
 * simulated clock. The figures are for one 1,400-byte IP
 * packet in a batch of 64:
 *
 *   link_write   qe_link_send into UDP_SEGMENT trains
 *   link_read    qe_link_input of what came, and one qe_link_write, which acknowledges it
 *   link_ack     qe_link_input of the acknowledgement
 *   handshake    of both sides together, from the dial until both know that the link stands
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/key.h"
#include "micro.h"
#include "net/addr.h"
#include "quic/accept.h"

constexpr size_t packet_size = 1400;
constexpr size_t packets = 64;
constexpr size_t wire_max = 256;
constexpr size_t datagram_max = 1472;
constexpr size_t batches = 60;
constexpr size_t batches_tried_max = 20 * batches;
constexpr size_t handshakes = 5;
constexpr qe_time delay = 500 * QE_MICROSECOND;
constexpr unsigned steps_max = 5000;

struct end {
	struct qe_key *key;
	struct qe_link_context context;
	struct qe_batch batch;
	struct qe_path path; /* to the other */
	struct end *other;
	struct qe_link *link;
	bool established;

	uint8_t (*wire)[datagram_max]; /* what it has sent */
	size_t lens[wire_max], n_wire;
	qe_time keeping; /* how long keeping it took */
	size_t n_datagrams;
};

struct pair {
	const char *subject;
	struct end client, server;
	qe_time now;
};

/* ---- what links report ---- */

static bool on_authorize(void *, struct qe_link *, const struct qe_node_id *)
{
	return true;
}

static bool on_add(void *, struct qe_link *, struct qe_bytes)
{
	return true;
}

static void on_remove(void *, struct qe_link *, struct qe_bytes)
{
}

static void on_established(void *ctx, struct qe_link *)
{
	((struct end *)ctx)->established = true;
}

static void on_datagram(void *ctx, struct qe_link *, struct qe_bytes, enum qe_ecn)
{
	((struct end *)ctx)->n_datagrams++;
}

static void on_moved(void *, struct qe_link *)
{
}

static const struct qe_link_ops ops = {
	.authorize = on_authorize,
	.add_cid = on_add,
	.remove_cid = on_remove,
	.add_reset = on_remove,
	.remove_reset = on_remove,
	.established = on_established,
	.datagram = on_datagram,
	.control = on_add,
	.moved = on_moved,
};

/* ---- the wires ---- */

static void keep(void *ctx, const struct qe_path *, uint8_t, const uint8_t *data, size_t len,
	size_t segment_size)
{
	struct end *end = ctx;
	qe_time start = micro_now();

	for (size_t at = 0; at < len; at += segment_size) {
		size_t part = len - at < segment_size ? len - at : segment_size;

		micro_must(end->n_wire < wire_max && part <= datagram_max, "the wire is full");
		memcpy(end->wire[end->n_wire], data + at, part);
		end->lens[end->n_wire++] = part;
	}
	end->keeping += micro_now() - start;
}

static void accept_first(struct end *end, struct qe_bytes packet, qe_time now)
{
	struct qe_first_packet first;

	micro_must(
		qe_first_packet_check(&first, &end->context, &end->path, packet, false, now) ==
				QE_FIRST_ACCEPT &&
			qe_link_accept(&end->link, &end->context, &first, &end->path, now) == QE_OK,
		"a first packet is refused");
}

static void take(struct end *end, qe_time now)
{
	struct end *from = end->other;

	for (size_t i = 0; i < from->n_wire; i++) {
		struct qe_bytes packet = {from->wire[i], from->lens[i]};

		if (end->link == nullptr)
			accept_first(end, packet, now);
		micro_must(
			qe_link_input(end->link, &end->path, QE_ECN_NOT_ECT, packet, now) == QE_OK,
			"a link has failed");
	}
	from->n_wire = 0;
}

static void write_link(struct end *end, qe_time now)
{
	if (end->link == nullptr)
		return;
	if (qe_link_deadline(end->link) <= now)
		micro_must(qe_link_timer(end->link, now) == QE_OK, "a link has timed out");
	micro_must(qe_link_write(end->link, &end->batch, now) == QE_OK, "a link has failed");
	qe_batch_flush(&end->batch);
}

static void step(struct pair *pair)
{
	pair->now += delay;
	take(&pair->server, pair->now);
	write_link(&pair->server, pair->now);
	pair->now += delay;
	take(&pair->client, pair->now);
	write_link(&pair->client, pair->now);
}

/* ---- a batch ---- */

struct times {
	double write[batches], read[batches], ack[batches];
};

static double per_packet(const struct end *end, qe_time start)
{
	return (double)(micro_now() - start - end->keeping) / packets;
}

static size_t send_packets(struct end *end, qe_time now)
{
	static uint8_t bytes[packet_size] = {0x45};
	size_t n = 0;

	while (n < packets && qe_link_send(end->link, &end->batch, QE_CONTEXT_IP, QE_ECN_NOT_ECT,
				      (struct qe_bytes){bytes, packet_size}, now) == QE_OK)
		n++;
	qe_batch_flush(&end->batch);
	return n;
}

/* False if the congestion window was too small for a whole batch: BBR narrows it now and then to
 * measure the path. */
static bool run_batch(struct pair *pair, struct times *times, size_t i)
{
	struct end *client = &pair->client, *server = &pair->server;
	size_t before = server->n_datagrams;

	client->keeping = server->keeping = 0;
	qe_time start = micro_now();
	size_t n = send_packets(client, pair->now);

	times->write[i] = per_packet(client, start);
	pair->now += delay;
	start = micro_now();
	take(server, pair->now);
	write_link(server, pair->now);
	times->read[i] = per_packet(server, start);
	pair->now += delay;
	client->keeping = 0;
	start = micro_now();
	take(client, pair->now);
	times->ack[i] = per_packet(client, start);
	write_link(client, pair->now);
	micro_must(server->n_datagrams == before + n, "not all datagrams came");
	return n == packets;
}

static void round_of_batches(void *ctx)
{
	struct pair *pair = ctx;
	struct times times;
	size_t n = 0;

	for (size_t tried = 0; n < batches; tried++) {
		micro_must(tried < batches_tried_max, "the congestion window stays small");
		n += run_batch(pair, &times, n);
	}
	micro_tell(pair->subject, "link_write", "ns", micro_median(times.write, batches));
	micro_tell(pair->subject, "link_read", "ns", micro_median(times.read, batches));
	micro_tell(pair->subject, "link_ack", "ns", micro_median(times.ack, batches));
}

/* ---- a handshake ---- */

static void hang_up(struct pair *pair)
{
	for (size_t i = 0; i < 2; i++) {
		struct end *end = i == 0 ? &pair->client : &pair->server;

		end->link = qe_link_free(end->link);
		end->established = false;
		end->n_wire = 0;
	}
}

static void dial(struct pair *pair)
{
	struct end *client = &pair->client;

	micro_must(qe_link_dial(&client->link, &client->context, qe_key_get_id(pair->server.key), 0,
			   &client->path, pair->now) == QE_OK,
		"cannot dial");
	write_link(client, pair->now);
	for (unsigned i = 0; !client->established || !pair->server.established; i++) {
		micro_must(i < steps_max, "no link comes about");
		step(pair);
	}
}

static void round_of_handshakes(void *ctx)
{
	struct pair *pair = ctx;
	double times[handshakes];

	for (size_t i = 0; i < handshakes; i++) {
		qe_time start = micro_now();

		dial(pair);
		times[i] = (double)(micro_now() - start) / 1000;
		hang_up(pair);
	}
	micro_tell(pair->subject, "handshake", "us", micro_median(times, handshakes));
}

/* ---- pairs ---- */

static void end_init(struct end *end, struct end *other, enum qe_key_type type,
	enum qe_cipher cipher, uint8_t number)
{
	const uint8_t addr[4] = {192, 0, 2, number};
	uint8_t secret[32];

	end->other = other;
	end->path.remote = (struct qe_endpoint){.addr = qe_addr_ipv4(addr), .port = 7844};
	end->context = (struct qe_link_context){.ops = &ops, .ops_ctx = end, .mtu = packet_size};
	end->wire = (uint8_t(*)[datagram_max])malloc(wire_max * datagram_max);
	micro_must(end->wire && qe_key_generate(&end->key, type) == QE_OK &&
			   qe_key_derive(end->key, "benchmark", secret) == QE_OK &&
			   qe_cid_keys_init(&end->context.cids, number, secret,
				   qe_key_get_id(end->key)) == QE_OK &&
			   qe_crypto_new(&end->context.crypto, QE_CRYPTO_BEST) == QE_OK &&
			   qe_tls_context_new(
				   &end->context.tls, end->key, QE_PQ_REQUIRED, cipher) == QE_OK &&
			   qe_batch_init(&end->batch, keep, end) == QE_OK,
		"an end cannot be made");
}

static struct pair *pair_new(const char *subject, enum qe_key_type type, enum qe_cipher cipher)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	micro_must(pair != nullptr, "out of memory");
	pair->subject = subject;
	pair->now = 1000 * QE_SECOND;
	end_init(&pair->client, &pair->server, type, cipher, 2);
	end_init(&pair->server, &pair->client, type, cipher, 1);
	return pair;
}

static void add_batches(const char *subject, enum qe_cipher cipher)
{
	struct pair *pair = pair_new(subject, QE_KEY_ED25519, cipher);

	dial(pair);
	for (unsigned i = 0; qe_link_path_mtu(pair->client.link) < packet_size ||
			     !qe_link_is_ready(pair->client.link, pair->now);
		i++) {
		micro_must(i < steps_max, "the path MTU is not found");
		step(pair);
	}
	micro_add(round_of_batches, pair);
}

void micro_add_links(void)
{
	add_batches("quicether-aes256gcm", QE_CIPHER_AES_256_GCM);
	add_batches("quicether-aes128gcm", QE_CIPHER_AES_128_GCM);
	add_batches("quicether-chacha20poly1305", QE_CIPHER_CHACHA20_POLY1305);
	micro_add(round_of_handshakes,
		pair_new("quicether-ed25519", QE_KEY_ED25519, QE_CIPHER_AES_256_GCM));
	micro_add(round_of_handshakes,
		pair_new("quicether-mldsa65", QE_KEY_ML_DSA_65, QE_CIPHER_AES_256_GCM));
}
