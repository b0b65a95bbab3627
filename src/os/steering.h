/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Programs for the kernel, which give each datagram and each packet to the worker it belongs to:
 * what qe_datagram_worker and qe_packet_worker say, modulo as many as there are. */
#pragma once

#include "base/error.h"

/* The socket is one of a group that shares a port (SO_REUSEPORT), in the order of the workers. */
enum qe_error qe_steer_datagrams(int socket, unsigned workers);
/* The descriptor is one of a TUN interface's queues. -EPERM where bpf(2) is not allowed. */
enum qe_error qe_steer_packets(int tun);
/* The program of qe_steer_packets, for who wants to run it otherwise; to be closed. */
enum qe_error qe_steering_load(int *ret_program);
