/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What a datagram costs that is not welcome: a node with one link is given datagrams of one kind,
 * from another address each, and run after every 16 of them as a worker does under load. The
 * kernel's share, which is the same for all, is not in it.
 *
 *   unknown_cid   a short header with a connection ID that nobody was given
 *   forged        the connection ID of the link, the rest noise
 *   replayed      what has come before
 *   no_knock      an Initial by somebody who does not know the NodeId
 *   false_token   the same with what looks like the token of a Retry
 *   retry         an Initial with a knock, while the node is under load
 *   first         the same while it is not: a link is made, and fails as the packet does not open
 */
#include <stdlib.h>
#include <string.h>

#include "../sim/mesh.h"
#include "crypto/random.h"
#include "micro.h"
#include "net/addr.h"
#include "quic/retry.h"

constexpr size_t batch = 16;
constexpr size_t batches = 60;
constexpr size_t noise_size = 120;
constexpr size_t initial_size = 1200;
constexpr size_t captured_max = 64;
constexpr qe_time quiet = QE_SECOND; /* after it a node is under load no more */

struct datagram {
	size_t len;
	uint8_t bytes[MESH_DATAGRAM_MAX];
};

struct target {
	struct mesh_pair pair;
	struct datagram captured[captured_max]; /* what came by the link, after the handshake */
	size_t n_captured, next;
};

struct kind {
	const char *measure;
	void (*make)(struct target *target, struct datagram *to);
	qe_time pause;   /* before each batch */
	bool from_peer;  /* and not from anywhere */
	unsigned warmup; /* batches that are not measured */
	struct target *target;
};

/* ---- datagrams ---- */

static void make_unknown_cid(struct target *, struct datagram *to)
{
	to->len = noise_size;
	qe_random(to->bytes, to->len);
	to->bytes[0] = 0x40;
	to->bytes[1] = 0; /* the worker */
}

static void make_replayed(struct target *target, struct datagram *to)
{
	*to = target->captured[target->next++ % target->n_captured];
}

static void make_forged(struct target *target, struct datagram *to)
{
	make_replayed(target, to);
	qe_random(to->bytes + 1 + QE_CID_SIZE, to->len - 1 - QE_CID_SIZE);
}

/* RFC 9000 section 17.2.2, with right lengths and without contents. */
static void make_initial(struct datagram *to, struct qe_bytes dcid, struct qe_bytes token)
{
	const uint8_t head[] = {0xc0, 0, 0, 0, 1}, scid[QE_CID_SIZE] = {1, 2, 3};
	struct qe_writer writer = qe_writer_init(to->bytes, initial_size);

	to->len = initial_size;
	qe_random(to->bytes, to->len);
	qe_write_bytes(&writer, (struct qe_bytes){head, sizeof(head)});
	qe_write_u8(&writer, (uint8_t)dcid.len);
	qe_write_bytes(&writer, dcid);
	qe_write_u8(&writer, sizeof(scid));
	qe_write_bytes(&writer, (struct qe_bytes){scid, sizeof(scid)});
	qe_write_u8(&writer, (uint8_t)token.len);
	qe_write_bytes(&writer, token);
	qe_write_u16(&writer, (uint16_t)(0x4000 | (initial_size - 2 - qe_writer_len(&writer))));
}

static void make_no_knock(struct target *, struct datagram *to)
{
	uint8_t dcid[QE_KNOCK_SIZE];

	qe_random(dcid, sizeof(dcid));
	make_initial(to, (struct qe_bytes){dcid, sizeof(dcid)}, (struct qe_bytes){});
}

static void make_false_token(struct target *target, struct datagram *to)
{
	uint8_t dcid[QE_CID_SIZE], token[QE_RETRY_TOKEN_SIZE];

	qe_random(dcid, sizeof(dcid));
	qe_random(token, sizeof(token));
	token[0] = (uint8_t)(target->pair.mesh->now / QE_SECOND);
	make_initial(
		to, (struct qe_bytes){dcid, sizeof(dcid)}, (struct qe_bytes){token, sizeof(token)});
}

