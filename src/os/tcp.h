/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* TCP sockets that listen on this host, and what connects to them. Nothing here blocks. */
#pragma once

#include "base/bytes.h"
#include "quicether.h"

/* *ret_local: as bound, port 0 has become a real one. -EADDRINUSE, -EADDRNOTAVAIL, -EACCES. */
enum qe_error qe_tcp_listen(
	int *ret_fd, const struct qe_endpoint *listen, struct qe_endpoint *ret_local);
/* -EAGAIN: nobody waits; -EMFILE and the like: out of descriptors. */
enum qe_error qe_tcp_accept(int listener, int *ret_fd);
/* As much as goes: -EAGAIN when nothing does. *ret_len is 0 at the end of what the other side has
 * sent. QE_ERR_CLOSED: it has gone without saying goodbye. */
enum qe_error qe_tcp_receive(int fd, void *to, size_t capacity, size_t *ret_len);
enum qe_error qe_tcp_send(int fd, struct qe_bytes bytes, size_t *ret_sent);
void qe_tcp_finish(int fd); /* nothing more will be sent */
/* abort: the other side is told that the connection has broken. */
void qe_tcp_close(int fd, bool abort);
