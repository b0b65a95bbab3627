/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The TUN interface, read and written in super-packets of up to 64 KiB. It lives as long as its
 * descriptor: when that is closed, also by a crash, the kernel takes the interface away, and its
 * addresses and routes with it. It may have several queues, each of which is a struct qe_tun of its
 * own, for one thread.
 */
#pragma once

#include "quicether.h"

struct qe_tun;

/* reads and writes are what the kernel counts of the interface (ip -s link), to which a
 * super-packet is one packet. */
struct qe_tun_counters {
	uint64_t reads;
	uint64_t read_errors; /* of the reads: of a kind that nobody asked for; lost */
	uint64_t writes;
	uint64_t packets_lost; /* the kernel did not take them; of a super-packet, what it holds */

	/* Fallbacks: what the kernel refused; header_off brings the next three, and so on. */
	bool header_off;       /* no virtio-net header, which says all that follows */
	bool csum_off;         /* no partial checksums */
	bool tso_off;          /* no TCP super-packets */
	bool uso_off;          /* no UDP super-packets (before Linux 6.2) */
	bool steering_off;     /* the kernel chooses among queues by what it has learnt */
	uint64_t writes_split; /* what was changed to be written without: super-packets packet by
				* packet, checksums completed */
};

/* The interface is made, but it is down and has no address: see os/netlink.h.
 * -EBUSY: there is an interface of that name; -EPERM: CAP_NET_ADMIN is missing; -ENOENT, -ENODEV,
 * -EACCES: no usable /dev/net/tun. What else the kernel refuses makes it slower only: see the
 * counters. */
enum qe_error qe_tun_new(struct qe_tun **ret_tun, const char *name);
/* The same with n queues, 1 to QE_WORKERS_MAX, from which packets come as qe_packet_worker says;
 * all or none. */
enum qe_error qe_tun_new_queues(struct qe_tun *ret_tuns[], unsigned n, const char *name);
/* No interface, but two ends in memory, each for one thread: what is written to one is read from
 * the other, super-packets as they are. [0] is for a worker, [1] for who has an IP stack of his
 * own. To be watched edge-triggered. A write that finds the other end behind gives -EAGAIN, and the
 * descriptor tells when there is room. */
enum qe_error qe_tun_new_cable(struct qe_tun *ret_ends[2]);
struct qe_tun *qe_tun_free(struct qe_tun *tun); /* the last one removes the interface; NULL-safe */
void qe_tun_counters_add(struct qe_tun_counters *sum, const struct qe_tun_counters *counters);

int qe_tun_fd(const struct qe_tun *tun);
/* Whether the kernel takes and gives UDP super-packets. Where it does not, qe_tun_write splits
 * them. */
bool qe_tun_segments_udp(const struct qe_tun *tun);
const struct qe_tun_counters *qe_tun_get_counters(const struct qe_tun *tun);

/* One packet, without blocking; -EAGAIN: none is there. What is longer than capacity is cut. */
enum qe_error qe_tun_read(struct qe_tun *tun, uint8_t *to, size_t capacity,
	struct qe_offload *ret_offload, size_t *ret_len);
/* What fails is lost and counted, and the rest is written: -EIO while the interface is down,
 * -EINVAL for a packet that the kernel does not like. hdr_len of a super-packet is right, unlike
 * that of one that was read. */
enum qe_error qe_tun_write(
	struct qe_tun *tun, const struct qe_offload *offload, const uint8_t *data, size_t len);
