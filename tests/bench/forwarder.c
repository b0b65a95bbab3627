/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The ceiling of any program between a TUN device and a UDP socket: all offloads, and nothing in
 * between. What comes from the TUN is split and sent in trains; what comes in trains is coalesced
 * and written to the TUN. Each datagram is one IP packet behind a byte that says whether its
 * checksum is partial. No keys, no acknowledgements, no look at addresses; it forwards what anybody
 * sends, so it belongs into a laboratory.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/list.h"
#include "net/addr.h"
#include "net/coalesce.h"
#include "net/segment.h"
#include "os/loop.h"
#include "os/netlink.h"
#include "os/tun.h"
#include "os/udp.h"
#include "quic/batch.h"

constexpr uint16_t mtu = 1400;
constexpr unsigned queue_length = 64; /* as the daemon's */
constexpr size_t super_max = 65536;
constexpr unsigned at_once = 16; /* trains and super-packets, likewise */

struct forwarder {
	struct qe_tun *tun;
	struct qe_udp *udp;
	struct qe_loop *loop;
	struct qe_watch tun_watch, udp_watch;
	bool tun_ready, udp_ready; /* not read until EAGAIN since the last event */
	struct qe_coalescer *coalescer;
	struct qe_batch batch;
	struct qe_path path;
	uint8_t buffer[super_max];
};

/* ---- from the TUN ---- */

static void send_train(void *ctx, const struct qe_path *path, uint8_t ecn, const uint8_t *data,
	size_t len, size_t segment_size)
{
	qe_udp_send(((struct forwarder *)ctx)->udp, path, ecn, data, len, segment_size);
}

static void send_split(struct forwarder *forwarder, const struct qe_offload *offload, size_t len)
{
	struct qe_segmenter segmenter;
	struct qe_packet parsed;
	struct qe_bytes packet;

	if (qe_packet_parse(&parsed, (struct qe_bytes){forwarder->buffer, len}) != QE_OK ||
		qe_segmenter_init(&segmenter, forwarder->buffer, &parsed, offload, mtu) != QE_OK)
		return;
	while (qe_segmenter_next(&segmenter, &packet)) {
		uint8_t *to = qe_batch_room(&forwarder->batch, 1 + packet.len);

		to[0] = segmenter.partial;
		memcpy(to + 1, packet.data, packet.len);
		qe_batch_add(&forwarder->batch, 1 + packet.len, &forwarder->path, 0, 0);
	}
}

static void drain_tun(struct forwarder *forwarder)
{
	for (unsigned i = 0; forwarder->tun_ready && i < at_once; i++) {
		struct qe_offload offload;
		size_t len;
		enum qe_error error = qe_tun_read(
			forwarder->tun, forwarder->buffer, super_max, &offload, &len);

		if (error == QE_OK)
			send_split(forwarder, &offload, len);
		else
			/* EBADFD: the interface is gone */
			forwarder->tun_ready = error != -EAGAIN && error != -EBADFD;
	}
	qe_batch_flush(&forwarder->batch);
}

/* ---- to the TUN ---- */

static void write_tun(void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	/* What fails is lost, as with any router. */
	(void)!qe_tun_write(((struct forwarder *)ctx)->tun, offload, data, len);
}

static void merge(struct forwarder *forwarder, struct qe_bytes datagram)
{
	struct qe_packet parsed;

	if (datagram.len == 0)
		return;
	struct qe_bytes packet = {datagram.data + 1, datagram.len - 1};

	if (qe_packet_parse(&parsed, packet) == QE_OK)
		qe_coalescer_add(forwarder->coalescer, packet, &parsed, datagram.data[0] != 0);
}

static void drain_udp(struct forwarder *forwarder)
{
	for (unsigned i = 0; forwarder->udp_ready && i < at_once; i++) {
		struct qe_udp_train train;
		enum qe_error error = qe_udp_receive(forwarder->udp, &train);

		if (error != QE_OK) {
			forwarder->udp_ready = error != -EAGAIN;
			continue;
		}
		for (size_t at = 0; at < train.len; at += train.segment_size)
			merge(forwarder,
				(struct qe_bytes){train.data + at,
					train.len - at < train.segment_size ? train.len - at
									    : train.segment_size});
	}
	qe_coalescer_flush(forwarder->coalescer);
}

/* ---- life ---- */

static void tun_is_ready(struct qe_watch *watch, unsigned)
{
	QE_CONTAINER_OF(watch, struct forwarder, tun_watch)->tun_ready = true;
}

static void udp_is_ready(struct qe_watch *watch, unsigned)
{
	QE_CONTAINER_OF(watch, struct forwarder, udp_watch)->udp_ready = true;
}

static enum qe_error raise_tun(const char *name, const char *address)
{
	struct qe_netlink *netlink;
	struct qe_prefix prefix;
	struct qe_addr addr;
	unsigned index;

	QE_TRY(qe_interface_addr_parse(&addr, &prefix, address));
	QE_TRY(qe_netlink_new(&netlink));
	enum qe_error error = qe_netlink_interface(netlink, name, &index);

	if (error == QE_OK)
		error = qe_netlink_up(netlink, index, mtu, queue_length);
	if (error == QE_OK)
		error = qe_netlink_add_addr(netlink, index, &addr, prefix.length);
	qe_netlink_free(netlink);
	return error;
}

static enum qe_error set_up(struct forwarder *forwarder, char **words)
{
	struct qe_endpoint local;

	QE_TRY(qe_endpoint_parse(&local, words[2]));
	QE_TRY(qe_endpoint_parse(&forwarder->path.remote, words[3]));
	QE_TRY(qe_tun_new(&forwarder->tun, words[0]));
	QE_TRY(qe_udp_new(&forwarder->udp, &local));
	QE_TRY(qe_loop_new(&forwarder->loop));
	QE_TRY(qe_coalescer_new(
		&forwarder->coalescer, qe_tun_segments_udp(forwarder->tun), write_tun, forwarder));
	QE_TRY(qe_batch_init(&forwarder->batch, send_train, forwarder));
	forwarder->tun_watch = (struct qe_watch){qe_tun_fd(forwarder->tun), tun_is_ready};
	forwarder->udp_watch = (struct qe_watch){qe_udp_fd(forwarder->udp), udp_is_ready};
	QE_TRY(qe_loop_add(forwarder->loop, &forwarder->tun_watch, QE_READABLE | QE_EDGE));
	QE_TRY(qe_loop_add(forwarder->loop, &forwarder->udp_watch, QE_READABLE | QE_EDGE));
	return raise_tun(words[0], words[1]);
}

int main(int argc, char **argv)
{
	static struct forwarder forwarder;
	enum qe_error error;

	if (argc != 5) {
		fprintf(stderr,
			"usage: forwarder INTERFACE ADDRESS/LENGTH LOCAL:PORT REMOTE:PORT\n");
		return 2;
	}
	error = set_up(&forwarder, argv + 1);
	if (error != QE_OK) {
		fprintf(stderr, "forwarder: %s\n", qe_error_text(error));
		return 1;
	}
	for (;;) {
		bool more = forwarder.tun_ready || forwarder.udp_ready;

		qe_loop_turn(forwarder.loop, more ? 0 : QE_TIME_NEVER);
		drain_udp(&forwarder);
		drain_tun(&forwarder);
	}
}