static void make_knock(struct target *target, struct datagram *to)
{
	uint8_t dcid[QE_KNOCK_SIZE];

	micro_must(qe_knock_make(dcid, 0, qe_key_get_id(target->pair.b->key)) == QE_OK, "no knock");
	make_initial(to, (struct qe_bytes){dcid, sizeof(dcid)}, (struct qe_bytes){});
}

/* ---- the target ---- */

static void capture(void *ctx, const struct mesh_host *from, struct qe_bytes datagram)
{
	struct target *target = ctx;
	struct datagram *to = &target->captured[target->n_captured];

	if (from != target->pair.a || target->n_captured == captured_max || datagram.data[0] & 0x80)
		return;
	to->len = datagram.len;
	memcpy(to->bytes, datagram.data, datagram.len);
	target->n_captured++;
}

static struct target *target_new(void)
{
	struct target *target = calloc(1, sizeof(*target));

	micro_must(target != nullptr, "out of memory");
	target->pair = mesh_pair_new(1, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = target->pair.mesh;

	mesh_pair_start(&target->pair);
	micro_must(mesh_pair_link(&target->pair, QE_SECOND), "no link");
	mesh_run(mesh, QE_SECOND);
	mesh->tap = capture;
	mesh->tap_ctx = target;
	mesh_flow_start(target->pair.a, target->pair.b, MESH_UDP4, 100, QE_MILLISECOND);
	mesh_run(mesh, captured_max * QE_MILLISECOND + QE_SECOND);
	micro_must(target->n_captured == captured_max, "nothing to replay");
	return target;
}

static struct qe_path path_of(const struct kind *kind)
{
	const struct mesh_pair *pair = &kind->target->pair;
	uint32_t random = (uint32_t)qe_random_u64();
	uint8_t anybody[4] = {198, 18, (uint8_t)(random >> 8), (uint8_t)random};
	struct qe_path path = {.local = pair->b->at[0], .remote = pair->b->at[0]};

	if (kind->from_peer)
		return mesh_status(pair->b, 0).link.path;
	path.remote.addr = qe_addr_ipv4(anybody);
	return path;
}

/* ---- rounds ---- */

static double run_batch(struct kind *kind)
{
	struct target *target = kind->target;
	struct qe_shard *shard = target->pair.b->shard;
	struct datagram datagrams[batch];
	struct qe_path paths[batch];

	for (size_t i = 0; i < batch; i++) {
		kind->make(target, &datagrams[i]);
		paths[i] = path_of(kind);
	}
	target->pair.mesh->now += kind->pause;
	qe_time now = target->pair.mesh->now;
	qe_time start = micro_now();

	for (size_t i = 0; i < batch; i++)
		qe_shard_udp_input(
			shard, &paths[i], 0, datagrams[i].bytes, datagrams[i].len, 0, now);
	qe_shard_run(shard, now);
	return (double)(micro_now() - start) / batch;
}

static void round_of_rejects(void *ctx)
{
	struct kind *kind = ctx;
	double times[batches];

	for (size_t i = 0; i < kind->warmup; i++)
		run_batch(kind);
	for (size_t i = 0; i < batches; i++)
		times[i] = run_batch(kind);
	micro_tell("quicether", kind->measure, "ns", micro_median(times, batches));
}

void micro_add_rejects(void)
{
	static struct kind kinds[] = {
		{"unknown_cid", make_unknown_cid, 0, false, 0},
		{"forged", make_forged, 0, true, 0},
		{"replayed", make_replayed, 0, true, 0},
		{"no_knock", make_no_knock, 0, false, 0},
		{"false_token", make_false_token, 0, false, 0},
		{"retry", make_knock, 0, false, 20},
		{"first", make_knock, quiet, false, 0},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		kinds[i].target = target_new();
		micro_add(round_of_rejects, &kinds[i]);
	}
}
