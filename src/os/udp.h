/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The UDP socket: datagrams in trains of up to 64 KiB (UDP_SEGMENT, UDP_GRO), with the local
 * address and the ECN bits of each, and never fragmented. Not blocking. One thread. Several may
 * share a port, each for a thread of its own.
 */
#pragma once

#include "quicether.h"

struct qe_udp;

/* Of datagrams, where nothing else is said. Each one given to qe_udp_send is counted in one of the
 * first five. */
struct qe_udp_counters {
	uint64_t sent;        /* the kernel took it */
	uint64_t no_buffer;   /* the socket's buffer stayed full: lost */
	uint64_t unreachable; /* no route, no such local address, refused by a firewall: lost */
	uint64_t too_big;     /* larger than the path's MTU: lost, and QUIC learns from it */
	uint64_t failed;      /* anything else: lost */

	uint64_t truncated;      /* receives that were cut short: lost, all of the train */
	uint64_t receive_errors; /* errors that ICMP messages left behind; nothing is lost */

	/* Fallbacks. */
	bool segment_off;      /* the kernel sends no trains (any more) */
	bool gro_off;          /* the kernel receives no trains */
	bool steering_off;     /* of several sockets any may get a datagram */
	uint64_t trains_split; /* trains that the kernel refused, and that were sent one by one */
	uint64_t send_waits;   /* sends that waited for room in the socket's buffer */
};

/* "[::]" takes IPv4 too, where the machine has IPv6. -EADDRINUSE, -EADDRNOTAVAIL, -EACCES (a port
 * below 1024 without CAP_NET_BIND_SERVICE). */
enum qe_error qe_udp_new(struct qe_udp **ret_udp, const struct qe_endpoint *listen);
/* n of them, 1 to QE_WORKERS_MAX, on one port; all or none. A datagram comes to the one that
 * qe_datagram_worker says. */
enum qe_error qe_udp_new_group(
	struct qe_udp *ret_udps[], unsigned n, const struct qe_endpoint *listen);
struct qe_udp *qe_udp_free(struct qe_udp *udp); /* NULL-safe */
void qe_udp_counters_add(struct qe_udp_counters *sum, const struct qe_udp_counters *counters);

/* 0 to 63: the upper bits of the traffic class of all that is sent. */
enum qe_error qe_udp_set_dscp(struct qe_udp *udp, uint8_t dscp);
int qe_udp_fd(const struct qe_udp *udp);
struct qe_endpoint qe_udp_local(
	const struct qe_udp *udp); /* as bound: port 0 has become a real one */
const struct qe_udp_counters *qe_udp_get_counters(const struct qe_udp *udp);

/* Whether this host has a route there; nothing is sent. */
bool qe_udp_has_way(const struct qe_endpoint *to);

struct qe_udp_train {
	struct qe_path path; /* local: always known on Linux */
	uint8_t ecn;
	const uint8_t *data; /* the socket's, until the next call */
	size_t len, segment_size;
};

/* -EAGAIN: none is there. Errors that ICMP messages cause are swallowed. */
enum qe_error qe_udp_receive(struct qe_udp *udp, struct qe_udp_train *ret_train);
/* Datagrams of segment_size each, the last may be shorter; any number of them. What cannot be sent
 * within 5 ms is lost and counted. */
void qe_udp_send(struct qe_udp *udp, const struct qe_path *path, uint8_t ecn, const uint8_t *data,
	size_t len, size_t segment_size);
