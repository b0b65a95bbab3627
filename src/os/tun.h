/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The TUN interface, read and written in super-packets of up to 64 KiB. It lives as long as its
 * descriptor: when that is closed, also by a crash, the kernel takes the interface away, and its
 * addresses and routes with it.
 */
#pragma once

#include "quicether.h"

struct qe_tun;

/* The interface is made, but it is down and has no address: see os/netlink.h.
 * -EBUSY: there is an interface of that name; -EPERM: CAP_NET_ADMIN is missing; -ENOENT, -ENODEV,
 * -EACCES: no usable /dev/net/tun; QE_ERR_UNSUPPORTED: the kernel is too old. */
enum qe_error qe_tun_new(struct qe_tun **ret_tun, const char *name);
struct qe_tun *qe_tun_free(struct qe_tun *tun); /* removes the interface; NULL-safe */

int qe_tun_fd(const struct qe_tun *tun);
/* Whether the kernel takes and gives UDP super-packets (Linux 6.2 and newer). Where it does not,
 * qe_tun_write splits them. */
bool qe_tun_segments_udp(const struct qe_tun *tun);

/* One packet, without blocking; -EAGAIN: none is there. What is longer than capacity is cut. */
enum qe_error qe_tun_read(struct qe_tun *tun, uint8_t *to, size_t capacity,
	struct qe_offload *ret_offload, size_t *ret_len);
/* What fails is lost: -EIO while the interface is down, -EINVAL for a packet that the kernel does
 * not like. */
enum qe_error qe_tun_write(
	struct qe_tun *tun, const struct qe_offload *offload, const uint8_t *data, size_t len);
