/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Plain sockets for short conversations, as those with name servers are. Nothing here blocks. */
#pragma once

#include "base/bytes.h"
#include "net/addr.h"

/* A port of the kernel's choice, which a stranger cannot foresee, connected: only what the other
 * end sends arrives. */
enum qe_error qe_socket_datagram(int *ret_fd, const struct qe_endpoint *to);
/* The connection is only begun: the socket is writable once it is there, or has failed. */
enum qe_error qe_socket_stream(int *ret_fd, const struct qe_endpoint *to);
enum qe_error qe_socket_connect(int fd, const struct qe_endpoint *to); /* datagrams; again, too */
/* -EAGAIN: nobody waits. */
enum qe_error qe_socket_accept(int fd, int *ret_fd, struct qe_endpoint *ret_from);
void qe_socket_close(int fd);
/* The address that this host sends from to another one; nothing is sent. */
enum qe_error qe_socket_source(struct qe_addr *ret_source, const struct qe_addr *to);

/* -EAGAIN: nothing goes, or is there. QE_ERR_CLOSED: the stream has ended. QE_ERR_TRUNCATED: the
 * datagram was longer, and is lost. */
enum qe_error qe_socket_send(int fd, struct qe_bytes bytes, size_t *ret_sent);
enum qe_error qe_socket_receive(int fd, void *to, size_t capacity, size_t *ret_len);
enum qe_error qe_socket_send_to(int fd, struct qe_bytes bytes, const struct qe_endpoint *to);
enum qe_error qe_socket_receive_from(
	int fd, void *to, size_t capacity, size_t *ret_len, struct qe_endpoint *ret_from);
